//! Rehearsals: the same rules plan the same applications, and only the addressees differ (domain brief, 5.5).
//!
//! Promises: what is practice reaches nobody but practice partners and whoever rehearses, and touches nothing of
//! production; nor the other way round. The realm of an event is settled when its records are loaded
//! ([`View::realm`](crate::store::View)): keys, addressees, agreements and records all follow from it.

use super::arrival::Decline;
use super::decide::{Desk, Inbound};
use super::documents::at;
use crate::model::{AgencyCode, Declaration, DocumentCode, ErrorCode, PartyKind, Payload, Realm};
use crate::routing::{AgencyTarget, Plan};

/// Refuses what belongs to neither realm: it would rehearse with nobody, or it mixes the two.
pub(super) fn admit(inbound: &Inbound<'_>) -> Result<(), Decline> {
    let Inbound { desk, arrival, key, .. } = *inbound;
    let message = arrival.verified.message();
    let registry = desk.context.registry;
    if desk.realm().is_practice() && !registry.has_practice() {
        let location = message.payloads.first().and_then(at);
        let text = "this is practice (FunctionCode 53, or an agreement for it), and no partners are set up here to \
                    rehearse with: nothing was lodged";
        return Err(Decline::refuse(ErrorCode::NotSupported, location, text));
    }
    if !desk.view.strays {
        return Ok(());
    }
    let (realm, other) = (desk.realm(), desk.realm().other());
    let text = format!("this message is {realm}, and its RefToMessageId names a message of {other}");
    match registry.party(&key.sender).map(|party| party.kind) {
        Some(PartyKind::Declarant) => {
            let location = "/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:RefToMessageId";
            Err(Decline::refuse(ErrorCode::Inconsistent, Some(location.to_owned()), text))
        }
        _ => Err(Decline::Quarantine(text)),
    }
}

/// An agency that a rehearsal needs, and nobody plays.
#[derive(Debug)]
pub(super) struct NotPlayed(AgencyCode);

impl NotPlayed {
    pub(super) fn refuse(&self, payload: &Payload) -> Decline {
        let text = format!("nobody plays {} in practice here: nothing was lodged", self.0);
        Decline::refuse(ErrorCode::NotSupported, at(payload), text)
    }
}

impl Desk<'_> {
    /// What a declaration needs that is accepted now, from those who are addressed in this realm.
    pub(super) fn plan(&self, declaration: &Declaration) -> Result<Plan, NotPlayed> {
        let mut plan = self.context.rules.plan(declaration, self.now);
        if self.realm().is_practice() {
            for application in &mut plan.applications {
                let player = self.context.registry.player_of(&application.agency);
                let player = player.ok_or_else(|| NotPlayed(application.agency.clone()))?;
                application.party = player.key.clone();
                application.cpa_id = None;
            }
        }
        Ok(plan)
    }

    /// The agency that an application document belongs to, as it is addressed in this realm (ruling 4).
    pub(super) fn agency_of_document(&self, code: &DocumentCode) -> Option<AgencyTarget> {
        let target = self.context.rules.agency_of_document(code)?;
        match self.realm() {
            Realm::Production => Some(target),
            Realm::Practice => {
                let player = self.context.registry.player_of(&target.agency)?;
                Some(AgencyTarget { party: player.key.clone(), cpa_id: None, ..target })
            }
        }
    }
}
