//! The Rust files of the project, and the tests in them.

use std::fs;
use std::path::Path;

/// A Rust file.
pub(crate) struct Source {
    /// Its path from the root of the project.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Every Rust file of the project, by name.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut directories = vec![root.join("src"), root.join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("is a directory") {
            let path = entry.expect("is an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("it is below").display().to_string();
                found.push(Source { name, text: fs::read_to_string(&path).expect("is text") });
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Whether there is a test of this name.
pub(crate) fn is_a_test(name: &str, sources: &[Source]) -> bool {
    let test = format!("fn {name}()");
    let before = sources.iter().find_map(|source| source.text.split_once(&*test).map(|(before, _)| before));
    let attributes = before.and_then(|before| before.rsplit("\n\n").next()).unwrap_or_default();
    attributes.contains("#[test]") || attributes.contains("#[tokio::test")
}
