//! A partner's message handler: it speaks real ebMS octets, keeps what it promised, de-duplicates by MessageId,
//! hands on, and repeats what it sent until it is answered. It may crash, and then has what it had journalled: all but
//! what was on its way. While faults last it may lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gwanmun::model::{
    Agreement, ConversationId, Digest, DigestReference, EbxmlError, ErrorCode, Message, MessageId,
    MessageKind, MessageOrder, OrderStatus, Payload, Sealed, SequenceNumber, Service, SyncReplyMode,
    Timestamp,
};
use gwanmun::msh::{self, Posting, check_receipt};
use gwanmun::security::{Origin, Trust, Verified, Wire, open, seal};

use crate::parties::{Terms, Who, agreement_of_partner, certificate, signer, trust_of_partner};

/// A request, or a response without its status.
#[derive(Clone, Debug)]
pub(crate) struct Entity {
    pub(crate) content_type: Arc<str>,
    pub(crate) body: Bytes,
}

impl Entity {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self { content_type: "".into(), body: Bytes::new() }
    }
}

impl From<Sealed> for Entity {
    fn from(sealed: Sealed) -> Self {
        Self { content_type: sealed.content_type, body: sealed.body.held().clone() }
    }
}

/// An HTTP response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) entity: Entity,
}

impl Response {
    /// A bare status.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, entity: Entity::empty() }
    }

    /// A message (HTTP 200).
    pub(crate) fn message(sealed: Sealed) -> Self {
        Self { status: 200, entity: sealed.into() }
    }
}

/// How a partner treats a user message that reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// As it should.
    Honest,
    /// It does nothing and never answers.
    Silent,
    /// It does nothing and answers with this status.
    Refuses(u16),
    /// It does nothing and answers as if it had.
    Pretends,
    /// It does nothing and answers with what is no message.
    Babbles,
    /// It does nothing and sends a signed receipt for other octets.
    ForgesReceipt,
    /// It does nothing and sends the right receipt without a signature.
    LeavesReceiptUnsigned,
    /// It does nothing, and another partner sends the right receipt, with a signature of its own.
    LetsAnotherSign,
}

/// What a partner posts.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) service: &'static str,
    pub(crate) action: String,
    pub(crate) conversation: String,
    pub(crate) ref_to: Option<MessageId>,
    pub(crate) payloads: Vec<Payload>,
    /// Who is to get which payload, once the gateway has taken it.
    pub(crate) owed: Vec<(Who, Digest)>,
}

/// What became of something that a partner posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody has said anything yet.
    Open,
    /// Acknowledged, by a receipt with these octets.
    Acknowledged(Digest),
    /// Refused, with these errors.
    Refused(String),
}

/// Something that a partner posted.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) sealed: Sealed,
    pub(crate) message_id: MessageId,
    /// What it says; a signal says nothing here, and waits for no answer.
    pub(crate) letter: Option<Letter>,
    /// The place of the message whose MessageId it uses for other content: it must be refused.
    pub(crate) forges: Option<usize>,
    /// Its place in its conversation, where the agreement guarantees order.
    pub(crate) order: Option<MessageOrder>,
    pub(crate) attempts: u32,
    pub(crate) fate: Fate,
    /// It was refused for its age, and what it says went out once more as a new message.
    pub(crate) renewed: bool,
    /// When it was written, by the right time.
    pub(crate) written_at: Timestamp,
    /// When it was answered, by the right time.
    pub(crate) told_at: Option<Timestamp>,
}

/// A partner.
pub(crate) struct Partner {
    pub(crate) who: Who,
    /// How often it was started.
    pub(crate) life: u64,
    pub(crate) is_up: bool,
    pub(crate) handed_on: Vec<Message>,
    pub(crate) posted: Vec<Posted>,
    /// How often the gateway's store was restored, as its operator told.
    pub(crate) restores: u32,
    /// It refuses other octets under a MessageId that it has; else it answers as it did before.
    pub(crate) is_strict: bool,
    /// What it saw that no honest gateway does.
    pub(crate) complaints: Vec<String>,
    trust: Trust,
    agreement: Agreement,
    /// The receipt of every message that it took, and the octets of that (P3).
    known: BTreeMap<MessageId, (Sealed, Digest)>,
    /// The octets that came under a MessageId, and after how many restores: always the same, but that a restored gateway makes
    /// anew what it has forgotten (P4, P20).
    octets: BTreeMap<MessageId, (u32, Digest)>,
    /// What came under each number of a conversation, after so many restores: a gateway that was restored gives out again those
    /// that it has forgotten, and no gateway gives out one twice (P5).
    pub(crate) numbers: BTreeMap<(u32, ConversationId, SequenceNumber), MessageId>,
    errors_heard: Vec<(MessageId, String)>,
}

/// What came of a request to a partner.
pub(crate) struct Taken {
    /// The response, when there is one.
    pub(crate) response: Option<Response>,
    /// A message that was handed on just now.
    pub(crate) news: Option<Message>,
    /// A signal that travels by itself.
    pub(crate) signal: Option<Sealed>,
    /// What it posted at this place has got its answer now.
    pub(crate) told: Option<usize>,
    /// What it lets another partner sign for.
    pub(crate) claimed: Option<Message>,
}

impl Partner {
    /// A partner under these terms.
    pub(crate) fn new(who: Who, terms: &Terms, is_strict: bool) -> Self {
        Self {
            who,
            life: 1,
            is_up: true,
            handed_on: Vec::new(),
            posted: Vec::new(),
            restores: 0,
            is_strict,
            complaints: Vec::new(),
            trust: trust_of_partner(who, terms),
            agreement: agreement_of_partner(who, terms),
            known: BTreeMap::new(),
            octets: BTreeMap::new(),
            numbers: BTreeMap::new(),
            errors_heard: Vec::new(),
        }
    }

    /// Errors that came about messages that it had not posted, or that were acknowledged before.
    pub(crate) fn errors_heard(&self) -> &[(MessageId, String)] {
        &self.errors_heard
    }

    /// A request reaches it.
    pub(crate) fn take(&mut self, request: &Entity, now: Timestamp, manners: Manners) -> Taken {
        let nothing = |response| Taken { response, news: None, signal: None, told: None, claimed: None };
        let Some(verified) = self.open(request, now) else { return nothing(Some(Response::status(403))) };
        let message = verified.message().clone();
        if message.kind != MessageKind::User {
            let told = self.hear(&verified, octets_of(request), None);
            return Taken { told, ..nothing(Some(Response::status(202))) };
        }
        let id = message.header.data.message_id.clone();
        let octets = octets_of(request);
        let now_known = (self.restores, octets);
        let known = self.octets.entry(id.clone()).or_insert(now_known);
        let is_made_anew = known.0 < self.restores;
        if known.1 != octets && is_made_anew {
            *known = now_known;
        } else if known.1 != octets {
            self.complain(format!("{id} came again with other octets (P4)"));
        }
        self.look_at_number(&message);
        let answer = match manners {
            Manners::Silent => return nothing(None),
            Manners::Refuses(status) => return nothing(Some(Response::status(status))),
            Manners::Pretends => return nothing(Some(Response::status(200))),
            Manners::Babbles => {
                let entity = Entity { content_type: "text/html".into(), body: "<p>Welcome</p>".into() };
                return nothing(Some(Response { status: 200, entity }));
            }
            Manners::LetsAnotherSign => {
                return Taken { claimed: Some(message), ..nothing(Some(Response::status(202))) };
            }
            Manners::ForgesReceipt => self.receipt(&message, now, true, forged),
            Manners::LeavesReceiptUnsigned => self.receipt(&message, now, false, |_| ()),
            Manners::Honest => match self.known.get(&id) {
                Some((_, first)) if self.is_strict && *first != octets => self.refusal(&message, now),
                Some((answer, _)) => answer.clone(),
                None => return self.take_new(message, octets, now),
            },
        };
        self.answer(answer, None)
    }

    /// Where order is guaranteed each message has a number of its own, and the first one begins the conversation.
    fn look_at_number(&mut self, message: &Message) {
        let (id, conversation) = (&message.header.data.message_id, &message.header.conversation_id);
        let Some(order) = message.order else {
            if self.is_in_order() {
                self.complain(format!("{id} has no number (P5)"));
            }
            return;
        };
        let key = (self.restores, conversation.clone(), order.number);
        let first = self.numbers.entry(key).or_insert_with(|| id.clone());
        let is_first = order.number == SequenceNumber::FIRST;
        if first != id {
            let complaint =
                format!("{id} has number {} of {conversation}, as {first} has (P5)", order.number);
            self.complain(complaint);
        } else if is_first != (order.status == OrderStatus::Reset) {
            self.complain(format!("{id} is number {} and {:?} (P5)", order.number, order.status));
        }
    }

    fn take_new(&mut self, message: Message, octets: Digest, now: Timestamp) -> Taken {
        let answer = self.receipt(&message, now, true, |_| ());
        let id = message.header.data.message_id.clone();
        self.known.insert(id, (answer.clone(), octets));
        self.handed_on.push(message.clone());
        self.answer(answer, Some(message))
    }

    fn answer(&self, answer: Sealed, news: Option<Message>) -> Taken {
        match self.agreement.sync_reply_mode {
            SyncReplyMode::MshSignalsOnly
            | SyncReplyMode::SignalsOnly
            | SyncReplyMode::ResponseOnly
            | SyncReplyMode::SignalsAndResponse => Taken {
                response: Some(Response::message(answer)),
                news,
                signal: None,
                told: None,
                claimed: None,
            },
            SyncReplyMode::None => Taken {
                response: Some(Response::status(202)),
                news,
                signal: Some(answer),
                told: None,
                claimed: None,
            },
        }
    }

    /// Whether it has a message of the gateway: what it tells who asks.
    pub(crate) fn has(&self, id: &MessageId) -> bool {
        self.known.contains_key(id)
    }

    /// The gateway's store was restored. What it forged and has no answer to it gives up: a gateway that has forgotten whose
    /// MessageId that is takes it for honest, and nobody could tell.
    pub(crate) fn hear_of_restore(&mut self) {
        self.restores += 1;
        let forged = self.posted.iter_mut().filter(|it| it.forges.is_some() && it.fate == Fate::Open);
        forged.for_each(|posted| posted.fate = Fate::Refused("given up".to_owned()));
    }

    /// It takes what was answered since then for open again; gives all that is open, and when it was written. Where order is
    /// guaranteed what was refused has its number too.
    pub(crate) fn forget_answers(&mut self, since: Timestamp) -> Vec<(Timestamp, usize)> {
        let in_order = self.is_in_order();
        let mut open = Vec::new();
        for (place, posted) in self.posted.iter_mut().enumerate() {
            if posted.letter.is_none() || posted.forges.is_some() {
                continue;
            }
            let counts = match posted.fate {
                Fate::Open | Fate::Acknowledged(_) => true,
                Fate::Refused(_) => in_order,
            };
            if counts && posted.told_at.is_some_and(|at| at >= since) {
                posted.fate = Fate::Open;
            }
            if posted.fate == Fate::Open {
                open.push((posted.written_at, place));
            }
        }
        open
    }

    /// That it has other octets under this MessageId.
    fn refusal(&self, message: &Message, now: Timestamp) -> Sealed {
        let id = format!("refusal.{}.{}", self.restores, message.header.data.message_id);
        let id = MessageId::new(id).expect("a MessageId");
        let error = EbxmlError::new(ErrorCode::Inconsistent, None, "it came before, with other content");
        let refusal = msh::message_error(&message.header, &self.agreement.own(), id, vec![error], now);
        seal(&refusal, Some(signer(self.who).strict())).expect("an error can be sealed")
    }

    /// A receipt of its own for what another partner was sent.
    pub(crate) fn claim(&self, mut message: Message, now: Timestamp) -> Sealed {
        message.header.cpa_id = self.agreement.cpa_id.clone();
        self.receipt(&message, now, true, |_| ())
    }

    fn receipt(
        &self,
        message: &Message,
        now: Timestamp,
        signed: bool,
        change: impl Fn(&mut [DigestReference]),
    ) -> Sealed {
        let id = format!("receipt.{}", message.header.data.message_id);
        let id = MessageId::new(id).expect("a MessageId");
        let mut receipt = msh::acknowledge(message, &self.agreement.own(), id, true, now);
        receipt.acknowledgments.iter_mut().for_each(|it| change(&mut it.references));
        seal(&receipt, signed.then(|| signer(self.who).strict())).expect("a receipt can be sealed")
    }

    /// Whether its agreement guarantees order.
    pub(crate) fn is_in_order(&self) -> bool {
        self.agreement.reliability.message_order
    }

    /// The place of the next message of a conversation; a forged one has that of the one whose MessageId it has.
    fn order_in(&self, conversation: &str, forges: Option<usize>) -> Option<MessageOrder> {
        if let Some(place) = forges {
            return self.posted[place].order;
        }
        let is_before = |posted: &&Posted| {
            posted.forges.is_none()
                && posted.letter.as_ref().is_some_and(|letter| letter.conversation == conversation)
        };
        let before = u32::try_from(self.posted.iter().filter(is_before).count()).expect("some");
        let status = if before == 0 { OrderStatus::Reset } else { OrderStatus::Continue };
        let number = SequenceNumber::new(before).expect("fewer than a hundred millions");
        self.is_in_order().then_some(MessageOrder { number, status })
    }

    /// Makes a message to post; gives its place among what it posted.
    pub(crate) fn compose(&mut self, letter: Letter, now: Timestamp, forges: Option<usize>) -> usize {
        let number = self.posted.len() + 1;
        let fresh = MessageId::new(format!("{number}@{}.example", self.who.name())).expect("a MessageId");
        let message_id = forges.map_or(fresh, |place| self.posted[place].message_id.clone());
        let order = self.order_in(&letter.conversation, forges);
        let posting = Posting {
            message_id: message_id.clone(),
            conversation_id: ConversationId::new(letter.conversation.clone()).expect("a ConversationId"),
            ref_to_message_id: letter.ref_to.clone(),
            service: Service { value: letter.service.into(), kind: Some("urn:swgw:service".into()) },
            action: letter.action.clone().into(),
            timestamp: now,
            time_to_live: now.plus(self.agreement.reliability.time_to_live),
            order,
        };
        let message = msh::compose(&self.agreement, posting, letter.payloads.clone());
        let sealed = seal(&message, Some(signer(self.who).strict())).expect("a message can be sealed");
        let (letter, fate) = (Some(letter), Fate::Open);
        self.posted.push(Posted {
            sealed,
            message_id,
            letter,
            forges,
            order,
            attempts: 0,
            fate,
            renewed: false,
            written_at: now,
            told_at: None,
        });
        self.posted.len() - 1
    }

    /// Keeps a signal that travels by itself; gives its place among what it posted.
    pub(crate) fn keep_signal(&mut self, sealed: Sealed, now: Timestamp) -> usize {
        let message_id = MessageId::new("signal").expect("a MessageId");
        let fate = Fate::Open;
        self.posted.push(Posted {
            sealed,
            message_id,
            letter: None,
            forges: None,
            order: None,
            attempts: 0,
            fate,
            renewed: false,
            written_at: now,
            told_at: None,
        });
        self.posted.len() - 1
    }

    /// A response to what it posted at this place. Says what has got its answer by it.
    pub(crate) fn answered(&mut self, place: usize, response: &Response, now: Timestamp) -> Option<usize> {
        if response.entity.body.is_empty() {
            return None;
        }
        let verified = self.open(&response.entity, now)?;
        self.hear(&verified, octets_of(&response.entity), Some(place))
    }

    /// A signal comes, by itself or in answer to what it posted at `place`. Says what has got its answer by it.
    fn hear(&mut self, signal: &Verified, octets: Digest, place: Option<usize>) -> Option<usize> {
        let message = signal.message();
        let about = message.header.data.ref_to_message_id.as_ref();
        let is_error = message.error_list.is_some();
        let place = place.or_else(|| {
            let about = |forged: bool| {
                let places = self.posted.iter().enumerate();
                places.filter(move |(_, it)| Some(&it.message_id) == about && it.forges.is_some() == forged)
            };
            let open = |(_, it): &(usize, &Posted)| it.fate == Fate::Open;
            // An error is rather about what was forged, and about what waits for an answer.
            let by_error = about(true).find(open).or_else(|| about(false).find(open));
            let by_error = by_error.or_else(|| about(true).next()).filter(|_| is_error);
            by_error.or_else(|| about(false).next()).map(|(place, _)| place)
        });
        if let Some(errors) = &message.error_list {
            let told: Vec<_> =
                errors.errors.iter().map(|it| format!("{}: {}", it.code, it.description)).collect();
            return self.hear_errors(place, about, told.join("; "));
        }
        // What was held and then refused had its receipt before, and repeats of it are answered with that.
        let refused = |place: &usize| matches!(self.posted[*place].fate, Fate::Refused(_));
        if self.is_in_order() && place.is_some_and(|place| refused(&place)) {
            return None;
        }
        match self.check(signal, octets, place) {
            Ok(place) => {
                let is_news = self.posted[place].fate == Fate::Open;
                self.posted[place].fate = Fate::Acknowledged(octets);
                is_news.then_some(place)
            }
            Err(complaint) => {
                self.complain(complaint);
                None
            }
        }
    }

    /// Whether a receipt is one for what was posted at `place`, and the only one.
    fn check(&self, signal: &Verified, octets: Digest, place: Option<usize>) -> Result<usize, String> {
        let message = signal.message();
        let about = || message.header.data.ref_to_message_id.as_ref().map(ToString::to_string);
        let (Some(place), Some(receipt)) = (place, message.acknowledgments.first()) else {
            return Err(format!("a signal about nothing that was posted: {:?}", about()));
        };
        let posted = &self.posted[place];
        let id = &posted.message_id;
        if receipt.ref_to_message_id != *id {
            return Err(format!("{id} is answered by a receipt for another message"));
        }
        let sent = &posted.sealed.references;
        check_receipt(receipt, signal.is_signed(), &self.agreement, sent)
            .map_err(|fault| format!("{id}: {fault} (P1)"))?;
        match &posted.fate {
            Fate::Acknowledged(before) if *before != octets => {
                Err(format!("{id} was acknowledged twice, with different octets (P3)"))
            }
            Fate::Refused(why) => Err(format!("{id} was acknowledged after it was refused: {why}")),
            Fate::Open | Fate::Acknowledged(_) => Ok(place),
        }
    }

    fn hear_errors(
        &mut self,
        place: Option<usize>,
        about: Option<&MessageId>,
        told: String,
    ) -> Option<usize> {
        match place {
            Some(place) if self.posted[place].fate == Fate::Open => {
                self.posted[place].fate = Fate::Refused(told);
                Some(place)
            }
            // It came before its turn, was acknowledged and held, and is refused now that it has it.
            Some(place)
                if self.posted[place].order.is_some()
                    && self.posted[place].forges.is_none()
                    && matches!(self.posted[place].fate, Fate::Acknowledged(_)) =>
            {
                self.posted[place].fate = Fate::Refused(told);
                None
            }
            Some(place) if matches!(self.posted[place].fate, Fate::Refused(_)) => None,
            _ => {
                self.errors_heard.extend(about.map(|id| (id.clone(), told)));
                None
            }
        }
    }

    fn open(&mut self, entity: &Entity, now: Timestamp) -> Option<Verified> {
        let origin = Origin::Connection(Some(certificate(Who::Gateway)));
        let wire = Wire { content_type: &entity.content_type, body: &entity.body.clone().into(), origin };
        match open(&wire, &self.trust, now) {
            Ok(verified) => Some(verified),
            Err(refusal) => {
                self.complain(format!("cannot be opened: {refusal}"));
                None
            }
        }
    }

    fn complain(&mut self, what: String) {
        self.complaints.push(format!("{}: {what}", self.who.name()));
    }
}

fn octets_of(entity: &Entity) -> Digest {
    Digest::of(&entity.body)
}

fn forged(references: &mut [DigestReference]) {
    if let Some(octet) = references.first_mut().and_then(|it| it.value.first_mut()) {
        *octet ^= 1;
    }
}
