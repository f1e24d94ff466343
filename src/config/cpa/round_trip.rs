//! What a CPA says is what the partner file says that it becomes, and what is exported of that says the same again.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::export::cpa_terms;
use super::{ImportOptions, Own, import_cpa};
use crate::codec::cpa::{ChannelOverride, ChannelTerms, CpaTerms, PartyTerms, read_cpa, write_cpa};
use crate::config::fault::Faults;
use crate::config::{Identity, Partners};
use crate::model::{
    Agreement, CpaId, Digest, DigestMethod, Direction, PartyId, PartyKey, PartyKind, Presence, Registry,
    Role, Service, SignalAction, SignatureAlgorithm, SyncReplyMode,
};
use crate::security::samples;

const OWN_URL: &str = "https://gateway.example/ebms";
const OWN: &str = "SW000000000001";
const PARTNER: &str = "BR123450000001";
/// Place of the party that sends it, Service, Action.
const ACTIONS: [(usize, &str, &str); 7] = [
    (0, "ImportClearance", "GOVCBR023"),
    (0, "ImportClearance", "GOVCBRXS2"),
    (0, "urn:x:payment", "GOVCBRXF1"),
    (0, "urn:x:payment", "Answer"),
    (1, "ImportClearance", "GOVCBR929"),
    (1, "urn:x:payment", "GOVCBRXF2"),
    (1, "urn:x:payment", "Answer"),
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]
    #[test]
    fn what_is_agreed_survives_a_cpa_and_its_way_back(terms in agreed()) {
        let agreement = kept(&terms);
        let said: BTreeMap<_, _> = ACTIONS
            .iter()
            .filter(|(sender, service, action)| {
                terms.parties[*sender].sends.iter().any(|(s, a)| &*s.value == *service && **a == **action)
            })
            .map(|(sender, service, action)| {
                let over = over(&terms, *sender, service, action);
                ((*sender, *service, *action), Said::of_channel(over, *sender))
            })
            .collect();
        prop_assert_eq!(of_agreement(&agreement, said.keys().copied()), said.clone());
        for signal in SignalAction::ALL {
            let channel = over(&terms, 0, Service::MSH, signal.as_str());
            let [_, endpoint] = &channel.endpoints;
            let response = channel.response_endpoints[1].as_ref().filter(|_| is_answer(signal));
            prop_assert_eq!(posted(&agreement, signal), response.or(endpoint.as_ref()), "{}", signal.as_str());
        }
        prop_assert_eq!(agreement.own_ids.len(), terms.parties[0].ids.len());
        prop_assert!(terms.parties[1].ids.iter().all(|id| agreement.partner_ids.contains(id)));

        let [mut own, mut partner] = terms.parties.clone();
        (own.ids, partner.ids) = (agreement.own_ids.clone(), agreement.partner_ids.clone());
        let again = kept(&cpa_terms(&agreement, OWN_URL, [own, partner]));
        prop_assert_eq!(of_agreement(&again, said.keys().copied()), said);
        for signal in SignalAction::ALL {
            prop_assert_eq!(posted(&again, signal), posted(&agreement, signal), "{}", signal.as_str());
        }
        let times = |agreement: &Agreement| {
            (agreement.reliability.time_to_live, agreement.reliability.persist_duration, agreement.start, agreement.end)
        };
        prop_assert_eq!(times(&again), times(&agreement));
        prop_assert_eq!((&again.own_ids, &again.partner_ids), (&agreement.own_ids, &agreement.partner_ids));
        prop_assert_eq!(&again.signature, &agreement.signature);
    }
}

/// What holds for an Action; Retries and URLs only where we send it.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    roles: [Role; 2],
    sync_reply_mode: SyncReplyMode,
    presences: [Presence; 2],
    ack_signed: Presence,
    sending: Option<Sending>,
}

/// Retries, RetryInterval, and where messages and answers are posted.
type Sending = (u32, Duration, [Option<Arc<str>>; 2]);

impl Said {
    fn of_channel(terms: &ChannelTerms, sender: usize) -> Self {
        let urls =
            [terms.endpoints[1].clone(), terms.response_endpoints[1].clone().or(terms.endpoints[1].clone())];
        Self {
            roles: terms.roles.clone(),
            sync_reply_mode: terms.sync_reply_mode,
            presences: [terms.ack_requested, terms.duplicate_elimination],
            ack_signed: terms.ack_signed,
            sending: (sender == 0).then_some((terms.retries, terms.retry_interval, urls)),
        }
    }
}

fn of_agreement<'a>(
    agreement: &Agreement,
    actions: impl Iterator<Item = (usize, &'a str, &'a str)>,
) -> BTreeMap<(usize, &'a str, &'a str), Said> {
    let said = |(sender, service, action): (usize, &'a str, &'a str)| {
        let direction = if sender == 0 { Direction::Send } else { Direction::Receive };
        assert!(agreement.allows(direction, service, action), "{service} {action}");
        let terms = agreement.on(direction, service, action);
        let reliability = &terms.reliability;
        let urls = [false, true].map(|is_answer| terms.endpoint_of(is_answer).cloned());
        let said = Said {
            roles: [terms.own_role.clone(), terms.partner_role.clone()],
            sync_reply_mode: terms.sync_reply_mode,
            presences: [reliability.ack_requested, reliability.duplicate_elimination],
            ack_signed: match (reliability.ack_signed_per_message, reliability.ack_signed) {
                (true, _) => Presence::PerMessage,
                (false, true) => Presence::Always,
                (false, false) => Presence::Never,
            },
            sending: (sender == 0).then_some((reliability.retries, reliability.retry_interval, urls)),
        };
        ((sender, service, action), said)
    };
    actions.map(said).collect()
}

const fn is_answer(signal: SignalAction) -> bool {
    !matches!(signal, SignalAction::Ping | SignalAction::StatusRequest)
}

fn posted(agreement: &Agreement, signal: SignalAction) -> Option<&Arc<str>> {
    agreement.on(Direction::Send, Service::MSH, signal.as_str()).endpoint_of(is_answer(signal))
}

fn over<'a>(terms: &'a CpaTerms, sender: usize, service: &str, action: &str) -> &'a ChannelTerms {
    let names = |other: &&ChannelOverride| {
        other.actions.iter().any(|(s, v, a)| *s == sender && **v == *service && **a == *action)
    };
    terms.overrides.iter().find(names).map_or(&terms.usual, |other| &other.terms)
}

/// The agreement that a CPA becomes, over its partner file.
fn kept(terms: &CpaTerms) -> Agreement {
    let text = write_cpa(terms);
    let cpa = read_cpa(&Bytes::from(text.clone())).unwrap_or_else(|told| panic!("{told:#?} {text}"));
    let key = PartyKey::new(OWN).expect("a box number");
    let identity = Identity { ids: vec![box_number(OWN)], key, role: None, domain: "gateway.example".into() };
    let [us, _] = &terms.parties;
    let tls = us.tls_certificate.as_deref().map_or(Digest([0; 32]), Digest::of);
    let own = Own { identity: &identity, tls, signing: vec![Digest::of(&us.signing_certificate)] };
    let options = ImportOptions { kind: PartyKind::Declarant, name: None, business_number: None };
    let now = "2030-06-01T00:00:00Z".parse().expect("an instant");
    let imported = import_cpa(&cpa, &own, &Registry::default(), &options, now);
    let imported = imported.unwrap_or_else(|told| panic!("{told:#?} {text}"));
    let directory = tempfile::tempdir().expect("makes a directory");
    for certificate in &imported.certificates {
        std::fs::write(directory.path().join(&certificate.file), &certificate.pem).expect("writes");
    }
    let file = format!("{}\n{}", imported.head, imported.agreement);
    std::fs::write(directory.path().join(&imported.file), &file).expect("writes");
    let mut faults = Faults::default();
    let partners = Partners::read(directory.path(), None, &identity, &mut faults);
    let faults = faults.into_list();
    assert!(faults.is_empty(), "{faults:#?} {file}");
    partners.registry.agreements().next().expect("there is one").clone()
}

fn box_number(value: &str) -> PartyId {
    PartyId { value: value.into(), kind: Some("urn:swgw:party".into()) }
}

fn agreed() -> impl Strategy<Value = CpaTerms> {
    let actions = subsequence(ACTIONS.to_vec(), 1..=ACTIONS.len());
    let signals = subsequence(SignalAction::ALL.to_vec(), 0..=3);
    let ids = [Just(()).boxed(), Just(()).boxed()]
        .map(|_| subsequence(vec!["urn:duns 1", "orgnummer 2", "urn:x:3"], 0..=3));
    let shape = (actions, signals, ids, any::<bool>());
    shape.prop_flat_map(|(actions, signals, ids, collects)| {
        let count = actions.len();
        // What a channel of the partner's says of its memory becomes a TimeToLive, and no agreement says it again.
        let persist = (1_000..100_000_u64).prop_map(Duration::from_secs);
        let channels = persist.prop_flat_map(move |persist| {
            (proptest::collection::vec(channel(collects, persist), 1..=4), channel(collects, persist))
        });
        let places = proptest::collection::vec(0..4_usize, count);
        (Just((actions, signals, ids)), channels, places).prop_map(
            |((actions, signals, ids), (channels, of_signals), places)| {
                let mut overrides: Vec<_> = channels[1..]
                    .iter()
                    .map(|terms| ChannelOverride { actions: Vec::new(), terms: terms.clone() })
                    .collect();
                for ((sender, service, action), place) in actions.iter().zip(places) {
                    if let Some(other) = place.checked_sub(1).and_then(|place| overrides.get_mut(place)) {
                        other.actions.push((*sender, (*service).into(), (*action).into()));
                    }
                }
                let signals = signals.iter().map(|signal| (0, Service::MSH.into(), signal.as_str().into()));
                overrides.push(ChannelOverride { actions: signals.collect(), terms: of_signals });
                let side = |place: usize, key: &str| PartyTerms {
                    name: key.into(),
                    ids: std::iter::once(box_number(key))
                        .chain(ids[place].iter().map(|id| other_id(place, id)))
                        .collect(),
                    tls_certificate: Some(CERTIFICATES[place].clone()),
                    signing_certificate: CERTIFICATES[place].clone(),
                    digest: DigestMethod::Sha256,
                    algorithms: vec![SignatureAlgorithm::EcdsaSha256],
                    sends: sent(&actions, place),
                };
                CpaTerms {
                    id: CpaId::new("swgw-broker-1").expect("a CPAId"),
                    start: "2029-01-01T00:00:00Z".parse().expect("an instant"),
                    end: "2032-01-01T00:00:00Z".parse().expect("an instant"),
                    usual: channels[0].clone(),
                    overrides,
                    parties: [side(0, OWN), side(1, PARTNER)],
                }
            },
        )
    })
}

fn sent(actions: &[(usize, &str, &str)], place: usize) -> Vec<(Service, Arc<str>)> {
    let of_place = actions.iter().filter(|(sender, ..)| *sender == place);
    let service = |value: &str| Service {
        value: value.into(),
        kind: (!value.contains(':')).then(|| "urn:swgw:service".into()),
    };
    of_place.map(|(_, value, action)| (service(value), (*action).into())).collect()
}

/// A PartyId of one of the parties alone.
fn other_id(place: usize, text: &str) -> PartyId {
    match text.split_once(' ') {
        Some((kind, value)) => PartyId { value: format!("{value}{place}").into(), kind: Some(kind.into()) },
        None => PartyId { value: format!("{text}:{place}").into(), kind: None },
    }
}

fn channel(collects: bool, persist_duration: Duration) -> impl Strategy<Value = ChannelTerms> {
    let role = || {
        select(vec!["SingleWindow", "Declarant", "Payer"]).prop_map(|role| Role::new(role).expect("a Role"))
    };
    let url = || {
        select(vec!["one", "two", "three"]).prop_map(|name| Arc::from(format!("https://{name}.example/ebms")))
    };
    let presence = || select(vec![Presence::Always, Presence::Never, Presence::PerMessage]);
    let terms = (
        [role(), role()],
        url(),
        proptest::option::of(url()),
        select(SyncReplyMode::ALL.to_vec()),
        [presence(), presence()],
        presence(),
        (0..5_u32, 1..120_u64),
    );
    terms.prop_map(
        move |(roles, endpoint, response, sync_reply_mode, presences, ack_signed, (retries, wait))| {
            ChannelTerms {
                roles,
                endpoints: [Some(OWN_URL.into()), (!collects).then_some(endpoint)],
                response_endpoints: [None, response.filter(|_| !collects)],
                sync_reply_mode,
                ack_requested: presences[0],
                ack_signed,
                duplicate_elimination: presences[1],
                message_order: false,
                retries,
                retry_interval: Duration::from_secs(wait),
                persist_duration,
            }
        },
    )
}

/// A certificate of each party.
static CERTIFICATES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [OWN, PARTNER].map(|name| samples::Identity::new(name, SignatureAlgorithm::EcdsaSha256).der())
});
