//! Agreements: what a CPA binds two parties to (ebMS 2.0, 3.1.2; CPPA 2.0), in the gateway's own plain form.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CpaId, PartnerProfile, PartyId, PartyKey, PartyRef, Role, SignatureTerms, Timestamp};

/// What a CPA binds this gateway and one partner to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Its name in every message.
    pub cpa_id: CpaId,
    /// The registered party on the other side.
    pub partner: PartyKey,
    /// The PartyIds the partner uses under this agreement.
    pub partner_ids: Vec<PartyId>,
    /// The Role the partner acts in.
    pub partner_role: Role,
    /// The PartyIds this gateway uses.
    pub own_ids: Vec<PartyId>,
    /// The Role this gateway acts in.
    pub own_role: Role,
    /// In force from this instant on; always, when absent.
    pub start: Option<Timestamp>,
    /// In force until just before this instant; for ever, when absent.
    pub end: Option<Timestamp>,
    /// The URL that messages to the partner are posted to; without one the partner collects them from its mailbox.
    pub endpoint: Option<Arc<str>>,
    /// The URL that answers to its messages are posted to, where that is another one.
    pub response_endpoint: Option<Arc<str>>,
    /// The partner has no system: what is owed to it is in its inbox here, where its officers work.
    pub hosted: bool,
    /// Messages of the partner for others of whom the same is agreed, and of those for the partner, are passed on.
    pub forwards: bool,
    /// Everything under it is a rehearsal ([`Realm::Practice`](super::Realm::Practice)).
    pub practice: bool,
    /// Which Service and Action may go in which direction.
    pub actions: Vec<ActionBinding>,
    /// What travels back on the same connection (ebMS 2.0, 4.3).
    pub sync_reply_mode: SyncReplyMode,
    /// The status of what has no body when it comes back on the connection.
    pub empty_answer: EmptyAnswer,
    /// Reliable messaging (ebMS 2.0, 6).
    pub reliability: Reliability,
    /// Signatures in both directions (ebMS 2.0, 4.1).
    pub signature: SignatureTerms,
    /// What else than the strict profile the partner may send.
    pub profile: PartnerProfile,
    /// How many messages may be in flight to the partner at once.
    pub window: u32,
    /// What holds for some Actions in place of the above (CPPA: delivery channels of their own).
    pub overrides: Vec<Override>,
}

/// Other terms for some Actions of an agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Direction, Service and Action of each; of signals only such as we send.
    pub actions: Vec<(Direction, Arc<str>, Arc<str>)>,
    /// The agreement as it holds for them; only the Roles, the endpoints, `sync_reply_mode` and `reliability` differ from
    /// the rest, and it has no overrides of its own.
    pub agreement: Agreement,
}

impl Agreement {
    /// The agreement as it holds for this Service and Action in this direction. Signals have the terms of the agreement
    /// itself, and may have an endpoint of their own.
    #[must_use]
    pub fn on(&self, direction: Direction, service: &str, action: &str) -> &Self {
        let names = |other: &&Override| {
            other.actions.iter().any(|(d, s, a)| *d == direction && **s == *service && **a == *action)
        };
        self.overrides.iter().find(names).map_or(self, |other| &other.agreement)
    }

    /// The agreement itself, then as it holds for the Actions that have other terms.
    pub fn terms(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.overrides.iter().map(|other| &other.agreement))
    }

    /// The URL that something is posted to which is sent on these terms: an answer has RefToMessageId.
    #[must_use]
    pub fn endpoint_of(&self, is_answer: bool) -> Option<&Arc<str>> {
        let of_answers = self.response_endpoint.as_ref().filter(|_| is_answer);
        of_answers.or(self.endpoint.as_ref())
    }

    /// Whether the agreement lets this Service and Action go in this direction.
    #[must_use]
    pub fn allows(&self, direction: Direction, service: &str, action: &str) -> bool {
        self.actions
            .iter()
            .any(|b| b.direction == direction && *b.service == *service && *b.action == *action)
    }

    /// This gateway as From under the agreement.
    #[must_use]
    pub fn own(&self) -> PartyRef {
        PartyRef { ids: self.own_ids.clone(), role: Some(self.own_role.clone()) }
    }

    /// The partner as To under the agreement.
    #[must_use]
    pub fn partner(&self) -> PartyRef {
        PartyRef { ids: self.partner_ids.clone(), role: Some(self.partner_role.clone()) }
    }

    /// The same agreement as the partner has it.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let mirrored = |binding: &ActionBinding| ActionBinding {
            direction: binding.direction.opposite(),
            ..binding.clone()
        };
        let other = |other: &Override| Override {
            actions: other.actions.iter().map(|(d, s, a)| (d.opposite(), s.clone(), a.clone())).collect(),
            agreement: other.agreement.mirrored(),
        };
        Self {
            partner_ids: self.own_ids.clone(),
            partner_role: self.own_role.clone(),
            own_ids: self.partner_ids.clone(),
            own_role: self.partner_role.clone(),
            actions: self.actions.iter().map(mirrored).collect(),
            overrides: self.overrides.iter().map(other).collect(),
            ..self.clone()
        }
    }

    /// Whether some Action of this Service may go in this direction.
    #[must_use]
    pub fn knows_service(&self, direction: Direction, service: &str) -> bool {
        self.actions.iter().any(|b| b.direction == direction && *b.service == *service)
    }

    /// Whether the agreement is in force at `now`.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now < end)
    }
}

/// Direction of a message, seen from this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From us to the partner.
    Send,
    /// From the partner to us.
    Receive,
}

impl Direction {
    /// The name in the store and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }

    const fn opposite(self) -> Self {
        match self {
            Self::Send => Self::Receive,
            Self::Receive => Self::Send,
        }
    }
}

/// One Service and Action in one direction (CPPA CanSend, CanReceive).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionBinding {
    /// Who sends it.
    pub direction: Direction,
    /// Service value.
    pub service: Arc<str>,
    /// Service `type`, where it has one.
    pub service_type: Option<Arc<str>>,
    /// Action value.
    pub action: Arc<str>,
}

/// syncReplyMode (ebMS 2.0, 4.3.1; CPPA MessagingCharacteristics).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SyncReplyMode {
    /// Nothing travels back; signals are posted separately.
    None,
    /// Acknowledgment or MessageError in the HTTP response.
    MshSignalsOnly,
    /// Business signals, and signals of the MSH with them. No business of this gateway has signals of its own.
    SignalsOnly,
    /// The business response, with the Acknowledgment in it.
    ResponseOnly,
    /// Business signals and the response.
    SignalsAndResponse,
}

impl SyncReplyMode {
    /// Every mode.
    pub const ALL: [Self; 5] =
        [Self::None, Self::MshSignalsOnly, Self::SignalsOnly, Self::ResponseOnly, Self::SignalsAndResponse];

    /// The word of CPPA.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::MshSignalsOnly => "mshSignalsOnly",
            Self::SignalsOnly => "signalsOnly",
            Self::ResponseOnly => "responseOnly",
            Self::SignalsAndResponse => "signalsAndResponse",
        }
    }

    /// Whether the business response comes back on the connection of its request, when it is there at once.
    #[must_use]
    pub const fn returns_response(self) -> bool {
        matches!(self, Self::ResponseOnly | Self::SignalsAndResponse)
    }
}

/// How an HTTP entity is confirmed that brings nothing back on its connection (ebMS 2.0, B.2; digest, 16): every 2xx says the
/// same, and some clients know only one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyAnswer {
    /// 200 OK.
    Ok,
    /// 202 Accepted.
    #[default]
    Accepted,
    /// 204 No Content.
    NoContent,
}

impl EmptyAnswer {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Accepted, Self::NoContent];

    /// Its HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Accepted => 202,
            Self::NoContent => 204,
        }
    }
}

/// `always`, `never`, `perMessage` of CPPA MessagingCharacteristics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Presence {
    /// The element must be present.
    Always,
    /// The element must be absent.
    Never,
    /// The sender chooses.
    PerMessage,
}

/// Reliable messaging parameters (ebMS 2.0, 6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reliability {
    /// DuplicateElimination in every message, in none, or as the sender likes.
    pub duplicate_elimination: Presence,
    /// AckRequested in every message, in none, or as the sender likes.
    pub ack_requested: Presence,
    /// Acknowledgments are signed and carry `ds:Reference`s.
    pub ack_signed: bool,
    /// The partner may ask for either kind, message by message (CPPA ackSignatureRequested `perMessage`).
    pub ack_signed_per_message: bool,
    /// MessageOrderSemantics `Guaranteed`: what is sent in a conversation is handed on in that order.
    pub message_order: bool,
    /// How often a message is sent again: transmissions = retries + 1.
    pub retries: u32,
    /// Least wait between two transmissions.
    pub retry_interval: Duration,
    /// How long either side keeps a message and its duplicate key.
    pub persist_duration: Duration,
    /// How long after its Timestamp a message of ours may still be delivered.
    pub time_to_live: Duration,
}

impl Reliability {
    /// Retries where nothing says otherwise.
    pub const RETRIES: u32 = 30;
    /// RetryInterval where nothing says otherwise.
    pub const RETRY_INTERVAL: Duration = Duration::from_secs(60);

    /// How long all transmissions take with the wait after each: (Retries + 1) times RetryInterval (6.4.3 to 6.4.5).
    #[must_use]
    pub const fn transmissions_take(retries: u32, retry_interval: Duration) -> Duration {
        retry_interval.saturating_mul(retries).saturating_add(retry_interval)
    }
}
