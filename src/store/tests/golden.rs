//! Stored records over the versions of this program: what earlier ones wrote stays readable, and what none of them would
//! read stands in a store that they refuse (P19).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::model::{Approval, Case, Delivery, KeptHead, Sequence, StoredMessage};
use crate::store::Inspection;
use crate::store::record::{Encoded, Envelope, NEWEST_FORM, Record};

/// What every stored record may say, under the format of the store that it belongs to.
const KEPT: &str = include_str!("records.txt");
/// A record of each kind as format 9 had it: kind, key, form, version, checksum and text.
const OF_FORMAT_9: &str = include_str!("records_9.txt");

/// A version that does not know a field reads the record and writes it without. So whatever a record may say more makes a
/// new format, which earlier versions refuse. What is only called otherwise in the code may be called so in the list too.
#[test]
fn a_record_gains_nothing_without_a_format_of_its_own_p19() {
    let format = Inspection::newest_format();
    let now = format!("format {format}, forms {NEWEST_FORM}\n{}", shapes());
    let of: u32 = KEPT
        .strip_prefix("format ")
        .and_then(|rest| rest.split_once(','))
        .and_then(|(number, _)| number.parse().ok())
        .expect("the list begins with its format");
    if of < format && std::env::var("STORED_RECORDS").is_ok_and(|how| how == "write") {
        return fs::write(root().join("src/store/tests/records.txt"), now).expect("can be written");
    }
    let (before, after): (Vec<_>, Vec<_>) = (KEPT.lines().collect(), now.lines().collect());
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(
        KEPT == now,
        "P19: stored records are not those of format {of}: {gone:#?} are gone, {new:#?} are new. Give the store a format of \
         its own (`FORMAT`), then write the list: STORED_RECORDS=write cargo test --lib golden"
    );
}

#[test]
fn records_of_format_9_are_read_p19() {
    let mut kinds = 0;
    for line in OF_FORMAT_9.lines() {
        let [kind, key, form, version, checksum, text] =
            line.splitn(6, '\t').collect::<Vec<_>>().try_into().expect("six columns");
        let number = |text: &str| text.parse().expect("a number");
        let encoded = Encoded {
            form: number(form),
            version: u64::from(number(version)),
            checksum: number(checksum),
            text: text.to_owned(),
        };
        let again = match kind {
            StoredMessage::KIND => read::<StoredMessage>(&encoded, key),
            Case::KIND => read::<Case>(&encoded, key),
            Delivery::KIND => read::<Delivery>(&encoded, key),
            Approval::KIND => read::<Approval>(&encoded, key),
            Sequence::KIND => read::<Sequence>(&encoded, key),
            Envelope::KIND => read::<Envelope>(&encoded, key),
            KeptHead::KIND => read::<KeptHead>(&encoded, key),
            other => panic!("no kind {other}"),
        };
        assert_eq!(again, encoded, "{kind}: what is not new in it is written as it was");
        kinds += 1;
    }
    assert_eq!(kinds, 7, "a record of each kind");
}

/// Reads a record, and writes it again.
fn read<R: Record>(encoded: &Encoded, key: &str) -> Encoded {
    let value: R = encoded.decode(key).expect("it stays readable");
    Encoded::of(&value, key, encoded.version)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The types of which stored records are made, as they stand in the sources without comments: fields, variants, and how
/// serde writes them.
fn shapes() -> String {
    let record = fs::read_to_string(root().join("src/store/record.rs")).expect("readable");
    let mut types = types_in(&record);
    for entry in fs::read_dir(root().join("src/model")).expect("readable") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("readable");
        for (name, shape) in types_in(&text) {
            let other = types.insert(name.clone(), shape);
            assert!(other.is_none(), "two types are called {name}");
        }
    }
    let kinds = record.lines().filter_map(|line| line.strip_prefix("impl Record for ")?.split_once(' '));
    let mut left: Vec<_> =
        kinds.map(|(name, _)| name.to_owned()).chain(["TimelineEntry".to_owned()]).collect();
    assert!(left.len() > 7, "every kind is found");
    let mut reached = BTreeMap::new();
    while let Some(name) = left.pop() {
        let Some(shape) = types.get(&name) else { continue };
        if reached.insert(name, shape).is_none() {
            let words = shape.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            left.extend(words.filter(|word| types.contains_key(*word)).map(str::to_owned));
        }
    }
    reached.into_values().fold(String::new(), |mut all, shape| {
        write!(all, "\n{shape}").expect("text takes text");
        all
    })
}

/// The types of a source file that serde writes, by name.
fn types_in(source: &str) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    let (mut attributes, mut lines) = (Vec::new(), source.lines());
    while let Some(line) = lines.next() {
        if line.starts_with("#[") {
            attributes.push(line);
            continue;
        }
        let code = without_visibility(line);
        let kept = ["struct ", "enum "].iter().find_map(|kind| code.strip_prefix(kind));
        let is_written = attributes.iter().any(|it| it.contains("derive(") && it.contains("Serialize"));
        if let Some(rest) = kept.filter(|_| is_written) {
            let name = rest.split(|letter: char| !letter.is_alphanumeric()).next().expect("a name");
            let serde = attributes.iter().filter(|it| it.starts_with("#[serde"));
            let mut shape: String = serde.map(|it| format!("{it}\n")).collect();
            shape += &format!("{code}\n");
            if !line.ends_with(';') && !line.ends_with('}') {
                let body = lines.by_ref().take_while(|line| *line != "}");
                let told = body.filter(|line| {
                    let line = line.trim_start();
                    !line.starts_with("//") && !line.is_empty()
                });
                told.for_each(|line| {
                    let code = line.trim_start();
                    let indent = line.strip_suffix(code).unwrap_or_default();
                    shape += &format!("{indent}{}\n", without_visibility(code));
                });
                shape += "}\n";
            }
            types.insert(name.to_owned(), shape);
        }
        if !line.starts_with("//") {
            attributes.clear();
        }
    }
    types
}

fn without_visibility(code: &str) -> &str {
    ["pub ", "pub(crate) ", "pub(super) "].iter().find_map(|it| code.strip_prefix(it)).unwrap_or(code)
}
