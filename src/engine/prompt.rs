//! Deliveries that leave with the commit that makes them.
//!
//! Where the shell holds a place free at a destination, the first attempt is counted, sealed and committed together
//! with the delivery itself: a second event, a second look into the store and a second commit are saved. What finds
//! no place, or needs octets that are not in hand, waits for its time like everything else ([`Event::Due`]).

use std::collections::BTreeMap;

use super::due::{draft, payload};
use super::event::{Context, Event};
use super::step::{DeliveryDraft, Octets, Step};
use crate::model::{ContentId, Delivery, DeliveryState, Digest, MessageKey, PartyKey, Payload, Timestamp};
use crate::msh::{Ending, begin_attempt};

/// Places at destinations: how many deliveries to each may be taken in hand now.
pub type Places = BTreeMap<PartyKey, u32>;

impl Step {
    /// How many new deliveries there are to each destination: the places that [`Step::begin`] can use.
    #[must_use]
    pub fn promptable(&self) -> Places {
        let mut places = Places::new();
        for draft in self.deliveries.iter().filter(|draft| is_new(draft)) {
            *places.entry(draft.delivery.destination.clone()).or_default() += 1;
        }
        places
    }

    /// Begins the first attempt of as many new deliveries as `places` has room for. A destination all of whose new
    /// deliveries leave now has nothing to be woken for.
    pub fn begin(&mut self, now: Timestamp, event: &Event, context: &Context<'_>, places: &Places) {
        if places.is_empty() {
            return;
        }
        let mut places = places.clone();
        let mut waits = Vec::new();
        let drafts = std::mem::take(&mut self.deliveries);
        for draft in drafts {
            let destination = draft.delivery.destination.clone();
            let draft = match places.get_mut(&destination) {
                Some(place) if *place > 0 && is_new(&draft) => {
                    let draft = self.begun(now, event, context, draft);
                    *place -= u32::from(!is_new(&draft));
                    draft
                }
                _ => draft,
            };
            if draft.delivery.state == DeliveryState::Pending {
                waits.push(destination);
            }
            self.deliveries.push(draft);
        }
        self.wake.retain(|destination| waits.contains(destination));
    }

    /// The delivery in its first attempt; as it is, when that cannot be begun here.
    fn begun(
        &mut self,
        now: Timestamp,
        event: &Event,
        context: &Context<'_>,
        unbegun: DeliveryDraft,
    ) -> DeliveryDraft {
        let agreement = context.registry.agreement_of(&unbegun.delivery);
        let Some(agreement) = agreement.filter(|agreement| agreement.in_force(now)) else {
            return unbegun;
        };
        // What is over before it began comes due, and ends, by itself.
        let Ending::Attempt(delivery) = begin_attempt(unbegun.delivery.clone(), agreement, now) else {
            return unbegun;
        };
        let octets = match unbegun.octets {
            Octets::Kept => match payloads(event, &delivery) {
                Some(payloads) => Octets::Made(Box::new(draft(&delivery, agreement, payloads))),
                None => return unbegun,
            },
            made => made,
        };
        self.attempt(now, &delivery, agreement);
        DeliveryDraft { delivery, based_on: unbegun.based_on, octets }
    }
}

fn is_new(draft: &DeliveryDraft) -> bool {
    let Delivery { state, attempts, mailbox, .. } = &draft.delivery;
    draft.based_on.is_none() && *state == DeliveryState::Pending && *attempts == 0 && !mailbox
}

/// The payloads of a delivery whose parts are all of our making or of the message that has just arrived (P6).
fn payloads(event: &Event, delivery: &Delivery) -> Option<Vec<Payload>> {
    let arrived = match event {
        Event::Arrived(arrival) | Event::HandedOn { arrival, .. } => {
            Some((arrival.key(), arrival.verified.message()))
        }
        _ => None,
    };
    let body = |message: &MessageKey, content_id: &ContentId, digest: &Digest| {
        let arrived = arrived.as_ref().filter(|(key, _)| key == message).map(|(_, arrived)| arrived);
        let mut payloads = arrived.into_iter().flat_map(|arrived| &arrived.payloads);
        let found = payloads.find(|payload| payload.content_id == *content_id && payload.digest == *digest);
        // What is filed takes a while to be sealed, which nobody who waits for an answer should wait for (P13).
        let in_hand = found.map(|payload| payload.body.clone()).filter(|body| body.as_held().is_some());
        in_hand.ok_or_else(|| "it is not in hand".to_owned())
    };
    delivery.parts.iter().map(|part| payload(part, body).ok()).collect()
}
