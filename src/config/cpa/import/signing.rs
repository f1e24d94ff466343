//! What either side signs with: digests and algorithms.

use super::Import;
use super::met::Met;
use crate::codec::cpa::{CpaMessaging, CpaParty, CpaSignature};
use crate::model::{DigestMethod, SignatureAlgorithm};

impl Import {
    /// What we sign with: one digest, and the first algorithm that all our channels have and the partner takes over all
    /// that we send over.
    pub(super) fn own(
        &mut self,
        us: &CpaParty,
        sent: &[Met<'_>],
    ) -> (Option<DigestMethod>, Option<SignatureAlgorithm>) {
        let (digests, mut algorithms) = self.algorithms(senders(us, sent));
        let digest = digests.first().copied();
        let takers = sent.iter().filter_map(|met| met.channel.exchange.receiver.as_ref());
        for messaging in senders(us, sent).chain(takers) {
            let Some(signature) = &messaging.signature else { continue };
            let may = known(signature);
            let had_some = !algorithms.is_empty();
            algorithms.retain(|algorithm| may.contains(algorithm));
            if had_some && algorithms.is_empty() {
                let message = format!(
                    "none of {} is what every other channel of ours has and the partner takes: an agreement has one \
                     own_algorithm",
                    signature.algorithms.join(", ")
                );
                self.add(&messaging.place, "algorithm", message);
            }
            if digest.is_some() && hash_function(&signature.hash) != digest {
                let message = format!(
                    "HashFunction {}, beside another one that we sign with: an agreement has one own_digest",
                    signature.hash
                );
                self.add(&messaging.place, "algorithm", message);
            }
        }
        (digest, algorithms.first().copied())
    }

    /// Digests and algorithms of a list that an agreement may name, in the order of the CPA.
    pub(super) fn algorithms<'a>(
        &mut self,
        senders: impl Iterator<Item = &'a CpaMessaging>,
    ) -> (Vec<DigestMethod>, Vec<SignatureAlgorithm>) {
        let (mut digests, mut allowed) = (Vec::new(), Vec::new());
        for messaging in senders {
            let Some(signature) = &messaging.signature else { continue };
            let CpaSignature { hash, algorithms, .. } = signature;
            match hash_function(hash) {
                Some(digest) if !digests.contains(&digest) => digests.push(digest),
                Some(_) => {}
                None => {
                    let message = format!("HashFunction {hash}: SHA-256, SHA-384 and SHA-512 are used here");
                    self.add(&messaging.place, "algorithm", message);
                }
            }
            let known = known(signature);
            if known.is_empty() {
                let message = format!("none of {} is used here", algorithms.join(", "));
                self.add(&messaging.place, "algorithm", message);
            }
            for algorithm in known {
                if !allowed.contains(&algorithm) {
                    allowed.push(algorithm);
                }
            }
        }
        (digests, allowed)
    }
}

/// What a party does when it sends what it sends, over whichever of its channels, and its signals: who sends nothing
/// acknowledges what it gets.
pub(super) fn senders<'a>(
    party: &'a CpaParty,
    sent: &'a [Met<'a>],
) -> impl Iterator<Item = &'a CpaMessaging> {
    let ids = sent.iter().flat_map(|met| &met.binding.channels).chain([&party.signal_channel]);
    ids.filter_map(|id| party.channels.get(id)?.exchange.sender.as_ref())
}

/// Algorithms that are used here, in the order of the CPA.
fn known(signature: &CpaSignature) -> Vec<SignatureAlgorithm> {
    let known = signature.algorithms.iter().filter_map(|uri| SignatureAlgorithm::of_uri(uri));
    known.filter(|algorithm| !algorithm.is_sha1()).collect()
}

/// A digest by its URI or by a name, as CPAs have either.
fn hash_function(text: &str) -> Option<DigestMethod> {
    let name = text.to_ascii_lowercase().replace('-', "");
    DigestMethod::agreeable().find(|method| method.uri() == text || method.as_str() == name)
}
