//! A gateway from its start to its stop: store, listeners, senders, drain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::admin::{Counts, administer};
use super::agenda::{Agenda, keep_agenda};
use super::api::serve;
use super::heads::{Heads, keep_heads, sign_the_rest};
use super::keys::{Keys, counted};
use super::lanes::Lanes;
use super::pay::{PaymentAgenda, keep_payments};
use super::purge::{Walks, keep_purging};
use super::questions::Questions;
use super::receive::receive;
use super::reconcile::{self, hold_back};
use super::rules;
use super::scrub::{Scrub, keep_scrubbing};
use super::send::send_all;
use super::shared::{InForce, Shared, now};
use super::stamps::{Stamps, keep_stamping};
use super::under_way::UnderWay;
use crate::codec::mime::MimeLimits;
use crate::config::Loaded;
use crate::store::{Manifest, SqliteStore, Store, StoreError};
use crate::telemetry::{EventCode, Metrics};
use crate::transport::{
    Client, Drained, Method, Request, Server, ServerOptions, SpoolOptions, Tls, TransportError,
};

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its store cannot be opened.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The rules that count cannot be read, or not be told to the audit record.
    #[error("the rules: {0}")]
    Rules(String),
    /// The keys that count cannot be kept, or not be told to the audit record.
    #[error("the keys that count: {0}")]
    Keys(String),
    /// What was open in the backup that its store was restored from cannot be held back.
    #[error("the restored store: {0}")]
    Restored(String),
    /// It cannot listen, or its certificate cannot be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// How a gateway ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to, and what was in hand ended in time.
    Drained,
    /// It was asked to, and the deadline passed; what was in hand is taken up at the next start.
    Cut,
    /// The store failed; nobody was answered after that (P10).
    Failed(String),
}

/// A running gateway. Dropping it ends everything where it is, which is always safe; [`Gateway::stop`] is more polite.
pub struct Gateway {
    shared: Arc<Shared>,
    ebms: Arc<Server>,
    api: Option<Server>,
    admin: Vec<Server>,
    sending: AbortOnDrop,
    keeping: AbortOnDrop,
    paying: AbortOnDrop,
    scrubbing: AbortOnDrop,
    purging: AbortOnDrop,
    signing: AbortOnDrop,
    stamping: AbortOnDrop,
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Gateway {
    /// Opens the store, takes up what is due, listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings_file: &Path, loaded: Loaded) -> Result<Self, StartError> {
        let options = loaded.settings.store.clone();
        let store = SqliteStore::open(options)?;
        if let Some(format) = store.upgraded_from() {
            info!(
                event = EventCode::StoreUpgraded.code(),
                format, "the store was of an earlier version (P19)"
            );
        }
        let directory = loaded.settings.store.directory.clone();
        let restored = Manifest::of_restored(&directory)?;
        Self::begin(Arc::new(store), settings_file, loaded, restored.as_ref()).await
    }

    /// The same, on a store that is open.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_on(
        store: Arc<dyn Store>,
        settings_file: &Path,
        loaded: Loaded,
    ) -> Result<Self, StartError> {
        Self::begin(store, settings_file, loaded, None).await
    }

    async fn begin(
        store: Arc<dyn Store>,
        settings_file: &Path,
        loaded: Loaded,
        restored: Option<&Manifest>,
    ) -> Result<Self, StartError> {
        loaded.catalogue.make_ready();
        if let Some(restored) = restored {
            reconcile::record(&*store, restored).map_err(StartError::Restored)?;
        }
        let settings = loaded.settings.clone();
        let metrics = Metrics::new();
        metrics.register(loaded.partners.registry.parties().map(|party| party.name.clone()));
        let shelf = settings.store.directory.join("rules");
        let (shelf, schedule) =
            rules::at_start(&*store, shelf, &loaded).map_err(|error| StartError::Rules(error.to_string()))?;
        let keys = counted(&loaded)
            .and_then(|keys| Keys::of_store(&settings.store.directory).record(&*store, &keys, now()));
        keys.map_err(|error| StartError::Keys(error.to_string()))?;
        let digest = schedule.rules(now()).digest();
        let restored_at = reconcile::restored(&*store, u64::MAX >> 1)?.map(|(_, said)| said.at);
        let (in_force, context) = InForce::of(loaded, schedule, restored_at);
        let tls = Tls::new(context);
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let shared = Arc::new(Shared {
            store,
            in_force: ArcSwap::from_pointee(in_force),
            under_way: UnderWay::default(),
            reloading: Mutex::default(),
            purging: Mutex::default(),
            walks: std::sync::Mutex::new(Walks::since(now())),
            shelf: std::sync::Mutex::new(shelf),
            metrics,
            client: Client::new(tls.clone(), settings.client.clone()),
            tls: tls.clone(),
            heads: Heads::default(),
            stamps: Stamps::default(),
            settings_file: settings_file.to_owned(),
            in_hand: Arc::new(Semaphore::new(settings.messages_in_hand_max)),
            processors: Arc::new(Semaphore::new(processors)),
            failed: watch::Sender::new(None),
            draining: watch::Sender::new(false),
            lanes: Lanes::default(),
            agenda: Agenda::default(),
            payments: PaymentAgenda::default(),
            questions: Questions::default(),
            scrub: Scrub::default(),
        });
        if let Some(restored) = restored {
            let held = hold_back(&shared, restored).await;
            held.map_err(|error| StartError::Restored(error.to_string()))?;
            Manifest::forget_restored(&settings.store.directory)?;
        }
        shared.wake_all()?;
        let sending = AbortOnDrop(tokio::spawn(send_all(Arc::clone(&shared))));
        let keeping = AbortOnDrop(tokio::spawn(keep_agenda(Arc::clone(&shared))));
        let paying = AbortOnDrop(tokio::spawn(keep_payments(Arc::clone(&shared))));
        let scrubbing = AbortOnDrop(tokio::spawn(keep_scrubbing(Arc::clone(&shared))));
        let purging = AbortOnDrop(tokio::spawn(keep_purging(Arc::clone(&shared))));
        let signing = AbortOnDrop(tokio::spawn(keep_heads(Arc::clone(&shared))));
        let stamping = AbortOnDrop(tokio::spawn(keep_stamping(Arc::clone(&shared))));
        let handler = {
            let (shared, path) = (Arc::clone(&shared), settings.listen.path);
            move |request: Request| receive(Arc::clone(&shared), Arc::clone(&path), request)
        };
        let spool = shared.store.spool_directory().map(|directory| SpoolOptions {
            directory,
            from_bytes: settings.spool_from,
            free_bytes_min: settings.store.free_bytes_min,
            decoded_bytes_max: MimeLimits::default().encoded_bytes_max,
        });
        let options = ServerOptions { spool, ..settings.server.clone() };
        let ebms = Arc::new(Server::tls(settings.listen.ebms, tls.clone(), options, handler).await?);
        let api = match settings.listen.api {
            Some(address) => Some(api(&shared, address, tls, settings.server).await?),
            None => None,
        };
        let admin = admin(&shared, &ebms, settings.listen.socket.as_deref(), settings.listen.admin).await?;
        info!(
            event = EventCode::GatewayStarted.code(),
            address = ebms.address().map(|address| address.to_string()),
            rules = %digest,
            "the gateway is ready to accept"
        );
        Ok(Self { shared, ebms, api, admin, sending, keeping, paying, scrubbing, purging, signing, stamping })
    }

    /// Where partners reach it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.ebms.address()
    }

    /// Where mailboxes are collected from.
    #[must_use]
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.api.as_ref().and_then(Server::address)
    }

    /// Reads the files anew; with a mistake everything stays as it was, and the log tells it.
    pub async fn reload(&self) {
        super::admin::reload(&self.shared, "SIGHUP").await;
    }

    /// Ends when the store has failed.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        let why = failed.wait_for(Option::is_some).await.map(|why| why.clone());
        why.ok().flatten().unwrap_or_default()
    }

    /// Accepts nothing more, lets what is in hand end, closes.
    pub async fn stop(mut self) -> Stopped {
        self.shared.draining.send_replace(true);
        info!(event = EventCode::GatewayDraining.code(), "nothing new is accepted");
        let (drain_deadline, messages) = {
            let settings = &self.shared.in_force.load().settings;
            (settings.drain_deadline, u32::try_from(settings.messages_in_hand_max).unwrap_or(u32::MAX))
        };
        let deadline = Instant::now() + drain_deadline;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut whole = true;
        if let Ok(ebms) = Arc::try_unwrap(self.ebms) {
            whole &= ebms.shutdown(left()).await == Drained::Whole;
        }
        if let Some(api) = self.api {
            whole &= api.shutdown(left()).await == Drained::Whole;
        }
        // Messages whose senders have hung up are in hand all the same.
        whole &= timeout_at(deadline, self.shared.in_hand.acquire_many(messages)).await.is_ok();
        whole &= timeout_at(deadline, &mut self.sending.0).await.is_ok();
        whole &= timeout_at(deadline, &mut self.keeping.0).await.is_ok();
        whole &= timeout_at(deadline, &mut self.paying.0).await.is_ok();
        whole &= timeout_at(deadline, &mut self.scrubbing.0).await.is_ok();
        whole &= timeout_at(deadline, &mut self.purging.0).await.is_ok();
        whole &= timeout_at(deadline, &mut self.stamping.0).await.is_ok();
        whole &= timeout_at(deadline, &mut self.signing.0).await.is_ok();
        whole &= timeout_at(deadline, sign_the_rest(Arc::clone(&self.shared))).await.is_ok();
        self.shared.client.close().await;
        for admin in self.admin {
            whole &= admin.shutdown(left()).await == Drained::Whole;
        }
        match self.shared.failed.borrow().clone() {
            Some(why) => Stopped::Failed(why),
            None if whole => Stopped::Drained,
            None => Stopped::Cut,
        }
    }
}

/// The listener for those who work with a client of ours instead of an MSH.
async fn api(
    shared: &Arc<Shared>,
    address: SocketAddr,
    tls: Tls,
    options: ServerOptions,
) -> Result<Server, TransportError> {
    let shared = Arc::clone(shared);
    let handler = move |request: Request| serve(Arc::clone(&shared), request);
    let options = ServerOptions { methods: vec![Method::GET, Method::POST], ..options };
    Server::tls(address, tls, options, handler).await
}

/// The listeners for operators.
async fn admin(
    shared: &Arc<Shared>,
    ebms: &Arc<Server>,
    socket: Option<&Path>,
    address: Option<SocketAddr>,
) -> Result<Vec<Server>, TransportError> {
    // Weak, so that the listener for partners can be taken down while this one still answers.
    let ebms = Arc::downgrade(ebms);
    let counts: Counts = Arc::new(move || ebms.upgrade().map(|server| server.counts()).unwrap_or_default());
    let handler = || {
        let (shared, counts) = (Arc::clone(shared), Arc::clone(&counts));
        move |request: Request| administer(Arc::clone(&shared), Arc::clone(&counts), request)
    };
    let options = || ServerOptions { methods: vec![Method::GET, Method::POST], ..ServerOptions::default() };
    let mut servers = Vec::new();
    if let Some(path) = socket {
        servers.push(Server::unix(path, options(), handler()).await?);
    }
    if let Some(address) = address {
        servers.push(Server::loopback(address, options(), handler()).await?);
    }
    Ok(servers)
}
