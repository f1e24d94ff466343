//! Directories of data: the rules, and the documents that are added to those that the program carries. Their files,
//! read within bounds, and what `routing` and `codec` make of them.
//!
//! Does not know what a rule or a document is. Hidden files, such as those of version control, are no part of a
//! directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{ConfigFault, Faults};
use crate::codec::catalogue::{Catalogue, CatalogueFault};
use crate::model::Registry;
use crate::routing::{Known, RuleFault, RuleFiles, RuleSet, RuleSeverity};

/// Files in a rule directory.
const FILES_MAX: usize = 1000;
/// Octets of one of them.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Directories inside each other.
const DEPTH_MAX: usize = 8;

/// Reads the files of a rule directory.
///
/// # Errors
/// Every file that cannot be read.
pub fn read_rules(directory: &Path) -> Result<RuleFiles, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let mut files = RuleFiles::default();
    read_into(&mut files, directory, "", 0, &mut faults);
    let faults = faults.into_list();
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

/// The documents and code lists that the program carries, and those of a directory that adds to them.
///
/// # Errors
/// Every mistake of the directory, in order of file and place.
pub fn read_catalogue(directory: Option<&Path>) -> Result<Arc<Catalogue>, Vec<ConfigFault>> {
    let Some(directory) = directory else { return Ok(Arc::clone(Catalogue::built_in())) };
    let files = read_rules(directory)?;
    let files = files.0.into_iter().map(|(name, octets)| (name, octets.into())).collect();
    Catalogue::extended(&files).map(Arc::new).map_err(|faults| {
        let placed = |fault: CatalogueFault| {
            let CatalogueFault { file, line, column, message, remedy } = fault;
            ConfigFault { file: directory.join(file), line, column, message, remedy }
        };
        faults.into_iter().map(placed).collect()
    })
}

/// The same; `None` when the directory has a mistake, which is told.
pub(super) fn catalogue(directory: Option<&Path>, faults: &mut Faults) -> Option<Arc<Catalogue>> {
    read_catalogue(directory).map_err(|list| faults.extend(list)).ok()
}

/// The rule set of a directory, checked against documents and code lists, and against the partners where they are
/// known; `None` when it has a mistake, which is told.
pub(super) fn load(
    directory: &Path,
    catalogue: &Catalogue,
    registry: Option<&Registry>,
    faults: &mut Faults,
) -> Option<Arc<RuleSet>> {
    let files = match read_rules(directory) {
        Ok(files) => files,
        Err(unreadable) => {
            faults.extend(unreadable);
            return None;
        }
    };
    let codes = |list: &str, code: &str| catalogue.knows(list, code);
    match RuleSet::load(&files, &Known { codes: &codes, registry }) {
        Ok((rules, _)) => Some(rules),
        Err(list) => {
            let errors = list.into_iter().filter(|fault| fault.severity == RuleSeverity::Error);
            faults.extend(errors.map(|fault| in_directory(directory, fault)));
            None
        }
    }
}

fn in_directory(directory: &Path, fault: RuleFault) -> ConfigFault {
    let RuleFault { file, line, column, message, remedy, .. } = fault;
    ConfigFault { file: directory.join(file), line, column, message, remedy }
}

fn read_into(files: &mut RuleFiles, directory: &Path, prefix: &str, depth: usize, faults: &mut Faults) {
    let mut told = |path: &Path, message: String, remedy: &str| {
        faults.add(path, (1, 1), message, remedy.to_owned());
    };
    let entries = match entries(directory) {
        Ok(entries) => entries,
        Err(error) => {
            return told(directory, format!("cannot be read: {error}"), "name a readable directory");
        }
    };
    let mut below = Vec::new();
    for (name, path) in entries {
        let inside = format!("{prefix}{name}");
        if path.is_dir() {
            below.push((path, format!("{inside}/")));
        } else if files.0.len() >= FILES_MAX {
            let message = format!("there are more than {FILES_MAX} files");
            return told(directory, message, "keep only what belongs to the rules there");
        } else {
            match read(&path) {
                Ok(octets) => drop(files.0.insert(inside, octets)),
                Err(error) => {
                    told(&path, format!("cannot be read: {error}"), "make it readable, or remove it")
                }
            }
        }
    }
    for (path, prefix) in below {
        if depth == DEPTH_MAX {
            faults.add(&path, (1, 1), "it lies too deep".to_owned(), "keep directories flat".to_owned());
        } else {
            read_into(files, &path, &prefix, depth + 1, faults);
        }
    }
}

/// The entries of a directory that are not hidden, by name.
fn entries(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} octets")));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_read_and_hidden_ones_are_not() {
        let world = tempfile::tempdir().expect("makes a directory");
        for (path, text) in [("ruleset.toml", "a"), ("tests/one.toml", "b"), (".git/HEAD", "c")] {
            let path = world.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("makes it");
            fs::write(path, text).expect("writes");
        }
        let files = read_rules(world.path()).expect("is readable");
        let names: Vec<_> = files.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["ruleset.toml", "tests/one.toml"]);
        let missing = read_rules(&world.path().join("none")).expect_err("is not there");
        assert!(missing[0].message.starts_with("cannot be read"), "{missing:?}");
    }

    #[test]
    fn codes_are_looked_up_where_they_belong() {
        let cases = [
            ("country", "CN", true),
            ("country", "QQ", false),
            ("law", "05", true),
            ("document", "GOVCBRX01", true),
            ("document", "GOVCBRX99", false),
            ("hs", "1211901000", true),
            ("hs", "7701", false),
            ("nothing", "A", false),
        ];
        for (list, code, expected) in cases {
            assert_eq!(Catalogue::built_in().knows(list, code), expected, "{list} {code}");
        }
    }

    #[test]
    fn the_rules_that_come_with_the_gateway_are_in_order_and_pass_their_tests() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("routing-rules");
        for name in ["kr-agencies", "kr-import"] {
            let files = read_rules(&root.join(name)).expect("is readable");
            let codes = |list: &str, code: &str| Catalogue::built_in().knows(list, code);
            let known = Known { codes: &codes, registry: None };
            let (rules, warnings) = RuleSet::load(&files, &known).expect("is in order");
            assert_eq!((rules.id(), warnings), (name, Vec::new()));
            let report = rules.run_tests(&files);
            assert!(report.passed(), "{name}: {report:#?}");
            assert_eq!(report.never_exercised, [], "{name}: every row is exercised");
        }
    }
}
