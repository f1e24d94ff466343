//! What one side sends and the other receives, over which of the channels; and what of it cannot be kept here.

use std::collections::BTreeSet;

use super::Import;
use crate::codec::cpa::{CollaborationRole, CpaBinding, CpaMessaging, CpaParty, CpaTls, DeliveryChannel};
use crate::config::settings::SERVICE_TYPE;
use crate::model::{Actor, Presence, Role};

/// An Action as both sides have it.
pub(super) struct Met<'a> {
    /// We send it.
    pub(super) sent: bool,
    /// Ours, then the partner's.
    pub(super) roles: [&'a Role; 2],
    pub(super) service: &'a CollaborationRole,
    pub(super) binding: &'a CpaBinding,
    /// The channel of the side that receives it; as far as several of ours differ, what fits each. Where a
    /// signed receipt is required, ackSignatureRequested `perMessage` is `always`.
    pub(super) channel: DeliveryChannel,
    /// What the side that sends it does.
    pub(super) sender: Option<&'a CpaMessaging>,
}

impl Import {
    /// What one party sends and the other receives.
    pub(super) fn met<'a>(&mut self, from: &'a CpaParty, to: &'a CpaParty, sent: bool) -> Vec<Met<'a>> {
        let mut met = Vec::new();
        for role in &from.roles {
            for binding in role.bindings.iter().filter(|binding| binding.sends) {
                let their =
                    bindings(to).find(|(their, received)| is_received_as((role, binding), (their, received)));
                let channels: Vec<&DeliveryChannel> = their
                    .into_iter()
                    .flat_map(|(_, their)| &their.channels)
                    .filter_map(|id| to.channels.get(id))
                    .collect();
                let (Some((CollaborationRole { role: their_role, .. }, their)), false) =
                    (their, channels.is_empty())
                else {
                    let message = format!(
                        "{} sends {}, and the other party does not receive it",
                        from.name, binding.action
                    );
                    self.add(&binding.place, "action", message);
                    continue;
                };
                let mut channel = match sent {
                    true => self.preferred(their, &channels),
                    false => self.fitting_each(their, &channels),
                };
                for binding in [binding, their].into_iter().filter(|binding| binding.confidential) {
                    let message =
                        "isConfidential asks for encrypted messages (persistent): only TLS encrypts here";
                    self.add(&binding.place, "encryption", message.to_owned());
                }
                let receipts = [binding.receipt_signed, their.receipt_signed];
                let over: Vec<_> = if sent { vec![&channel] } else { channels };
                self.receipts_can_be_kept(binding, receipts, &over);
                // A message may ask for either then, and each is to be confirmed under a signature.
                if receipts.contains(&Some(true)) && channel.ack_signature_requested == Presence::PerMessage {
                    channel.ack_signature_requested = Presence::Always;
                }
                let own_channel = binding.channels.first().and_then(|id| from.channels.get(id));
                let sender = own_channel.and_then(|channel| channel.exchange.sender.as_ref());
                if sender.is_none_or(|sender| sender.signature.is_none()) {
                    let message = "nothing says how it is signed (SenderNonRepudiation): what is not signed steers nothing here";
                    self.add(&binding.place, "signature", message.to_owned());
                }
                let roles = if sent { [&role.role, their_role] } else { [their_role, &role.role] };
                met.push(Met { sent, roles, service: role, binding, channel, sender });
            }
        }
        met
    }

    /// The channel that we send over: of those that the partner offers, in the order in which it likes them, the first
    /// one that can be used here.
    fn preferred(&mut self, their: &CpaBinding, channels: &[&DeliveryChannel]) -> DeliveryChannel {
        let usable = channels.iter().position(|channel| {
            let encrypted = channel.exchange.receiver.as_ref().is_some_and(|messaging| messaging.encrypted);
            no_way_over(channel).is_none() && !encrypted && !is_acknowledged_elsewhere(channel)
        });
        let chosen = usable.unwrap_or_default();
        if let (Some(id), true) = (their.channels.get(chosen), channels.len() > 1) {
            let message = format!(
                "{} has {} ChannelIds: it is sent over {id}, the first one that can be used here",
                their.action,
                channels.len()
            );
            self.note(&their.place, "channel", message);
        }
        channels[chosen].clone()
    }

    /// The terms on which something is received over any of our channels, since the partner may take each.
    fn fitting_each(&mut self, ours: &CpaBinding, channels: &[&DeliveryChannel]) -> DeliveryChannel {
        let mut fitting = channels[0].clone();
        for other in &channels[1..] {
            for (kept, said) in [
                (&mut fitting.ack_requested, other.ack_requested),
                (&mut fitting.duplicate_elimination, other.duplicate_elimination),
                (&mut fitting.ack_signature_requested, other.ack_signature_requested),
            ] {
                if *kept != said {
                    *kept = Presence::PerMessage;
                }
            }
            if other.sync_reply_mode != fitting.sync_reply_mode {
                let message = format!(
                    "{} may come over channels that differ in syncReplyMode: one is kept here; name channels that agree in \
                     it, or one",
                    ours.action
                );
                self.add(&ours.place, "channel", message);
            }
            let orders = [&fitting, other].map(|channel| channel.exchange.receiver.as_ref());
            if orders[0].is_some_and(|one| one.ordered) != orders[1].is_some_and(|one| one.ordered) {
                let message =
                    format!("{} may come over channels that differ in MessageOrderSemantics", ours.action);
                self.add(&ours.place, "channel", message);
            }
            // What came over any of them is known as long as the longest says.
            let persists = other.exchange.receiver.as_ref().and_then(|messaging| messaging.persist_duration);
            if let Some(messaging) = &mut fitting.exchange.receiver {
                messaging.persist_duration = messaging.persist_duration.max(persists);
            }
            self.channel_can_be_kept(other);
        }
        fitting
    }

    /// What the bindings of both sides say of signed receipts, beside each channel that it may go over. It is
    /// asked before several channels become one: what is left of them then is `perMessage`.
    fn receipts_can_be_kept(
        &mut self,
        binding: &CpaBinding,
        receipts: [Option<bool>; 2],
        channels: &[&DeliveryChannel],
    ) {
        let contradicts = |channel: &&DeliveryChannel| match channel.ack_signature_requested {
            Presence::Always => receipts.contains(&Some(false)),
            Presence::Never => receipts.contains(&Some(true)),
            Presence::PerMessage => false,
        };
        if channels.iter().any(contradicts) {
            let message = "isNonRepudiationReceiptRequired and ackSignatureRequested of the channel contradict each other";
            self.add(&binding.place, "receipt", message.to_owned());
        }
        if matches!(receipts, [Some(one), Some(other)] if one != other) {
            let message = "isNonRepudiationReceiptRequired is true for one party and false for the other";
            self.add(&binding.place, "receipt", message.to_owned());
        }
    }

    /// What of an Action's terms this gateway has no means for.
    pub(super) fn can_be_kept(&mut self, met: &Met<'_>) {
        let channel = &met.channel;
        if met.binding.signed == Some(false) {
            let message = "isNonRepudiationRequired is false: what is not signed steers nothing here";
            self.add(&met.binding.place, "signature", message.to_owned());
        }
        if let Some(messaging) = met.sender.filter(|messaging| messaging.encrypted) {
            self.add(&messaging.place, "encryption", ENVELOPE.to_owned());
        }
        self.channel_can_be_kept(channel);
        let unwritable = |what| format!("{what} with white space cannot be written in a partner file");
        if met.binding.action.contains(char::is_whitespace) {
            self.add(&met.binding.place, "action", unwritable("an Action"));
        }
        if met.service.service.value.contains(char::is_whitespace) {
            self.add(&met.service.place, "service", unwritable("a Service"));
        }
    }

    fn channel_can_be_kept(&mut self, channel: &DeliveryChannel) {
        if let Some(messaging) = channel.exchange.receiver.as_ref().filter(|messaging| messaging.encrypted) {
            self.add(&messaging.place, "encryption", ENVELOPE.to_owned());
        }
        if is_acknowledged_elsewhere(channel) {
            let message = "actor is not toPartyMSH: what is acknowledged here, the To Party MSH acknowledges";
            self.add(&channel.place, "actor", message.to_owned());
        }
        self.transport_can_be_kept(channel);
    }

    /// What a party receives and the other one does not send: nothing is agreed by it.
    pub(super) fn not_sent(&mut self, from: &CpaParty, to: &CpaParty) {
        for (their, received) in bindings(to).filter(|(_, binding)| !binding.sends) {
            if !bindings(from).any(|sent| sent.1.sends && is_received_as(sent, (their, received))) {
                let message =
                    format!("{} receives {}, and the other party does not send it", to.name, received.action);
                self.note(&received.place, "action", message);
            }
        }
    }

    /// What a CPA asks of the business process, of which nothing here knows.
    pub(super) fn of_process(&mut self, parties: [&CpaParty; 2]) {
        let asking = parties.into_iter().flat_map(bindings).map(|(_, binding)| binding);
        let mut asking = asking.filter(|binding| !binding.of_process.is_empty()).peekable();
        if let Some(first) = asking.peek().copied() {
            let names: BTreeSet<_> = asking.flat_map(|binding| &binding.of_process).copied().collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            self.note(
                &first.place,
                "process",
                format!("{names}: of the business process; nothing here keeps it"),
            );
        }
    }

    /// What a CPA says of TLS and of trust beside what holds for every partner here; each once.
    pub(super) fn of_security(&mut self, parties: [&CpaParty; 2]) {
        let channels = parties.into_iter().flat_map(|party| party.channels.values());
        let security: Vec<_> = channels.flat_map(|channel| &channel.transport.security).collect();
        if let Some(other) = security.iter().find(|tls| !is_spoken(tls)) {
            let version = other.version.as_deref().unwrap_or("without a version");
            let message =
                format!("{} {version}: TLS 1.2 and 1.3 are spoken here, and nothing else", other.protocol);
            self.note(&other.place, "tls", message);
        }
        if let Some(named) = security.iter().find(|tls| tls.ciphers) {
            let message = "EncryptionAlgorithm: the cipher suites are those that every partner is offered";
            self.note(&named.place, "tls", message.to_owned());
        }
        if let Some(place) = parties.into_iter().find_map(|party| party.trusts.as_ref()) {
            let message =
                "SecurityDetails: each partner is known by its own certificates, and no TrustAnchor counts";
            self.note(place, "tls", message.to_owned());
        }
    }

    pub(super) fn transport_can_be_kept(&mut self, channel: &DeliveryChannel) {
        if let Some(why) = no_way_over(channel) {
            self.add(&channel.transport.place, "transport", why.to_owned());
        }
    }

    /// The `type` of every Service, where it is not the one that it has here anyhow.
    pub(super) fn service_type<'a>(&mut self, every: &[&Met<'a>]) -> Option<&'a str> {
        let usual = |met: &Met<'_>| (!met.service.service.value.contains(':')).then_some(SERVICE_TYPE);
        let has = |met: &Met<'a>| met.service.service.kind.as_deref();
        let first = every.first().and_then(|met| has(met));
        if every.iter().all(|met| has(met) == usual(met)) {
            return None;
        }
        for met in every.iter().filter(|met| has(met).is_none() || has(met) != first) {
            let service = &met.service.service;
            let message = match has(met) {
                None if service.value.contains(':') => {
                    format!("Service {} has no type, beside others that have one", service.value)
                }
                None => format!("Service {} has no type and is no URI", service.value),
                Some(kind) => {
                    format!("Service {} has the type {kind}, beside others with another", service.value)
                }
            };
            self.add(&met.service.place, "service", message);
        }
        first
    }
}

/// What a party sends and receives, with its Role and Service.
fn bindings(party: &CpaParty) -> impl Iterator<Item = (&CollaborationRole, &CpaBinding)> {
    party.roles.iter().flat_map(|role| role.bindings.iter().map(move |binding| (role, binding)))
}

/// Whether what one party sends is what the other one receives.
fn is_received_as(
    (role, sent): (&CollaborationRole, &CpaBinding),
    (their, received): (&CollaborationRole, &CpaBinding),
) -> bool {
    !received.sends
        && their.service == role.service
        && received.action == sent.action
        && sent.other.as_ref().is_none_or(|other| *other == received.id)
}

/// Whether somebody else than the To Party MSH is asked for Acknowledgments.
fn is_acknowledged_elsewhere(channel: &DeliveryChannel) -> bool {
    let is_other = |actor: &str| !["", Actor::TO_PARTY_MSH].contains(&actor);
    channel.ack_requested != Presence::Never && channel.actor.as_deref().is_some_and(is_other)
}

const ENVELOPE: &str = "a digital envelope is not offered here; TLS encrypts";

/// `Service Action`, as in partner files.
pub(super) fn action(met: &Met<'_>) -> String {
    format!("{} {}", met.service.service.value, met.binding.action)
}

/// Whether this is what connections are secured with here.
fn is_spoken(tls: &CpaTls) -> bool {
    tls.protocol.eq_ignore_ascii_case("TLS") && matches!(tls.version.as_deref(), Some("1.2" | "1.3"))
}

/// Why nothing can be sent over a channel or come in by it here.
fn no_way_over(channel: &DeliveryChannel) -> Option<&'static str> {
    let transport = &channel.transport;
    if transport.protocol.as_deref().is_some_and(|protocol| !protocol.eq_ignore_ascii_case("HTTP")) {
        return Some("messages travel over HTTPS here");
    }
    let asked = transport.http_authentication;
    asked.then_some("AccessAuthentication is not offered here: TLS certificates say who connects")
}
