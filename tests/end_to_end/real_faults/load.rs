//! Senders who lodge one declaration after the other, whatever becomes of the gateway, and what must hold afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gwanmun::model::{Digest, Payload, Sealed};
use gwanmun::practice::Entry;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::{World, attachment};

/// Everybody but the gateway.
pub(super) const PARTNERS: [&str; 5] = ["broker", "customs", "kfda", "npqs", "kpta"];

/// A lodging that went out, and the acknowledgment that came.
pub(super) struct Posted {
    pub(super) sealed: Sealed,
    pub(super) acknowledgment: Option<Bytes>,
    payloads: BTreeSet<Digest>,
}

/// Senders at work.
pub(super) struct Load {
    allowed: Arc<AtomicU32>,
    acknowledged: Arc<AtomicU32>,
    senders: Vec<JoinHandle<Vec<Posted>>>,
}

/// No more are lodged, and who has no answer goes home without.
const ENDED: u32 = u32::MAX;
/// A sender who is not answered comes again after so long.
pub(super) const AGAIN: Duration = Duration::from_millis(20);

impl Load {
    /// So many senders; they lodge as many as are allowed.
    pub(super) fn begin(world: &Arc<World>, broker: &Arc<Correspondent>, senders: usize) -> Self {
        let (allowed, acknowledged) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let taken = Arc::new(AtomicU32::new(0));
        let sender = |_| {
            let (world, broker, taken) = (Arc::clone(world), Arc::clone(broker), Arc::clone(&taken));
            let (allowed, acknowledged) = (Arc::clone(&allowed), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let (mut posted, mut ticks) = (Vec::new(), interval(AGAIN));
                loop {
                    let may = allowed.load(Ordering::Acquire);
                    let next = |taken: u32| (taken < may).then_some(taken + 1);
                    if may == ENDED {
                        return posted;
                    }
                    let Ok(serial) = taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) else {
                        ticks.tick().await;
                        continue;
                    };
                    let mut one = lodging(&world, &broker, serial + 1, Vec::new());
                    while one.acknowledgment.is_none() && allowed.load(Ordering::Acquire) != ENDED {
                        one.acknowledgment = answered(&broker, &one.sealed).await;
                        if one.acknowledgment.is_none() {
                            ticks.tick().await;
                        }
                    }
                    acknowledged.fetch_add(u32::from(one.acknowledgment.is_some()), Ordering::AcqRel);
                    posted.push(one);
                }
            })
        };
        let senders = (0..senders).map(sender).collect();
        Self { allowed, acknowledged, senders }
    }

    /// So many more may be lodged.
    pub(super) fn allow(&self, more: u32) {
        self.allowed.fetch_add(more, Ordering::AcqRel);
    }

    /// How many are acknowledged so far.
    pub(super) fn acknowledged(&self) -> u32 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Ends it; gives everything that was lodged.
    pub(super) async fn end(self) -> Vec<Posted> {
        self.allowed.store(ENDED, Ordering::Release);
        let mut posted = Vec::new();
        for sender in self.senders {
            posted.extend(sender.await.expect("does not panic"));
        }
        posted
    }
}

/// Starts partners; an agency approves at once.
pub(super) async fn play(world: &World, partners: &[&str]) -> Vec<Process> {
    let mut running = Vec::new();
    for name in partners {
        let agency = ["--script", "APPROVE,0s"];
        let manners: &[&str] = if ["broker", "customs"].contains(name) { &[] } else { &agency };
        running.push(world.play(name, manners).await);
    }
    running
}

/// A lodging that nobody has posted yet.
pub(super) fn lodging(world: &World, broker: &Correspondent, serial: u32, more: Vec<Payload>) -> Posted {
    let mut lodging = world.lodging(serial);
    // An attachment of its own, so that octets of one declaration are never right for another.
    lodging.payloads.push(attachment("serial.txt", "text/plain", format!("serial {serial}").as_bytes()));
    lodging.payloads.extend(more);
    let payloads = lodging.payloads.iter().map(|payload| payload.digest).collect();
    let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
    Posted { sealed, acknowledgment: None, payloads }
}

/// The acknowledgment that a post gets; `None` when there is no answer, or one to come again.
pub(super) async fn answered(broker: &Correspondent, sealed: &Sealed) -> Option<Bytes> {
    let answer = broker.try_post(sealed).await.ok()?;
    match broker.read(&answer, sealed) {
        Told::Acknowledged => Some(answer.body),
        Told::Status(503) => None,
        other => panic!("nobody says that of what is in order: {other:?}"),
    }
}

/// What was acknowledged gets its acknowledgment again, octet for octet; what was not is taken now (P1, P3).
pub(super) async fn nothing_is_lost(broker: &Correspondent, posted: &[Posted]) {
    for one in posted {
        let again = answered(broker, &one.sealed).await.expect("a gateway that runs answers");
        if let Some(before) = &one.acknowledgment {
            assert_eq!(again, *before, "P1, P3: the acknowledgment is the one from before");
        }
    }
}

/// The store proves itself (P2, P12, P18), and nothing of the log is a panic.
pub(super) fn all_is_proved(world: &World, store: &Path) {
    let store = store.to_str().expect("is text");
    let out = run(&world.path("."), ["store", "verify", store, "--json"]);
    let told: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {out:?}"));
    assert_eq!((&told["proved"], out.status.code()), (&Value::Bool(true), Some(0)), "{told}");
    nothing_panicked(world);
}

/// Nothing that the gateway has said is a panic.
pub(super) fn nothing_panicked(world: &World) {
    let said = world.read("gateway.log");
    assert!(!said.contains("panicked at"), "S24: {said}");
}

/// Every delivery has come to its end, and each partner handed on once, octet for octet, what it was owed (P3, P4, P6).
pub(super) async fn all_is_handed_on_once(world: &World, partners: &[&str], posted: &[Posted]) {
    until("every delivery is delivered", async || {
        for state in ["pending", "awaiting_acknowledgment"] {
            if !world.ask(&format!("/deliveries?state={state}&limit=1")).await.as_array()?.is_empty() {
                return None;
            }
        }
        Some(())
    })
    .await;
    let lodged: BTreeSet<_> = posted.iter().flat_map(|one| &one.payloads).copied().collect();
    let mut declarations = 0;
    let mut arrived = BTreeSet::new();
    for name in partners {
        let mut seen = BTreeSet::new();
        for entry in world.journal(name) {
            let Entry::Received(entry) = entry else { continue };
            assert!(seen.insert(entry.message_id.to_string()), "P3: {name} handed {entry:?} on twice");
            let octets = entry.digest.iter().chain(entry.attachments.iter().map(|(_, digest)| digest));
            if ["GOVCBR929", "GOVCBRX01", "GOVCBRX02", "GOVCBRFR2"].contains(&&*entry.action) {
                for digest in octets {
                    assert!(lodged.contains(digest), "P6: {name} got octets that nobody lodged: {entry:?}");
                    arrived.insert(*digest);
                }
            }
            declarations += usize::from(&*entry.action == "GOVCBR929");
        }
    }
    assert_eq!(declarations, posted.len(), "P1, P3: customs has each declaration once");
    assert!(lodged.is_subset(&arrived), "P6: every octet that was lodged arrived");
}

/// Forgets what the gateway has said so far.
pub(super) fn clear_log(world: &World) {
    fs::write(world.path("gateway.log"), "").expect("is ours");
}
