//! The processes of a run: a fresh practice world made by `gwanmun demo --prepare`, its gateway, and those partners
//! that the run needs, all of them our own program as users run it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::clock::cpu_seconds;
use crate::transport::LocalClient;

/// What `gwanmun demo --prepare` says of the world that it made.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct World {
    pub(super) directory: PathBuf,
    gateway: PathBuf,
    socket: PathBuf,
    partners: Vec<Partner>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Partner {
    pub(super) name: String,
    role: String,
    pub(super) config: PathBuf,
    pub(super) journal: PathBuf,
}

/// How the partners of a run behave.
#[derive(Clone, Debug)]
pub(super) struct Cast<'a> {
    /// Who takes part.
    pub(super) names: Vec<&'a str>,
    /// What agencies do.
    pub(super) script: &'a str,
    /// How long customs thinks.
    pub(super) customs_delay: &'a str,
}

/// A world whose processes run; dropping it ends them.
pub(super) struct Stage {
    pub(super) world: World,
    gateway: Child,
    partners: Vec<Child>,
}

impl World {
    /// Makes a world in a new directory.
    pub(super) fn prepare(directory: &Path, algorithm: &str, window: u32) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["demo", "--prepare", "--algorithm", algorithm, "--window", &window.to_string()]);
        let output = command.arg("--directory").arg(directory).output()?;
        ensure!(
            output.status.success(),
            "the world cannot be made: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("what the world is")
    }

    pub(super) fn partner(&self, name: &str) -> Result<&Partner> {
        let found = self.partners.iter().find(|partner| partner.name == name);
        found.with_context(|| format!("there is no partner {name}"))
    }
}

impl Stage {
    /// Starts the gateway and the partners of the cast, and waits until the gateway is ready.
    pub(super) async fn set(world: World, cast: Cast<'_>) -> Result<Self> {
        let logs = world.directory.join("logs");
        std::fs::create_dir_all(&logs)?;
        let start = |name: &str, arguments: &mut dyn FnMut(&mut Command)| -> Result<Child> {
            let mut command = Command::new(std::env::current_exe()?);
            arguments(&mut command);
            let log = File::create(logs.join(format!("{name}.log")))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            command.spawn().with_context(|| format!("{name} cannot be started"))
        };
        let gateway = start("gateway", &mut |command| {
            command.args(["serve", "--config"]).arg(&world.gateway);
        })?;
        let mut stage = Self { gateway, partners: Vec::new(), world: world.clone() };
        for name in &cast.names {
            let partner = world.partner(name)?;
            stage.partners.push(start(name, &mut |command| {
                command.args(["practice", "--role", &partner.role, "--script", cast.script]);
                command.args(["--customs-delay", cast.customs_delay, "--config"]).arg(&partner.config);
            })?);
        }
        let client = LocalClient::new(&world.socket);
        let until = Instant::now() + START_PATIENCE;
        while !client.get("/ready").await.is_ok_and(|answer| answer.status.is_success()) {
            if let Some(status) = stage.gateway.try_wait()? {
                bail!("the gateway ended ({status}); see {}", logs.display());
            }
            ensure!(Instant::now() < until, "the gateway is not ready in time; see {}", logs.display());
            sleep(LOOK_EVERY).await;
        }
        Ok(stage)
    }

    /// Processor seconds that the gateway has used.
    pub(super) fn gateway_seconds(&self) -> Result<f64> {
        cpu_seconds(self.gateway.id())
    }

    /// Processor seconds that the partners have used together.
    pub(super) fn partner_seconds(&self) -> Result<f64> {
        self.partners.iter().map(|child| cpu_seconds(child.id())).sum()
    }

    fn everybody(&mut self) -> impl Iterator<Item = &mut Child> {
        self.partners.iter_mut().chain(std::iter::once(&mut self.gateway))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.everybody() {
            if let Some(id) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                kill_process(id, Signal::KILL).unwrap_or_default();
            }
            // Nothing to do about one that cannot be waited for.
            drop(child.wait());
        }
    }
}

const START_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
