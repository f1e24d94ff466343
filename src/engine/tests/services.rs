//! What an MSH does for another MSH: acknowledges as the next one on the way.

use super::super::*;
use super::cases::lodging;
use super::world::*;
use crate::codec::envelope::decode_envelope;
use crate::codec::xml::XmlLimits;
use crate::model::*;

/// The message that an answer on the connection is, and whether it is signed.
fn read(reply: Option<Reply>) -> (Message, bool) {
    let Some(Reply::Message(sealed)) = reply else { panic!("no message: {reply:?}") };
    read_sealed(&sealed)
}

fn read_sealed(sealed: &Sealed) -> (Message, bool) {
    let envelope = decode_envelope(&sealed.body, None, &XmlLimits::ENVELOPE).expect("is an envelope");
    (envelope.message, envelope.signature.is_some())
}

#[test]
fn what_is_asked_of_the_next_msh_is_answered_beside_what_the_to_party_owes() {
    fn check(to_party: Option<bool>, next: bool, expected: (&str, bool, &[Actor], &[ErrorCode])) {
        let mut world = World::new();
        world.agree(BROKER, |agreement| {
            agreement.reliability.ack_requested = Presence::PerMessage;
            agreement.reliability.ack_signed = to_party.unwrap_or(true);
        });
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]).with(|message| {
            let asked = |signed| AckRequested { actor: Actor::ToPartyMsh, signed };
            message.ack_requested = to_party.map(asked).into_iter().collect();
        });
        let mut arrival = posted.arrival(world.now);
        arrival.verified = arrival.verified.asking_next_msh(next);
        let reply = world.drive(&Event::Arrived(Box::new(arrival)));
        let (answer, signed) = read(reply.clone());
        let actors: Vec<_> = answer.acknowledgments.iter().map(|given| given.actor).collect();
        let warnings = answer.error_list.iter().flat_map(|list| &list.errors);
        let codes: Vec<_> = warnings.clone().map(|error| error.code.clone()).collect();
        let told = (&*answer.header.action, signed, actors.as_slice(), codes.as_slice());
        assert_eq!(told, expected, "{to_party:?} {next}");
        assert!(warnings.into_iter().all(|error| error.severity == Severity::Warning));
        assert!(world.stored(&posted).expect("it is kept").accepted, "nobody signed it: it decides nothing");
        for given in &answer.acknowledgments {
            assert_eq!(given.ref_to_message_id, posted.message.header.data.message_id);
            assert_eq!(given.from, [world.own_id()], "an intermediate one says who gives it");
        }
        assert_eq!(world.post(&posted), reply, "a repeat gets the same octets, asked or not (P3)");
        world.check_laws();
    }
    use Actor::{NextMsh, ToPartyMsh};
    use ErrorCode::Inconsistent;
    check(Some(true), false, ("Acknowledgment", true, &[ToPartyMsh, NextMsh], &[]));
    check(Some(false), false, ("Acknowledgment", false, &[ToPartyMsh, NextMsh], &[]));
    check(None, false, ("Acknowledgment", false, &[NextMsh], &[]));
    check(Some(true), true, ("Acknowledgment", true, &[ToPartyMsh], &[Inconsistent]));
    check(None, true, ("MessageError", true, &[], &[Inconsistent]));
}

#[test]
fn an_agreement_without_acknowledgments_has_none_of_a_hop_either() {
    let mut world = World::new();
    world.agree(BROKER, |agreement| agreement.reliability.ack_requested = Presence::Never);
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]).with(|m| m.ack_requested.clear());
    let mut arrival = posted.arrival(world.now);
    arrival.verified = arrival.verified.asking_next_msh(false);
    let (answer, signed) = read(world.drive(&Event::Arrived(Box::new(arrival))));
    let errors = answer.error_list.expect("is refused").errors;
    assert_eq!((errors.len(), &errors[0].code, signed), (1, &ErrorCode::NotSupported, true));
    assert!(!world.stored(&posted).expect("it is kept").accepted);
    world.check_laws();
}
