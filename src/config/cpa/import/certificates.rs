//! What a CPA says that a party connects and signs with: the partner's must be alive, and registered for that use where
//! the partner is; ours must be ours.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Import;
use super::met::Met;
use super::signing::senders;
use crate::codec::cpa::CpaParty;
use crate::config::cpa::Own;
use crate::model::{Digest, Fingerprint, Party, Timestamp};
use crate::security::validity_of;

/// What the certificates of a party are for, each with its `certId`s.
struct Named<'a> {
    tls: BTreeSet<&'a Arc<str>>,
    signing: BTreeSet<&'a Arc<str>>,
}

impl<'a> Named<'a> {
    /// Those of its connections, over any of its channels, and those that it signs what it sends with.
    fn of(party: &'a CpaParty, sent: &'a [Met<'a>]) -> Self {
        let transports = party.channels.values().map(|channel| &channel.transport);
        let ends =
            transports.flat_map(|transport| [&transport.client_certificate, &transport.server_certificate]);
        let signed = senders(party, sent).filter_map(|sender| sender.signature.as_ref());
        Self {
            tls: ends.flatten().collect(),
            signing: signed.filter_map(|signature| signature.certificate.as_ref()).collect(),
        }
    }
}

impl Import {
    /// The partner's certificates, DER: those of its connections, then those it signs with. An agreement begins at `start`.
    pub(super) fn certificates(
        &mut self,
        partner: &CpaParty,
        [sent, received]: [&[Met<'_>]; 2],
        registered: Option<&Party>,
        [now, start]: [Timestamp; 2],
    ) -> [Vec<Vec<u8>>; 2] {
        let Named { tls, signing } = Named::of(partner, received);
        let own =
            sent.iter().map(|met| &met.channel.place).chain(received.iter().map(|met| &met.binding.place));
        if let (true, Some(place)) = (tls.is_empty(), own.into_iter().next()) {
            let message = "no ClientCertificateRef and no ServerCertificateRef of the partner: nothing says who connects";
            self.add(place, "certificate", message.to_owned());
        }
        let lists = registered.map(|party| {
            [
                (&party.key, "tls_certificates", &party.tls_certificates),
                (&party.key, "signing_certificates", &party.signing_certificates),
            ]
        });
        let [tls_list, signing_list] = lists.map_or([None, None], |lists| lists.map(Some));
        [(tls, tls_list), (signing, signing_list)].map(|(ids, list)| {
            let mut ders = BTreeSet::new();
            for id in ids {
                let Some(der) = partner.certificate(id) else { continue };
                self.is_alive(partner, id, der, [now, start]);
                let fingerprint = Digest::of(der);
                if let Some((key, list, _)) = list.filter(|(.., known)| !known.contains(&fingerprint)) {
                    let message = format!(
                        "Certificate {id:?} is not registered under {list} of {key}: SHA-256 {fingerprint}; save it and \
                         name it there, then import again"
                    );
                    self.add(&partner.place, "certificate", message);
                }
                ders.insert(der.to_owned());
            }
            ders.into_iter().collect()
        })
    }

    /// Nothing is agreed with a certificate that is over.
    fn is_alive(&mut self, partner: &CpaParty, id: &str, der: &[u8], [now, start]: [Timestamp; 2]) {
        let place = &partner.place;
        match validity_of(der) {
            None => self.add(place, "certificate", format!("Certificate {id:?} is no X.509 certificate")),
            Some([_, end]) if end <= now => {
                self.add(place, "certificate", format!("Certificate {id:?} has ended at {end}"));
            }
            Some([_, end]) if end <= start => {
                let message = format!("Certificate {id:?} ends at {end}, before the agreement starts");
                self.add(place, "certificate", message);
            }
            Some([begin, _]) if begin > now.max(start) => {
                let message = format!("Certificate {id:?} begins at {begin} only");
                self.note(place, "certificate", message);
            }
            Some(_) => {}
        }
    }

    /// The partner takes us for whom the CPA says: each certificate of ours in it is one that we have.
    pub(super) fn own_certificates(&mut self, us: &CpaParty, sent: &[Met<'_>], own: &Own<'_>) {
        let Named { tls, signing } = Named::of(us, sent);
        let tls = tls.into_iter().map(|id| (id, "ClientCertificateRef or ServerCertificateRef", "[tls]"));
        let signing = signing.into_iter().map(|id| (id, "SigningCertificateRef", "[[signing]]"));
        for (id, reference, section) in tls.chain(signing) {
            let is_ours = |found: &Fingerprint| match section {
                "[tls]" => *found == own.tls,
                _ => own.signing.contains(found),
            };
            let fingerprint = us.certificate(id).map(Digest::of);
            if let Some(other) = fingerprint.filter(|found| !is_ours(found)) {
                let message = format!(
                    "{reference} of ours names Certificate {id:?}, which is not that of {section}: SHA-256 {other}"
                );
                self.add(&us.place, "certificate", message);
            }
        }
    }
}
