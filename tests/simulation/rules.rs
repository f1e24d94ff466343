//! The rules of `routing-rules/kr-agencies`, as the gateway loads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use gwanmun::codec::catalogue::Catalogue;
use gwanmun::routing::{Known, RuleFiles, RuleSet};

/// The rule set.
pub(crate) fn rule_set() -> Arc<RuleSet> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("routing-rules/kr-agencies");
    let mut files = BTreeMap::new();
    read(&root, "", &mut files);
    let codes = |list: &str, code: &str| list != "document" || Catalogue::built_in().knows(list, code);
    let known = Known { codes: &codes, registry: None };
    let (rules, _) =
        RuleSet::load(&RuleFiles(files), &known).expect("the rules that are shipped have no fault");
    rules
}

fn read(directory: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).expect("a file"));
        }
    }
}
