//! System calls of a gateway that runs, meddled with from outside.

use std::fs;
use std::path::Path;

use crate::process::{Process, until};
use crate::world::World;

/// What strace saw: each call with the path of its descriptor.
const TRACE: &str = "meddled.trace";

/// Has strace do this with these calls of the gateway, from when it is there until it is killed.
pub(super) async fn meddled(world: &World, gateway: &Process, calls: &str, how: &str) -> Process {
    attached(world, gateway, calls, how, &[]).await
}

/// The same, with those of one file, which may be there or come to be.
pub(super) async fn meddled_at(
    world: &World,
    gateway: &Process,
    file: &Path,
    calls: &str,
    how: &str,
) -> Process {
    let name = file.file_name().expect("it has a name");
    let file = file.parent().expect("a place").canonicalize().expect("it is there").join(name);
    attached(world, gateway, calls, how, &["-P", file.to_str().expect("is text")]).await
}

async fn attached(world: &World, gateway: &Process, calls: &str, how: &str, only: &[&str]) -> Process {
    let (id, trace, seen) = (gateway.id().to_string(), format!("trace={calls}"), world.path(TRACE));
    let inject = format!("inject={calls}:{how}");
    let seen = seen.to_str().expect("is text");
    let arguments = ["-f", "-qq", "-y", "-o", seen, "-p", &id, "-e", &trace, "-e", &inject];
    let arguments = only.iter().copied().chain(arguments);
    let strace = Process::start_other("strace", world.path("strace.log"), arguments);
    until("strace is attached to each thread", async || {
        let threads = fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
        let is_traced = |thread: fs::DirEntry| {
            // A thread that has ended meanwhile is none.
            let status = fs::read_to_string(thread.path().join("status"));
            status.map_or(true, |status| !status.contains("TracerPid:\t0"))
        };
        threads.flatten().all(is_traced).then_some(())
    })
    .await;
    strace
}

/// The calls that were meddled with, in their order.
pub(super) fn injected(world: &World) -> Vec<String> {
    world.read(TRACE).lines().filter(|line| line.contains("(INJECTED)")).map(str::to_owned).collect()
}
