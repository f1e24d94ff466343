//! An agreement of ours as a CPA for the partner.

use std::sync::Arc;

use super::own::{OwnCertificateError, own_certificate};
use crate::codec::cpa::{ChannelOverride, ChannelTerms, CpaTerms, PartyTerms, write_cpa};
use crate::config::Loaded;
use crate::model::{
    Agreement, Digest, DigestMethod, Direction, PartyId, PartyKey, Presence, Reliability, Service,
    SignatureAlgorithm, SignatureTerms, Timestamp,
};
use crate::security::validity_of;

/// Why an agreement cannot be written as a CPA.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A CPA names the certificates of both sides.
    #[error("{of} has no {what} certificate that is valid now and could be written")]
    NoCertificate {
        /// Whose.
        of: Arc<str>,
        /// For connections, or signatures.
        what: &'static str,
    },
    /// Our TLS certificate cannot be read.
    #[error(transparent)]
    OwnCertificate(#[from] OwnCertificateError),
}

/// Writes an agreement as a CPA, with the gateway as the first party, posted to at `endpoint`. Of several certificates of
/// the partner it names the one that is valid now, and longest.
///
/// # Errors
/// [`ExportError`] when a certificate that it names is missing.
pub fn export_cpa(
    loaded: &Loaded,
    agreement: &Agreement,
    endpoint: &str,
    now: Timestamp,
) -> Result<String, ExportError> {
    let partner = loaded.partners.registry.party(&agreement.partner);
    let name = partner.map_or_else(|| agreement.partner.as_str().into(), |party| party.name.clone());
    let none = |of: &Arc<str>, what| ExportError::NoCertificate { of: of.clone(), what };
    let own_name: Arc<str> = "gateway".into();
    let algorithm = agreement.signature.own.algorithm;
    let own_key = loaded.signing.key(algorithm).ok_or_else(|| none(&own_name, "signing"))?;
    let of_partner = |certificates: &[(PartyKey, Vec<u8>)]| -> Vec<Vec<u8>> {
        let own = certificates.iter().filter(|(party, _)| *party == agreement.partner);
        own.map(|(_, der)| der.clone()).collect()
    };
    let gateway = PartyTerms {
        tls_certificate: Some(own_certificate(&loaded.settings.tls.certificate)?),
        ..side(
            own_name,
            &agreement.own_ids,
            own_key.certificate_der(),
            (agreement.signature.own.digest, vec![algorithm]),
            sends(agreement, Direction::Send),
        )
    };
    let current = loaded.keys.current(&agreement.partner, &agreement.signature, now);
    let mut signing = of_partner(&loaded.partners.signing_certificates).into_iter();
    let signing =
        signing.find(|der| current == Some(&Digest::of(der))).ok_or_else(|| none(&name, "signing"))?;
    let tls = of_partner(&loaded.partners.tls_certificates);
    // A hosted agency has none, and nobody connects in its name.
    let tls = match (tls.is_empty(), valid_longest(tls, now)) {
        (false, None) => return Err(none(&name, "TLS")),
        (_, tls) => tls,
    };
    let partner = PartyTerms {
        tls_certificate: tls,
        ..side(
            name,
            &agreement.partner_ids,
            signing,
            (accepted_digest(&agreement.signature), agreement.signature.accepted.clone()),
            sends(agreement, Direction::Receive),
        )
    };
    Ok(write_cpa(&cpa_terms(agreement, endpoint, [gateway, partner])))
}

/// What an agreement says, in the words of a CPA, with the gateway as the first of the parties.
pub(super) fn cpa_terms(agreement: &Agreement, endpoint: &str, parties: [PartyTerms; 2]) -> CpaTerms {
    let instant = |text: &str| text.parse::<Timestamp>().expect("a constant is an instant");
    let channel = |terms: &Agreement| ChannelTerms {
        roles: [terms.own_role.clone(), terms.partner_role.clone()],
        endpoints: [Some(endpoint.into()), terms.endpoint.clone()],
        response_endpoints: [None, terms.response_endpoint.clone()],
        sync_reply_mode: terms.sync_reply_mode,
        ack_requested: terms.reliability.ack_requested,
        ack_signed: match &terms.reliability {
            Reliability { ack_signed_per_message: true, .. } => Presence::PerMessage,
            Reliability { ack_signed: true, .. } => Presence::Always,
            _ => Presence::Never,
        },
        duplicate_elimination: terms.reliability.duplicate_elimination,
        message_order: terms.reliability.message_order,
        retries: terms.reliability.retries,
        retry_interval: terms.reliability.retry_interval,
        persist_duration: terms.reliability.persist_duration,
    };
    let sender = |direction| usize::from(direction == Direction::Receive);
    let overrides = agreement.overrides.iter().map(|other| ChannelOverride {
        actions: other.actions.iter().map(|(d, s, a)| (sender(*d), s.clone(), a.clone())).collect(),
        terms: channel(&other.agreement),
    });
    CpaTerms {
        id: agreement.cpa_id.clone(),
        start: agreement.start.unwrap_or_else(|| instant("2000-01-01T00:00:00Z")),
        end: agreement.end.unwrap_or_else(|| instant("9999-01-01T00:00:00Z")),
        usual: channel(agreement),
        overrides: overrides.collect(),
        parties,
    }
}

fn side(
    name: Arc<str>,
    ids: &[PartyId],
    signing_certificate: Vec<u8>,
    (digest, algorithms): (DigestMethod, Vec<SignatureAlgorithm>),
    sends: Vec<(Service, Arc<str>)>,
) -> PartyTerms {
    PartyTerms {
        name,
        ids: ids.to_vec(),
        tls_certificate: None,
        signing_certificate,
        digest,
        algorithms,
        sends,
    }
}

/// The one digest that a CPA can name of those that are accepted: SHA-256 where it is.
fn accepted_digest(terms: &SignatureTerms) -> DigestMethod {
    let first = terms.digests.first().copied().unwrap_or(DigestMethod::Sha256);
    if terms.digests.contains(&DigestMethod::Sha256) { DigestMethod::Sha256 } else { first }
}

/// Service and Action of what goes in a direction.
fn sends(agreement: &Agreement, direction: Direction) -> Vec<(Service, Arc<str>)> {
    let bound = agreement.actions.iter().filter(|binding| binding.direction == direction);
    let service =
        |value: &Arc<str>, kind: &Option<Arc<str>>| Service { value: value.clone(), kind: kind.clone() };
    bound.map(|b| (service(&b.service, &b.service_type), b.action.clone())).collect()
}

/// Of certificates that are valid now, DER, the one that is so longest.
fn valid_longest(ders: Vec<Vec<u8>>, now: Timestamp) -> Option<Vec<u8>> {
    let ends = ders.into_iter().filter_map(|der| {
        let [begin, end] = validity_of(&der)?;
        (begin <= now && now <= end).then_some((end, der))
    });
    ends.max_by_key(|(end, _)| *end).map(|(_, der)| der)
}
