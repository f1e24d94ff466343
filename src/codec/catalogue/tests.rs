//! What the program carries, and directories that add to it: good ones, and every kind of mistake.

use super::*;

/// A directory with an application and a result.
fn directory() -> BTreeMap<String, String> {
    let rows = "code,family,root,name,answers,standard,basis,title\n\
                GOVCBRX18,application,Declaration,RadioCheck,GOVCBRX68,855,ours,Radio check\n\
                GOVCBRX68,result,Response,RadioCheckResult,,,ours,Result of a radio check\n";
    let application = schema("FoodImportReport-1.xsd", "FoodImportReport", "RadioCheck", "X01", "X18");
    let result =
        schema("FoodImportCertificate-1.xsd", "FoodImportCertificate", "RadioCheckResult", "X51", "X68");
    let files =
        [(DOCUMENTS, rows.to_owned()), ("RadioCheck-1.xsd", application), ("RadioCheckResult-1.xsd", result)];
    files.map(|(name, text)| (name.to_owned(), text)).into()
}

/// One of our schemas under another name and code.
fn schema(file: &str, name: &str, new_name: &str, code: &str, new_code: &str) -> String {
    let text = String::from_utf8(EMBEDDED[file].to_vec()).expect("is text");
    text.replace(&format!("doc:{name}:1"), &format!("doc:{new_name}:1"))
        .replace(&format!("GOVCBR{code}"), &format!("GOVCBR{new_code}"))
}

fn extended(files: &BTreeMap<String, String>) -> Result<Catalogue, Vec<CatalogueFault>> {
    let octets = files.iter().map(|(name, text)| (name.clone(), Bytes::from(text.clone())));
    Catalogue::extended(&octets.collect())
}

#[test]
fn every_schema_compiles_and_every_code_and_root_is_one_type_s9() {
    let catalogue = Catalogue::built_in();
    catalogue.make_ready();
    for found in catalogue.types() {
        let same = |other: Option<&DocumentType>| other.map(|other| &other.name) == Some(&found.name);
        assert!(same(catalogue.of_code(found.code.as_str())), "{}", found.code);
        assert!(same(catalogue.of_root(&found.namespace, &found.root)), "{}", found.name);
        let shape = found.compiled.shape(catalogue.code_lists()).expect("is read");
        assert_eq!(shape.root(), (&*found.namespace, &*found.root), "{}", found.name);
        let read_from = READ_FROM.iter().filter(|(family, _)| *family == found.family);
        for path in read_from.flat_map(|(_, paths)| *paths) {
            assert!(shape.has(path), "{} has no {path}", found.name);
        }
    }
    assert!(catalogue.of_code("GOVCBR999").is_none());
    assert!(catalogue.of_root("urn:swgw:doc:ImportDeclaration:1", "Response").is_none());
}

#[test]
fn every_application_is_answered_by_results_and_every_result_answers_one() {
    let catalogue = Catalogue::built_in();
    let mut answering = std::collections::BTreeSet::new();
    for found in catalogue.types() {
        let is_application = found.family == DocumentFamily::Application;
        assert_eq!(is_application, !found.answers.is_empty(), "{}", found.code);
        for answer in &found.answers {
            let family = catalogue.of_code(answer.as_str()).map(|answer| answer.family);
            assert_eq!(family, Some(DocumentFamily::Result), "{answer}");
            answering.insert(answer.clone());
        }
    }
    let results = catalogue.types().filter(|found| found.family == DocumentFamily::Result);
    let results: std::collections::BTreeSet<_> = results.map(|found| found.code.clone()).collect();
    assert_eq!(answering, results);
}

#[test]
fn every_standard_name_is_in_its_code_list() {
    let catalogue = Catalogue::built_in();
    for found in catalogue.types() {
        let known = |code: &String| catalogue.knows("document-name", code);
        assert!(found.standard.as_ref().is_none_or(known), "{}: {:?}", found.code, found.standard);
    }
}

#[test]
fn a_directory_adds_documents_lists_and_codes() {
    let mut files = directory();
    files
        .insert(code_lists::INDEX.to_owned(), "name,accepts,source,version\nband,listed,ours,1\n".to_owned());
    files.insert("code-lists/band.csv".to_owned(), "code,name,from,until\nUHF,ultra high,,\n".to_owned());
    files.insert("code-lists/law.csv".to_owned(), "code,name,from,until\n99,test act,,\n".to_owned());
    let catalogue = extended(&files).expect("has no mistake");
    let added = catalogue.of_code("GOVCBRX18").expect("is there");
    assert_eq!((added.family, added.answers.len()), (DocumentFamily::Application, 1));
    assert!(catalogue.of_root("urn:swgw:doc:RadioCheckResult:1", "Response").is_some());
    assert!(catalogue.of_code("GOVCBRX01").is_some(), "what the program carries stays");
    assert!(catalogue.knows("band", "UHF") && catalogue.knows("law", "99") && catalogue.knows("law", "05"));
    assert!(!Catalogue::built_in().knows("law", "99"), "and is not changed by it");
    let added = catalogue.types().count() - Catalogue::built_in().types().count();
    assert_eq!(added, 2);
    assert!(extended(&BTreeMap::new()).is_ok(), "an empty directory adds nothing");
}

#[test]
fn every_mistake_of_a_directory_is_told_with_its_place() {
    let check = |change: &dyn Fn(&mut BTreeMap<String, String>), expected: &[&str]| {
        let mut files = directory();
        change(&mut files);
        let faults = extended(&files).expect_err("has a mistake");
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let meets = told.len() == expected.len()
            && told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
        assert!(meets, "{told:#?}, expected {expected:#?}");
    };
    let edit = |name: &'static str, from: &'static str, to: &'static str| {
        move |files: &mut BTreeMap<String, String>| {
            let text = files.get_mut(name).expect("is there");
            assert!(text.contains(from), "{from}");
            *text = text.replace(from, to);
        }
    };
    let rows = |from, to| edit(DOCUMENTS, from, to);
    check(
        &rows("code,", "kode,"),
        &[
            "RadioCheck-1.xsd:1:1: nothing names this file",
            "RadioCheckResult-1.xsd:1:1: nothing names this file",
            "documents.csv:1:1: the columns are not code,",
        ],
    );
    check(&rows("GOVCBRX18,", "GOVCBRX01,"), &["documents.csv:2:1: the program knows GOVCBRX01 already"]);
    check(
        &rows("GOVCBRX68,result", "GOVCBRX18,result"),
        &[
            "RadioCheckResult-1.xsd:1:1: nothing names this file",
            "documents.csv:3:1: GOVCBRX18 or RadioCheckResult stands twice",
        ],
    );
    check(
        &rows("GOVCBRX18,", "X18,"),
        &["RadioCheck-1.xsd:1:1: nothing names this file", "documents.csv:2:1: \"X18\" is no document code"],
    );
    check(
        &rows("application,Declaration", "form,Declaration"),
        &["RadioCheck-1.xsd:1:1: nothing names this file", "documents.csv:2:11: \"form\" is no family"],
    );
    check(&rows("application,", "declaration,"), &["documents.csv:2:1: a declaration cannot be added"]);
    check(
        &rows(",855,ours", ",855,theirs"),
        &["RadioCheck-1.xsd:1:1: nothing names this file", "documents.csv:2:60: \"theirs\" is no basis"],
    );
    check(&rows(",Radio check", ","), &["documents.csv:2:65: \"\" is no title"]);
    check(&rows(",GOVCBRX68,855", ",X68,855"), &["documents.csv:2:46: \"X68\" is no list of document codes"]);
    check(
        &rows("RadioCheck,", "RadioChock,"),
        &[
            "RadioCheck-1.xsd:1:1: nothing names this file",
            "documents.csv:2:35: \"RadioChock\" is no document with a schema",
        ],
    );
    check(
        &rows("application,Declaration,", "application,Application,"),
        &["RadioCheck-1.xsd:1:1: it is for \"Declaration\""],
    );
    check(
        &rows("result,Response", "application,Response"),
        &[
            "RadioCheckResult-1.xsd:1:1: it has no FunctionCode",
            "RadioCheckResult-1.xsd:1:1: it has no LoadingListQuantity",
            "RadioCheckResult-1.xsd:1:1: it has no Agent/ID",
            "RadioCheckResult-1.xsd:1:1: it has no LPCO/SequenceNumeric",
            "RadioCheckResult-1.xsd:1:1: it has no LPCO/Commodity/Classification/ID",
        ],
    );
    let schema = |from, to| edit("RadioCheck-1.xsd", from, to);
    check(
        &schema("doc:RadioCheck:1", "doc:Other:1"),
        &["RadioCheck-1.xsd:1:1: it is for \"Declaration\" in"],
    );
    check(&schema("c:UsageCodeType", "c:UsageKodeType"), &["RadioCheck-1.xsd:47:1: "]);
    check(
        &schema("parts-1.xsd", "parts-2.xsd"),
        &[
            "RadioCheck-1.xsd:1:1: Document is empty",
            "RadioCheck-1.xsd:1:1: gwanmun-schema:///parts-2.xsd is not among the embedded files",
            "RadioCheck-1.xsd:9:1: Failed to parse the XML resource",
        ],
    );
    check(
        &schema("</xs:schema>", ""),
        &["RadioCheck-1.xsd:1:1: Failed to parse", "RadioCheck-1.xsd:97:1: Premature end of data"],
    );
    let of_law = |text: &'static str| {
        move |files: &mut BTreeMap<String, String>| {
            files.insert("code-lists/law.csv".to_owned(), text.to_owned());
        }
    };
    check(&of_law("code,name\n"), &["code-lists/law.csv:1:1: the columns are not"]);
    check(&of_law("code,name,from,until\n99,act,2009-13-01,\n"), &["code-lists/law.csv:2:8: \"2009-13-01\""]);
    let nothing = |files: &mut BTreeMap<String, String>| {
        files.insert("notes.txt".to_owned(), String::new());
        files.insert("FoodImportReport-1.xsd".to_owned(), String::new());
    };
    check(
        &nothing,
        &[
            "FoodImportReport-1.xsd:1:1: the program carries a schema of this name",
            "FoodImportReport-1.xsd:1:1: nothing names this file",
            "notes.txt:1:1: nothing names this file",
        ],
    );
}

#[test]
fn a_schema_that_holds_itself_is_refused() {
    let mut files = directory();
    let text = files.get_mut("RadioCheck-1.xsd").expect("is there");
    let own = "<xs:element name=\"Inner\" type=\"DetailType\" minOccurs=\"0\"/>";
    *text = text.replacen(
        "<xs:element name=\"ProductClassCode\"",
        &format!("{own}<xs:element name=\"ProductClassCode\""),
        1,
    );
    let faults = extended(&files).expect_err("has a mistake");
    assert!(faults[0].message.contains("nest deeper than 32"), "{faults:?}");
}
