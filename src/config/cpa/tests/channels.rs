//! What comes of the channels of an Action, and of what its bindings require over them.

use super::{import, terms, usual};
use crate::codec::cpa::{ChannelOverride, ChannelTerms, CpaTerms, write_cpa};
use crate::model::{Presence, SyncReplyMode};

/// A CPA with a second channel for these Actions.
fn other(terms: ChannelTerms, actions: &[(usize, &str)]) -> String {
    let actions =
        actions.iter().map(|(sender, action)| (*sender, "ImportClearance".into(), (*action).into()));
    let overrides = vec![ChannelOverride { actions: actions.collect(), terms }];
    write_cpa(&CpaTerms { overrides, ..self::terms() })
}

/// The usual channel as the second choice wherever there is a second one.
fn both(text: &str) -> String {
    let text = text.replace(
        "<tp:ChannelId>party1-channel-1</tp:ChannelId>",
        "<tp:ChannelId>party1-channel-1</tp:ChannelId><tp:ChannelId>party1-channel</tp:ChannelId>",
    );
    text.replace(
        "<tp:ChannelId>party2-channel-1</tp:ChannelId>",
        "<tp:ChannelId>party2-channel-1</tp:ChannelId><tp:ChannelId>party2-channel</tp:ChannelId>",
    )
}

/// Of several channels of an Action the partner's first one that can be used is sent over; what comes over any
/// of ours is taken.
#[test]
fn of_several_channels_the_first_usable_one_is_sent_over() {
    let second = ChannelTerms {
        endpoints: [usual().endpoints[0].clone(), Some("https://second.example/ebms".into())],
        duplicate_elimination: Presence::Never,
        ..usual()
    };
    // Both channels for both Actions, the usual one as the second choice.
    let text = other(second.clone(), &[(0, "GOVCBRXS2"), (1, "GOVCBR929")]);
    let imported = import(&both(&text)).expect("can be kept");
    let (_, written) = imported.agreement.split_once("]\n\n[[agreement.override]]\n").expect("there are two");
    assert_eq!(
        written,
        "receive = [\"ImportClearance GOVCBR929\"]\nduplicate_elimination = \"perMessage\"\n\n\
         [[agreement.override]]\nsend = [\"ImportClearance GOVCBRXS2\"]\nendpoint = \"https://second.example/ebms\"\n\
         duplicate_elimination = \"never\"\n"
    );
    let notes: Vec<_> = imported.notes.iter().map(ToString::to_string).collect();
    assert!(notes.len() == 1 && notes[0].contains("it is sent over party2-channel-1"), "{notes:?}");

    // The first choice is by mail: the second one is used.
    let (before, after) =
        text.split_once("tp:transportId=\"party2-transport-1\"><tp:TransportSender>").expect("is there");
    let by_mail = after.replacen(">HTTP<", ">SMTP<", 2);
    let mail = format!("{before}tp:transportId=\"party2-transport-1\"><tp:TransportSender>{by_mail}");
    let imported = import(&both(&mail)).expect("can be kept");
    assert!(!imported.agreement.contains("second.example"), "{}", imported.agreement);
    assert!(imported.notes[0].message.contains("it is sent over party2-channel,"), "{:?}", imported.notes);
    assert!(
        import(&mail).expect_err("nothing else is offered").iter().any(|told| told.contains("over HTTPS"))
    );

    let third = ChannelTerms { sync_reply_mode: SyncReplyMode::None, ..usual() };
    let told = import(&both(&other(third, &[(1, "GOVCBR929")]))).expect_err("one mode is kept");
    assert!(told.iter().any(|told| told.contains("differ in syncReplyMode")), "{told:#?}");
}

/// What bindings require of receipts beside what channels ask for: perMessage is left where nothing is required,
/// a signed receipt that is required is one of every message, and a contradiction is told of each channel that
/// the partner may take, also where another one has what is required.
#[test]
fn a_signed_receipt_that_is_required_is_not_left_to_the_message() {
    use Presence::{Always, Never, PerMessage};
    const OF_CHANNEL: &str = "ackSignatureRequested of the channel contradict each other [cpa:receipt]";
    const OF_PARTIES: &str = "true for one party and false for the other [cpa:receipt]";
    // What we say of what the partner sends, and what the partner says.
    let check = |channels: &[Presence], bindings: [Option<bool>; 2], expected: Result<&str, &str>| {
        let over = |ack_signed| ChannelTerms { ack_signed, ..usual() };
        let text = match channels {
            [one] => write_cpa(&CpaTerms { usual: over(*one), ..terms() }),
            [one, second] => {
                let usual = CpaTerms { usual: over(*second), ..terms() };
                let actions = vec![(1, "ImportClearance".into(), "GOVCBR929".into())];
                let overrides = vec![ChannelOverride { actions, terms: over(*one) }];
                both(&write_cpa(&CpaTerms { overrides, ..usual }))
            }
            _ => panic!("one channel or two"),
        };
        let mut text = text;
        for (id, required) in ["party1-receives-0", "party2-sends-0"].into_iter().zip(bindings) {
            text = requiring(&text, id, required);
        }
        let what = format!("{channels:?}, {bindings:?}");
        match (import(&text), expected) {
            (Ok(kept), Ok(expected)) => {
                let own = kept.agreement.split_once("receive = [\"ImportClearance GOVCBR929\"]\n");
                let terms = own.map_or(&*kept.agreement, |(_, own)| own);
                let of_all = || kept.agreement.lines().find(|line| line.starts_with("ack_signed = "));
                let said = terms.lines().find(|line| line.starts_with("ack_signed = ")).or_else(of_all);
                assert_eq!(said, Some(expected), "{what}: {}", kept.agreement);
            }
            (Err(told), Err(expected)) => {
                assert!(told.iter().any(|told| told.ends_with(expected)), "{what}: {told:#?}");
            }
            (found, _) => panic!("{what}: {found:#?}"),
        }
    };
    let (signed, each) = (Ok("ack_signed = true"), Ok("ack_signed = \"perMessage\""));
    for (channels, neither, required, unsigned) in [
        (&[Always][..], signed, signed, Err(OF_CHANNEL)),
        (&[PerMessage], each, signed, each),
        (&[Never], Ok("ack_signed = false"), Err(OF_CHANNEL), Ok("ack_signed = false")),
        (&[Always, PerMessage], each, signed, Err(OF_CHANNEL)),
        (&[PerMessage, Always], each, signed, Err(OF_CHANNEL)),
        (&[Always, Never], each, Err(OF_CHANNEL), Err(OF_CHANNEL)),
        (&[Never, Always], each, Err(OF_CHANNEL), Err(OF_CHANNEL)),
        (&[Never, PerMessage], each, Err(OF_CHANNEL), each),
    ] {
        check(channels, [None; 2], neither);
        for (value, expected) in [(true, required), (false, unsigned)] {
            check(channels, [Some(value); 2], expected);
            check(channels, [Some(value), None], expected);
            check(channels, [None, Some(value)], expected);
        }
        check(channels, [Some(true), Some(false)], Err(OF_PARTIES));
    }
}

/// The CPA with what a binding says of its receipt: nothing, or that a signed one is required or not.
fn requiring(text: &str, binding: &str, required: Option<bool>) -> String {
    const NAME: &str = " tp:isNonRepudiationReceiptRequired=";
    let at = text.find(&format!("tp:id=\"{binding}\"")).expect("the binding is there");
    let (before, rest) = text.split_at(at);
    let (element, after) = rest.split_once("/>").expect("its characteristics end");
    let (element, said) = element.split_once(NAME).unwrap_or((element, "\"\""));
    let others = said.splitn(3, '"').nth(2).expect("a value in quotes");
    let said = required.map_or_else(String::new, |required| format!("{NAME}\"{required}\""));
    format!("{before}{element}{said}{others}/>{after}")
}
