//! A purge on a disk that stalls, without room or descriptors, and after a change of keys: nothing goes before its archive is
//! there, nothing is lost, and it goes on when it can (P2, P11, P12, P13, P18).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tokio::time::timeout;

use super::load::{
    PARTNERS, all_is_handed_on_once, all_is_proved, answered, lodging, nothing_panicked, play,
};
use super::meddled::meddled;
use crate::correspondent::Correspondent;
use crate::process::{Process, run, until};
use crate::purged::{age, archives, named};
use crate::world::World;

/// So long takes a call to the disk that stalls: longer than anybody waits here.
const STALL: u64 = 600;
/// So long somebody waits in vain.
const PATIENCE: Duration = Duration::from_secs(1);

/// A world with a case of long ago whose time is over, of which nothing was purged because the archives had no place.
struct Over {
    world: Arc<World>,
    gateway: Process,
    /// The certificates of everybody who signed for the gateway.
    keys: Vec<&'static str>,
}

impl Over {
    async fn new() -> Self {
        let world = Arc::new(World::new());
        let broker = Correspondent::new(&world, "broker");
        let mut gateway = world.serve().await;
        {
            let _running = play(&world, &PARTNERS).await;
            let mut one = lodging(&world, &broker, 1, Vec::new());
            one.acknowledgment = answered(&broker, &one.sealed).await;
            let cleared = async || world.list("/cases").await.iter().any(|it| it["state"] == "cleared");
            until("the case is cleared", async || cleared().await.then_some(())).await;
            all_is_handed_on_once(&world, &PARTNERS, &[one]).await;
        }
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
        age(&gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
        let settings = fs::read_to_string(world.settings()).expect("settings");
        let retention = "\n[retention]\ndefault = \"30 days\"\narchive = \"archive\"\ninterval = \"1s\"\n";
        fs::write(world.settings(), settings + retention).expect("written");
        world.write("archive", "in the way");
        let mut gateway = world.serve().await;
        gateway.says("purge.failed").await;
        Self { world, gateway, keys: vec!["pki/gateway/signing.pem"] }
    }

    /// The archives have a place.
    fn makes_way(&self) {
        fs::remove_file(self.world.path("archive")).expect("removed");
    }

    /// A round of the purge has failed for this.
    async fn has_failed(&self, reason: &str) {
        until("a round of it has failed", async || {
            let said = self.gateway.said();
            let mut failed = said.lines().filter(|line| line.contains("purge.failed"));
            failed.any(|line| line.contains(reason)).then_some(())
        })
        .await;
        assert!(!self.is_purged(), "what cannot be archived is kept (P12, P18)");
    }

    /// Whether an archive is proved by these certificates.
    fn is_proved_by(&self, archive: &Path, keys: &[&str]) -> bool {
        let archive = archive.to_str().expect("is text");
        let with = ["audit", "verify", archive, "--key"].into_iter().chain(keys.iter().copied());
        run(&self.world.path("."), with).status.success()
    }

    /// Whether anything was purged, by the records.
    fn is_purged(&self) -> bool {
        let store = gwanmun::config::store_of(self.world.settings()).expect("the settings are in order");
        !named(&store).is_empty()
    }

    /// All of it goes in the end, each after its archive, and the store proves itself.
    async fn goes(mut self) {
        let settings = self.world.settings().to_str().expect("is text").to_owned();
        until("everything is purged", async || {
            self.gateway.check();
            let dry =
                run(&self.world.path("."), ["store", "purge", "--dry-run", "--config", &settings, "--json"]);
            let told: serde_json::Value = serde_json::from_slice(&dry.stdout).ok()?;
            (told["gone"] == 0).then_some(())
        })
        .await;
        assert!(self.is_purged());
        for archive in archives(&self.world.path("archive")) {
            assert!(self.is_proved_by(&archive, &self.keys), "P18: {}", archive.display());
        }
        self.gateway.kill();
        let store = gwanmun::config::store_of(self.world.settings()).expect("the settings are in order");
        all_is_proved(&self.world, &store);
        nothing_panicked(&self.world);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_on_a_disk_that_stalls_takes_nothing_away_and_goes_on_with_it() {
    let over = Over::new().await;
    let mut strace =
        meddled(&over.world, &over.gateway, "fsync,fdatasync", &format!("delay_enter={STALL}s")).await;
    over.makes_way();
    let settings = over.world.settings().to_str().expect("is text").to_owned();
    let log = over.world.path("purge.log");
    let mut asked = Process::start(log, ["store", "purge", "--config", &settings]);
    let early = timeout(PATIENCE, asked.ended()).await;
    assert!(early.is_err(), "nobody is told that it is done: {early:?}");
    assert!(!over.is_purged(), "no octet goes before its archive is on the disk (P18)");
    assert!(!over.world.ask_text("/live").await.is_empty(), "operators are answered meanwhile");
    strace.kill();
    assert_eq!(asked.ended().await, 0, "{}", asked.said());
    over.goes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_without_descriptors_keeps_everything_and_goes_on_when_there_are_some() {
    let over = Over::new().await;
    let pid = Pid::from_raw(i32::try_from(over.gateway.id()).expect("is small"));
    let before = prlimit(pid, Resource::Nofile, getrlimit(Resource::Nofile)).expect("is ours to limit");
    let none = Rlimit { current: Some(0), ..before };
    prlimit(pid, Resource::Nofile, none).expect("is ours to limit");
    over.makes_way();
    over.has_failed("Too many open files").await;
    prlimit(pid, Resource::Nofile, before).expect("is ours to limit");
    over.goes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_whose_archives_find_no_room_keeps_everything_and_goes_on_when_there_is_some() {
    let over = Over::new().await;
    // Nothing is committed meanwhile: only archives are synced.
    let mut strace = meddled(&over.world, &over.gateway, "fsync", "error=ENOSPC").await;
    over.makes_way();
    over.has_failed("No space left on device").await;
    strace.kill();
    over.goes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_key_signed_is_purged_under_another_and_both_prove_it_p18() {
    let mut over = Over::new().await;
    over.gateway.signal(Signal::TERM);
    assert_eq!(over.gateway.ended().await, 0, "stopped as asked:\n{}", over.gateway.said());
    let make = ["pki", "practice", "renewed", "--party", "gateway", "--algorithm", "p256"];
    assert!(run(&over.world.path("."), make).status.success());
    for file in ["signing.pem", "signing.key"] {
        over.world.edit("gwanmun.toml", &format!("pki/gateway/{file}"), &format!("renewed/gateway/{file}"));
    }
    over.makes_way();
    over.gateway = over.world.serve().await;
    over.keys.push("renewed/gateway/signing.pem");
    until("an archive is there", async || archives(&over.world.path("archive")).pop().map(drop)).await;
    let archive = archives(&over.world.path("archive")).pop().expect("is there");
    assert!(!over.is_proved_by(&archive, &over.keys[..1]), "it is signed with the new key");
    over.goes().await;
}
