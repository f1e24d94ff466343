//! The rules and keys of the world.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::model::{Registry, SignatureAlgorithm};
use crate::routing::{Known, RuleFiles, RuleSet};
use crate::security::SigningKeys;
use crate::security::samples::Identity;

/// The keys that everybody here signs with; whose they are is not looked at.
pub(super) static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| {
    SigningKeys::new(vec![Identity::new("everybody", SignatureAlgorithm::EcdsaSha256).signing_key()])
});

/// Medicinal herbs need three agencies, nuts two, potatoes one; nothing else needs any.
pub(super) fn rules(registry: &Registry) -> Arc<RuleSet> {
    of_table(registry, REQUIREMENTS)
}

/// Later rules: nuts need three agencies, herbs two.
pub(super) fn later_rules(registry: &Registry) -> Arc<RuleSet> {
    of_table(registry, LATER)
}

fn of_table(registry: &Registry, requirements: &str) -> Arc<RuleSet> {
    let files = [("ruleset.toml", RULESET), ("requirements.csv", requirements)];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let known = Known { codes: &|_, _| true, registry: Some(registry) };
    match RuleSet::load(&RuleFiles(BTreeMap::from(files)), &known) {
        Ok((rules, _)) => rules,
        Err(faults) => panic!("the rules of the tests have faults: {faults:#?}"),
    }
}

const RULESET: &str = r#"
format = "swgw-rules/1"
id = "test"
revision = "1"
time_zone = "Asia/Seoul"
tables = ["requirements.csv"]

[profile.quick]
accept = "2h"
decide = "3bd"
answer = "2bd"
remind_at = [0.5, 1.0]
on_late = ["notify:applicant", "notify:agency", "flag:overdue", "escalate:duty-officer"]

[agency]
KFDA = { party = "AG000000000001", cpa = "cpa-AG000000000001", mode = "system", profile = "quick" }
NPQS = { party = "AG000000000002", cpa = "cpa-AG000000000002", mode = "system", profile = "quick" }
NVRQS = { party = "AG000000000003", cpa = "cpa-AG000000000003", mode = "system", profile = "quick" }

[envelope.lodge-import]
match = { service = "ImportClearance", action = ["GOVCBR929"], from_role = "Declarant" }
then = { pipeline = "lodge", also_to = ["customs"] }
[envelope.late-application]
match = { service = "RequirementVerification", action = ["prefix:GOVCBRX0"], from_role = "Declarant" }
then = { pipeline = "application" }
[envelope.agency-result]
match = { service = "RequirementVerification", action = ["prefix:GOVCBRX5"], from_role = "Agency" }
then = { pipeline = "result", relay = ["applicant", "customs"] }
[envelope.agency-notice]
match = { service = "RequirementVerification", action = ["GOVCBRRBG", "GOVCBRRBH"], from_role = "Agency" }
then = { pipeline = "notice", relay = ["applicant"] }
[envelope.amendment]
match = { service = "ImportClearance", action = ["GOVCBR5FE"], from_role = "Declarant" }
then = { pipeline = "amend", relay = ["customs"] }
[envelope.withdrawal]
match = { service = "ImportClearance", action = ["GOVCBR5BF"], from_role = "Declarant" }
then = { pipeline = "withdraw", relay = ["customs"] }
[envelope.fee-notice]
match = { service = "Payment", action = ["GOVCBRXF1"], from_role = "Agency" }
then = { pipeline = "fee", relay = ["applicant"] }
[envelope.payment-order]
match = { service = "Payment", action = ["GOVCBRXF2"], from_role = "Declarant" }
then = { pipeline = "payment" }
[envelope.query]
match = { service = "Status", action = ["GOVCBRXS1"] }
then = { pipeline = "query" }
[envelope.customs-notice]
match = { service = "ImportClearance", action = ["GOVCBR023", "GOVCBR5BG", "GOVCBR5FK", "GOVCBR5GZ", "GOVCBRR21"], from_role = "Customs" }
then = { pipeline = "customs-notice", relay = ["applicant"] }
"#;

const REQUIREMENTS: &str = "\
id,from,until,hs,class,origin,usage,law,agency,application,result,timing,profile,note
food,,,1211;0801;0701,,,,05,KFDA,GOVCBRX01,GOVCBRX51,1,,
plant,,,1211;0801,,,,12,NPQS,GOVCBRX02,GOVCBRX52,1,,
animal,,,1211,,,,13,NVRQS,GOVCBRX03,GOVCBRX53,1,,
";

const LATER: &str = "\
id,from,until,hs,class,origin,usage,law,agency,application,result,timing,profile,note
food,,,1211;0801;0701,,,,05,KFDA,GOVCBRX01,GOVCBRX51,1,,
plant,,,1211;0801,,,,12,NPQS,GOVCBRX02,GOVCBRX52,1,,
animal,,,0801,,,,13,NVRQS,GOVCBRX03,GOVCBRX53,1,,
";
