//! Whether everything that a rehearsal needs is played by somebody (domain brief, 5.5: practice mode).

use std::collections::BTreeMap;
use std::path::Path;

use super::fault::Faults;
use crate::model::{AgencyCode, DocumentCode, PartyKey, PartyKind, Realm, Registry};
use crate::routing::RuleSet;

/// Checks the players against the rules. Without players and without agreements for practice nothing is wanted.
pub(super) fn check(partners: &Path, registry: &Registry, rules: &RuleSet, faults: &mut Faults) {
    let plays = registry.parties().any(|party| party.plays.is_some());
    let agreed = registry.agreements().find(|agreement| agreement.practice);
    if !plays && agreed.is_none() {
        return;
    }
    let mut told = |message: String, remedy: &str| {
        faults.add(partners, (1, 1), message, remedy.to_owned());
    };
    if registry.customs(Realm::Practice).is_none() {
        let why = agreed.map_or_else(
            || "agencies are played".to_owned(),
            |agreement| format!("agreement {} is for practice", agreement.cpa_id),
        );
        told(
            format!("{why}, and nobody plays customs"),
            "add a party of kind \"customs\" with plays = [\"customs\"]",
        );
    }
    if registry.customs(Realm::Production).is_none()
        && registry.parties_of(PartyKind::Customs).next().is_some()
    {
        told(
            "customs is played in practice, and there is no customs".to_owned(),
            "add the party that customs is",
        );
    }
    let mut forms: BTreeMap<(&PartyKey, &DocumentCode), (&AgencyCode, &DocumentCode)> = BTreeMap::new();
    for agency in rules.agencies() {
        if registry.party(agency.party).is_some_and(|party| party.plays.is_some()) {
            let message = format!("agency {} of the rules is a party that plays in practice", agency.agency);
            told(message, "name the party that the agency is, or take its [party] plays away");
        }
        let Some(player) = registry.player_of(agency.agency) else {
            let message = format!("nobody plays agency {} in practice", agency.agency);
            told(message, "add its code to [party] plays of an agency, or plays = [\"*\"]");
            continue;
        };
        for (application, result) in &agency.forms {
            let (first, known) = *forms.entry((&player.key, application)).or_insert((agency.agency, result));
            if known != *result {
                let message = format!(
                    "{} plays {first} and {}, which answer {application} with {known} and {result}",
                    player.key, agency.agency
                );
                told(message, "let two parties play them");
            }
        }
    }
}
