//! The processes of a practice world: started, watched, ended by their own handles.
//!
//! Promises: whatever way the demo ends, its processes end with it; each has its own log file; one that falls
//! ends the wait for it at once, with the end of its log.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Processes in order of their start.
#[derive(Debug)]
pub(super) struct Processes {
    program: PathBuf,
    logs: PathBuf,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    child: Child,
}

impl Processes {
    /// No process yet; their logs will be in this directory.
    ///
    /// # Errors
    /// When our own program cannot be found or the directory not be made.
    pub(super) fn new(logs: &Path) -> Result<Self> {
        fs::create_dir_all(logs)?;
        let program = std::env::current_exe().context("our own program cannot be found")?;
        Ok(Self { program, logs: logs.to_owned(), running: Vec::new() })
    }

    /// Starts our own program with these arguments and returns its process id; standard output and error go to its
    /// log. It does not get the terminal's signals: it is ours to end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(&mut self, name: &str, arguments: &[&OsStr]) -> Result<u32> {
        let log = File::create(self.log(name))?;
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.spawn(name, command)
    }

    /// Starts as [`start`](Self::start), and waits for the first line on its standard output.
    ///
    /// # Errors
    /// When it cannot be started, or ends or stays silent.
    pub(super) async fn start_and_hear(&mut self, name: &str, arguments: &[&OsStr]) -> Result<u32> {
        let log = File::create(self.log(name))?;
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let id = self.spawn(name, command)?;
        let out = self.running.last_mut().and_then(|running| running.child.stdout.take());
        let mut lines = BufReader::new(out.context("its standard output is piped")?).lines();
        match timeout(START_PATIENCE, lines.next_line()).await {
            Ok(Ok(Some(_))) => Ok(id),
            _ => bail!("{name} did not start{}", self.end_of_log(name)),
        }
    }

    fn spawn(&mut self, name: &str, mut command: Command) -> Result<u32> {
        command.kill_on_drop(true).process_group(0);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let id = child.id().with_context(|| format!("{name} ended at once"))?;
        self.running.push(Running { name: name.to_owned(), child });
        Ok(id)
    }

    /// Fails when one of them has ended.
    ///
    /// # Errors
    /// Who ended, and the end of its log.
    pub(super) fn check(&mut self) -> Result<()> {
        for running in &mut self.running {
            if let Some(status) = running.child.try_wait()? {
                let name = running.name.clone();
                bail!("{name} ended ({status}){}", self.end_of_log(&name));
            }
        }
        Ok(())
    }

    /// Asks all of them to end, the last started first, and ends those that do not.
    pub(super) async fn end(mut self) {
        for running in self.running.iter().rev() {
            let id = running.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            if let Some(id) = id {
                // One that has ended meanwhile needs no signal.
                kill_process(id, Signal::TERM).unwrap_or_default();
            }
        }
        for running in self.running.iter_mut().rev() {
            if timeout(END_PATIENCE, running.child.wait()).await.is_err() {
                drop(running.child.kill().await);
            }
        }
    }

    /// The log file of a process.
    #[must_use]
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn end_of_log(&self, name: &str) -> String {
        let log = self.log(name);
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n  ");
        format!("; the end of {}:\n  {last}", log.display())
    }
}

const START_PATIENCE: Duration = Duration::from_secs(20);
const END_PATIENCE: Duration = Duration::from_secs(8);
const LOG_LINES: usize = 8;
