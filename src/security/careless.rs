//! What every receiver survives of careless peers, unless the agreement says otherwise: signals that break the schema or
//! leave RefToMessageId out, and requests with another SOAPAction (digest, 4.4, 6, 16 and 19.27).
//!
//! Promises: nothing of it is passed over in silence. It is a deviation, told and counted, or it is refused.
//!
//! Does not judge what a signal for somebody else says: that is for its To Party.

use std::collections::BTreeSet;

use super::open::{HEADER, Opened, Trust, listed};
use super::refusal::{Refusal, RefusalCause};
use crate::codec::envelope::{Envelope, FaultCode};
use crate::model::{
    Agreement, Deviation, EbxmlError, ErrorCode, MessageHeader, MessageKind, PartyKey, SignalAction,
    Timestamp,
};

/// A signal that breaks the schema, and an Acknowledgment that names its message in one place only.
pub(super) fn check_signal(
    envelope: &Envelope,
    agreement: &Agreement,
    deviations: &mut BTreeSet<Deviation>,
) -> Result<(), Refusal> {
    let header = &envelope.message.header;
    let mut deviates = |deviation, errors: Vec<EbxmlError>| {
        if agreement.profile.allows(deviation) {
            deviations.insert(deviation);
            return Ok(());
        }
        let text = listed(&errors);
        Err(Refusal::errors(RefusalCause::Envelope, header, errors, text))
    };
    if !envelope.schema_findings.is_empty() {
        deviates(Deviation::SignalSchema, envelope.schema_findings.clone())?;
    }
    let is_acknowledgment = envelope.message.kind == MessageKind::Signal(SignalAction::Acknowledgment);
    if is_acknowledgment && header.data.ref_to_message_id.is_none() {
        let at = format!("{HEADER}/eb:MessageData");
        let error = EbxmlError::new(ErrorCode::Inconsistent, at, "RefToMessageId is missing");
        deviates(Deviation::MissingRefToMessageId, vec![error])?;
    }
    Ok(())
}

impl Opened {
    /// The same, of a message that was posted with another SOAPAction than the binding has.
    ///
    /// # Errors
    /// [`Refusal`], where its agreement does not allow that.
    pub fn with_other_soap_action(mut self, trust: &Trust, now: Timestamp) -> Result<Self, Refusal> {
        let registry = &trust.registry;
        let (header, party, agreement) = match &self {
            Self::Here(verified) => {
                (&verified.message().header, verified.party(), registry.agreement(verified.cpa_id()))
            }
            Self::Elsewhere(transit) => {
                let agreement = registry.agreement_to_forward(transit.from(), now);
                (&transit.message().header, transit.from(), agreement)
            }
        };
        if !agreement.is_some_and(|agreement| agreement.profile.allows(Deviation::SoapAction)) {
            return Err(other_soap_action(header, party));
        }
        self.deviates(Deviation::SoapAction);
        Ok(self)
    }
}

fn other_soap_action(header: &MessageHeader, party: &PartyKey) -> Refusal {
    let told = "SOAPAction is not \"ebXML\", in quotes";
    let refusal = Refusal::fault(RefusalCause::SoapAction, FaultCode::Client, told, told.to_owned());
    Refusal { header: Some(Box::new(header.clone())), party: Some(party.clone()), ..refusal }
}
