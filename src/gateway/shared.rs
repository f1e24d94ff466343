//! What every task of the gateway shares: the store, what is in force, the clock, and the caps on work in hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, watch};

use crate::config::Loaded;
use crate::engine::{Context, Own};
use crate::model::{PartyKey, Timestamp};
use crate::msh::AgePolicy;
use crate::routing::RuleSet;
use crate::security::{OpenLimits, SigningKeys, Trust};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::transport::{Client, Tls, TlsContext};

/// What may be replaced by a reload, as a whole.
pub(super) struct InForce {
    pub(super) trust: Trust,
    pub(super) rules: Arc<RuleSet>,
    pub(super) keys: SigningKeys,
}

impl InForce {
    /// What checked settings put in force; the TLS context beside it, which the sockets share.
    pub(super) fn of(loaded: Loaded) -> (Self, TlsContext) {
        let Loaded { settings, partners, rules, tls, signing, keys } = loaded;
        let trust = Trust {
            registry: Arc::new(partners.registry),
            keys: Arc::new(keys),
            engine: settings.engine,
            own_ids: settings.identity.ids,
            limits: OpenLimits::default(),
        };
        (Self { trust, rules, keys: signing }, tls)
    }
}

/// What every task shares.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) own: Own,
    pub(super) age: AgePolicy,
    pub(super) in_force: ArcSwap<InForce>,
    pub(super) metrics: Metrics,
    pub(super) client: Client,
    pub(super) tls: Tls,
    pub(super) settings_file: PathBuf,
    /// A permit for each message in hand; without one a message is answered 503.
    pub(super) in_hand: Arc<Semaphore>,
    pub(super) retry_after: Duration,
    /// Threads that open, decide and sign at once.
    pub(super) processors: Arc<Semaphore>,
    /// Says why the gateway has to stop, once it has.
    pub(super) failed: watch::Sender<Option<String>>,
    /// Nothing new is accepted.
    pub(super) draining: watch::Sender<bool>,
    pub(super) wakes: Wakes,
}

impl Shared {
    /// The pure core's surroundings.
    pub(super) fn context<'a>(&'a self, in_force: &'a InForce) -> Context<'a> {
        Context { registry: &in_force.trust.registry, rules: &in_force.rules, own: &self.own, age: self.age }
    }

    /// The store, or a thing that everything rests on, has failed: the first reason counts (P10).
    pub(super) fn fail(&self, why: &str) {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                *failed = Some(why.to_owned());
            }
            first
        });
    }

    /// Ends when the gateway begins to stop.
    pub(super) async fn drain_begins(&self) {
        let mut draining = self.draining.subscribe();
        drop(draining.wait_for(|draining| *draining).await.map(|_| ()));
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }
}

/// The gateway's one clock.
#[expect(clippy::disallowed_methods, reason = "the shell has one clock, and it is here")]
pub(super) fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// Who sends to each destination, and how it is woken.
#[derive(Default)]
pub(super) struct Wakes {
    bells: Mutex<BTreeMap<PartyKey, Arc<Notify>>>,
    pub(super) newcomers: Notify,
}

impl Wakes {
    /// Something to this destination may be due. A destination without a sender gets one.
    pub(super) fn wake(&self, destination: &PartyKey) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        match bells.get(destination) {
            Some(bell) => bell.notify_one(),
            None => {
                let bell = Arc::new(Notify::new());
                bell.notify_one();
                bells.insert(destination.clone(), bell);
                self.newcomers.notify_one();
            }
        }
    }

    /// The bell of every destination that was ever woken.
    pub(super) fn bells(&self) -> BTreeMap<PartyKey, Arc<Notify>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
