//! What a partner is known by here, and the head of its file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use openssl::x509::X509;

use super::{ENDLESS, Import, ImportOptions, ImportedCertificate, quoted};
use crate::codec::cpa::CpaParty;
use crate::config::settings::BOX_NUMBER_TYPE;
use crate::model::{Digest, PartyId, PartyKey, PartyKind, Registry};

/// What a partner is known by here.
pub(super) struct KnownAs<'a> {
    pub(super) key: PartyKey,
    /// The `type` of the box number.
    pub(super) kind: &'a str,
    /// Its other PartyIds, as a partner file has them.
    pub(super) others: Option<String>,
}

impl Import {
    /// What a partner is known by here: as the party that is registered under one of its PartyIds; else by the first
    /// PartyId with a type, one of our own type before others.
    pub(super) fn party_ids<'a>(
        &mut self,
        partner: &'a CpaParty,
        registered: &Registry,
    ) -> Option<KnownAs<'a>> {
        let parties = partner.ids.iter().filter_map(|id| registered.party_by_id(id));
        let parties: BTreeMap<_, _> = parties.map(|party| (&party.key, party)).collect();
        if let Some((key, party)) = parties.first_key_value() {
            if parties.len() > 1 {
                let keys: Vec<_> = parties.keys().map(|key| key.as_str()).collect();
                let message = format!("its PartyIds are those of several parties here: {}", keys.join(", "));
                self.add(&partner.place, "party", message);
            }
            let unknown: Vec<_> = partner.ids.iter().filter(|id| !party.ids.contains(id)).collect();
            if let Some(ids) = self.written(partner, &unknown) {
                let message = format!(
                    "{key} is not known by all of its PartyIds: write other_ids = {ids} under [party] of its file, and \
                     import again"
                );
                self.add(&partner.place, "party", message);
            }
            return Some(KnownAs { key: (*key).clone(), kind: BOX_NUMBER_TYPE, others: None });
        }
        let of_type = |id: &&PartyId| id.kind.as_deref() == Some(BOX_NUMBER_TYPE);
        let typed = |id: &&PartyId| id.kind.is_some();
        let mut ids = partner.ids.iter();
        let Some(id) = ids.clone().find(of_type).or_else(|| ids.find(typed)) else {
            let message =
                "no PartyId of it has a type: a partner is known here by one that has, its box number";
            self.add(&partner.place, "party", message.to_owned());
            return None;
        };
        let key = PartyKey::new(id.value.clone());
        let key = key.map_err(|error| self.add(&partner.place, "party", error.to_string())).ok()?;
        let others: Vec<_> = partner.ids.iter().filter(|other| *other != id).collect();
        let others = self.written(partner, &others);
        Some(KnownAs { key, kind: id.kind.as_deref().unwrap_or(BOX_NUMBER_TYPE), others })
    }

    /// PartyIds as a partner file has them, `type value` or a URI; none when there are none.
    pub(super) fn written(&mut self, party: &CpaParty, ids: &[&PartyId]) -> Option<String> {
        let mut written = Vec::new();
        for PartyId { value, kind } in ids {
            let text = match kind {
                Some(kind) if !kind.contains(char::is_whitespace) => format!("{kind} {value}"),
                None if value.contains(':') && !value.contains(char::is_whitespace) => value.to_string(),
                _ => {
                    let message = format!(
                        "PartyId {value:?} has neither a type without white space nor is it a URI: a partner file \
                         cannot say it"
                    );
                    self.add(&party.place, "party", message);
                    continue;
                }
            };
            written.push(quoted(text));
        }
        (!written.is_empty()).then(|| format!("[{}]", written.join(", ")))
    }
}

/// `[party]` and the certificates that it names.
pub(super) fn head(
    partner: &CpaParty,
    KnownAs { key, kind, others }: &KnownAs<'_>,
    options: &ImportOptions,
    [tls, signing]: &[Vec<Vec<u8>>; 2],
) -> (Vec<ImportedCertificate>, String) {
    let mut files = BTreeMap::new();
    let mut named = |ders: &[Vec<u8>]| {
        let names = ders.iter().map(|der| {
            let fingerprint = Digest::of(der);
            let short: String = fingerprint.to_string().chars().take(8).collect();
            let file = format!("{}-{short}.pem", file_stem(key));
            let pem = X509::from_der(der).and_then(|certificate| certificate.to_pem());
            let pem = pem.ok().and_then(|pem| String::from_utf8(pem).ok()).unwrap_or_default();
            let quoted = quoted(&file);
            files.insert(fingerprint, ImportedCertificate { file, fingerprint, pem });
            quoted
        });
        names.collect::<Vec<_>>().join(", ")
    };
    let (tls, signing) = (named(tls), named(signing));
    let name = options.name.clone().unwrap_or_else(|| partner.name.to_string());
    let mut head = format!("[party]\nkey = {}\nname = {}\n", quoted(key.as_str()), quoted(&name));
    if *kind != BOX_NUMBER_TYPE {
        writeln!(head, "type = {}", quoted(kind)).expect(ENDLESS);
    }
    if let Some(others) = others {
        writeln!(head, "other_ids = {others}").expect(ENDLESS);
    }
    let kind = match options.kind {
        PartyKind::Declarant => "declarant",
        PartyKind::Customs => "customs",
        PartyKind::Agency | PartyKind::SingleWindow => "agency",
    };
    writeln!(head, "kind = \"{kind}\"").expect(ENDLESS);
    if let Some(number) = &options.business_number {
        writeln!(head, "business_number = {}", quoted(number)).expect(ENDLESS);
    }
    writeln!(head, "tls_certificates = [{tls}]\nsigning_certificates = [{signing}]").expect(ENDLESS);
    (files.into_values().collect(), head)
}

/// The name of a file for a party: a box number that a file system could take for something else gets its digest.
pub(super) fn file_stem(key: &PartyKey) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if key.as_str().len() <= FILE_STEM_MAX && key.as_str().chars().all(plain) {
        return key.to_string();
    }
    let digest = Digest::of(key.as_str().as_bytes()).to_string();
    format!("party-{}", digest.chars().take(16).collect::<String>())
}

/// Octets of a box number that names a file as it is.
const FILE_STEM_MAX: usize = 64;
