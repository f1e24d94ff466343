//! A gateway, a broker, an asynchronous broker, customs and three agencies; a clock that only the test moves.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::super::*;
use super::rules::{self, KEYS};
use crate::codec::document::write_application;
use crate::codec::envelope::decode_envelope;
use crate::codec::mime::{MimeLimits, unpack};
use crate::codec::xml::XmlLimits;
use crate::model::*;
use crate::msh::{self, AgePolicy, OrderPolicy, Posting};
use crate::routing::RuleSet;
use crate::security::{Verified, seal};
use crate::store::{
    CaseFilter, CommitError, Committed, CorrelationKey, DeliveryFilter, DeliveryLocator, Disk, MemoryStore,
    MessageFilter, Needs, Store as _, View,
};

pub(super) const BROKER: &str = "BR123450000001";
pub(super) const ASYNC_BROKER: &str = "BR123450000002";
pub(super) const CUSTOMS: &str = "CU000000000001";
pub(super) const AGENCIES: [(&str, &str, u8); 3] =
    [("KFDA", "AG000000000001", 1), ("NPQS", "AG000000000002", 2), ("NVRQS", "AG000000000003", 3)];
pub(super) const DECLARATION: &str = "1234509000017X";

pub(super) struct World {
    pub(super) store: MemoryStore,
    pub(super) registry: Registry,
    pub(super) now: Timestamp,
    pub(super) rules: Arc<RuleSet>,
    own: Own,
    /// Every transmission: destination, Action, octets.
    /// Places at every destination, for deliveries that leave with the commit that makes them.
    pub(super) room: u32,
    pub(super) sent: Vec<Transmission>,
    /// Destinations that take nothing.
    pub(super) unreachable: Vec<PartyKey>,
    /// Who takes what is sent and answers nothing.
    pub(super) mute: Vec<PartyKey>,
    /// Answers to questions of ours.
    pub(super) heard: Vec<Heard>,
    /// When the bank is asked; none when there is no bank.
    pub(super) payment: Option<Bank>,
    /// The same of the bank of rehearsals.
    pub(super) practice_payment: Option<Bank>,
    pub(super) retention: Retention,
    /// When the store was restored.
    pub(super) restored: Option<Timestamp>,
    /// What the bank was asked and has not answered.
    pub(super) charges: Vec<(CaseId, u32, Charge)>,
    /// Every entry that was logged.
    pub(super) logged: Vec<TimelineEntry>,
}

#[derive(Clone, Debug)]
pub(super) struct Transmission {
    pub(super) delivery: DeliveryId,
    pub(super) attempt: u32,
    pub(super) destination: PartyKey,
    pub(super) awaits_receipt: bool,
    pub(super) sealed: Sealed,
}

struct NoDisk(Vec<u8>);

impl Disk for NoDisk {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(octets);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(usize::try_from(length).expect("a small journal"));
        Ok(())
    }
}

pub(super) fn party(key: &str) -> PartyKey {
    PartyKey::new(key).expect("a party")
}

pub(super) fn code(text: &str) -> DocumentCode {
    text.parse().expect("a document code")
}

fn party_id(key: &str) -> PartyId {
    PartyId { value: key.into(), kind: Some("urn:swgw:party".into()) }
}

impl World {
    pub(super) fn new() -> Self {
        let mut parties = vec![
            trader(BROKER, "broker", "1234500001"),
            trader(ASYNC_BROKER, "slow broker", "1234500002"),
            Party { kind: PartyKind::Customs, business_number: None, ..trader(CUSTOMS, "customs", "") },
        ];
        let mut agreements = vec![
            agreement(BROKER, "Declarant", SyncReplyMode::MshSignalsOnly),
            agreement(ASYNC_BROKER, "Declarant", SyncReplyMode::None),
            agreement(CUSTOMS, "Customs", SyncReplyMode::MshSignalsOnly),
        ];
        for (name, key, _) in AGENCIES {
            parties.push(Party { kind: PartyKind::Agency, business_number: None, ..trader(key, name, "") });
            agreements.push(agreement(key, "Agency", SyncReplyMode::MshSignalsOnly));
        }
        let registry = Registry::new(parties, agreements);
        Self {
            store: MemoryStore::open(Box::new(NoDisk(Vec::new()))).expect("an empty disk opens"),
            rules: rules::rules(&registry),
            registry,
            now: "2009-12-01T01:00:00Z".parse().expect("an instant"),
            own: Own {
                key: party("SW000000000001"),
                ids: vec![party_id("SW000000000001")],
                role: Some(Role::new("SingleWindow").expect("a Role")),
                domain: "sw.example".into(),
            },
            room: 0,
            sent: Vec::new(),
            unreachable: Vec::new(),
            mute: Vec::new(),
            heard: Vec::new(),
            payment: Some(bank("bank")),
            practice_payment: None,
            retention: Retention::default(),
            restored: None,
            charges: Vec::new(),
            logged: Vec::new(),
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            registry: &self.registry,
            rules: &self.rules,
            own: &self.own,
            age: AgePolicy::default(),
            order: OrderPolicy::default(),
            payment: self.payment.as_ref(),
            practice_payment: self.practice_payment.as_ref(),
            retention: &self.retention,
            restored: self.restored,
        }
    }

    fn numbered(&self, mut step: Step) -> Step {
        if let Some(needs) = step.needs_numbers(&self.context()) {
            step.number(&self.context(), &self.store.load(&needs).expect("the store loads"));
        }
        step
    }

    /// What an event would write, as things are.
    pub(super) fn decided(&self, event: &Event) -> crate::store::Batch {
        let view = self.store.load(&needs(event, &self.context())).expect("the store loads");
        let step = self.numbered(decide(self.now, event, &view, &self.context()));
        match step.seal(&KEYS).expect("everything can be sealed").split() {
            Ready::Commit(batch, _) => *batch,
            Ready::Act(_) => crate::store::Batch::default(),
        }
    }

    /// One event all the way: load, decide, seal, commit, release. Transmissions are kept in `sent`.
    pub(super) fn drive(&mut self, event: &Event) -> Option<Reply> {
        let view = self.store.load(&needs(event, &self.context())).expect("the store loads");
        let mut step = self.numbered(decide(self.now, event, &view, &self.context()));
        let places = step.promptable().into_keys().map(|to| (to, self.room)).collect();
        step.begin(self.now, event, &self.context(), &places);
        let actions = match step.seal(&KEYS).expect("everything can be sealed").split() {
            Ready::Act(actions) => actions,
            Ready::Commit(batch, pending) => {
                pending.release(self.commit(*batch).expect("nobody else writes"))
            }
        };
        let mut reply = None;
        for action in actions {
            match action {
                Action::Reply(answer) => reply = Some(answer),
                Action::Transmit { delivery, attempt, destination, awaits_receipt, sealed, .. } => {
                    self.sent.push(Transmission { delivery, attempt, destination, awaits_receipt, sealed });
                }
                Action::Log(entry) => self.logged.push(entry),
                Action::Heard(heard) => self.heard.push(heard),
                Action::Charge { case, attempt, charge, .. } => self.charges.push((case, attempt, charge)),
                Action::Wake(_) | Action::Schedule(_) | Action::SchedulePayment(_) => {}
            }
        }
        reply
    }

    /// Decides and commits an event, and gives what the shell would do.
    pub(super) fn actions(&self, event: &Event) -> Vec<Action> {
        let view = self.store.load(&needs(event, &self.context())).expect("the store loads");
        let step = self.numbered(decide(self.now, event, &view, &self.context()));
        match step.seal(&KEYS).expect("everything can be sealed").split() {
            Ready::Act(actions) => actions,
            Ready::Commit(batch, pending) => {
                pending.release(self.commit(*batch).expect("nobody else writes"))
            }
        }
    }

    /// Decides an event and commits nothing of it: the process dies between.
    pub(super) fn only_decide(&self, event: &Event) {
        let view = self.store.load(&needs(event, &self.context())).expect("the store loads");
        drop(decide(self.now, event, &view, &self.context()));
    }

    /// Decides an event on records that were loaded before, and commits.
    pub(super) fn commit_on(&self, event: &Event, view: &View) -> Result<(), CommitError> {
        let step = self.numbered(decide(self.now, event, view, &self.context()));
        match step.seal(&KEYS).expect("everything can be sealed").split() {
            Ready::Act(_) => Ok(()),
            Ready::Commit(batch, _) => self.commit(*batch).map(drop),
        }
    }

    pub(super) fn commit(&self, batch: crate::store::Batch) -> Result<Committed, CommitError> {
        let outcome = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&outcome);
        let done = move |result| *heard.lock().expect("no panic while it is held") = Some(result);
        self.store.commit(batch, Box::new(done));
        let result = outcome.lock().expect("no panic while it is held").take();
        result.expect("the in-memory home calls back at once")
    }

    pub(super) fn own_id(&self) -> PartyId {
        self.own.ids[0].clone()
    }

    /// Changes the agreement with a partner.
    pub(super) fn agree(&mut self, partner: &str, change: impl Fn(&mut Agreement)) {
        let agreements = self.registry.agreements().cloned().map(|mut agreement| {
            if agreement.partner.as_str() == partner {
                change(&mut agreement);
            }
            agreement
        });
        let agreements: Vec<_> = agreements.collect();
        self.registry = Registry::new(self.registry.parties().cloned().collect::<Vec<_>>(), agreements);
    }

    /// A partner posts a message; the answer on the connection comes back.
    pub(super) fn post(&mut self, posted: &Posted) -> Option<Reply> {
        self.drive(&Event::Arrived(Box::new(posted.arrival(self.now))))
    }

    /// A partner's user message under its agreement.
    pub(super) fn message(
        &self,
        from: &str,
        id: &str,
        service: &str,
        action: &str,
        documents: Vec<Document>,
    ) -> Posted {
        let agreement = self.registry.agreement(&cpa(from)).expect("the partner has an agreement").clone();
        let payload = |(number, document): (usize, &Document)| {
            let body = body_of(document, self.now);
            Payload {
                content_id: ContentId::new(format!("{number}.{id}@{from}")).expect("a Content-ID"),
                media_type: "application/xml".into(),
                role: Some(role_of_document_code(&document.code()).into()),
                digest: Digest::of(&body),
                body: body.into(),
            }
        };
        let payloads = documents.iter().enumerate().map(payload).collect();
        let posting = Posting {
            message_id: MessageId::new(format!("{id}@{from}")).expect("a MessageId"),
            conversation_id: ConversationId::new(format!("submission-{from}")).expect("a ConversationId"),
            ref_to_message_id: None,
            service: Service { value: service.into(), kind: Some("urn:swgw:service".into()) },
            action: action.into(),
            timestamp: self.now,
            time_to_live: self.now.plus(Duration::from_secs(3600)),
            order: None,
        };
        let mut message = msh::compose(&agreement, posting, payloads);
        std::mem::swap(&mut message.header.from, &mut message.header.to);
        let parts = documents
            .into_iter()
            .map(|document| PartContent::Document { code: document.code(), document: Box::new(document) });
        Posted::of(party(from), message, Documents::of(parts.collect()))
    }

    /// Gives every destination what is due now; those that answer acknowledge at once.
    pub(super) fn deliver(&mut self) {
        let destinations: Vec<_> = self.registry.parties().map(|party| party.key.clone()).collect();
        for destination in destinations {
            for due in self.store.due(&destination, self.now, 1000).expect("the store reads") {
                self.drive(&Event::Due(due.id));
                let transmission = self.sent.last().expect("what is due is sent or ended").clone();
                if transmission.destination == destination {
                    self.answer_to(transmission);
                }
            }
        }
    }

    /// Gives every destination what a clock that was set back has left behind.
    pub(super) fn deliver_stalled(&mut self) {
        for party in self.registry.parties().map(|party| party.key.clone()).collect::<Vec<_>>() {
            let beyond = self.now.plus(Duration::from_secs(66));
            for due in self.store.stalled(&party, beyond, 1000).expect("the store reads") {
                self.drive(&Event::Due(due.id));
                let transmission = self.sent.last().expect("what is stalled is sent").clone();
                self.answer_to(transmission);
            }
        }
    }

    /// Does what time has brought due.
    pub(super) fn keep_agenda(&mut self) {
        for scheduled in self.store.scheduled_cases(1000).expect("the store reads") {
            if scheduled.due <= self.now {
                self.drive(&Event::CaseDue(scheduled.id));
            }
        }
        while let Some(key) = self.approval_due() {
            self.drive(&Event::ApprovalDue(key));
        }
    }

    /// The first approval whose time has come.
    pub(super) fn approval_due(&self) -> Option<ApprovalKey> {
        let scheduled = self.store.scheduled_approvals(1).expect("the store reads").pop();
        scheduled.filter(|scheduled| scheduled.due <= self.now).map(|scheduled| scheduled.key)
    }

    /// The approval of the first agency under this number.
    pub(super) fn approval(&self, number: &str) -> Approval {
        let needs = Needs { approvals: [number.into()].into(), ..Needs::default() };
        let found = self.store.load(&needs).expect("the store reads").approvals;
        let key =
            ApprovalKey { realm: Realm::Production, agency: party(AGENCIES[0].1), number: number.into() };
        found.get(&key).expect("the approval is known").value.clone()
    }

    /// What comes of a transmission.
    pub(super) fn answer_to(&mut self, transmission: Transmission) {
        let Transmission { delivery, attempt, destination, awaits_receipt, sealed } = transmission;
        if self.unreachable.contains(&destination) {
            let reason = "connection refused".to_owned();
            let outcome = AttemptOutcome::Again { reason, alarm: false, unsent: true };
            self.drive(&Event::Attempted { delivery, attempt, awaits_receipt, outcome });
            return;
        }
        if self.mute.contains(&destination) {
            let outcome = AttemptOutcome::Again { reason: "timeout".to_owned(), alarm: false, unsent: false };
            self.drive(&Event::Attempted { delivery, attempt, awaits_receipt, outcome });
            return;
        }
        let outcome = AttemptOutcome::Taken;
        self.drive(&Event::Attempted { delivery: delivery.clone(), attempt, awaits_receipt, outcome });
        let record = self.delivery(&delivery);
        if record.purpose != DeliveryPurpose::Signal {
            self.drive(&Event::Arrived(Box::new(receipt(&record, sealed.references, self.now))));
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    pub(super) fn delivery(&self, id: &DeliveryId) -> Delivery {
        let needs = Needs { delivery: Some(DeliveryLocator::Id(id.clone())), ..Needs::default() };
        self.store.load(&needs).expect("the store reads").delivery.expect("the delivery exists").value
    }

    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        let listing = self.store.deliveries(&DeliveryFilter::default(), 1000).expect("the store reads");
        assert_eq!(listing.damaged, []);
        listing.items
    }

    /// Deliveries as (destination, Action), sorted.
    pub(super) fn owed(&self) -> Vec<(String, String)> {
        let mut owed: Vec<_> =
            self.deliveries().iter().map(|d| (d.destination.to_string(), d.action.to_string())).collect();
        owed.sort();
        owed
    }

    /// How many deliveries of this Action a destination is owed.
    pub(super) fn count(&self, to: &str, action: &str) -> usize {
        self.owed().iter().filter(|(party, found)| party == to && found == action).count()
    }

    pub(super) fn case(&self) -> Case {
        self.case_of(DECLARATION)
    }

    pub(super) fn case_of(&self, number: &str) -> Case {
        let key = CorrelationKey::Declaration(number.into());
        self.store.case(Realm::Production, &key).expect("the store reads").expect("the case exists").value
    }

    pub(super) fn cases(&self) -> usize {
        self.store.cases(&CaseFilter::default(), 1000).expect("the store reads").items.len()
    }

    pub(super) fn stored(&self, posted: &Posted) -> Option<StoredMessage> {
        let needs = Needs { message: Some(posted.key()), ..Needs::default() };
        self.store.load(&needs).expect("the store reads").message.map(|known| known.record)
    }

    /// How many messages are kept.
    pub(super) fn stored_messages(&self) -> usize {
        self.store.messages(&MessageFilter::default(), 1000).expect("the store reads").items.len()
    }

    /// Whether this event was logged since the last question, and with an alarm.
    pub(super) fn logged(&mut self, event: &str) -> Option<bool> {
        let found = self.logged.iter().find(|entry| &*entry.event == event).map(|entry| entry.alarm);
        self.logged.clear();
        found
    }

    /// What must hold after every run: nothing is lost (P2), the audit chain is whole (P18).
    pub(super) fn check_laws(&self) {
        let law = self.store.conservation().expect("the store reads");
        assert!(law.holds(), "{law:?}");
        let verdict = self.store.verify_audit().expect("the store reads");
        assert!(matches!(verdict, crate::store::AuditVerdict::Intact(_)), "{verdict:?}");
        for entry in self.store.audit(1, 10_000).expect("the store reads").items {
            assert!(
                crate::telemetry::EventCode::of_code(&entry.entry.event).is_some(),
                "{}",
                entry.entry.event
            );
        }
    }
}

/// What octets that were sealed say.
pub(super) fn read(sealed: &Sealed) -> Message {
    let package = unpack(&sealed.content_type, &sealed.body, &MimeLimits::default()).expect("is a package");
    decode_envelope(&package.root.body, None, &XmlLimits::ENVELOPE).expect("is an envelope").message
}

/// A message as a partner posts it, as often as it likes.
#[derive(Clone, Debug)]
pub(super) struct Posted {
    pub(super) sender: PartyKey,
    pub(super) message: Message,
    pub(super) documents: Documents,
    content_type: Arc<str>,
    body: Bytes,
}

impl Posted {
    pub(super) fn of(sender: PartyKey, mut message: Message, documents: Documents) -> Self {
        let sealed = seal(&message, KEYS.key(SignatureAlgorithm::EcdsaSha256).map(|key| key.strict()))
            .expect("it can be sealed");
        message.references = sealed.references;
        Self {
            sender,
            message,
            documents,
            content_type: sealed.content_type,
            body: sealed.body.held().clone(),
        }
    }

    /// The same message with something changed, sealed again.
    pub(super) fn with(&self, change: impl FnOnce(&mut Message)) -> Self {
        let mut message = self.message.clone();
        message.references.clear();
        change(&mut message);
        Self::of(self.sender.clone(), message, self.documents.clone())
    }

    /// Names the parts of these names by Content-Location, which takes what a Content-ID field does not.
    pub(super) fn name_by_location(&mut self, names: &[&str]) {
        let mut body = self.body.to_vec();
        for name in names {
            let (from, to) = (format!("Content-ID: <{name}>"), format!("Content-Location: {name}"));
            let at = memchr::memmem::find(&body, from.as_bytes()).expect("the part has this name");
            body.splice(at..at + from.len(), to.into_bytes());
        }
        self.body = body.into();
    }

    /// The same message with other documents than were read from it.
    pub(super) fn read_as(&self, parts: Vec<PartContent>) -> Self {
        Self { documents: Documents::of(parts), ..self.clone() }
    }

    pub(super) fn in_answer_to(&self, sent: &MessageId) -> Self {
        self.with(|message| message.header.data.ref_to_message_id = Some(sent.clone()))
    }

    pub(super) fn key(&self) -> MessageKey {
        MessageKey { sender: self.sender.clone(), message_id: self.message.header.data.message_id.clone() }
    }

    pub(super) fn arrival(&self, now: Timestamp) -> Arrival {
        Arrival {
            verified: Verified::for_tests(self.message.clone(), self.sender.clone(), true),
            documents: self.documents.clone(),
            content_type: self.content_type.clone(),
            body: self.body.clone().into(),
            received_at: now,
            waiting: true,
        }
    }
}

/// The acknowledgment of a delivery, with the references of what was sent.
pub(super) fn receipt(delivery: &Delivery, references: Vec<DigestReference>, now: Timestamp) -> Arrival {
    let message = signal(delivery, SignalAction::Acknowledgment, |signal| {
        signal.acknowledgments.push(Acknowledgment {
            actor: Actor::ToPartyMsh,
            timestamp: now,
            ref_to_message_id: delivery.message_id.clone(),
            from: Vec::new(),
            references,
        });
    });
    response(delivery, message, true, now)
}

/// A MessageError about a delivery.
pub(super) fn error_about(delivery: &Delivery, severity: Severity, now: Timestamp) -> Arrival {
    let message = signal(delivery, SignalAction::MessageError, |signal| {
        let error = EbxmlError { severity, ..EbxmlError::new(ErrorCode::Inconsistent, None, "not so") };
        signal.error_list = Some(ErrorList { errors: vec![error] });
    });
    response(delivery, message, true, now)
}

/// A signal that came as the response to a transmission: nobody waits.
pub(super) fn response(delivery: &Delivery, message: Message, signed: bool, now: Timestamp) -> Arrival {
    Arrival {
        verified: Verified::for_tests(message, delivery.destination.clone(), signed),
        documents: Documents::default(),
        content_type: "text/xml".into(),
        body: Bytes::new().into(),
        received_at: now,
        waiting: false,
    }
}

pub(super) fn signal(delivery: &Delivery, action: SignalAction, fill: impl FnOnce(&mut Message)) -> Message {
    let ours = |key: &str| PartyRef { ids: vec![party_id(key)], role: None };
    let header = MessageHeader {
        from: ours(delivery.destination.as_str()),
        to: ours("SW000000000001"),
        cpa_id: delivery.cpa_id.clone(),
        conversation_id: delivery.conversation_id.clone(),
        service: Service::msh(),
        action: action.as_str().into(),
        data: MessageData {
            message_id: MessageId::new(format!("about-{}", delivery.message_id)).expect("a MessageId"),
            timestamp: delivery.created_at,
            ref_to_message_id: Some(delivery.message_id.clone()),
            time_to_live: None,
        },
        duplicate_elimination: false,
        descriptions: Vec::new(),
    };
    let mut message = Message {
        header,
        kind: MessageKind::Signal(action),
        sync_reply: false,
        order: None,
        ack_requested: Vec::new(),
        acknowledgments: Vec::new(),
        error_list: None,
        status: None,
        manifest: None,
        payloads: Vec::new(),
        references: Vec::new(),
    };
    fill(&mut message);
    message
}

fn trader(key: &str, name: &str, business_number: &str) -> Party {
    Party {
        key: party(key),
        name: name.into(),
        kind: PartyKind::Declarant,
        ids: vec![party_id(key)],
        business_number: Some(business_number.into()),
        tls_certificates: Vec::new(),
        signing_certificates: Vec::new(),
        plays: None,
    }
}

pub(super) fn cpa(partner: &str) -> CpaId {
    CpaId::new(format!("cpa-{partner}")).expect("a CPAId")
}

/// An agreement under which everything of the trade may go both ways, and a few things that no rule knows.
fn agreement(partner: &str, role: &str, sync_reply_mode: SyncReplyMode) -> Agreement {
    let services = [
        (
            "ImportClearance",
            vec![
                "GOVCBR929",
                "GOVCBR5BF",
                "GOVCBR5FE",
                "GOVCBR023",
                "GOVCBR5BG",
                "GOVCBR5FK",
                "GOVCBR5GZ",
                "GOVCBRR20",
                "GOVCBRR21",
                "GOVCBRX01",
                "GOVCBRX02",
            ],
        ),
        (
            "RequirementVerification",
            vec![
                "GOVCBRX01",
                "GOVCBRX02",
                "GOVCBRX03",
                "GOVCBRX51",
                "GOVCBRX52",
                "GOVCBRX53",
                "GOVCBRRBG",
                "GOVCBRRBH",
            ],
        ),
        ("Payment", vec!["GOVCBRXF1", "GOVCBRXF2", "GOVCBRXF3"]),
        ("Status", vec!["GOVCBRXS1", "GOVCBRXS2", "GOVCBRXS3", "GOVCBRINF"]),
    ];
    let bind = |direction| {
        let services = services.clone();
        services.into_iter().flat_map(move |(service, actions)| {
            actions.into_iter().map(move |action| ActionBinding {
                direction,
                service: service.into(),
                service_type: Some("urn:swgw:service".into()),
                action: action.into(),
            })
        })
    };
    Agreement {
        cpa_id: cpa(partner),
        partner: party(partner),
        partner_ids: vec![party_id(partner)],
        partner_role: Role::new(role).expect("a Role"),
        own_ids: vec![party_id("SW000000000001")],
        own_role: Role::new("SingleWindow").expect("a Role"),
        start: None,
        end: None,
        endpoint: Some("https://partner.example/ebms".into()),
        response_endpoint: None,
        hosted: false,
        forwards: false,
        practice: false,
        actions: bind(Direction::Send).chain(bind(Direction::Receive)).collect(),
        sync_reply_mode,
        empty_answer: EmptyAnswer::default(),
        reliability: Reliability {
            duplicate_elimination: Presence::Always,
            ack_requested: Presence::Always,
            ack_signed: true,
            ack_signed_per_message: false,
            message_order: false,
            retries: 3,
            retry_interval: Duration::from_secs(60),
            persist_duration: Duration::from_secs(86_400),
            time_to_live: Duration::from_secs(3600),
        },
        signature: SignatureTerms::strict(SignatureAlgorithm::EcdsaSha256),
        profile: PartnerProfile::strict(),
        window: 8,
        overrides: Vec::new(),
    }
}

/// Applications as they are, for what is made from them; of others nobody reads the octets again.
fn body_of(document: &Document, now: Timestamp) -> Bytes {
    match document {
        Document::Application(application) => write_application(application, "1234500001", now).into(),
        other => format!("{other:?}").into(),
    }
}

/// A bank of this name, asked when banks are.
pub(super) fn bank(name: &str) -> Bank {
    Bank { name: name.into(), terms: PaymentTerms::default() }
}
