//! The tables of the in-memory home: encoded records, and the maps that find them.
//!
//! They change only by [`Change`]s, in the same way for a new commit and for one read from the journal.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Approval, ApprovalKey, Case, CaseId, Delivery, DeliveryId, DeliveryState, MessageId, MessageKey,
    PartyKey, Realm, Sealed, Sequence, SequenceKey, StoredMessage, TimelineEntry, Timestamp,
};

use super::audit::Link;
use super::journal::Change;
use super::lookup::Rows;
use super::payload::{Blob, verified};
use super::prepare::{Prepared, PreparedDelivery, PreparedSealed};
use super::record::{Encoded, Envelope};
use super::{
    AuditHead, CommitError, Conflict, CorrelationKey, DeliveryLocator, Entity, Forgotten, Opened, StoreError,
    Unchanged, Versioned,
};

/// The records, and the maps that find them.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) messages: BTreeMap<[String; 2], MessageRow>,
    pub(super) cases: BTreeMap<String, Row>,
    correlations: BTreeMap<[String; 3], String>,
    pub(super) deliveries: BTreeMap<String, DeliveryRow>,
    sent: BTreeMap<(PartyKey, MessageId), DeliveryId>,
    pub(super) due: BTreeMap<PartyKey, BTreeSet<(Timestamp, u64, DeliveryId)>>,
    pub(super) due_cases: BTreeSet<(Timestamp, u64, CaseId)>,
    pub(super) due_payments: BTreeSet<(Timestamp, u64, CaseId)>,
    /// By realm, number and agency.
    pub(super) approvals: BTreeMap<(Realm, String, String), Row>,
    pub(super) due_approvals: BTreeSet<(Timestamp, u64, ApprovalKey)>,
    pub(super) sequences: BTreeMap<SequenceKey, Row>,
    pub(super) due_sequences: BTreeSet<(Timestamp, u64, SequenceKey)>,
    /// How many were ever made.
    made_sequences: u64,
    pub(super) audit: Vec<Link>,
    /// Signed heads by how many entries they speak for.
    pub(super) heads: BTreeMap<u64, Encoded>,
    head: Option<AuditHead>,
}

/// A record with its place in the order of making.
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) record: Encoded,
}

pub(super) struct MessageRow {
    pub(super) number: u64,
    pub(super) record: Encoded,
    /// None once it was purged.
    pub(super) body: Option<Blob>,
    pub(super) response: Option<PreparedSealed>,
}

pub(super) struct DeliveryRow {
    pub(super) number: u64,
    pub(super) record: Encoded,
    pub(super) sealed: Option<PreparedSealed>,
    pub(super) receipt: Option<PreparedSealed>,
}

/// What earlier deliveries of a batch make, as later ones of it find it.
#[derive(Default)]
struct Claims<'a> {
    versions: BTreeMap<&'a DeliveryId, u64>,
    sent: BTreeMap<(&'a PartyKey, &'a MessageId), &'a DeliveryId>,
}

impl Tables {
    /// Compares a batch with what is stored.
    pub(super) fn check(&self, batch: &Prepared) -> Result<(), CommitError> {
        if let Some(message) = &batch.message
            && self.messages.contains_key(&message_row_key(&message.new.record.key))
        {
            return Err(CommitError::Duplicate);
        }
        if let Some(changed) = &batch.changed {
            let key = &changed.write.record.key;
            let found = self.messages.get(&message_row_key(key)).map(|row| row.record.version);
            if found != Some(changed.write.based_on) {
                return Err(CommitError::Conflict(Conflict::Message { key: key.clone(), found }));
            }
        }
        for unchanged in &batch.unchanged {
            match unchanged {
                Unchanged::Case(id, based_on) => {
                    let found = self.cases.get(id.as_str()).map(|row| row.record.version);
                    if found != Some(*based_on) {
                        return Err(CommitError::Conflict(Conflict::Case { id: id.clone(), found }));
                    }
                }
                Unchanged::Message(key, based_on) => {
                    let found = self.messages.get(&message_row_key(key)).map(|row| row.record.version);
                    if found != Some(*based_on) {
                        return Err(CommitError::Conflict(Conflict::Message { key: key.clone(), found }));
                    }
                }
            }
        }
        if let Some(case) = &batch.case {
            let id = &case.write.case.id;
            let found = self.cases.get(id.as_str()).map(|row| row.record.version);
            if found != case.write.based_on {
                return Err(CommitError::Conflict(Conflict::Case { id: id.clone(), found }));
            }
            for key in &case.write.correlations {
                let moves = key.moves();
                if let Some(owner) = self.owner(case.write.case.realm, key)
                    && !moves
                    && owner != *id
                {
                    return Err(CommitError::Conflict(Conflict::Correlation { key: key.clone(), owner }));
                }
            }
        }
        let mut claims = Claims::default();
        batch.deliveries.iter().try_for_each(|delivery| self.check_delivery(delivery, &mut claims))?;
        for approval in &batch.approvals {
            let key = &approval.write.approval.key;
            let found = self.approvals.get(&approval_row_key(key)).map(|row| row.record.version);
            if found != approval.write.based_on {
                return Err(CommitError::Conflict(Conflict::Approval { key: key.clone(), found }));
            }
        }
        for sequence in &batch.sequences {
            let key = &sequence.write.sequence.key;
            let found = self.sequences.get(key).map(|row| row.record.version);
            if found != sequence.write.based_on {
                return Err(CommitError::Conflict(Conflict::Sequence { key: key.clone(), found }));
            }
        }
        if let Some(Forgotten { key, based_on }) = &batch.forgotten {
            let found = self.sequences.get(key).map(|row| row.record.version);
            if found != Some(*based_on) {
                return Err(CommitError::Conflict(Conflict::Sequence { key: key.clone(), found }));
            }
        }
        Ok(())
    }

    fn check_delivery<'a>(
        &self,
        delivery: &'a PreparedDelivery,
        claims: &mut Claims<'a>,
    ) -> Result<(), CommitError> {
        let conflict = |conflict| Err(CommitError::Conflict(conflict));
        let value = &delivery.write.delivery;
        let row = self.deliveries.get(value.id.as_str());
        let found = claims.versions.get(&value.id).copied().or(row.map(|row| row.record.version));
        if found != delivery.write.based_on {
            return conflict(Conflict::Delivery { id: value.id.clone(), found });
        }
        // What this batch has rewritten before does not hold its old MessageId any more.
        let sent = self.sent.get(&(value.destination.clone(), value.message_id.clone()));
        let sent = sent.filter(|owner| !claims.versions.contains_key(owner));
        let sent = sent.or_else(|| claims.sent.get(&(&value.destination, &value.message_id)).copied());
        if let Some(owner) = sent.filter(|owner| **owner != value.id) {
            return conflict(Conflict::MessageId { owner: owner.clone() });
        }
        if delivery.sealed.is_some() && row.is_some_and(|row| row.sealed.is_some()) {
            return conflict(Conflict::Sealed { id: value.id.clone() });
        }
        claims.versions.insert(&value.id, delivery.encoded.version);
        claims.sent.insert((&value.destination, &value.message_id), &value.id);
        Ok(())
    }

    /// Applies the changes of one commit: the same for a new one and for one out of the journal.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::Message { key, record, body, response } => {
                    let number = self.messages.len() as u64 + 1;
                    self.messages.insert(key, MessageRow { number, record, body: Some(body), response });
                }
                Change::Changed { key, record } => {
                    let value: StoredMessage = record.decode(&key.join("/"))?;
                    if let Some(row) = self.messages.get_mut(&key) {
                        row.record = record;
                        if value.purged.is_some() {
                            (row.body, row.response) = (None, None);
                        }
                    }
                }
                Change::Case { id, record, correlations } => {
                    for key in correlations {
                        self.correlations.insert(key, id.clone());
                    }
                    self.apply_case(id, record)?;
                }
                Change::Delivery { id, record, sealed } => self.apply_delivery(id, record, sealed)?,
                Change::Receipt { id, receipt } => {
                    if let Some(row) = self.deliveries.get_mut(&id) {
                        row.receipt = Some(receipt);
                    }
                }
                Change::Approval { key, record } => self.apply_approval(&key, record)?,
                Change::Sequence { key, record } => self.apply_sequence(&key, record)?,
                Change::Forgotten { key } => {
                    let is_it = |known: &SequenceKey| {
                        let SequenceKey { direction, cpa_id, conversation_id } = known;
                        key == [direction.as_str(), cpa_id.as_str(), conversation_id.as_str()]
                    };
                    self.sequences.retain(|known, _| !is_it(known));
                    self.due_sequences.retain(|(.., known)| !is_it(known));
                }
                Change::Entry { text } => {
                    let head = self.head().then(&text);
                    self.audit.push(Link::of(head, text));
                    self.head = Some(head);
                }
                Change::Head { entries, record } => {
                    self.heads.entry(entries).or_insert(record);
                }
            }
        }
        Ok(())
    }

    fn apply_case(&mut self, id: String, record: Encoded) -> Result<(), StoreError> {
        let value: Case = record.decode(&id)?;
        let made = self.cases.len() as u64 + 1;
        let row = self.cases.remove(&id);
        let number = row.as_ref().map_or(made, |row| row.number);
        if let Some(row) = row {
            let before: Case = row.record.decode(&id)?;
            if let Some(due) = before.payment_due {
                self.due_payments.remove(&(due, number, before.id.clone()));
            }
            if let Some(due) = before.due {
                self.due_cases.remove(&(due, number, before.id));
            }
        }
        if let Some(due) = value.payment_due {
            self.due_payments.insert((due, number, value.id.clone()));
        }
        if let Some(due) = value.due {
            self.due_cases.insert((due, number, value.id));
        }
        self.cases.insert(id, Row { number, record });
        Ok(())
    }

    fn apply_approval(&mut self, key: &str, record: Encoded) -> Result<(), StoreError> {
        let value: Approval = record.decode(key)?;
        let made = self.approvals.len() as u64 + 1;
        let key = approval_row_key(&value.key);
        let row = self.approvals.remove(&key);
        let number = row.as_ref().map_or(made, |row| row.number);
        if let Some(row) = row {
            let before: Approval = row.record.decode(&value.key.to_string())?;
            if let Some(due) = before.due {
                self.due_approvals.remove(&(due, number, before.key));
            }
        }
        if let Some(due) = value.due {
            self.due_approvals.insert((due, number, value.key));
        }
        self.approvals.insert(key, Row { number, record });
        Ok(())
    }

    fn apply_sequence(&mut self, key: &str, record: Encoded) -> Result<(), StoreError> {
        let value: Sequence = record.decode(key)?;
        let row = self.sequences.remove(&value.key);
        let number = match &row {
            Some(row) => row.number,
            None => {
                self.made_sequences += 1;
                self.made_sequences
            }
        };
        if let Some(row) = row {
            let before: Sequence = row.record.decode(key)?;
            if let Some(due) = before.due {
                self.due_sequences.remove(&(due, number, before.key));
            }
        }
        if let Some(due) = value.due {
            self.due_sequences.insert((due, number, value.key.clone()));
        }
        self.sequences.insert(value.key, Row { number, record });
        Ok(())
    }

    fn apply_delivery(
        &mut self,
        id: String,
        record: Encoded,
        sealed: Option<PreparedSealed>,
    ) -> Result<(), StoreError> {
        let value: Delivery = record.decode(&id)?;
        let made = self.deliveries.len() as u64 + 1;
        let row = self.deliveries.remove(&id);
        if let Some(row) = &row {
            let before: Delivery = row.record.decode(&id)?;
            if let Some(due) = self.due.get_mut(&before.destination) {
                due.remove(&(before.due, row.number, before.id));
            }
            self.sent.remove(&(before.destination, before.message_id));
        }
        let number = row.as_ref().map_or(made, |row| row.number);
        if is_scheduled(value.state) {
            let due = self.due.entry(value.destination.clone()).or_default();
            due.insert((value.due, number, value.id.clone()));
        }
        self.sent.insert((value.destination, value.message_id), value.id);
        let kept = row.filter(|_| value.purged.is_none());
        let (before, receipt) = kept.map_or((None, None), |row| (row.sealed, row.receipt));
        let sealed = sealed.or(before);
        self.deliveries.insert(id, DeliveryRow { number, record, sealed, receipt });
        Ok(())
    }

    fn owner(&self, realm: Realm, key: &CorrelationKey) -> Option<CaseId> {
        let (kind, party, text) = key.columns(realm);
        let id = match key {
            CorrelationKey::Case(id) => Some(id.as_str()).filter(|id| self.cases.contains_key(*id)),
            _ => self.correlations.get(&[kind, party, text].map(str::to_owned)).map(String::as_str),
        };
        id.and_then(|id| CaseId::new(id).ok())
    }

    pub(super) fn head(&self) -> AuditHead {
        self.head.unwrap_or(AuditHead::EMPTY)
    }

    /// Every delivery in order of making, or its damage.
    pub(super) fn each_delivery(&self) -> Vec<(&str, &DeliveryRow, Result<Delivery, StoreError>)> {
        let mut rows: Vec<_> =
            self.deliveries.iter().map(|(id, row)| (id.as_str(), row, row.record.decode(id))).collect();
        rows.sort_by_key(|(_, row, _)| row.number);
        rows
    }
}

pub(super) fn message_row_key(key: &MessageKey) -> [String; 2] {
    [key.sender.to_string(), key.message_id.to_string()]
}

fn approval_row_key(key: &ApprovalKey) -> (Realm, String, String) {
    (key.realm, key.number.to_string(), key.agency.to_string())
}

/// How records call the approval of a row.
pub(super) fn shown_approval((realm, number, agency): &(Realm, String, String)) -> String {
    let practice = if realm.is_practice() { "practice/" } else { "" };
    format!("{practice}{agency}/{number}")
}

/// Whether `due` says when something happens to a delivery in this state.
pub(super) const fn is_scheduled(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment)
}

pub(super) fn unsealed(
    what: impl FnOnce() -> String,
    key: &str,
    row: &PreparedSealed,
) -> Result<Sealed, StoreError> {
    let Envelope { content_type, references, .. } = row.encoded.decode(key)?;
    let body = verified(what, row.blob.held().clone(), &row.blob.digest.to_string())?;
    Ok(Sealed { content_type, body, references })
}

impl Rows for Tables {
    fn message(&self, key: &MessageKey) -> Result<Option<Versioned<StoredMessage>>, StoreError> {
        let row = self.messages.get(&message_row_key(key));
        row.map(|row| {
            Ok(Versioned { value: row.record.decode(&key.to_string())?, version: row.record.version })
        })
        .transpose()
    }

    fn sequence(&self, key: &SequenceKey) -> Result<Option<Versioned<Sequence>>, StoreError> {
        let row = self.sequences.get(key);
        row.map(|row| {
            Ok(Versioned { value: row.record.decode(&key.to_string())?, version: row.record.version })
        })
        .transpose()
    }

    fn open(&self, case: &CaseId) -> Result<Option<DeliveryId>, StoreError> {
        let ended = [DeliveryState::Delivered, DeliveryState::Rejected, DeliveryState::Expired];
        let deliveries = self.each_delivery();
        let mut open = deliveries.into_iter().filter_map(|(_, _, read)| read.ok());
        let open =
            open.find(|delivery| delivery.case.as_ref() == Some(case) && !ended.contains(&delivery.state));
        Ok(open.map(|delivery| delivery.id))
    }

    fn response(&self, key: &MessageKey) -> Result<Option<Sealed>, StoreError> {
        let response = self.messages.get(&message_row_key(key)).and_then(|row| row.response.as_ref());
        response.map(|row| unsealed(|| format!("answer to {key}"), &key.to_string(), row)).transpose()
    }

    fn body(&self, key: &MessageKey) -> Result<Option<Entity>, StoreError> {
        let Some(row) = self.messages.get(&message_row_key(key)) else { return Ok(None) };
        let record: StoredMessage = row.record.decode(&key.to_string())?;
        let what = || format!("body of message {key}");
        let Some(body) = &row.body else { return Ok(None) };
        let body = verified(what, body.held().clone(), &body.digest.to_string())?;
        Ok(Some(Entity { content_type: record.content_type, body }))
    }

    fn correlated(&self, realm: Realm, key: &CorrelationKey) -> Result<Option<CaseId>, StoreError> {
        Ok(self.owner(realm, key))
    }

    fn case(&self, id: &CaseId) -> Result<Option<Versioned<Case>>, StoreError> {
        let row = self.cases.get(id.as_str());
        row.map(|row| Ok(Versioned { value: row.record.decode(id.as_str())?, version: row.record.version }))
            .transpose()
    }

    fn delivery(&self, locator: &DeliveryLocator) -> Result<Option<Versioned<Delivery>>, StoreError> {
        let id = match locator {
            DeliveryLocator::Id(id) => Some(id),
            DeliveryLocator::Sent { destination, message_id } => {
                self.sent.get(&(destination.clone(), message_id.clone()))
            }
        };
        let row = id.and_then(|id| Some((id, self.deliveries.get(id.as_str())?)));
        row.map(|(id, row)| {
            Ok(Versioned { value: row.record.decode(id.as_str())?, version: row.record.version })
        })
        .transpose()
    }

    fn approval(&self, key: &ApprovalKey) -> Result<Option<Versioned<Approval>>, StoreError> {
        let row = self.approvals.get(&approval_row_key(key));
        row.map(|row| {
            Ok(Versioned { value: row.record.decode(&key.to_string())?, version: row.record.version })
        })
        .transpose()
    }

    fn approvals(&self, realm: Realm, number: &str) -> Result<Vec<Versioned<Approval>>, StoreError> {
        let rows = self.approvals.range((realm, number.to_owned(), String::new())..);
        rows.take_while(|((of, found, _), _)| *of == realm && found == number)
            .map(|(key, row)| {
                let key = shown_approval(key);
                Ok(Versioned { value: row.record.decode(&key)?, version: row.record.version })
            })
            .collect()
    }

    fn named(&self, realm: Realm, text: &str, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        let named =
            self.correlations.iter().filter(|([_, _, key], _)| key == text).map(|(_, id)| id.as_str());
        let ids: BTreeSet<&str> = named.chain([text]).collect();
        let found = ids.into_iter().filter_map(|id| Some((id, self.cases.get(id)?)));
        // A damaged record is told by whoever asks for it.
        let of_realm =
            found.filter(|(id, row)| row.record.decode::<Case>(id).is_ok_and(|case| case.realm == realm));
        let mut rows: Vec<_> = of_realm.map(|(id, row)| (row.number, id)).collect();
        rows.sort_unstable_by(|a, b| b.cmp(a));
        Ok(rows.into_iter().filter_map(|(_, id)| CaseId::new(id).ok()).take(limit).collect())
    }

    fn timeline(&self, case: &CaseId, limit: usize) -> Result<Vec<TimelineEntry>, StoreError> {
        let read = self.audit.iter().rev().filter_map(|link| link.decode().ok());
        let about = read.map(|entry| entry.entry).filter(|entry| entry.case.as_ref() == Some(case));
        let mut newest: Vec<_> = about.take(limit).collect();
        newest.reverse();
        Ok(newest)
    }

    fn each_case(&self, opened: &Opened, visit: &mut dyn FnMut(Case)) -> Result<(), StoreError> {
        let read = self.cases.iter().filter_map(|(id, row)| row.record.decode::<Case>(id).ok());
        read.filter(|case| opened.takes(case)).for_each(visit);
        Ok(())
    }

    fn sealed(&self, id: &DeliveryId) -> Result<Option<Sealed>, StoreError> {
        let sealed = self.deliveries.get(id.as_str()).and_then(|row| row.sealed.as_ref());
        sealed.map(|row| unsealed(|| format!("octets of delivery {id}"), id.as_str(), row)).transpose()
    }
}
