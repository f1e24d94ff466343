//! `gwanmun.toml`: who this gateway is, where it listens, where its files are, and its limits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fault::Faults;
use super::reader::{Section, TomlFile};
use crate::codec::time_stamp::ObjectId;
use crate::model::{
    Bank, Keep, PartyId, PartyKey, PaymentTerms, Retention, Role, ValueError, parse_duration,
};
use crate::msh::{AgePolicy, OrderPolicy};
use crate::security::Engine;
use crate::store::StoreOptions;
use crate::transport::{ClientOptions, Endpoint, ServerOptions, TlsFiles};

/// The `type` of PartyIds that are box numbers (domain brief, 3).
pub(super) const BOX_NUMBER_TYPE: &str = "urn:swgw:party";
/// The `type` of Services that are no URIs.
pub(super) const SERVICE_TYPE: &str = "urn:swgw:service";

/// Everything that `gwanmun.toml` says. Paths are relative to the file until they are read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this gateway is.
    pub identity: Identity,
    /// Where it listens.
    pub listen: Listen,
    /// Its TLS certificate and whom it trusts.
    pub tls: TlsFiles,
    /// The keys it signs with.
    pub signing: Vec<SigningFiles>,
    /// Who verifies signatures.
    pub engine: Engine,
    /// Its store.
    pub store: StoreOptions,
    /// How it is scrubbed.
    pub scrub: ScrubSettings,
    /// How its audit record is signed.
    pub audit: AuditSettings,
    /// How long octets are kept, and where their evidence goes before they are purged.
    pub retention: RetentionSettings,
    /// The directory of documents and codes that are added to those that the program carries.
    pub documents: Option<PathBuf>,
    /// The rule directory.
    pub rules: PathBuf,
    /// The directory of partner files.
    pub partners: PathBuf,
    /// Limits of the ebMS listener.
    pub server: ServerOptions,
    /// Limits of what is posted to partners.
    pub client: ClientOptions,
    /// A body of more octets than these is received into a file.
    pub spool_from: usize,
    /// Messages that are opened, decided or committed at once; one more is answered 503.
    pub messages_in_hand_max: usize,
    /// Timestamps that are accepted.
    pub age: AgePolicy,
    /// How much is held for what is missing in a conversation.
    pub order: OrderPolicy,
    /// How long a stop waits for what is in hand.
    pub drain_deadline: Duration,
    /// Where fees are paid; none when payment orders are not taken.
    pub payment: Option<PaymentSettings>,
    /// Where those of rehearsals are; never the same bank.
    pub practice_payment: Option<PaymentSettings>,
}

/// How damage is looked for in the store, beside everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubSettings {
    /// From the end of a round to the begin of the next.
    pub interval: Duration,
    /// Records read in a second at most.
    pub records_per_second: u64,
}

impl Default for ScrubSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(86_400), records_per_second: 500 }
    }
}

/// When a head of the audit record is signed, and where it is kept beside the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The longest time that an entry waits for a head.
    pub head_interval: Duration,
    /// The most entries that wait for one.
    pub head_entries: u64,
    /// The file that each head is appended to, for the operator to ship away.
    pub heads_file: Option<PathBuf>,
    /// Who gives time stamps over heads.
    pub time_stamp: Option<TimeStampSettings>,
}

/// The authority that gives time stamps over heads of the audit record, and when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStampSettings {
    /// Where it is asked.
    pub url: Endpoint,
    /// What it is shown, and whom to trust there.
    pub tls: TlsFiles,
    /// Certificates that its time stamps are signed by, or that vouch for those.
    pub authorities: Vec<PathBuf>,
    /// The policy that is asked for.
    pub policy: Option<ObjectId>,
    /// From one time stamp to the next, while there are heads.
    pub interval: Duration,
    /// When it is asked again, when it gave none.
    pub retry_interval: Duration,
    /// For the connection, and again for the TLS handshake.
    pub connect_deadline: Duration,
    /// For its answer.
    pub response_deadline: Duration,
    /// How far its clock may be from ours.
    pub clock_skew_max: Duration,
}

/// How long octets are kept, and where their evidence goes before they are purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How long.
    pub terms: Retention,
    /// The directory of archives; without one nothing is purged.
    pub archive: Option<PathBuf>,
    /// From the begin of a round to the next.
    pub interval: Duration,
}

/// The bank that fees are paid at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentSettings {
    /// What its API's paths are below.
    pub url: Endpoint,
    /// What it is shown, and whom to trust there.
    pub tls: TlsFiles,
    /// For the connection, and again for the TLS handshake.
    pub connect_deadline: Duration,
    /// For its answer.
    pub response_deadline: Duration,
    /// What it is called; when it is asked again, and when an operator hears of it.
    pub bank: Bank,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its box number.
    pub key: PartyKey,
    /// The PartyIds that name it.
    pub ids: Vec<PartyId>,
    /// The Role it acts in where no agreement says another.
    pub role: Option<Role>,
    /// The domain of its MessageIds (RFC 2822).
    pub domain: Arc<str>,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For partners, over mutual TLS.
    pub ebms: SocketAddr,
    /// The path that partners post to.
    pub path: Arc<str>,
    /// For mailboxes, over mutual TLS.
    pub api: Option<SocketAddr>,
    /// For operators, loopback only.
    pub admin: Option<SocketAddr>,
    /// For operators, a local socket.
    pub socket: Option<PathBuf>,
}

/// A key to sign with and its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl Settings {
    /// Reads the file; `None` when something that everything else rests on is missing. Every mistake is told.
    pub(super) fn read(path: &Path, faults: &mut Faults) -> Option<Self> {
        let file = TomlFile::read(path, faults)?;
        let table = file.parse(faults);
        let mut root = Section::root(&file, &table);
        let identity = identity(root.table("gateway", faults), faults);
        let listen = listen(root.table("listen", faults), faults);
        let tls = tls(root.table("tls", faults), faults);
        let signing = signing(&mut root, faults);
        let engine = engine(root.table("signature", faults), faults);
        let (store, scrub) = store(root.table("store", faults), faults);
        let audit = audit(root.table("audit", faults), tls.as_ref(), faults);
        let retention = retention(root.table("retention", faults), faults);
        let documents = documents(root.table("documents", faults), faults);
        let rules = directory(root.table("rules", faults), faults);
        let partners = directory(root.table("partners", faults), faults);
        let limits = limits(root.table("limits", faults), faults);
        let bank = |key, root: &mut Section<'_>, faults: &mut Faults| {
            root.has(key).then(|| payment(root.table(key, faults), faults))
        };
        let in_earnest = bank("payment", &mut root, faults);
        let in_practice = bank("practice_payment", &mut root, faults);
        if let (Some(Some(one)), Some(Some(other))) = (&in_earnest, &in_practice)
            && one.url.below("") == other.url.below("")
        {
            let message = "[payment] and [practice_payment] are the same bank".to_owned();
            root.add(message, "rehearse with another one, such as `gwanmun practice --role bank`", faults);
        }
        root.finish(faults);
        let Limits { server, client, spool_from, messages_in_hand_max, age, order, drain_deadline } = limits;
        Some(Self {
            identity: identity?,
            listen: listen?,
            tls: tls?,
            signing,
            engine,
            store: store?,
            scrub,
            audit: audit?,
            retention,
            documents,
            rules: rules?,
            partners: partners?,
            server,
            client,
            spool_from,
            messages_in_hand_max,
            age,
            order,
            drain_deadline,
            payment: given(in_earnest)?,
            practice_payment: given(in_practice)?,
        })
    }
}

pub(super) fn identity(mut section: Section<'_>, faults: &mut Faults) -> Option<Identity> {
    let key = section.required("party", |text| PartyKey::new(text), faults);
    let kind = section.optional("type", plain, faults).unwrap_or_else(|| BOX_NUMBER_TYPE.into());
    let role = section.optional("role", |text| Role::new(text), faults);
    let domain = section.required("domain", host_name, faults);
    section.finish(faults);
    let key = key?;
    let ids = vec![PartyId { value: key.as_str().into(), kind: Some(kind) }];
    Some(Identity { key, ids, role, domain: domain? })
}

fn listen(mut section: Section<'_>, faults: &mut Faults) -> Option<Listen> {
    let ebms = section.required("ebms", address, faults);
    let path = section.optional("path", url_path, faults).unwrap_or_else(|| "/ebms".into());
    let api = section.optional("api", address, faults);
    let admin = section.optional("admin", loopback, faults);
    let socket = section.path("socket", faults);
    section.finish(faults);
    Some(Listen { ebms: ebms?, path, api, admin, socket: Some(socket?) })
}

pub(super) fn tls(mut section: Section<'_>, faults: &mut Faults) -> Option<TlsFiles> {
    let files = tls_files(&mut section, faults);
    section.finish(faults);
    files
}

fn tls_files(section: &mut Section<'_>, faults: &mut Faults) -> Option<TlsFiles> {
    let (certificate, key) = (section.file("certificate", faults), section.file("key", faults));
    let anchors = section.files("anchors", faults);
    let pinned = section.files("pinned", faults);
    let revocation_lists = section.files("revocation_lists", faults);
    Some(TlsFiles { certificate: certificate?, key: key?, anchors, pinned, revocation_lists })
}

pub(super) fn signing(root: &mut Section<'_>, faults: &mut Faults) -> Vec<SigningFiles> {
    let sections = root.tables("signing", faults);
    if sections.is_empty() {
        root.add("there is no [[signing]] key".to_owned(), "add one with certificate and key", faults);
    }
    sections.into_iter().filter_map(|section| signing_files(section, faults)).collect()
}

pub(super) fn signing_files(mut section: Section<'_>, faults: &mut Faults) -> Option<SigningFiles> {
    let (certificate, key) = (section.file("certificate", faults), section.file("key", faults));
    section.finish(faults);
    Some(SigningFiles { certificate: certificate?, key: key? })
}

fn engine(mut section: Section<'_>, faults: &mut Faults) -> Engine {
    let read = |text: &str| match text {
        "own" => Ok(Engine::Own),
        "xmlsec" => Ok(Engine::Xmlsec),
        "both" => Ok(Engine::Both),
        _ => Err(ValueError::new("own, xmlsec or both", text)),
    };
    let engine = section.optional("engine", read, faults).unwrap_or_default();
    section.finish(faults);
    engine
}

fn store(mut section: Section<'_>, faults: &mut Faults) -> (Option<StoreOptions>, ScrubSettings) {
    let directory = section.path("directory", faults);
    let defaults = StoreOptions::at(directory.clone().unwrap_or_default());
    let options = StoreOptions {
        waiting_batches_max: section.number("waiting_batches_max", defaults.waiting_batches_max, 1, faults),
        waiting_bytes_max: section.number("waiting_bytes_max", defaults.waiting_bytes_max, 1, faults),
        group_batches_max: section.number("group_batches_max", defaults.group_batches_max, 1, faults),
        group_bytes_max: section.number("group_bytes_max", defaults.group_bytes_max, 1, faults),
        free_bytes_min: section.number("free_bytes_min", defaults.free_bytes_min, 0, faults),
        log_pages_max: section.number("log_pages_max", defaults.log_pages_max, 1, faults),
        ..defaults
    };
    let defaults = ScrubSettings::default();
    let scrub = ScrubSettings {
        interval: section.duration("scrub_interval", defaults.interval, faults),
        records_per_second: section.number(
            "scrub_records_per_second",
            defaults.records_per_second,
            1,
            faults,
        ),
    };
    if scrub.interval.is_zero() {
        let message = "scrub_interval is nothing".to_owned();
        section.add(message, "write the time between two rounds, such as \"1 day\"", faults);
    }
    section.finish(faults);
    (directory.map(|_| options), scrub)
}

fn audit(mut section: Section<'_>, tls: Option<&TlsFiles>, faults: &mut Faults) -> Option<AuditSettings> {
    let head_interval = section.duration("head_interval", Duration::from_secs(60), faults);
    let head_entries = section.number("head_entries", 1000, 1, faults);
    let heads_file = section.optional_path("heads_file", faults);
    let stamped = section.has("time_stamp");
    let time_stamp = stamped.then(|| time_stamp(section.table("time_stamp", faults), tls, faults));
    section.finish(faults);
    Some(AuditSettings { head_interval, head_entries, heads_file, time_stamp: given(time_stamp)? })
}

/// An authority; it is shown what partners are shown, unless another certificate is named.
fn time_stamp(
    mut section: Section<'_>,
    tls: Option<&TlsFiles>,
    faults: &mut Faults,
) -> Option<TimeStampSettings> {
    let read = |text: &str| {
        let url = text.parse().ok();
        url.ok_or_else(|| ValueError::new("a URL such as https://tsa.example/tsr", text))
    };
    let url = section.required("url", read, faults);
    let own = if section.has("certificate") || section.has("key") {
        section.file("certificate", faults).zip(section.file("key", faults))
    } else {
        // Both are known here all the same.
        drop(section.optional_file("certificate", faults).zip(section.optional_file("key", faults)));
        tls.map(|tls| (tls.certificate.clone(), tls.key.clone()))
    };
    let anchors = section.files("anchors", faults);
    let pinned = section.files("pinned", faults);
    let revocation_lists = section.files("revocation_lists", faults);
    if anchors.is_empty() && pinned.is_empty() {
        let message = "[audit.time_stamp] trusts nobody to be the authority's server".to_owned();
        section.add(message, "add anchors or pinned, its TLS certificates or those above them", faults);
    }
    let authorities = section.files("authorities", faults);
    if authorities.is_empty() {
        let message = "[audit.time_stamp] authorities is missing: no time stamp would count".to_owned();
        section.add(message, "add the certificates that its time stamps are signed by", faults);
    }
    let policy = section.optional("policy", str::parse, faults);
    let interval = section.duration("interval", Duration::from_secs(3600), faults);
    let retry_interval = section.duration("retry_interval", Duration::from_secs(60), faults);
    for (key, time) in [("interval", interval), ("retry_interval", retry_interval)] {
        if time.is_zero() {
            section.add(format!("{key} is nothing"), "write a time such as \"1h\"", faults);
        }
    }
    let connect_deadline = section.duration("connect_deadline", Duration::from_secs(5), faults);
    let response_deadline = section.duration("response_deadline", Duration::from_secs(30), faults);
    let clock_skew_max = section.duration("clock_skew_max", Duration::from_secs(300), faults);
    section.finish(faults);
    let (certificate, key) = own?;
    let tls = TlsFiles { certificate, key, anchors, pinned, revocation_lists };
    Some(TimeStampSettings {
        url: url?,
        tls,
        authorities,
        policy,
        interval,
        retry_interval,
        connect_deadline,
        response_deadline,
        clock_skew_max,
    })
}

/// What is purged is archived before: without a place for the archives everything is kept for ever.
fn retention(mut section: Section<'_>, faults: &mut Faults) -> RetentionSettings {
    let default = section.optional("default", keep, faults).unwrap_or_default();
    let archive = section.optional_path("archive", faults);
    let interval = section.duration("interval", Duration::from_secs(86_400), faults);
    if interval.is_zero() {
        let message = "interval is nothing".to_owned();
        section.add(message, "write the time between two rounds, such as \"1 day\"", faults);
    }
    let mut documents = BTreeMap::new();
    for mut section in section.tables("document", faults) {
        let code = section.required("code", plain, faults);
        let kept = section.required("keep", keep, faults);
        if let Some((code, kept)) = code.zip(kept)
            && documents.insert(code.clone(), kept).is_some()
        {
            section.add(
                format!("{code} is kept twice"),
                "write one [[retention.document]] for each code",
                faults,
            );
        }
        section.finish(faults);
    }
    let terms = Retention { default, documents };
    if archive.is_none() && !terms.is_forever() {
        let message = "archive is missing: nothing is purged before its evidence is archived".to_owned();
        section.add(message, "add archive = \"DIRECTORY\", or keep everything \"forever\"", faults);
    }
    section.finish(faults);
    RetentionSettings { terms, archive, interval }
}

/// `forever`, or a duration.
fn keep(text: &str) -> Result<Keep, ValueError> {
    let wrong = || ValueError::new("\"forever\", or a time such as \"1825 days\"", text);
    match text {
        "forever" => Ok(Keep::Forever),
        text => match parse_duration(text) {
            Ok(time) if !time.is_zero() => Ok(Keep::For(time)),
            _ => Err(wrong()),
        },
    }
}

/// A section that may be absent and, when it is there, has to be in order.
#[expect(clippy::option_option, reason = "absent is one thing, there and faulty another")]
fn given<T>(section: Option<Option<T>>) -> Option<Option<T>> {
    section.map_or(Some(None), |read| read.map(Some))
}

/// A bank; the key of each payment becomes the last step of its URL.
fn payment(mut section: Section<'_>, faults: &mut Faults) -> Option<PaymentSettings> {
    let url = section.required("url", payment_url, faults);
    let name = section.optional("name", plain, faults);
    let files = tls_files(&mut section, faults);
    let defaults = PaymentTerms::default();
    let connect_deadline = section.duration("connect_deadline", Duration::from_secs(5), faults);
    let response_deadline = section.duration("response_deadline", Duration::from_secs(30), faults);
    let terms = PaymentTerms {
        retry_interval: section.duration("retry_interval", defaults.retry_interval, faults),
        retry_interval_max: section.duration("retry_interval_max", defaults.retry_interval_max, faults),
        alarm_after: section.duration("alarm_after", defaults.alarm_after, faults),
    };
    if terms.retry_interval.is_zero() || terms.retry_interval > terms.retry_interval_max {
        let message = "retry_interval is not between nothing and retry_interval_max".to_owned();
        section.add(message, "write intervals such as \"10s\" and \"10m\"", faults);
    }
    section.finish(faults);
    let (url, tls) = (url?, files?);
    let name = name.unwrap_or_else(|| url.to_string().into());
    Some(PaymentSettings { bank: Bank { name, terms }, url, tls, connect_deadline, response_deadline })
}

fn payment_url(text: &str) -> Result<Endpoint, ValueError> {
    let url = text.parse().ok().filter(|_| !text.contains('?'));
    url.ok_or_else(|| ValueError::new("a URL such as https://bank.example/payments", text))
}

/// The section of that name, which may be absent.
pub(super) fn documents(mut section: Section<'_>, faults: &mut Faults) -> Option<PathBuf> {
    let directory = section.optional_file("directory", faults);
    section.finish(faults);
    directory
}

fn directory(mut section: Section<'_>, faults: &mut Faults) -> Option<PathBuf> {
    let directory = section.file("directory", faults);
    section.finish(faults);
    directory
}

/// The section of that name.
struct Limits {
    server: ServerOptions,
    client: ClientOptions,
    spool_from: usize,
    messages_in_hand_max: usize,
    age: AgePolicy,
    order: OrderPolicy,
    drain_deadline: Duration,
}

fn limits(mut section: Section<'_>, faults: &mut Faults) -> Limits {
    let (server, age) = (ServerOptions::default(), AgePolicy::default());
    let server = ServerOptions {
        body_bytes_max: section.number("body_bytes_max", server.body_bytes_max, 1, faults),
        body_bytes_in_flight_max: section.number(
            "body_bytes_in_flight_max",
            server.body_bytes_in_flight_max,
            1,
            faults,
        ),
        connections_max: section.number("connections_max", server.connections_max, 1, faults),
        connections_per_peer_max: section.number(
            "connections_per_peer_max",
            server.connections_per_peer_max,
            1,
            faults,
        ),
        body_deadline: section.duration("body_deadline", server.body_deadline, faults),
        idle_deadline: section.duration("idle_deadline", server.idle_deadline, faults),
        retry_after: section.duration("retry_after", server.retry_after, faults),
        ..server
    };
    let client = ClientOptions::default();
    let pace = section.number("send_bytes_per_second_min", 64 * 1024, 1, faults);
    let client = ClientOptions { request_bytes_per_second_min: pace as u64, ..client };
    let spool_from = section.number("spool_from", SPOOL_FROM, 0, faults);
    let messages_in_hand_max = section.number("messages_in_hand_max", 256, 1, faults);
    let age = AgePolicy {
        age_max: section.duration("message_age_max", age.age_max, faults),
        skew_max: section.duration("clock_skew_max", age.skew_max, faults),
    };
    let order = OrderPolicy::default();
    let order = OrderPolicy {
        held_messages_max: section.number("held_messages_max", order.held_messages_max, 1, faults),
        gap_alarm_after: section.duration("gap_alarm_after", order.gap_alarm_after, faults),
    };
    let drain_deadline = section.duration("drain_deadline", Duration::from_secs(30), faults);
    section.finish(faults);
    Limits { server, client, spool_from, messages_in_hand_max, age, order, drain_deadline }
}

/// By default a body is held up to this size, and received into a file beyond.
const SPOOL_FROM: usize = 1 << 20;

/// Any text.
pub(super) fn plain(text: &str) -> Result<Arc<str>, ValueError> {
    if text.trim().is_empty() { Err(ValueError::new("a text", text)) } else { Ok(text.into()) }
}

fn host_name(text: &str) -> Result<Arc<str>, ValueError> {
    let plain = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text.split('.').all(plain) { Ok(text.into()) } else { Err(ValueError::new("a host name", text)) }
}

pub(super) fn url_path(text: &str) -> Result<Arc<str>, ValueError> {
    let shaped =
        text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
    if shaped { Ok(text.into()) } else { Err(ValueError::new("a path such as /ebms", text)) }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| ValueError::new("an address and port such as 0.0.0.0:8443", text))
}

fn loopback(text: &str) -> Result<SocketAddr, ValueError> {
    let expected = "a loopback address and port such as 127.0.0.1:9443";
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback())
        .ok_or_else(|| ValueError::new(expected, text))
}
