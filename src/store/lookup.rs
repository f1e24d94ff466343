//! How a [`View`] is put together from single records, the same way in every home.

use crate::model::{
    Approval, ApprovalKey, Case, CaseId, Delivery, DeliveryId, DeliveryState, MessageKey, Purged, Realm,
    Sealed, Sequence, SequenceKey, StoredMessage, TimelineEntry,
};

use super::{
    Acknowledged, CorrelationKey, Damage, DeliveryLocator, Entity, KnownMessage, Listing, Needs, Opened,
    Reference, StoreError, Versioned, View,
};

/// Reading one record by its key, as of one instant.
pub(super) trait Rows {
    fn message(&self, key: &MessageKey) -> Result<Option<Versioned<StoredMessage>>, StoreError>;
    /// A delivery of a case that is not over.
    fn open(&self, case: &CaseId) -> Result<Option<DeliveryId>, StoreError>;
    fn response(&self, key: &MessageKey) -> Result<Option<Sealed>, StoreError>;
    fn body(&self, key: &MessageKey) -> Result<Option<Entity>, StoreError>;
    /// Where the key leads in a realm. A [`CorrelationKey::Case`] leads to that case if it exists, in either.
    fn correlated(&self, realm: Realm, key: &CorrelationKey) -> Result<Option<CaseId>, StoreError>;
    fn case(&self, id: &CaseId) -> Result<Option<Versioned<Case>>, StoreError>;
    fn delivery(&self, locator: &DeliveryLocator) -> Result<Option<Versioned<Delivery>>, StoreError>;
    fn sealed(&self, id: &DeliveryId) -> Result<Option<Sealed>, StoreError>;
    fn approval(&self, key: &ApprovalKey) -> Result<Option<Versioned<Approval>>, StoreError>;
    /// Approvals of this number in a realm, of every agency.
    fn approvals(&self, realm: Realm, number: &str) -> Result<Vec<Versioned<Approval>>, StoreError>;
    fn sequence(&self, key: &SequenceKey) -> Result<Option<Versioned<Sequence>>, StoreError>;
    /// Cases of a realm that a text leads to, newest first.
    fn named(&self, realm: Realm, text: &str, limit: usize) -> Result<Vec<CaseId>, StoreError>;
    /// The newest entries about a case, oldest first; damaged ones are left out.
    fn timeline(&self, case: &CaseId, limit: usize) -> Result<Vec<TimelineEntry>, StoreError>;
    /// The cases of a span; damaged ones are left out.
    fn each_case(&self, opened: &Opened, visit: &mut dyn FnMut(Case)) -> Result<(), StoreError>;
}

/// Cases that one question loads at most.
const NAMED_MAX: usize = 8;
/// Entries of a timeline that it loads at most.
const TIMELINE_MAX: usize = 500;

/// The message of the submitter that the delivery passes on.
fn cause(rows: &impl Rows, view: &View) -> Result<Option<StoredMessage>, StoreError> {
    let Some((delivery, case)) = view.delivery.as_ref().zip(view.case.as_ref()) else { return Ok(None) };
    let (delivery, case) = (&delivery.value, &case.value);
    let Some(submitter) = &case.submitter else { return Ok(None) };
    match rows.message(delivery.caused_by(submitter).unwrap_or(&case.opened_by)) {
        // Damage stays with its record: the delivery has other things to say (P12).
        Err(StoreError::Damaged(_)) => Ok(None),
        found => Ok(found?.map(|found| found.value)),
    }
}

/// Loads what is needed.
pub(super) fn load(rows: &impl Rows, needs: &Needs) -> Result<View, StoreError> {
    let mut view = View { realm: needs.realm, ..View::default() };
    if let Some(reference) = &needs.refers_to {
        let strays = refers_elsewhere(rows, needs.realm, reference)?;
        match reference.leads && needs.realm == Realm::Production {
            true if strays => view.realm = Realm::Practice,
            _ => view.strays = strays,
        }
    }
    if let Some(key) = &needs.message {
        view.message = match rows.message(key)? {
            Some(Versioned { value: record, version }) => {
                let response = match needs.without_answer {
                    true => None,
                    false => answer_to(&record, rows.response(key)?)?,
                };
                Some(KnownMessage { record, version, response })
            }
            None => None,
        };
    }
    if let Some(locator) = &needs.delivery {
        view.delivery = rows.delivery(locator)?;
    }
    if let Some(delivery) = view.delivery.as_ref().filter(|_| needs.answered) {
        let Delivery { destination: sender, ref_to_message_id, .. } = &delivery.value;
        if let Some(message_id) = ref_to_message_id {
            view.answered =
                rows.message(&MessageKey { sender: sender.clone(), message_id: message_id.clone() })?;
        }
    }
    if let Some(id) = &needs.refusal {
        view.refusal = rows.delivery(&DeliveryLocator::Id(id.clone()))?;
    }
    if let Some(locator) = &needs.acknowledged {
        view.acknowledged = match acknowledged(rows, locator) {
            // Damage stays with its record, which is found when it is due: the message has more to say (P12).
            Err(StoreError::Damaged(_)) => None,
            found => found?,
        };
    }
    if let Some(locator) = &needs.wanted {
        view.wanted = rows.delivery(locator)?;
    }
    for key in &needs.sequences {
        if let Some(sequence) = rows.sequence(key)? {
            view.sequences.insert(key.clone(), sequence);
        }
    }
    if let Some(text) = &needs.named {
        for id in rows.named(view.realm, text, NAMED_MAX)? {
            if let Some(case) = rows.case(&id)? {
                view.named.push((case.value, rows.timeline(&id, TIMELINE_MAX)?));
            }
        }
    }
    if let Some((opened, statistics)) = &needs.statistics {
        let mut statistics = statistics.clone();
        let opened = &Opened { realm: view.realm, ..opened.clone() };
        rows.each_case(opened, &mut |case| statistics.add(&case))?;
        view.statistics = Some(statistics);
    }
    for key in &needs.case {
        if let Some(case) = rows.correlated(view.realm, key)? {
            view.taken.insert(key.clone(), case);
        }
    }
    let owner = view.delivery.as_ref().filter(|_| needs.case_of_delivery).and_then(|d| d.value.case.clone());
    let of_message = view.message.as_ref().map(|known| &known.record);
    let of_message = of_message.or(view.answered.as_ref().map(|answered| &answered.value));
    let of_message = of_message.filter(|_| needs.case_of_message);
    let owner = owner.or_else(|| of_message.and_then(|record| record.case.clone()));
    view.found_by = needs.case.iter().find(|key| view.taken.contains_key(key)).cloned();
    let found = view.found_by.as_ref().and_then(|key| view.taken.get(key)).cloned().or(owner);
    if let Some(id) = found {
        view.case = Some(rows.case(&id)?.ok_or_else(|| missing(format!("case {id}")))?);
        view.found_by.get_or_insert(CorrelationKey::Case(id));
    }
    if needs.case_of_delivery {
        view.cause = cause(rows, &view)?;
    }
    if let Some(case) = view.case.as_ref().filter(|_| needs.open_of_case) {
        view.open = rows.open(&case.value.id)?;
    }
    let of_case = view.case.as_ref().map(|case| case.value.realm);
    let by_name = needs.message.is_none();
    let of_delivery = view.delivery.as_ref().filter(|_| by_name).map(|delivery| delivery.value.realm);
    view.realm = of_case.or(of_delivery).unwrap_or(view.realm);
    load_approvals(rows, needs, &mut view)?;
    if let Some(case) = view.case.as_ref().filter(|_| needs.versions) {
        for application in case.value.applications.iter().filter(|a| !a.former.is_empty()) {
            let Some(message_id) = application.sent_as.clone() else { continue };
            let destination = application.party.clone();
            let locator = DeliveryLocator::Sent { destination, message_id: message_id.clone() };
            let delivery = rows.delivery(&locator)?;
            if delivery.is_some_and(|delivery| delivery.value.state == DeliveryState::Delivered) {
                view.delivered.insert(message_id);
            }
        }
    }
    if let Some(delivery) = view.delivery.as_ref().map(|delivery| &delivery.value) {
        if needs.sealed {
            view.sealed = octets_of(rows, delivery)?;
        }
        if needs.parts_of_delivery {
            for part in &delivery.parts {
                if let Some(message) = part.source.message()
                    && !view.bodies.contains_key(message)
                {
                    let Some(body) = rows.body(message)? else { return Err(not_there(rows, message)?) };
                    view.bodies.insert(message.clone(), body);
                }
            }
        }
    }
    Ok(view)
}

/// Why a message has no body.
fn not_there(rows: &impl Rows, key: &MessageKey) -> Result<StoreError, StoreError> {
    let purged = rows.message(key)?.and_then(|message| message.value.purged);
    Ok(match purged {
        Some(Purged { at, archive, .. }) => {
            StoreError::Purged { what: format!("message {key}"), at, archive }
        }
        None => missing(format!("message {key}")),
    })
}

/// Whether a message that is referred to is one of the other realm.
fn refers_elsewhere(rows: &impl Rows, realm: Realm, reference: &Reference) -> Result<bool, StoreError> {
    let Reference { by, message_id, .. } = reference;
    let received = MessageKey { sender: by.clone(), message_id: message_id.clone() };
    let keys = [CorrelationKey::Sent(message_id.clone()), CorrelationKey::Received(received)];
    for key in keys {
        if rows.correlated(realm.other(), &key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The approvals that are needed, and the case that is the next to hear that one of them ends.
fn load_approvals(rows: &impl Rows, needs: &Needs, view: &mut View) -> Result<(), StoreError> {
    for number in &needs.approvals {
        for approval in rows.approvals(view.realm, number)? {
            view.approvals.insert(approval.value.key.clone(), approval);
        }
    }
    if let Some(approval) = needs.approval_due.as_ref().map(|key| rows.approval(key)).transpose()?.flatten() {
        view.case = next_to_hear(rows, &approval.value)?;
        view.realm = approval.value.key.realm;
        view.approvals.insert(approval.value.key.clone(), approval);
    }
    let of_case = view.case.as_ref().filter(|_| needs.approvals_of_case).map(|case| case.value.approvals());
    for key in of_case.unwrap_or_default() {
        if !view.approvals.contains_key(&key)
            && let Some(approval) = rows.approval(&key)?
        {
            view.approvals.insert(key, approval);
        }
    }
    Ok(())
}

/// The first case that is to hear of it; one that cannot be read keeps no other from hearing (P12).
fn next_to_hear(rows: &impl Rows, approval: &Approval) -> Result<Option<Versioned<Case>>, StoreError> {
    let mut damage = None;
    let mut ids: Vec<_> =
        approval.charges.iter().filter(|charge| charge.undo).map(|charge| &charge.case).collect();
    ids.dedup();
    for id in ids {
        match rows.case(id).and_then(|case| case.ok_or_else(|| missing(format!("case {id}")))) {
            Ok(case) => return Ok(Some(case)),
            Err(StoreError::Damaged(found)) => damage = damage.or(Some(found)),
            Err(error) => return Err(error),
        }
    }
    damage.map_or(Ok(None), |damage| Err(StoreError::Damaged(damage)))
}

fn acknowledged(rows: &impl Rows, locator: &DeliveryLocator) -> Result<Option<Acknowledged>, StoreError> {
    let Some(delivery) = rows.delivery(locator)? else { return Ok(None) };
    let sealed = octets_of(rows, &delivery.value)?;
    Ok(Some(Acknowledged { delivery, sealed }))
}

/// The answer to a message, which is there once its record says so: a repeat gets that one or none (P3).
pub(super) fn answer_to(record: &StoredMessage, found: Option<Sealed>) -> Result<Option<Sealed>, StoreError> {
    match record.answered && record.purged.is_none() && found.is_none() {
        true => Err(missing(format!("answer to {}", record.key))),
        false => Ok(found),
    }
}

/// The octets of a delivery, which are there once it says so.
fn octets_of(rows: &impl Rows, delivery: &Delivery) -> Result<Option<Sealed>, StoreError> {
    if !delivery.sealed || delivery.purged.is_some() {
        return Ok(None);
    }
    let octets = rows.sealed(&delivery.id)?;
    octets.map(Some).ok_or_else(|| missing(format!("octets of delivery {}", delivery.id)))
}

/// The case that a key leads to in a realm.
pub(super) fn case(
    rows: &impl Rows,
    realm: Realm,
    key: &CorrelationKey,
) -> Result<Option<Versioned<Case>>, StoreError> {
    let needs = Needs { realm, case: vec![key.clone()], ..Needs::default() };
    load(rows, &needs).map(|view| view.case)
}

fn missing(what: String) -> StoreError {
    StoreError::Damaged(Damage { what, detail: "it is missing".to_owned() })
}

/// Keeps a list going over damaged records; other errors end it.
pub(super) fn or_damaged<T>(read: Result<T, StoreError>, listing: &mut Listing<T>) -> Result<(), StoreError> {
    match read {
        Ok(item) => listing.items.push(item),
        Err(StoreError::Damaged(damage)) => listing.damaged.push(damage),
        Err(error) => return Err(error),
    }
    Ok(())
}
