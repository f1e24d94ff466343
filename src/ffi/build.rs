//! Links the system's libxml2 and libxmlsec1 (with its OpenSSL engine); `make deps` installs them. Lists the files of
//! `schemas/` for embedding, so that a new one is data and no code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=src/ffi/build.rs");
    for library in ["libxml-2.0", "xmlsec1-openssl"] {
        if let Err(error) = pkg_config::probe_library(library) {
            eprintln!("{library} was not found: run `make deps` first\n{error}");
            std::process::exit(1);
        }
    }
    let schemas = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo names it")).join("schemas");
    println!("cargo:rerun-if-changed={}", schemas.display());
    let mut files = Vec::new();
    below(&schemas, &mut files);
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&schemas).expect("it lies below").to_str().expect("is text").to_owned();
        writeln!(list, "({name:?}, include_bytes!({:?}).as_slice()),", file.display().to_string())
            .expect("a String takes any text");
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo names it"));
    fs::write(out.join("schemas.rs"), list).expect("OUT_DIR can be written");
}

fn below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("schemas/ can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() { below(&path, files) } else { files.push(path) }
    }
}
