//! Every key that a step learns leads to its case from that commit on (domain brief, 5.3): numbers in the document that
//! arrived, and the MessageIds of what the case owes. Status queries and operators find it by any of them.

use super::event::{Arrival, Event};
use super::step::Step;
use crate::model::Document;
use crate::store::CorrelationKey;

impl Step {
    /// Adds the keys of what has happened to what its case is found by.
    pub(super) fn name_case(&mut self, event: &Event) {
        let Some(write) = &mut self.case else { return };
        if let (
            Event::Arrived(arrival) | Event::Acted { arrival, .. } | Event::HandedOn { arrival, .. },
            Some(_),
        ) = (event, &self.message)
        {
            write.correlations.extend(learned(arrival));
        }
        let of_case = self
            .deliveries
            .iter()
            .filter(|draft| draft.based_on.is_none() && draft.delivery.case.as_ref() == Some(&write.case.id));
        let sent = of_case.map(|draft| CorrelationKey::Sent(draft.delivery.message_id.clone()));
        write.correlations.extend(sent);
        write.correlations.sort_unstable();
        write.correlations.dedup();
    }
}

/// The numbers that a document names its case, its application or its goods by.
fn learned(arrival: &Arrival) -> Vec<CorrelationKey> {
    let sender = arrival.verified.party();
    match arrival.documents.subject().map(|(_, document)| document) {
        Some(Document::Declaration(declaration)) => {
            let cargo = declaration.cargo.iter().cloned();
            let bills = declaration.bills.iter().cloned();
            let cargo = cargo.map(|number| CorrelationKey::Cargo(sender.clone(), number));
            cargo.chain(bills.map(|number| CorrelationKey::Bill(sender.clone(), number))).collect()
        }
        Some(Document::Notice(notice)) => {
            let number = notice.acceptance_number.iter().cloned();
            number.map(|number| CorrelationKey::Acceptance(sender.clone(), number)).collect()
        }
        Some(Document::Result(result)) => {
            let approvals = result.items.iter().filter_map(|item| item.approval.clone());
            approvals.map(|number| CorrelationKey::Approval(sender.clone(), number)).collect()
        }
        _ => Vec::new(),
    }
}
