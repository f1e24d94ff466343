//! A message whose header breaks a rule is answered all the same: to who owns the connection, and never an answer itself.

use super::*;

/// Sealed by the trader, with `from` replaced behind the signature, which nobody comes to look at.
fn refused(pair: &Pair, message: &Message, from: &str, to: &str) -> Refusal {
    refusal(pair.open(&edited(&sealed_by(&pair.trader, message), from, to)), to)
}

//= ebms2 4.2.4.1 SHOULD: an error is answered wherever it is known where to, also when the header cannot be read whole
#[test]
fn what_cannot_be_read_of_a_header_is_supplied_for_its_answer() {
    let pair = pair();
    let sent = message(&PARTS);
    let own = &sent.header;
    let id = own.data.message_id.as_str();
    type Field = fn(&MessageHeader) -> String;
    let from: Field = |header| header.from.ids.iter().map(ToString::to_string).collect();
    let to: Field = |header| header.to.ids.iter().map(ToString::to_string).collect();
    let cpa: Field = |header| header.cpa_id.to_string();
    let conversation: Field = |header| header.conversation_id.to_string();
    let kind: Field = |header| format!("{} {}", header.service.value, header.action);
    let timestamp: Field = |header| header.data.timestamp.to_string();
    let trader = party_id(TRADER).to_string();
    let open_and = |name: &str, value: &str| format!("<eb:{name}>{value}</eb:{name}>");
    for (what, replaced, field, expected) in [
        ("CPAId", open_and("CPAId", own.cpa_id.as_str()), cpa, CPA),
        ("ConversationId", open_and("ConversationId", own.conversation_id.as_str()), conversation, id),
        ("Action", open_and("Action", &own.action), kind, "urn:swgw:import "),
        ("Service", open_and("Service", &own.service.value), kind, " lodge"),
        ("Timestamp", open_and("Timestamp", &own.data.timestamp.to_string()), timestamp, NOW),
        ("From", format!(">{TRADER}<"), from, &trader),
        ("To", format!(">{GATEWAY}<"), to, &to(own)),
    ] {
        for empty in ["", "   ", &"x".repeat(600)] {
            let (start, rest) = replaced.split_once('>').expect("a tag");
            let (_, end) = rest.split_once('<').expect("a tag");
            let refused = refused(&pair, &sent, &replaced, &format!("{start}>{empty}<{end}"));
            assert_eq!(refused.cause, RefusalCause::Envelope, "{what}: {}", refused.text);
            assert_eq!(told(&refused).0, ErrorCode::OtherXml, "{what}");
            assert!(told(&refused).1.is_some_and(|at| at.contains(what)), "{what}: {:?}", refused.answer);
            let header = refused.header.expect("a header to answer");
            assert_eq!(header.data.message_id.as_str(), id, "{what}");
            assert_eq!(field(&header), expected, "{what}");
        }
    }
}

/// Nothing can refer to a message without MessageId, and no agreement is made up: both hear at the SOAP layer what is
/// wrong.
#[test]
fn a_header_that_nothing_can_refer_to_is_answered_with_a_fault_that_says_why() {
    let pair = pair();
    let sent = message(&PARTS);
    let check = |pair: &Pair, name: &str, value: &str| {
        let refused = refused(pair, &sent, &format!("<eb:{name}>{value}<"), &format!("<eb:{name}><"));
        let RefusalAnswer::Fault(fault) = &refused.answer else { panic!("{:?}", refused.answer) };
        assert!(fault.text.contains("OtherXml") && fault.text.contains(name), "{}", fault.text);
        assert_eq!(refused.header, None);
    };
    check(&pair, "MessageId", sent.header.data.message_id.as_str());
    let mut alone = pair.trust.clone();
    alone.registry = Arc::new(Registry::new(pair.trust.registry.parties().cloned(), []));
    check(&Pair { trust: alone, ..pair }, "CPAId", CPA);
}

//= ebms2 4.2.4.1 MUST: no error answers an error, also where only its ErrorList tells that it is one
//= ebms2 6.5.2 MUST: no error answers an acknowledgment
#[test]
fn what_is_an_answer_is_never_answered_however_broken() {
    let pair = pair();
    let acknowledgment = acknowledgment_of("m@gateway.example");
    let mut error = acknowledgment.clone();
    error.header.action = "MessageError".into();
    error.kind = MessageKind::Signal(SignalAction::MessageError);
    error.acknowledgments.clear();
    error.error_list = Some(ErrorList { errors: vec![EbxmlError::new(ErrorCode::Unknown, None, "x")] });
    let mut ping = acknowledgment.clone();
    ping.header.action = "Ping".into();
    ping.kind = MessageKind::Signal(SignalAction::Ping);
    ping.header.data.ref_to_message_id = None;
    ping.acknowledgments.clear();
    for (signal, answered) in [(&acknowledgment, false), (&error, false), (&ping, true)] {
        let action = &signal.header.action;
        for (from, to) in [
            (format!("<eb:Action>{action}<"), "<eb:Action><"),
            (format!("<eb:Action>{action}</eb:Action>"), ""),
            (format!("<eb:CPAId>{CPA}<"), "<eb:CPAId><"),
            (format!("<eb:Timestamp>{}<", signal.header.data.timestamp), "<eb:Timestamp>never<"),
        ] {
            let refused = refused(&pair, signal, &from, to);
            let is_answered = matches!(refused.answer, RefusalAnswer::Errors(_));
            assert_eq!(is_answered, answered, "{action} {to}: {:?}", refused.answer);
            assert!(is_answered || refused.answer == RefusalAnswer::Http(202), "{:?}", refused.answer);
        }
    }
    // A Pong refers to its Ping, and is none. Without a Service their names are known.
    let mut pong = ping.clone();
    pong.header.action = "Pong".into();
    pong.kind = MessageKind::Signal(SignalAction::Pong);
    pong.header.data.ref_to_message_id = acknowledgment.header.data.ref_to_message_id.clone();
    let no_service = (format!(">{}<", Service::MSH), "><".to_owned());
    let no_action = ("<eb:Action>Pong<".to_owned(), "<eb:Action><".to_owned());
    // An ErrorList is one also where a Service and an Action say that it is something else.
    let error_of_business = ("<eb:Action>MessageError<".to_owned(), "<eb:Action>Fault<".to_owned());
    for (signal, (from, to)) in [
        (&pong, &no_action),
        (&pong, &no_service),
        (&acknowledgment, &no_service),
        (&error, &no_service),
        (&error, &error_of_business),
    ] {
        let refused = refused(&pair, signal, from, to);
        assert_eq!(refused.answer, RefusalAnswer::Http(202), "{from} {to}: {}", refused.text);
    }
}

/// S1: so many headers that name no message cost no more than one look at each.
#[test]
fn a_crowd_of_headers_is_refused_at_once_s1() {
    let pair = pair();
    let crowd = format!("{}<eb:MessageHeader", "<eb:MessageHeader/>".repeat(40_000));
    let refused = refused(&pair, &message(&PARTS), "<eb:MessageHeader", &crowd);
    assert!(matches!(refused.answer, RefusalAnswer::Errors(_)), "{:?}", refused.answer);
}
