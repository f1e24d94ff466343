//! What every task of the gateway shares: the store, what is in force, the clock, and the caps on work in hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};

use super::agenda::Agenda;
use super::bank::{HttpsBank, PaymentAdapter};
use super::heads::Heads;
use super::lanes::{Held, Lane, Lanes};
use super::pay::PaymentAgenda;
use super::purge::Walks;
use super::questions::Questions;
use super::scrub::Scrub;
use super::shelf::{Schedule, Shelf};
use super::stamps::{Stamper, Stamps};
use super::under_way::UnderWay;
use crate::case::longest_payment_wait;
use crate::codec::catalogue::Catalogue;
use crate::config::{Loaded, PaymentSettings, Settings};
use crate::engine::{Context, Own, Places};
use crate::model::{Agreement, PartyKey, PaymentTerms, Realm, Timestamp};
use crate::msh::longest_wait;
use crate::routing::RuleSet;
use crate::security::{OpenLimits, SigningKeys, Trust};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::transport::{Client, ClientOptions, Tls, TlsContext};

/// What is in force, replaced by a reload as a whole.
pub(super) struct InForce {
    pub(super) settings: Settings,
    own: Own,
    pub(super) trust: Trust,
    /// Every kind of document, and the code lists.
    pub(super) catalogue: Arc<Catalogue>,
    /// Which rules count when; an activation replaces it alone.
    pub(super) schedule: ArcSwap<Schedule>,
    pub(super) keys: SigningKeys,
    /// Those of hosted agencies.
    pub(super) hosted: BTreeMap<PartyKey, SigningKeys>,
    /// Where fees are paid, when they can be.
    bank: Option<Arc<dyn PaymentAdapter>>,
    /// The same in rehearsals.
    practice_bank: Option<Arc<dyn PaymentAdapter>>,
    /// Who gives time stamps over heads of the audit record.
    pub(super) stamper: Option<Arc<Stamper>>,
    /// When the store was last restored from a backup.
    pub(super) restored: Option<Timestamp>,
}

impl InForce {
    /// What checked settings put in force; the TLS context beside it, which the sockets share.
    pub(super) fn of(loaded: Loaded, schedule: Schedule, restored: Option<Timestamp>) -> (Self, TlsContext) {
        let Loaded { settings, partners, catalogue, tls, signing, keys, hosted, .. } = loaded;
        let Loaded { bank, practice_bank, time_stamps, .. } = loaded;
        let bank = bank.zip(settings.payment.as_ref()).map(|(tls, at)| https_bank(tls, at));
        let practice_bank =
            practice_bank.zip(settings.practice_payment.as_ref()).map(|(tls, at)| https_bank(tls, at));
        let stamper = time_stamps.zip(settings.audit.time_stamp.clone());
        let stamper =
            stamper.map(|((tls, authority), settings)| Arc::new(Stamper::new(settings, tls, authority)));
        let identity = settings.identity.clone();
        let trust = Trust {
            registry: Arc::new(partners.registry),
            keys: Arc::new(keys),
            engine: settings.engine,
            own_ids: identity.ids.clone(),
            limits: OpenLimits::default(),
        };
        let own = Own { key: identity.key, ids: identity.ids, role: identity.role, domain: identity.domain };
        let schedule = ArcSwap::from_pointee(schedule);
        (
            Self {
                settings,
                own,
                trust,
                catalogue,
                schedule,
                keys: signing,
                hosted,
                bank,
                practice_bank,
                stamper,
                restored,
            },
            tls,
        )
    }

    /// The pure core's surroundings, under the rules that count.
    pub(super) fn context<'a>(&'a self, rules: &'a RuleSet) -> Context<'a> {
        let registry = &self.trust.registry;
        let [payment, practice_payment] = [&self.settings.payment, &self.settings.practice_payment]
            .map(|settings| settings.as_ref().map(|payment| &payment.bank));
        Context {
            registry,
            rules,
            own: &self.own,
            age: self.settings.age,
            order: self.settings.order,
            payment,
            practice_payment,
            retention: &self.settings.retention.terms,
            restored: self.restored,
        }
    }

    /// The bank of a realm, if it has this name.
    pub(super) fn bank(&self, realm: Realm, name: &str) -> Option<Arc<dyn PaymentAdapter>> {
        let (settings, bank) = match realm {
            Realm::Production => (&self.settings.payment, &self.bank),
            Realm::Practice => (&self.settings.practice_payment, &self.practice_bank),
        };
        // A reload may have named another one since the attempt was decided.
        let is_named = settings.as_ref().is_some_and(|payment| *payment.bank.name == *name);
        bank.clone().filter(|_| is_named)
    }

    /// The name of a registered party, for metrics; empty for others.
    pub(super) fn name_of(&self, party: Option<&PartyKey>) -> &str {
        party.and_then(|party| self.trust.registry.party(party)).map_or("", |party| &party.name)
    }
}

/// What every task shares.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) in_force: ArcSwap<InForce>,
    /// What is under way with it, or with what was in force before.
    pub(super) under_way: UnderWay,
    /// One reload or activation at a time.
    pub(super) reloading: AsyncMutex<()>,
    /// One purge at a time: two would write the same archives.
    pub(super) purging: AsyncMutex<()>,
    /// Where purges are that look for conversations.
    pub(super) walks: Mutex<Walks>,
    pub(super) shelf: Mutex<Shelf>,
    pub(super) metrics: Metrics,
    pub(super) client: Client,
    pub(super) tls: Tls,
    /// How far the audit record is signed.
    pub(super) heads: Heads,
    /// And how far it is stamped.
    pub(super) stamps: Stamps,
    pub(super) settings_file: PathBuf,
    /// A permit for each message in hand; without one a message is answered 503.
    pub(super) in_hand: Arc<Semaphore>,
    /// Threads that open, decide and sign at once.
    pub(super) processors: Arc<Semaphore>,
    /// Says why the gateway has to stop, once it has.
    pub(super) failed: watch::Sender<Option<String>>,
    /// Nothing new is accepted.
    pub(super) draining: watch::Sender<bool>,
    pub(super) lanes: Lanes,
    pub(super) agenda: Agenda,
    pub(super) payments: PaymentAgenda,
    pub(super) questions: Questions,
    pub(super) scrub: Scrub,
}

impl Shared {
    /// Wakes the sender of every destination that the store holds deliveries to.
    pub(super) fn wake_all(&self) -> Result<(), StoreError> {
        self.store.queues()?.into_keys().for_each(|destination| self.wake(&destination));
        Ok(())
    }

    /// Something to this destination may be due. A destination without a sender gets one.
    pub(super) fn wake(&self, destination: &PartyKey) {
        self.lane(destination).bell.notify_one();
    }

    /// The longest wait that a delivery to this destination is ever given.
    pub(super) fn longest_wait(&self, destination: &PartyKey) -> Duration {
        let in_force = self.in_force.load();
        let agreements = in_force.trust.registry.agreements().filter(|a| a.partner == *destination);
        let terms = agreements.flat_map(Agreement::terms);
        let waits = terms.map(|terms| longest_wait(terms.reliability.retry_interval));
        // Without an agreement nothing is attempted, and nothing is in a hurry.
        waits.max().unwrap_or(Duration::MAX)
    }

    /// The longest wait that a payment is ever given.
    pub(super) fn longest_payment_wait(&self) -> Duration {
        let in_force = self.in_force.load();
        let Settings { payment, practice_payment, .. } = &in_force.settings;
        let terms = payment.iter().chain(practice_payment).map(|payment| payment.bank.terms);
        let waits = terms.chain([PaymentTerms::default()]).map(|terms| longest_payment_wait(&terms));
        waits.max().unwrap_or_default()
    }

    /// Holds places for what a step makes; none once the gateway stops.
    pub(super) fn hold(&self, wanted: Places) -> Held {
        if *self.draining.borrow() { Held::default() } else { Held::hold(wanted, |to| self.lane(to)) }
    }

    /// The lane to a destination, as wide as its widest agreement.
    fn lane(&self, destination: &PartyKey) -> Arc<Lane> {
        self.lanes.lane(destination, || {
            let in_force = self.in_force.load();
            let agreements = in_force.trust.registry.agreements().filter(|a| a.partner == *destination);
            agreements.map(|agreement| agreement.window).max().unwrap_or(1)
        })
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

    /// Whether the store has failed, also while nobody committed: then the process ends (P10).
    pub(super) fn store_has_failed(&self) -> bool {
        let failed = self.store.health().failed;
        if let Some(why) = &failed {
            self.fail(why);
        }
        failed.is_some()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }
}

/// A bank as the settings say.
fn https_bank(tls: TlsContext, at: &PaymentSettings) -> Arc<dyn PaymentAdapter> {
    let options = ClientOptions {
        connect_deadline: at.connect_deadline,
        handshake_deadline: at.connect_deadline,
        response_deadline: at.response_deadline,
        body_deadline: at.response_deadline,
        body_bytes_max: ANSWER_BYTES_MAX,
        ..ClientOptions::default()
    };
    Arc::new(HttpsBank::new(Client::new(Tls::new(tls), options), at.url.clone()))
}

/// Octets of an answer of the bank.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The gateway's one clock.
#[expect(clippy::disallowed_methods, reason = "the shell has one clock, and it is here")]
pub(super) fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}
