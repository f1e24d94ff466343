//! The floors of the house (`docs/architecture.md`): an import only ever goes down, the core stays pure,
//! and the picture in the document is the one that the imports draw.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the floor it is on.
const FLOORS: [(&str, u8); 18] = [
    ("model", 1),
    ("transport", 1),
    ("ffi", 1),
    ("codec", 2),
    ("store", 2),
    ("routing", 2),
    ("telemetry", 2),
    ("msh", 3),
    ("case", 3),
    ("security", 3),
    ("engine", 4),
    ("config", 5),
    ("gateway", 6),
    ("cli", 6),
    ("practice", 6),
    ("bench", 6),
    ("main", 7),
    ("lib", 8),
];

/// Rooms whose code decides: no runtime, socket, file, clock, random source or hash map.
const PURE: [&str; 6] = ["model", "codec", "routing", "msh", "case", "engine"];

/// What pure rooms do not name.
const IMPURE_WORDS: [&str; 14] = [
    "tokio::",
    "hyper::",
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rand_bytes",
    "HashMap",
    "HashSet",
];

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory can be read") {
        let path = entry.expect("a directory entry can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with its room and its code: comments and the `mod tests` at the bottom left out.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let inside = path.strip_prefix(&root).expect("the file is below src").to_owned();
        let first = inside.components().next().expect("a path has a first component");
        let room = Path::new(first.as_os_str()).file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a source file is UTF-8");
        let body = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code =
            body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        (room, inside, code)
    };
    files.into_iter().map(read).collect()
}

/// The rooms that this code names by a `crate::` path, or, in the binary, by a `gwanmun::` path.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for prefix in ["crate::", "gwanmun::"] {
        for rest in code.split(prefix).skip(1) {
            let list = rest.strip_prefix('{').map_or_else(
                || rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().into_iter().collect(),
                top_level_names,
            );
            rooms.extend(list.into_iter().filter(|name| floor_of(name).is_some()).map(str::to_owned));
        }
    }
    rooms
}

/// The first names of a `use` group: `{a::b, c::{d, e}}` names `a` and `c`.
fn top_level_names(group: &str) -> Vec<&str> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(group.get(start..at));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.into_iter().filter_map(|name| name.trim().split("::").next()).collect()
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

#[test]
fn every_room_has_a_floor() {
    for (room, path, _) in sources() {
        assert!(floor_of(&room).is_some(), "{} is in a room without a floor", path.display());
    }
}

#[test]
fn imports_only_go_down() {
    let mut climbs = Vec::new();
    for (room, path, code) in sources() {
        for named in rooms_named(&code) {
            if named != room && floor_of(&named) >= floor_of(&room) {
                climbs.push(format!("{} imports {named}", path.display()));
            }
        }
    }
    assert!(climbs.is_empty(), "imports that climb or go sideways:\n{}", climbs.join("\n"));
}

/// A test of the core may be told from outside how long it shall run.
#[test]
fn the_core_is_pure() {
    let mut found = Vec::new();
    for (room, path, code) in sources() {
        if PURE.contains(&room.as_str()) {
            let is_test = path.components().any(|part| part.as_os_str() == "tests");
            for word in IMPURE_WORDS {
                if code.contains(word) && !(is_test && word == "std::env") {
                    found.push(format!("{} names {word}", path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "the core is not pure:\n{}", found.join("\n"));
}

#[test]
fn unsafe_code_lives_in_ffi_and_says_why() {
    for (room, path, code) in sources() {
        if room != "ffi" {
            assert!(!code.contains("unsafe {") && !code.contains("unsafe fn"), "{}", path.display());
        }
    }
}

#[test]
fn the_picture_in_the_document_is_the_one_the_imports_draw() {
    let mut drawn: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, _, code) in sources() {
        if room != "lib" {
            let below = rooms_named(&code).into_iter().filter(|named| *named != room);
            drawn.entry(room.clone()).or_default().extend(below);
        }
    }
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md"))
        .expect("docs/architecture.md can be read");
    let picture = document
        .split("<!-- imports -->")
        .nth(1)
        .expect("docs/architecture.md holds the import table between two `<!-- imports -->` marks");
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in picture.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let room = names(cells[1]).pop_first().expect("a row names its room");
        written.insert(room, names(cells[2]));
    }
    assert_eq!(written, drawn, "docs/architecture.md (left) and the imports (right) differ");
}
