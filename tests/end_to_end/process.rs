//! A process of ours: its log, its violent end, and waiting for what it does.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{interval, timeout};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gwanmun");

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running process; it ends with its handle.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program; what it says on either stream is appended to the log.
    pub(crate) fn start<A: AsRef<OsStr>>(log: PathBuf, arguments: impl IntoIterator<Item = A>) -> Self {
        Self::start_other(PROGRAM, log, arguments)
    }

    /// The same, with a program that is not ours.
    pub(crate) fn start_other<A: AsRef<OsStr>>(
        program: &str,
        log: PathBuf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let file = File::options().create(true).append(true).open(&log).expect("opens the log");
        let err = file.try_clone().expect("one more handle");
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(file).stderr(err);
        let child = command.spawn().unwrap_or_else(|error| panic!("{program}, see `make deps`: {error}"));
        Self { child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("is ours to tell");
    }

    /// Waits until it has ended by itself; gives its exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        let ended = async || self.child.try_wait().expect("is our child");
        let status = until(&format!("{} has its end", self.log.display()), ended).await;
        status.code().unwrap_or_else(|| panic!("{status}:\n{}", self.said()))
    }

    /// Whether it has a file open whose path ends so.
    pub(crate) fn has_open(&self, end: &str) -> bool {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", self.id())) else { return false };
        let mut paths = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        paths.any(|path| path.to_str().is_some_and(|path| path.ends_with(end)))
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("is our child").is_some()
    }

    /// SIGKILL, without a word before it. Returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("is ours to end");
        self.child.wait().expect("is our child");
    }

    /// Everything that it said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it says so.
    pub(crate) async fn says(&mut self, what: &str) {
        until(&format!("{} says {what}", self.log.display()), async || {
            self.check();
            self.said().contains(what).then_some(())
        })
        .await;
    }

    /// Fails the test when the process has ended by itself.
    pub(crate) fn check(&mut self) {
        if let Some(status) = self.child.try_wait().expect("is our child") {
            panic!("{} ended ({status}):\n{}", self.log.display(), self.said());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended by itself needs neither.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the program to its end.
pub(crate) fn run<A: AsRef<OsStr>>(directory: &Path, arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(directory).output().expect("runs")
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = interval(LOOK_EVERY);
    let found = timeout(DEADLINE, async {
        loop {
            ticks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
