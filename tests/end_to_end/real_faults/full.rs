//! The disk is full at each step of 4 KiB: of a small file system in memory where one can be mounted, else from a write on
//! that strace fails. Nobody is told that anything is kept which is not, and when there is room again everything goes on
//! (P1, P11).

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::count;
use super::load::{Load, all_is_proved, clear_log, nothing_is_lost, nothing_panicked};
use super::place::Place;
use crate::correspondent::Correspondent;
use crate::kept::copy;
use crate::process::{PROGRAM, Process, until};
use crate::world::World;

/// Steps of a plain run, from the first to the last one.
const STEPS: u64 = 8;
/// The smallest disk: too small for an empty store. The greatest holds a few declarations.
const SMALLEST_KIB: u64 = 64;
const STEP_KIB: u64 = 4;
const LAST: u64 = 400;
/// Who lodge at once.
const SENDERS: usize = 2;
/// So many are lodged at most: more than the greatest disk holds.
const LODGED: u32 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_any_step_loses_nothing_and_goes_on_when_there_is_room() {
    let world = Arc::new(World::new());
    for partner in ["broker", "customs", "kfda", "kpta", "npqs"] {
        let file = format!("partners/{partner}.toml");
        world.edit(&file, "retries = 60\nretry_interval = \"2s\"", "retries = 1\nretry_interval = \"20m\"");
    }
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let steps = count("STEPS", STEPS);
    let mut place = Place::of("steps", steps, "");
    world.edit("gwanmun.toml", "directory = \"store\"", "directory = \"small/store\"");
    let small = world.path("small");
    while let Some(next) = place.next(1) {
        let step = next.start * LAST / (steps - 1).max(1);
        drop(fs::remove_dir_all(&small));
        let mut disk = Disk::new(&small, SMALLEST_KIB + step * STEP_KIB);
        clear_log(&world);
        let mut gateway = disk.serve(&world, Some(step));
        let load = Load::begin(&world, &broker, SENDERS);
        load.allow(LODGED);
        until("the disk is full, or holds all", async || {
            let is_full = gateway.said().contains("disk is full") || gateway.has_ended();
            (is_full || load.acknowledged() == LODGED).then_some(())
        })
        .await;
        nothing_panicked(&world);
        let no_start = u64::from(!gateway.said().contains("gateway.started"));
        let posted = load.end().await;
        let lodged = posted.iter().filter(|one| one.acknowledgment.is_some()).count() as u64;
        gateway.kill();
        disk.grow();
        clear_log(&world);
        let mut gateway = disk.serve(&world, None);
        gateway.says("gateway.started").await;
        nothing_is_lost(&broker, &posted).await;
        gateway.kill();
        let copied = world.path("copied");
        drop(fs::remove_dir_all(&copied));
        copy(&disk.store(&small), &copied);
        all_is_proved(&world, &copied);
        place.reached(next.end, [no_start, lodged]);
    }
    let (_, [no_start, lodged]) = place.so_far();
    println!(
        "{steps} sizes, {no_start} too small for a start; {lodged} lodgings acknowledged before, none lost"
    );
}

/// A disk that becomes full.
enum Disk {
    /// A file system in memory, in a mount namespace of its own that this process holds.
    Mounted(Child),
    /// No such thing may be mounted here: the writes of the program fail instead.
    Injected,
}

impl Disk {
    fn new(at: &Path, kib: u64) -> Self {
        fs::create_dir_all(at).expect("makes it");
        let at = at.display();
        let script = format!(
            "mount -t tmpfs -o size={kib}k none {at} && echo mounted && read go && \
             mount -o remount,size=256m none {at} && echo grown && read go"
        );
        let mut holder = Command::new("unshare")
            .args(["-Urm", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare is part of util-linux");
        if said(&mut holder) == "mounted" {
            return Self::Mounted(holder);
        }
        println!("no file system can be mounted here: strace fails writes instead");
        holder.wait().expect("is our child");
        Self::Injected
    }

    /// Where the store on it is seen from here.
    fn store(&self, at: &Path) -> PathBuf {
        match self {
            Self::Mounted(holder) => {
                let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
                root.join(at.strip_prefix("/").expect("is absolute")).join("store")
            }
            Self::Injected => at.join("store"),
        }
    }

    /// Starts the gateway on it. Where nothing is mounted, the write after so many and every later one fail.
    fn serve(&self, world: &World, writes: Option<u64>) -> Process {
        let settings = world.settings().to_str().expect("is text");
        let (log, serve) = (world.path("gateway.log"), [PROGRAM, "serve", "--config", settings]);
        match (self, writes) {
            (Self::Mounted(holder), _) => {
                let holder = holder.id().to_string();
                let inside = ["-t", &holder, "-U", "-m", "--preserve-credentials"];
                Process::start_other("nsenter", log, inside.into_iter().chain(serve))
            }
            (Self::Injected, Some(writes)) => {
                let inject = format!("inject=pwrite64:error=ENOSPC:when={}+", writes + 1);
                let strace = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", &inject];
                Process::start_other("strace", log, strace.into_iter().chain(serve))
            }
            (Self::Injected, None) => Process::start(log, ["serve", "--config", settings]),
        }
    }

    /// There is room from now on.
    fn grow(&mut self) {
        if let Self::Mounted(holder) = self {
            let stdin = holder.stdin.as_mut().expect("is piped");
            stdin.write_all(b"go\n").expect("it listens");
            assert_eq!(said(holder), "grown");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(holder) = self {
            // Its mount goes with it.
            drop(holder.kill());
            drop(holder.wait());
        }
    }
}

/// The next line of a process.
fn said(process: &mut Child) -> String {
    let mut line = String::new();
    let out = process.stdout.as_mut().expect("is piped");
    let mut octets = BufReader::with_capacity(1, out);
    octets.read_line(&mut line).expect("is text");
    line.trim().to_owned()
}
