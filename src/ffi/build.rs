//! Links the system's libxml2 and libxmlsec1 (with its OpenSSL engine); `make deps` installs them.

fn main() {
    println!("cargo:rerun-if-changed=src/ffi/build.rs");
    for library in ["libxml-2.0", "xmlsec1-openssl"] {
        if let Err(error) = pkg_config::probe_library(library) {
            eprintln!("{library} was not found: run `make deps` first\n{error}");
            std::process::exit(1);
        }
    }
}
