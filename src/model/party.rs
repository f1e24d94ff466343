//! Parties: the PartyIds of ebMS 2.0 (3.1.1) and the registered partners behind them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::text_value;
use super::{AgencyCode, Agreement, CpaId, Delivery, Digest, Direction, Realm, Timestamp};

text_value! {
    /// Role: the authorised role of a party in an exchange (ebMS 2.0, 3.1.1.2), such as `Declarant`.
    Role, "a Role"
}
text_value! {
    /// The name a registered party has in our registry: its box number, such as `AG000000000243`.
    PartyKey, "a party's box number"
}

/// PartyId with its optional `type` (ebMS 2.0, 3.1.1.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartyId {
    /// The identifier itself.
    pub value: Arc<str>,
    /// The domain of names it belongs to; without one the value must be a URI.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Arc<str>>,
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Some(kind) => write!(f, "{kind}:{}", self.value),
            None => f.write_str(&self.value),
        }
    }
}

/// SHA-256 of a certificate's DER octets: how certificates are compared once they are registered.
pub type Fingerprint = Digest;

/// What a registered party is in the trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PartyKind {
    /// A trader or customs broker.
    Declarant,
    /// This gateway.
    SingleWindow,
    /// A body that verifies an import requirement.
    Agency,
    /// The customs system.
    Customs,
}

/// A registered partner: who it is and by which certificates it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its box number.
    pub key: PartyKey,
    /// A short name for people, logs and metrics, such as `KFDA`.
    pub name: Arc<str>,
    /// What it is in the trade.
    pub kind: PartyKind,
    /// Every PartyId that names it.
    pub ids: Vec<PartyId>,
    /// The business number by which documents name it, where it is a declarant.
    pub business_number: Option<Arc<str>>,
    /// TLS certificates it may come with as a client and answer with as a server.
    pub tls_certificates: Vec<Fingerprint>,
    /// Certificates it may sign with.
    pub signing_certificates: Vec<Fingerprint>,
    /// What it plays in practice; a party that plays something takes part in nothing else.
    pub plays: Option<Plays>,
}

/// What a party plays in practice, in place of those that are addressed in production (domain brief, 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plays {
    /// The customs system.
    Customs,
    /// These agencies.
    Agencies(Vec<AgencyCode>),
    /// Every agency that nobody else plays.
    OtherAgencies,
}

impl Party {
    /// The digests of its TLS certificates.
    #[must_use]
    pub fn tls_digests(&self) -> Vec<[u8; 32]> {
        self.tls_certificates.iter().map(|certificate| certificate.0).collect()
    }
}

/// Somebody who works for a hosted agency in its inbox (domain brief, 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Officer {
    /// The name that the audit record and documents have.
    pub name: Arc<str>,
    /// What the officer may do.
    pub role: OfficerRole,
    /// The hosted agency.
    pub agency: PartyKey,
    /// TLS certificates the officer may come with.
    pub tls_certificates: Vec<Fingerprint>,
}

/// What an officer may do, each one also what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfficerRole {
    /// Looks.
    Viewer,
    /// Acts on what nobody else has taken.
    Officer,
    /// Acts on everything, and on what is decided.
    Supervisor,
}

impl OfficerRole {
    /// The name in settings and in the audit record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Officer => "officer",
            Self::Supervisor => "supervisor",
        }
    }
}

/// The parties and agreements in force. Read-only: a reload builds another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    parties: BTreeMap<PartyKey, Party>,
    agreements: BTreeMap<CpaId, Agreement>,
    by_id: BTreeMap<PartyId, PartyKey>,
    by_tls: BTreeMap<Fingerprint, PartyKey>,
    officers: BTreeMap<Fingerprint, Officer>,
}

impl Registry {
    /// A registry of these parties and agreements. `config` has checked that no PartyId, certificate or CPAId
    /// is claimed twice; were it so, the first claim would win.
    #[must_use]
    pub fn new(
        parties: impl IntoIterator<Item = Party>,
        agreements: impl IntoIterator<Item = Agreement>,
    ) -> Self {
        let mut registry = Self::default();
        for party in parties {
            for id in &party.ids {
                registry.by_id.entry(id.clone()).or_insert_with(|| party.key.clone());
            }
            for certificate in &party.tls_certificates {
                registry.by_tls.entry(*certificate).or_insert_with(|| party.key.clone());
            }
            registry.parties.entry(party.key.clone()).or_insert(party);
        }
        for agreement in agreements {
            registry.agreements.entry(agreement.cpa_id.clone()).or_insert(agreement);
        }
        registry
    }

    /// The same registry with the officers of its hosted agencies.
    #[must_use]
    pub fn with_officers(mut self, officers: impl IntoIterator<Item = Officer>) -> Self {
        for officer in officers {
            for certificate in &officer.tls_certificates {
                self.officers.entry(*certificate).or_insert_with(|| officer.clone());
            }
        }
        self
    }

    /// The officer who owns this TLS client certificate.
    #[must_use]
    pub fn officer_by_tls(&self, certificate: &Fingerprint) -> Option<&Officer> {
        self.officers.get(certificate)
    }

    /// The party with this box number.
    #[must_use]
    pub fn party(&self, key: &PartyKey) -> Option<&Party> {
        self.parties.get(key)
    }

    /// The party that this PartyId names.
    #[must_use]
    pub fn party_by_id(&self, id: &PartyId) -> Option<&Party> {
        self.by_id.get(id).and_then(|key| self.parties.get(key))
    }

    /// The party that owns this TLS client certificate.
    #[must_use]
    pub fn party_by_tls(&self, certificate: &Fingerprint) -> Option<&Party> {
        self.by_tls.get(certificate).and_then(|key| self.parties.get(key))
    }

    /// The agreement with this CPAId.
    #[must_use]
    pub fn agreement(&self, cpa_id: &CpaId) -> Option<&Agreement> {
        self.agreements.get(cpa_id)
    }

    /// The agreement of a delivery, as it holds for what is sent.
    #[must_use]
    pub fn agreement_of(&self, delivery: &Delivery) -> Option<&Agreement> {
        let (service, action) = (&delivery.service.value, &delivery.action);
        self.agreement(&delivery.cpa_id).map(|agreement| agreement.on(Direction::Send, service, action))
    }

    /// The agreement with this CPAId, as it holds for what its partner sends.
    #[must_use]
    pub fn agreement_to_receive(&self, cpa_id: &CpaId, service: &str, action: &str) -> Option<&Agreement> {
        self.agreement(cpa_id).map(|agreement| agreement.on(Direction::Receive, service, action))
    }

    /// The agreement under which we send this Service and Action to a party in a realm, if there is one: one that is in
    /// force, and of several the newest, so that a renewed one takes over when it begins. Where none is in force, the
    /// newest that is not: what goes under it waits for an operator.
    #[must_use]
    pub fn agreement_to_send(
        &self,
        realm: Realm,
        to: &PartyKey,
        service: &str,
        action: &str,
        now: Timestamp,
    ) -> Option<&Agreement> {
        let allowing = |agreement: &&Agreement| {
            agreement.partner == *to
                && self.serves(agreement, realm)
                && agreement.allows(Direction::Send, service, action)
        };
        // Who has an agreement for practice hears of practice under it.
        let newest = self.agreements.values().filter(allowing).max_by_key(|agreement| {
            let of_realm = agreement.practice == realm.is_practice();
            (agreement.in_force(now), of_realm, agreement.start, std::cmp::Reverse(&agreement.cpa_id))
        });
        newest.map(|agreement| agreement.on(Direction::Send, service, action))
    }

    /// The agreement under which messages of a party for others, or of others for it, are passed on.
    #[must_use]
    pub fn agreement_to_forward(&self, party: &PartyKey, now: Timestamp) -> Option<&Agreement> {
        let forwards =
            |a: &&Agreement| a.partner == *party && a.forwards && a.endpoint.is_some() && a.in_force(now);
        self.agreements.values().filter(forwards).max_by_key(|a| (a.start, std::cmp::Reverse(&a.cpa_id)))
    }

    /// Whether messages of a realm may go under an agreement. Agencies and customs are separate parties in practice; a
    /// declarant may lodge a rehearsal under the agreement that he has (FunctionCode 53), and hears of it there.
    #[must_use]
    pub fn serves(&self, agreement: &Agreement, realm: Realm) -> bool {
        match realm {
            Realm::Production => !agreement.practice,
            Realm::Practice => {
                let kind = self.party(&agreement.partner).map(|party| party.kind);
                agreement.practice || kind == Some(PartyKind::Declarant)
            }
        }
    }

    /// The customs system of a realm.
    #[must_use]
    pub fn customs(&self, realm: Realm) -> Option<&Party> {
        let is_of_realm = |party: &&Party| party.plays.is_some() == realm.is_practice();
        self.parties_of(PartyKind::Customs).find(is_of_realm)
    }

    /// Who plays an agency in practice.
    #[must_use]
    pub fn player_of(&self, agency: &AgencyCode) -> Option<&Party> {
        let named =
            |party: &&Party| matches!(&party.plays, Some(Plays::Agencies(all)) if all.contains(agency));
        let other = |party: &&Party| party.plays == Some(Plays::OtherAgencies);
        self.parties().find(named).or_else(|| self.parties().find(other))
    }

    /// Whether there is anybody to rehearse with.
    #[must_use]
    pub fn has_practice(&self) -> bool {
        let plays_agencies = |party: &Party| !matches!(party.plays, None | Some(Plays::Customs));
        self.customs(Realm::Practice).is_some() && self.parties().any(plays_agencies)
    }

    /// Every party, in order of box number.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        self.parties.values()
    }

    /// Every agreement, in order of CPAId.
    pub fn agreements(&self) -> impl Iterator<Item = &Agreement> {
        self.agreements.values()
    }

    /// The parties of one kind, in order of box number.
    pub fn parties_of(&self, kind: PartyKind) -> impl Iterator<Item = &Party> {
        self.parties.values().filter(move |party| party.kind == kind)
    }
}
