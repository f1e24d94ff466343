//! What a CPA says, as a partner file; or everything in it that this gateway cannot keep.

mod certificates;
mod met;
mod party;
mod signing;
mod terms;
mod urls;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use self::met::{Met, action};
use self::party::{file_stem, head};
use self::signing::senders;
use self::terms::{Usual, persist_duration};
use self::urls::{signal_channels, signals_elsewhere};
use crate::codec::cpa::{Cpa, CpaParty, CpaStatus, Place};
use crate::config::cpa::Own;
use crate::model::{
    DigestMethod, Finding, Fingerprint, PartyKey, PartyKind, Registry, SignatureAlgorithm, Timestamp,
};

/// What a CPA does not say, and a partner file must.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What the partner is in the trade.
    pub kind: PartyKind,
    /// The name for logs and metrics; `partyName` where it is not given.
    pub name: Option<String>,
    /// The business number of a declarant.
    pub business_number: Option<String>,
}

/// What came of a CPA: the parts of a partner file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The partner's box number.
    pub party: PartyKey,
    /// The name of a file for it.
    pub file: String,
    /// `[party]`, with the certificates at the paths of `certificates`.
    pub head: String,
    /// `[[agreement]]`.
    pub agreement: String,
    /// The partner's certificates.
    pub certificates: Vec<ImportedCertificate>,
    /// What the CPA offers beside what is used.
    pub notes: Vec<Finding>,
}

/// A certificate out of a CPA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCertificate {
    /// The file that the partner file names, beside it.
    pub file: String,
    /// SHA-256 of its DER octets.
    pub fingerprint: Fingerprint,
    /// The certificate.
    pub pem: String,
}

/// Makes a partner file of a CPA, or what is added to that of a registered party.
///
/// # Errors
/// Everything in it that this gateway cannot keep, or that is over.
pub fn import_cpa(
    cpa: &Cpa,
    own: &Own<'_>,
    registered: &Registry,
    options: &ImportOptions,
    now: Timestamp,
) -> Result<Imported, Vec<Finding>> {
    let mut import = Import { findings: Vec::new(), notes: Vec::new() };
    let imported = import.all(cpa, (own, registered), options, now);
    let mut findings = import.findings;
    findings.sort();
    findings.dedup();
    imported.filter(|_| findings.is_empty()).ok_or(findings)
}

struct Import {
    findings: Vec<Finding>,
    notes: Vec<Finding>,
}

impl Import {
    fn add(&mut self, place: &Place, rule: &str, message: String) {
        let Place { line, path } = place.clone();
        self.findings.push(Finding { line, path, rule: format!("cpa:{rule}"), message });
    }

    fn note(&mut self, place: &Place, rule: &str, message: String) {
        let Place { line, path } = place.clone();
        self.notes.push(Finding { line, path, rule: format!("cpa:{rule}"), message });
    }

    fn all(
        &mut self,
        cpa: &Cpa,
        (own, registered): (&Own<'_>, &Registry),
        options: &ImportOptions,
        now: Timestamp,
    ) -> Option<Imported> {
        let root = Place { line: 1, path: "/tp:CollaborationProtocolAgreement".to_owned() };
        if cpa.status == CpaStatus::Proposed {
            self.add(&root, "status", "it is only proposed; agreed or signed ones bind".to_owned());
        }
        let signed = match (&cpa.signature, cpa.status) {
            (Some(_), _) => {
                "its Signature is not verified here: be sure by another way that the document is the partner's"
            }
            (None, CpaStatus::Signed) => "its Status is signed, and there is no Signature in it",
            (None, _) => "",
        };
        if !signed.is_empty() {
            self.note(cpa.signature.as_ref().unwrap_or(&root), "signed", signed.to_owned());
        }
        if cpa.end <= now {
            self.add(&root, "dates", format!("it has ended at {}", cpa.end));
        }
        let own_ids = &own.identity.ids;
        let ours = |party: &CpaParty| party.ids.iter().any(|id| own_ids.contains(id));
        let (us, partner) = match &cpa.parties {
            [us, partner] if ours(us) => (us, partner),
            [partner, us] if ours(us) => (us, partner),
            _ => {
                let id = own_ids.first().map(ToString::to_string).unwrap_or_default();
                self.add(&root, "party", format!("neither party has our PartyId {id}"));
                return None;
            }
        };
        let sent = self.met(us, partner, true);
        let received = self.met(partner, us, false);
        self.not_sent(us, partner);
        self.not_sent(partner, us);
        let every: Vec<&Met<'_>> = sent.iter().chain(&received).collect();
        let first = every.first()?;
        let roles = [us, partner].map(|party| party.roles.first().map(|usual| &usual.role));
        let [Some(own_role), Some(partner_role)] = roles else { return None };
        for met in &every {
            self.can_be_kept(met);
        }
        self.of_process([us, partner]);
        if let Some(place) = &cpa.constraints {
            self.note(
                place,
                "process",
                "ConversationConstraints: nothing here counts conversations".to_owned(),
            );
        }
        for channel in signal_channels(partner).chain(signal_channels(us)) {
            self.transport_can_be_kept(channel);
        }
        self.of_security([us, partner]);
        let ordered = self.ordered(&every);
        let service_type = self.service_type(&every);
        let persist = persist_duration(&sent, &received);
        let usual = self.terms(first, persist);
        let urls = self.urls(partner, &sent);
        let known = partner.ids.iter().find_map(|id| registered.party_by_id(id));
        let certificates = self.certificates(partner, [&sent, &received], known, [now, cpa.start]);
        self.own_certificates(us, &sent, own);
        let (accepted_digests, accepted) = self.algorithms(senders(partner, &received));
        let (own_digest, own_algorithm) = self.own(us, &sent);
        let known_as = self.party_ids(partner, registered)?;

        let mut agreement = String::from("[[agreement]]\n");
        let mut key_of = |key: &str, value: &str| writeln!(agreement, "{key} = {value}").expect(ENDLESS);
        key_of("cpa_id", &quoted(cpa.id.as_str()));
        let other_ids: Vec<_> = us.ids.iter().filter(|id| !own_ids.contains(id)).collect();
        if let Some(ids) = self.written(us, &other_ids) {
            key_of("other_own_ids", &ids);
        }
        key_of("own_role", &quoted(own_role.as_str()));
        key_of("partner_role", &quoted(partner_role.as_str()));
        match &urls.endpoint {
            Some(endpoint) => key_of("endpoint", &quoted(endpoint)),
            None => key_of("mailbox", "true"),
        }
        if let Some(response) = &urls.response {
            key_of("response_endpoint", &quoted(response));
        }
        key_of("start", &quoted(cpa.start.to_string()));
        key_of("end", &quoted(cpa.end.to_string()));
        for (name, value) in &usual {
            key_of(name, value);
        }
        if ordered {
            key_of("message_order", "true");
        }
        if let Some(algorithm) = own_algorithm {
            key_of("own_algorithm", &quoted(algorithm.as_str()));
        }
        let accepted: Vec<_> = accepted.into_iter().map(SignatureAlgorithm::as_str).map(quoted).collect();
        key_of("accepted_algorithms", &format!("[{}]", accepted.join(", ")));
        // What nothing says is SHA-256.
        if let Some(other) = own_digest.filter(|digest| *digest != DigestMethod::Sha256) {
            key_of("own_digest", &quoted(other.as_str()));
        }
        if accepted_digests.iter().any(|digest| *digest != DigestMethod::Sha256) {
            let accepted: Vec<_> =
                accepted_digests.into_iter().map(DigestMethod::as_str).map(quoted).collect();
            key_of("accepted_digests", &format!("[{}]", accepted.join(", ")));
        }
        if let Some(kind) = service_type {
            key_of("service_type", &quoted(kind));
        }
        for (name, met) in [("send", &sent), ("receive", &received)] {
            let actions: BTreeSet<String> = met.iter().map(action).collect();
            let actions: Vec<String> =
                actions.into_iter().map(|action| format!("\n  {},", quoted(&action))).collect();
            key_of(name, &format!("[{}\n]", actions.concat()));
        }
        let usual = Usual { terms: usual, roles: [own_role, partner_role], urls: urls.clone() };
        for (terms, actions) in self.overrides(&usual, &every, persist) {
            agreement.push_str("\n[[agreement.override]]\n");
            for (name, actions) in ["send", "receive"].iter().zip(actions).filter(|(_, all)| !all.is_empty())
            {
                let actions: Vec<_> = actions.iter().map(quoted).collect();
                writeln!(agreement, "{name} = [{}]", actions.join(", ")).expect(ENDLESS);
            }
            for (name, value) in terms {
                writeln!(agreement, "{name} = {value}").expect(ENDLESS);
            }
        }
        for (url, signals) in signals_elsewhere(partner, &urls) {
            let signals: Vec<_> = signals.into_iter().map(|signal| quoted(signal.as_str())).collect();
            let signals = signals.join(", ");
            writeln!(
                agreement,
                "\n[[agreement.override]]\nsignals = [{signals}]\nendpoint = {}",
                quoted(url)
            )
            .expect(ENDLESS);
        }
        let (certificates, head) = head(partner, &known_as, options, &certificates);
        let file = format!("{}.toml", file_stem(&known_as.key));
        let notes = std::mem::take(&mut self.notes);
        Some(Imported { party: known_as.key, file, head, agreement, certificates, notes })
    }
}

/// A text as TOML writes it.
fn quoted(text: impl AsRef<str>) -> String {
    toml::Value::String(text.as_ref().to_owned()).to_string()
}

const ENDLESS: &str = "a String takes everything";
