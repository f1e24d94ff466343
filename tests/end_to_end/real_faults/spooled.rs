//! The file that a large body is written to while it comes in: the gateway dies over it, its disk has no room for the rest of
//! it, or stalls. Nobody is answered early, nothing of it stays, and the message is taken when it comes again (P1, P11, P13).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::load::{
    PARTNERS, Posted, all_is_handed_on_once, all_is_proved, answered, lodging, nothing_is_lost, play,
};
use super::meddled::{injected, meddled_at};
use crate::connection::Connection;
use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, until};
use crate::world::{World, attachment};

const MIB: usize = 1 << 20;
/// Longer than anybody waits here.
const STALLS: &str = "delay_enter=600s";
/// So long a sender waits in vain.
const PATIENCE: Duration = Duration::from_secs(1);

/// What it leaves is half a body, and a whole one that was not read to its end: neither is synced, and neither has a record.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_spooled_when_the_gateway_died_is_swept_and_comes_again_p13() {
    let stage = Stage::new();
    let mut posted = [1, 2].map(|serial| stage.large(serial));
    let mut gateway = stage.world.serve().await;
    let octets = posted[0].sealed.body.read(usize::MAX).expect("is in memory");
    let mut connection = Connection::open(&stage.world).await;
    connection.begin(&stage.world, &posted[0].sealed.content_type, octets.len()).await;
    assert!(connection.send(&octets[..2 * MIB]).await, "it comes in");
    until("half of it is in its file", async || {
        stage.spooled().iter().any(|(_, bytes)| *bytes >= MIB).then_some(())
    })
    .await;
    gateway.kill();
    assert_eq!(stage.spooled().len(), 1, "it stays where it was");

    let mut gateway = stage.world.serve().await;
    assert_eq!(stage.spooled(), [], "a start sweeps it");
    let mut strace = stage.meddled(&gateway, "pread64", STALLS).await;
    let asked = stage.post(&posted[1]);
    let whole = posted[1].sealed.body.bytes() as usize;
    until("all of it is in its file", async || {
        stage.spooled().iter().any(|(_, bytes)| *bytes == whole).then_some(())
    })
    .await;
    let mut asked = asked;
    assert!(timeout(PATIENCE, &mut asked).await.is_err(), "P1: it is not looked at to its end");
    // It dies where it stands: it does not get beyond the call that the tracer holds up.
    gateway.signal(Signal::STOP);
    strace.kill();
    gateway.kill();
    assert_eq!(stage.spooled().len(), 1, "it stays where it was");

    let gateway = stage.world.serve().await;
    assert_eq!(stage.spooled(), []);
    assert!(stage.world.list("/messages").await.is_empty(), "nothing of either was taken");
    for one in &mut posted {
        one.acknowledgment = answered(&stage.broker, &one.sealed).await;
    }
    stage.ends_well(gateway, posted.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_has_no_room_for_the_rest_of_a_body_lets_it_come_again_p11() {
    let stage = Stage::new();
    let mut large = stage.large(1);
    let mut gateway = stage.world.serve().await;
    // The first writes of it are taken, and no more.
    let mut strace = stage.meddled(&gateway, "write", "error=ENOSPC:when=3+").await;
    assert_eq!(stage.broker.ask(&large.sealed).await, Told::Status(503), "P11: {}", gateway.said());
    let refused = injected(&stage.world);
    assert!(refused.iter().all(|call| call.contains(".aside") && call.contains("ENOSPC")), "{refused:?}");
    assert!(!refused.is_empty(), "the disk was met in the midst of it");
    assert_eq!(stage.spooled(), [], "what it took is given back");
    let mut small = lodging(&stage.world, &stage.broker, 2, Vec::new());
    small.acknowledgment = answered(&stage.broker, &small.sealed).await;
    assert!(small.acknowledgment.is_some(), "others are taken meanwhile");
    gateway.check();
    strace.kill();
    large.acknowledgment = answered(&stage.broker, &large.sealed).await;
    assert!(large.acknowledgment.is_some(), "P11: there is room again");
    stage.ends_well(gateway, vec![large, small]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stalls_under_a_body_holds_up_nobody_else_and_loses_nothing() {
    let stage = Stage::new();
    let mut large = stage.large(1);
    let gateway = stage.world.serve().await;
    let mut strace = stage.meddled(&gateway, "write", STALLS).await;
    let mut asked = stage.post(&large);
    until("it comes in", async || (!stage.spooled().is_empty()).then_some(())).await;
    assert!(timeout(PATIENCE, &mut asked).await.is_err(), "P1: nobody is answered before the disk is");
    let mut small = lodging(&stage.world, &stage.broker, 2, Vec::new());
    small.acknowledgment = answered(&stage.broker, &small.sealed).await;
    assert!(small.acknowledgment.is_some(), "what needs no file of its own is taken meanwhile");
    assert!(!stage.world.ask_text("/live").await.is_empty(), "operators are answered meanwhile");
    assert!(!asked.is_finished());
    strace.kill();
    large.acknowledgment = asked.await.expect("does not panic");
    assert!(large.acknowledgment.is_some(), "it goes on with the disk");
    stage.ends_well(gateway, vec![large, small]).await;
}

/// A world with a broker, and where bodies are spooled in it.
struct Stage {
    world: World,
    broker: Arc<Correspondent>,
    store: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        let broker = Arc::new(Correspondent::new(&world, "broker"));
        let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
        Self { world, broker, store }
    }

    /// A lodging with a scan that no one holds in memory.
    fn large(&self, serial: u32) -> Posted {
        let octets = format!("scan {serial}").repeat(3 * MIB / 6);
        let scan = attachment("scan.pdf", "application/pdf", octets.as_bytes());
        lodging(&self.world, &self.broker, serial, vec![scan])
    }

    /// Posts it, and waits for the answer elsewhere.
    fn post(&self, one: &Posted) -> JoinHandle<Option<bytes::Bytes>> {
        let (broker, sealed) = (Arc::clone(&self.broker), one.sealed.clone());
        tokio::spawn(async move { answered(&broker, &sealed).await })
    }

    /// Has strace do this with these calls at the first file that this gateway spools to.
    async fn meddled(&self, gateway: &Process, calls: &str, how: &str) -> Process {
        let file = self.place().join(format!("{}-0.aside", gateway.id()));
        meddled_at(&self.world, gateway, &file, calls, how).await
    }

    fn place(&self) -> PathBuf {
        self.store.join("bodies/00")
    }

    /// What is spooled and has no name yet, and how many octets it has.
    fn spooled(&self) -> Vec<(PathBuf, usize)> {
        let files = fs::read_dir(self.place()).expect("is there").flatten();
        let is_aside = |path: &Path| path.extension().is_some_and(|extension| extension == "aside");
        let aside = files.map(|entry| entry.path()).filter(|path| is_aside(path));
        // One that goes just now is not there any more.
        aside.filter_map(|path| Some((path.clone(), fs::metadata(&path).ok()?.len() as usize))).collect()
    }

    /// What was acknowledged is there, is handed on once, and is proved (P1, P2, P3, P6).
    async fn ends_well(self, mut gateway: Process, posted: Vec<Posted>) {
        let _running = play(&self.world, &PARTNERS).await;
        nothing_is_lost(&self.broker, &posted).await;
        all_is_handed_on_once(&self.world, &PARTNERS, &posted).await;
        assert_eq!(self.spooled(), [], "each has its name");
        gateway.kill();
        all_is_proved(&self.world, &self.store);
    }
}
