//! What the message status service asks and tells (ebMS 2.0, 7).

use super::{MessageId, Timestamp};

/// The body of a StatusRequest or StatusResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusBody {
    /// StatusRequest (7.2): what has become of this message?
    Asked(MessageId),
    /// StatusResponse (7.3).
    Told(StatusResponse),
}

/// StatusResponse (7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusResponse {
    /// Where the message stands.
    pub status: MessageStatus,
    /// The message that was asked about.
    pub ref_to_message_id: MessageId,
    /// When it was received; absent where the status knows of no message.
    pub timestamp: Option<Timestamp>,
}

/// `eb:messageStatus` (7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageStatus {
    /// The requester is not entitled to an answer.
    UnAuthorized,
    /// Unknown, or forgotten since.
    NotRecognized,
    /// Stored by the MSH.
    Received,
    /// Handed over to the application.
    Processed,
    /// Passed on to another MSH.
    Forwarded,
}

impl MessageStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::UnAuthorized, Self::NotRecognized, Self::Received, Self::Processed, Self::Forwarded];

    /// The value on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnAuthorized => "UnAuthorized",
            Self::NotRecognized => "NotRecognized",
            Self::Received => "Received",
            Self::Processed => "Processed",
            Self::Forwarded => "Forwarded",
        }
    }

    /// The status of this text, compared case-sensitively.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether a message was received, so that a StatusResponse has its time (7.3.2).
    #[must_use]
    pub const fn has_time(self) -> bool {
        matches!(self, Self::Received | Self::Processed | Self::Forwarded)
    }
}
