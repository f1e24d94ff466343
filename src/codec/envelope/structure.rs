//! Which elements stand where: the checks of the closed profile that no schema makes (digest, 8.5;
//! promises-and-threats 2.1, S1 to S3).
//!
//! Promises: what [`Blocks`] names is the only element of its kind in the whole envelope and stands directly in
//! Header or Body, so that no later reader can find another one; nothing that a signature leaves out stands where
//! it could be read as signed.

use std::collections::BTreeSet;

use super::super::xml::{Element, XML_NAMESPACE};
use super::{DS, EB, Errors, SOAP};
use crate::model::{Actor, ErrorCode};

/// The ebMS elements and the signature of one envelope.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    pub(super) message_header: Element<'a>,
    pub(super) sync_reply: Option<Element<'a>>,
    pub(super) ack_requested: Vec<Element<'a>>,
    pub(super) acknowledgments: Vec<Element<'a>>,
    pub(super) error_list: Option<Element<'a>>,
    pub(super) message_order: Option<Element<'a>>,
    pub(super) manifest: Option<Element<'a>>,
    pub(super) status_request: Option<Element<'a>>,
    pub(super) status_response: Option<Element<'a>>,
    pub(super) signature: Option<Element<'a>>,
}

impl<'a> Blocks<'a> {
    /// Finds them, or tells everything that stands where it must not.
    pub(super) fn read(root: Element<'a>, header: Element<'a>, body: Element<'a>) -> Result<Self, Errors> {
        let mut errors = Errors::default();
        check_places(root, header, body, &mut errors);
        check_ids(root, &mut errors);
        let mut all = |parent: Element<'a>, namespace: &str, local: &str, max: usize| {
            let found: Vec<_> = parent.children().filter(|child| child.is(namespace, local)).collect();
            for surplus in found.iter().skip(max) {
                errors.push(ErrorCode::SecurityFailure, *surplus, format!("more than {max} {local}"));
            }
            found
        };
        let mut one = |parent, local| all(parent, EB, local, 1).pop();
        let message_header = one(header, "MessageHeader");
        let sync_reply = one(header, "SyncReply");
        let error_list = one(header, "ErrorList");
        let message_order = one(header, "MessageOrder");
        let manifest = one(body, "Manifest");
        let status_request = one(body, "StatusRequest");
        let status_response = one(body, "StatusResponse");
        let ack_requested = all(header, EB, "AckRequested", 2);
        let acknowledgments = all(header, EB, "Acknowledgment", 2);
        let signature = all(header, DS, "Signature", 1).pop();
        for pair in [&ack_requested, &acknowledgments] {
            if let [first, second] = pair.as_slice()
                && actor(*first) == actor(*second)
            {
                errors.push(ErrorCode::Inconsistent, *second, "two of one actor");
            }
        }
        if message_header.is_none() {
            errors.push(ErrorCode::OtherXml, header, "eb:MessageHeader is missing");
        }
        match message_header.filter(|_| errors.is_empty()) {
            None => Err(errors),
            Some(message_header) => Ok(Self {
                message_header,
                sync_reply,
                ack_requested,
                acknowledgments,
                error_list,
                message_order,
                manifest,
                status_request,
                status_response,
                signature,
            }),
        }
    }

    /// Every ebMS element of Header and Body.
    pub(super) fn all(&self) -> impl Iterator<Item = Element<'a>> {
        let single = [
            Some(self.message_header),
            self.sync_reply,
            self.error_list,
            self.message_order,
            self.manifest,
            self.status_request,
            self.status_response,
        ];
        let several = self.ack_requested.iter().chain(&self.acknowledgments).copied();
        single.into_iter().flatten().chain(several.collect::<Vec<_>>())
    }
}

/// Whether this is a header block that the envelope reader knows.
pub(super) fn is_known_block(block: Element<'_>) -> bool {
    match block.name() {
        (EB, local) => HEADER_BLOCKS.contains(&local),
        name => name == (DS, "Signature"),
    }
}

/// What `soap:actor` says; an empty one says nothing, which is the To Party MSH (digest, 3 and 4.2).
pub(super) fn actor(block: Element<'_>) -> &str {
    match block.attribute(SOAP, "actor") {
        None | Some("") => Actor::TO_PARTY_MSH,
        Some(actor) => actor,
    }
}

/// Whether the transforms of ebMS 2.0 leave this element out of the signature.
pub(super) fn is_left_out(element: Element<'_>) -> bool {
    element.attribute(SOAP, "actor").is_some_and(|actor| LEFT_OUT.contains(&actor))
}

fn check_places(root: Element<'_>, header: Element<'_>, body: Element<'_>, errors: &mut Errors) {
    for element in root.descendants() {
        let (namespace, local) = element.name();
        let is_in = |parent: Element<'_>| element.parent().is_some_and(|p| p.id() == parent.id());
        let place = match (namespace, local) {
            (EB, _) if HEADER_BLOCKS.contains(&local) => Some(header),
            (EB, _) if BODY_BLOCKS.contains(&local) => Some(body),
            (DS, "Signature") => Some(header),
            _ => None,
        };
        match place {
            Some(place) if !is_in(place) => {
                let text = format!("{local} does not stand directly in {}", place.path());
                errors.push(ErrorCode::SecurityFailure, element, text);
            }
            None if namespace == EB && (is_in(header) || is_in(body)) => {
                errors.push(ErrorCode::OtherXml, element, "ebMS 2.0 has no such element here");
            }
            _ => {}
        }
        if namespace == XINCLUDE {
            errors.push(ErrorCode::SecurityFailure, element, "XInclude is not allowed");
        }
        if is_left_out(element) && !(is_in(header) && may_be_left_out(namespace, local)) {
            errors.push(ErrorCode::SecurityFailure, element, "soap:actor takes this out of the signature");
        } else if is_in(header)
            && namespace == EB
            && FOR_TO_PARTY.contains(&local)
            && actor(element) != Actor::TO_PARTY_MSH
        {
            let text = "soap:actor names another node than the To Party MSH";
            errors.push(ErrorCode::SecurityFailure, element, text);
        }
    }
}

/// Digest, 8.5.2: only these may be meant for nodes on the way.
fn may_be_left_out(namespace: &str, local: &str) -> bool {
    match namespace {
        EB => matches!(local, "SyncReply" | "AckRequested" | "Acknowledgment"),
        DS | SOAP => false,
        _ => true,
    }
}

/// S2: an id that two elements share names neither.
fn check_ids(root: Element<'_>, errors: &mut Errors) {
    let mut ids = BTreeSet::new();
    for element in root.descendants() {
        let of_ds = element.name().0 == DS;
        for attribute in element.attributes() {
            let is_id = match (attribute.namespace, attribute.local) {
                (EB | XML_NAMESPACE, "id") => true,
                ("", "Id") => of_ds,
                _ => false,
            };
            if is_id && !ids.insert(attribute.value.trim_ascii()) {
                errors.push(ErrorCode::SecurityFailure, element, "an id that another element has too");
            }
        }
    }
}

const HEADER_BLOCKS: [&str; 6] =
    ["MessageHeader", "SyncReply", "AckRequested", "Acknowledgment", "ErrorList", "MessageOrder"];
const BODY_BLOCKS: [&str; 3] = ["Manifest", "StatusRequest", "StatusResponse"];

/// Digest, 8.5.3.
const FOR_TO_PARTY: [&str; 3] = ["MessageHeader", "ErrorList", "MessageOrder"];

/// The actors that a recognised transform can name, the misprint of the standard among them (digest, 8.1).
const LEFT_OUT: [&str; 3] =
    [Actor::NEXT_MSH, Actor::SOAP_NEXT, "urn:oasis:names:tc:ebxml-msg:service:nextMSH"];

const XINCLUDE: &str = "http://www.w3.org/2001/XInclude";
