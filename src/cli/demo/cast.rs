//! Who plays in a practice world, and the settings of each: the gateway, the bank, a broker, customs, every agency of the
//! rule set, and a pair for rehearsals. What one side of an agreement says, the other side's file says from its end.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::world::WorldOptions;
use crate::cli::KeyAlgorithm;
use crate::routing::RuleSet;

/// Who plays: one partner and what it exchanges with the gateway.
pub(super) struct Actor {
    pub(super) name: String,
    label: String,
    pub(super) party: String,
    cpa_id: String,
    kind: &'static str,
    /// What travels back on the same connection.
    sync_reply_mode: &'static str,
    /// Applications an agency takes, with the result of each.
    forms: Vec<(String, String)>,
    /// What it plays in practice; it has no part in anything else then.
    pub(super) plays: Option<Vec<String>>,
}

impl Actor {
    pub(super) fn role(&self) -> &'static str {
        if self.kind == DECLARANT { "broker" } else { self.kind }
    }

    /// The applications that it decides in production.
    pub(super) fn decides(&self) -> Vec<String> {
        let forms = self.forms.iter().filter(|_| self.plays.is_none());
        forms.map(|(form, _)| form.clone()).collect()
    }

    fn ebms_role(&self) -> &'static str {
        match self.kind {
            DECLARANT => "Declarant",
            CUSTOMS => "Customs",
            _ => "Agency",
        }
    }

    /// The file by which the gateway knows it.
    pub(super) fn registered(
        &self,
        port: u16,
        sends: &[String],
        takes: &[String],
        options: &WorldOptions,
    ) -> String {
        let Self { name, label, party, kind, .. } = self;
        let business = if *kind == DECLARANT { "business_number = \"1208143211\"\n" } else { "" };
        let plays = self.plays.as_ref().map_or_else(String::new, |plays| format!("plays = {plays:?}\n"));
        let agreement = Terms {
            actor: self,
            own_role: "SingleWindow",
            partner_role: self.ebms_role(),
            endpoint: &format!("https://localhost:{port}/ebms"),
            send: takes,
            receive: sends,
            options,
        };
        format!(
            "# {label}, as the gateway knows it.\n[party]\nkey = \"{party}\"\nname = \"{label}\"\nkind = \"{kind}\"\n\
             {business}{plays}tls_certificates = [\"../pki/{name}/tls.pem\"]\n\
             signing_certificates = [\"../pki/{name}/signing.pem\"]\n\n{agreement}",
            agreement = agreement.all(),
        )
    }

    /// Its own side: PARTY.toml.
    pub(super) fn own_settings(
        &self,
        port: u16,
        (endpoint, api): (&str, &str),
        sends: &[String],
        takes: &[String],
        options: &WorldOptions,
    ) -> String {
        let Self { name, label, party, .. } = self;
        let agreement = Terms {
            actor: self,
            own_role: self.ebms_role(),
            partner_role: "SingleWindow",
            endpoint,
            send: sends,
            receive: takes,
            options,
        };
        format!(
            "# {label}: its own side, for `gwanmun practice` and `gwanmun send`.\n\
             [identity]\nparty = \"{party}\"\nrole = \"{role}\"\ndomain = \"{name}.practice\"\n\n\
             [listen]\nebms = \"127.0.0.1:{port}\"\n\n[api]\nendpoint = \"{api}\"\n\n{tls}\n{signing}\n[journal]\ndirectory = \"{name}\"\n\n\
             [gateway]\nkey = \"{GATEWAY_PARTY}\"\nname = \"gateway\"\n\
             tls_certificates = [\"pki/gateway/tls.pem\"]\nsigning_certificates = [\"pki/gateway/signing.pem\"]\n\n\
             {agreement}",
            role = self.ebms_role(),
            tls = tls(name),
            signing = signing(name),
            agreement = agreement.all(),
        )
    }

    /// What it sends and what it takes, as `Service Action`.
    pub(super) fn actions(&self, cast: &[Self]) -> (Vec<String>, Vec<String>) {
        let (mut sends, mut takes) = self.business(cast);
        let (service, action) = crate::msh::TEST;
        for actions in [&mut sends, &mut takes] {
            actions.push(format!("{service} {action}"));
        }
        (sends, takes)
    }

    fn business(&self, cast: &[Self]) -> (Vec<String>, Vec<String>) {
        let verification = |code: &str| format!("RequirementVerification {code}");
        let clearance = |code: &str| format!("ImportClearance {code}");
        let reports = || ["GOVCBRXS2", "GOVCBRXS3", "GOVCBRINF"].map(|code| format!("Status {code}"));
        let query = || "Status GOVCBRXS1".to_owned();
        let [fee, order, paid] =
            ["GOVCBRXF1", "GOVCBRXF2", "GOVCBRXF3"].map(|code| format!("Payment {code}"));
        let forms = || cast.iter().flat_map(|actor| &actor.forms);
        let distinct = |actions: BTreeSet<String>| actions.into_iter();
        let results = || distinct(forms().map(|(_, result)| verification(result)).collect());
        let mut notices = ["GOVCBRRBH", "GOVCBRRBG"].map(verification).to_vec();
        let customs = CUSTOMS_NOTICES.map(clearance);
        let declarations = || ["GOVCBR929", "GOVCBR5BF", "GOVCBR5FE"].map(clearance).into_iter();
        match self.kind {
            DECLARANT => {
                let applications = forms().map(|(application, _)| verification(application)).collect();
                let sends = declarations().chain(distinct(applications)).chain([query(), order]).collect();
                let findings = [clearance(FINDINGS), verification(FINDINGS)];
                notices.extend(results().chain(customs).chain(findings).chain(reports()).chain([fee, paid]));
                (sends, notices)
            }
            CUSTOMS => {
                let takes = declarations().chain(results()).chain([clearance(FINDINGS)]).chain(reports());
                (customs.into_iter().chain([query()]).collect(), takes.collect())
            }
            _ => {
                let own = || self.forms.iter();
                notices.extend(distinct(own().map(|(_, result)| verification(result)).collect()));
                let takes = distinct(own().map(|(application, _)| verification(application)).collect());
                notices.extend([query(), fee]);
                (notices, takes.chain([verification(FINDINGS), paid]).chain(reports()).collect())
            }
        }
    }
}

/// One side of an agreement.
struct Terms<'a> {
    actor: &'a Actor,
    own_role: &'a str,
    partner_role: &'a str,
    endpoint: &'a str,
    send: &'a [String],
    receive: &'a [String],
    options: &'a WorldOptions,
}

impl Terms<'_> {
    /// What is agreed; a broker has a second agreement, to rehearse under.
    fn all(&self) -> String {
        let usual = self.to_toml(self.actor.plays.is_some(), "");
        match self.actor.kind {
            DECLARANT => format!("{usual}\n{}", self.to_toml(true, "-practice")),
            _ => usual,
        }
    }

    fn to_toml(&self, practice: bool, suffix: &str) -> String {
        let algorithm = match self.options.algorithm {
            KeyAlgorithm::P256 => "ecdsa-sha256",
            KeyAlgorithm::P384 => "ecdsa-sha384",
            _ => "rsa-sha256",
        };
        let mut text = format!(
            "[[agreement]]\ncpa_id = \"{}{suffix}\"\n{practice}own_role = \"{}\"\npartner_role = \"{}\"\nendpoint = \"{}\"\n\
             sync_reply_mode = \"{}\"\nown_algorithm = \"{algorithm}\"\nretries = 60\n\
             retry_interval = \"2s\"\ntime_to_live = \"1h\"\nwindow = {}\n",
            self.actor.cpa_id,
            self.own_role,
            self.partner_role,
            self.endpoint,
            self.actor.sync_reply_mode,
            self.options.window,
            practice = if practice { "practice = true\n" } else { "" },
        );
        if self.options.algorithm == KeyAlgorithm::P384 {
            // The strict profile takes no P-384.
            writeln!(text, "accepted_algorithms = [\"{algorithm}\"]").expect("a String takes everything");
        }
        for (key, actions) in [("send", self.send), ("receive", self.receive)] {
            write!(text, "{key} = [").expect("a String takes everything");
            for action in actions {
                write!(text, "\n  \"{action}\",").expect("a String takes everything");
            }
            text.push_str("\n]\n");
        }
        text
    }
}

/// The parties of a rule set: a broker, customs, and each of its agencies under the box number and CPAId that the
/// set gives it.
pub(super) fn cast(rules: &RuleSet) -> Vec<Actor> {
    let actor = |name: &str, party: &str, cpa_id: &str, kind| Actor {
        name: name.to_lowercase(),
        label: name.to_owned(),
        party: party.to_owned(),
        cpa_id: cpa_id.to_owned(),
        kind,
        sync_reply_mode: if name == SIGNALS_APART { "none" } else { "mshSignalsOnly" },
        forms: Vec::new(),
        plays: None,
    };
    let agencies = rules.agencies().filter_map(|agency| {
        let forms = agency.forms.iter().map(|(form, result)| (form.to_string(), result.to_string()));
        let (name, party) = (agency.agency.as_str(), agency.party.as_str());
        Some(Actor { forms: forms.collect(), ..actor(name, party, agency.cpa_id?.as_str(), "agency") })
    });
    let broker = actor("Broker", "BR123450000001", "swgw-broker-1", DECLARANT);
    let customs = actor("Customs", "CU000000000001", "swgw-customs-1", CUSTOMS);
    let agencies: Vec<Actor> = agencies.collect();
    let stage = Actor {
        plays: Some(vec![CUSTOMS.to_owned()]),
        ..actor("Practice-Customs", "CU990000000001", "swgw-practice-customs", CUSTOMS)
    };
    let players: Vec<Actor> = players(&agencies)
        .into_iter()
        .zip(1..)
        .map(|(Part { plays, forms }, number)| {
            let name = if number == 1 {
                "Practice-Agencies".to_owned()
            } else {
                format!("Practice-Agencies-{number}")
            };
            let (party, cpa_id) = (format!("AG9900000000{number:02}"), format!("swgw-practice-{number}"));
            Actor { plays: Some(plays), forms, ..actor(&name, &party, &cpa_id, "agency") }
        })
        .collect();
    [broker, customs].into_iter().chain(agencies).chain([stage]).chain(players).collect()
}

/// What one party plays in practice, and the forms that it takes.
struct Part {
    plays: Vec<String>,
    forms: Vec<(String, String)>,
}

/// One party for all agencies, and another one for each that answers a form with a result of its own.
fn players(agencies: &[Actor]) -> Vec<Part> {
    let mut parts = vec![Part { plays: vec!["*".to_owned()], forms: Vec::new() }];
    for agency in agencies {
        let contradicts = |part: &&mut Part| {
            let mut known = part.forms.iter();
            known.any(|(form, result)| agency.forms.iter().any(|(f, r)| f == form && r != result))
        };
        let part = parts.iter_mut().find(|part| !contradicts(part));
        match part {
            Some(part) => {
                if part.plays != ["*"] {
                    part.plays.push(agency.label.clone());
                }
                let new: Vec<_> =
                    agency.forms.iter().filter(|form| !part.forms.contains(form)).cloned().collect();
                part.forms.extend(new);
            }
            None => parts.push(Part { plays: vec![agency.label.clone()], forms: agency.forms.clone() }),
        }
    }
    parts
}

pub(super) fn gateway_settings(
    [port, api, admin, bank]: [u16; 4],
    rules: &Path,
    options: &WorldOptions,
) -> String {
    let rules = toml::Value::from(rules.display().to_string());
    let own = signing("gateway");
    format!(
        "# The gateway of this practice world.\n\
         [gateway]\nparty = \"{GATEWAY_PARTY}\"\nrole = \"SingleWindow\"\ndomain = \"gateway.practice\"\n\n\
         [listen]\nebms = \"127.0.0.1:{port}\"\napi = \"127.0.0.1:{api}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         socket = \"run/gwanmun.sock\"\n\n\
         {tls}\n{own}\n[store]\ndirectory = \"store\"\nfree_bytes_min = 0\n\n[rules]\ndirectory = {rules}\n\n\
         [partners]\ndirectory = \"partners\"\n\n[limits]\nconnections_per_peer_max = {connections}\n\
         drain_deadline = \"5s\"\n\n\
         [payment]\nurl = \"https://localhost:{bank}/payments\"\n\
         certificate = \"pki/gateway/tls.pem\"\nkey = \"pki/gateway/tls.key\"\nanchors = [\"pki/ca.pem\"]\n\
         retry_interval = \"2s\"\n",
        tls = tls("gateway"),
        connections = options.window.max(64),
    )
}

pub(super) fn bank_settings(port: u16) -> String {
    format!(
        "# The bank of this practice world.\n[listen]\napi = \"127.0.0.1:{port}\"\n\n{tls}\n\
         [clients]\ntls_certificates = [\"pki/gateway/tls.pem\"]\n\n[ledger]\ndirectory = \"bank\"\n",
        tls = tls(BANK),
    )
}

fn tls(name: &str) -> String {
    format!(
        "[tls]\ncertificate = \"pki/{name}/tls.pem\"\nkey = \"pki/{name}/tls.key\"\nanchors = [\"pki/ca.pem\"]\n"
    )
}

fn signing(name: &str) -> String {
    format!("[[signing]]\ncertificate = \"pki/{name}/signing.pem\"\nkey = \"pki/{name}/signing.key\"\n")
}

/// The name of the bank's certificate and files.
pub(super) const BANK: &str = "bank";
pub(super) const GATEWAY_PARTY: &str = "SW000000000001";
const DECLARANT: &str = "declarant";
const CUSTOMS: &str = "customs";
/// The agency that has its signals posted separately, as a partner without synchronous replies does.
const SIGNALS_APART: &str = "NPQS";
/// What is wrong with a refused document, for whoever sent it.
const FINDINGS: &str = "GOVCBRR20";
const CUSTOMS_NOTICES: [&str; 9] = [
    "GOVCBRR99",
    "GOVCBRR21",
    "GOVCBR023",
    "GOVCBR5GZ",
    "GOVCBR5GV",
    "GOVCBR5EM",
    "GOVCBR5EN",
    "GOVCBR5FK",
    "GOVCBR5BG",
];
