//! `gwanmun demo`: a whole practice world on this machine, and one declaration all the way round in it.
//!
//! Gateway and partners are processes of their own that speak ebMS 2.0 over mutual TLS on loopback ports; the
//! demo starts them, lodges, follows, and ends them. It succeeds only if the gateway says that the case is cleared
//! *and* every partner's own journal shows its part.

mod cast;
mod follow;
mod processes;
mod timeline;
mod whole;
mod world;

use std::ffi::OsStr;
use std::io::{IsTerminal, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use super::KeyAlgorithm;
use crate::model::{CaseState, Timestamp};
use crate::transport::LocalClient;
use follow::{Follower, Lodged, milestones};
use processes::Processes;
use world::{World, WorldOptions};

/// Play one declaration from lodging to clearance, with real processes on this machine
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct DemoArgs {
    /// Leave everything running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Where the practice world is made; a temporary directory without
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The rule directory whose agencies are played; without one that of the worked example
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Play the whole cases of this directory instead of the worked example, all at once
    #[arg(long, value_name = "DIR", conflicts_with_all = ["keep", "prepare"])]
    cases: Option<PathBuf>,
    /// Only make the practice world in --directory and describe it as JSON; start nothing
    #[arg(long, requires = "directory", conflicts_with = "keep")]
    prepare: bool,
    /// The kind of every key
    #[arg(long, value_enum, default_value_t)]
    algorithm: KeyAlgorithm,
    /// Messages in flight between the gateway and one partner
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    window: u32,
    /// The ports of the loopback that its processes may listen on
    #[arg(long, default_value = world::PORTS, value_name = "FIRST-LAST", value_parser = world::parse_ports)]
    ports: RangeInclusive<u16>,
    /// How long the declaration may take
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = crate::model::parse_duration)]
    deadline: Duration,
    /// For machines: one JSON object at the end
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Makes certificates, settings, rules and example documents in the directory; starts a gateway, a broker, customs and
the agencies as processes of their own; lodges an import declaration for medicinal herbs with the applications that
three agencies want to see; follows it until customs has cleared the goods; prints the case's timeline.

Exit code 0 only if the case really got there.

With --rules the agencies of another rule directory are played, and with --cases whole cases: directories with a
case.toml that says where the case must end, the declaration 929.xml and its applications, each with what its agency
shall do behind SIM: in a remark. The deadline is for all of them.

Example:
  gwanmun demo
  gwanmun demo --rules routing-rules/kr-agencies --cases tests/samples/cases
  gwanmun demo --keep --directory var/serve";

impl DemoArgs {
    /// Plays the demo.
    ///
    /// # Errors
    /// When a process does not start or falls, or the case does not get there in time.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let temporary = std::env::temp_dir().join(format!("gwanmun-demo-{}", std::process::id()));
        let directory = self.directory.as_ref().unwrap_or(&temporary);
        let options = WorldOptions {
            rules: self.rules.clone(),
            algorithm: self.algorithm,
            window: self.window,
            ports: self.ports.clone(),
        };
        let world = world::prepare(directory, &options)?;
        if self.prepare {
            world::examples(&world, now())?;
            writeln!(out, "{}", serde_json::to_string_pretty(&world)?)?;
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.play(&world, out))?;
        // After a failure it is kept, to be looked at.
        if self.directory.is_none() {
            std::fs::remove_dir_all(temporary)?;
        }
        Ok(())
    }

    async fn play(&self, world: &World, out: &mut dyn Write) -> Result<()> {
        let mut processes = Processes::new(&world.directory.join("logs"))?;
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let played = tokio::select! {
            played = self.scenes(world, &mut processes, out) => played,
            _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
            _ = terminate.recv() => Err(anyhow::anyhow!("told to end")),
        };
        if let (Ok(()), true) = (&played, self.keep) {
            serving(world, out)?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                fallen = watch(&mut processes) => eprintln!("{fallen:#}"),
            }
            eprintln!("ending");
        }
        processes.end().await;
        played
    }

    async fn scenes(&self, world: &World, processes: &mut Processes, out: &mut dyn Write) -> Result<()> {
        let progress = Progress::new(self.json);
        progress.wait_for("starting the gateway and its partners");
        start(world, self.keep, processes).await?;
        progress.tell(&format!(
            "gateway and {} partners run; their logs are in {}/logs",
            world.partners.iter().filter(|partner| self.keep || !partner.practice).count(),
            world.directory.display()
        ));
        let until = Instant::now() + self.deadline;
        if let Some(directory) = &self.cases {
            let ended = whole::play(world, whole::read(directory)?, until, &progress).await?;
            progress.end();
            return if self.json {
                Ok(writeln!(out, "{}", serde_json::to_string_pretty(&ended)?)?)
            } else {
                whole::tell(&ended, out)
            };
        }
        let examples = world::examples(world, now())?;
        progress.wait_for("lodging");
        let receipt =
            timeout(self.deadline, lodge(world, &examples.files)).await.context("no receipt in time")??;
        let id = receipt["message_id"].as_str().unwrap_or_default();
        progress.tell(&format!(
            "declaration {} is lodged and acknowledged, MessageId {id}",
            examples.declaration
        ));
        let applications = applications(world, &receipt);
        ensure!(!applications.is_empty(), "the lodging had no applications: {receipt}");
        let mut follower = Follower::new(world, milestones(&examples.declaration, &applications));
        progress.steps(follower.len());
        while let Some(next) = follower.next() {
            progress.wait_for(&format!("waiting until {}", next.told));
            if Instant::now() > until {
                bail!("not in time: {}; see the logs in {}/logs", next.told, world.directory.display());
            }
            processes.check()?;
            for step in follower.look()? {
                progress.reach(&step.told);
            }
            sleep(LOOK_EVERY).await;
        }
        progress.wait_for("asking the gateway");
        let account = timeline::ask(world, &examples.declaration, CaseState::Cleared, until).await?;
        progress.end();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&account.to_json(world))?)?;
        } else {
            account.tell(world, out)?;
            if !self.keep {
                next_commands(world, out)?;
            }
        }
        Ok(())
    }
}

/// Starts the gateway, waits until it is ready, then starts every partner; those to rehearse with only where somebody
/// will.
async fn start(world: &World, rehearses: bool, processes: &mut Processes) -> Result<()> {
    let gateway = world.gateway.as_os_str();
    processes.start("gateway", &["serve".as_ref(), "--config".as_ref(), gateway])?;
    let bank = world.bank.iter().map(|bank| ("bank", "bank", &bank.config));
    let playing = world.partners.iter().filter(|partner| rehearses || !partner.practice);
    let partners = playing.map(|partner| (&*partner.name, &*partner.role, &partner.config));
    for (name, role, config) in bank.chain(partners) {
        let arguments: [&OsStr; 5] =
            ["practice".as_ref(), "--role".as_ref(), role.as_ref(), "--config".as_ref(), config.as_os_str()];
        processes.start_and_hear(name, &arguments).await?;
    }
    let client = LocalClient::new(&world.socket);
    let ready = async {
        loop {
            processes.check()?;
            if client.get("/ready").await.is_ok_and(|answer| answer.status.is_success()) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(START_PATIENCE, ready).await.context("the gateway is not ready in time")?
}

/// Lodges documents as the broker, with the ordinary command, and returns its receipt.
async fn lodge(world: &World, files: &[PathBuf]) -> Result<Value> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args(["send", "--json", "--config"]).arg(&world.partner("broker")?.config).args(files);
    let output = command.kill_on_drop(true).output().await?;
    if !output.status.success() {
        bail!("the lodging failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("the receipt is no JSON")
}

/// The applications of a lodging, with the agency of each.
fn applications(world: &World, receipt: &Value) -> Vec<Lodged> {
    let documents = receipt["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lodged = |document: &Value| {
        let agency = world.agency_for(document["code"].as_str()?)?;
        Some(Lodged { agency: agency.name.clone(), number: document["number"].as_str()?.to_owned() })
    };
    documents.iter().filter_map(lodged).collect()
}

async fn watch(processes: &mut Processes) -> anyhow::Error {
    loop {
        if let Err(fallen) = processes.check() {
            return fallen;
        }
        sleep(WATCH_EVERY).await;
    }
}

/// What runs now and how to use it.
fn serving(world: &World, out: &mut dyn Write) -> Result<()> {
    let examples = world::examples(world, now())?;
    let directory = world.directory.display();
    writeln!(out, "\nThe gateway listens on {}; everything is in {directory}:", world.endpoint)?;
    writeln!(out, "  gwanmun.toml, partners/   the gateway and whom it knows")?;
    writeln!(out, "  broker.toml, kfda.toml, … the partners' own settings")?;
    writeln!(
        out,
        "  examples/                 documents of declaration {}, not lodged yet",
        examples.declaration
    )?;
    writeln!(out, "  NAME/journal.jsonl        what each partner received and sent")?;
    writeln!(out, "  bank/ledger.jsonl         what the bank has booked and refused")?;
    let program = program();
    let files: Vec<String> = examples.files.iter().map(|file| file.display().to_string()).collect();
    writeln!(out, "\nLodge them, or documents of your own:")?;
    writeln!(out, "  {program} send --config {directory}/broker.toml --wait {}", files.join(" "))?;
    writeln!(out, "A declaration number is accepted once: give your own a new one.\n")?;
    writeln!(
        out,
        "Rehearse, with practice partners that do what SIM: in a remark says, and without effect:"
    )?;
    writeln!(out, "  {program} send --practice --config {directory}/broker.toml --wait {}", files.join(" "))?;
    writeln!(out, "  {program} case list --practice --config {directory}/gwanmun.toml\n")?;
    writeln!(out, "Look at the gateway:")?;
    writeln!(out, "  {program} case list --config {directory}/gwanmun.toml")?;
    writeln!(out, "  {program} delivery list --config {directory}/gwanmun.toml\n")?;
    writeln!(out, "Ctrl-C ends it all.")?;
    Ok(out.flush()?)
}

/// Three commands to try next.
fn next_commands(world: &World, out: &mut dyn Write) -> Result<()> {
    let (program, directory) = (program(), world.directory.display());
    writeln!(out, "\nTry next:")?;
    writeln!(out, "  make serve    leaves all of this running, and says how to lodge documents of your own")?;
    writeln!(out, "  {program} rules explain {} --doc {directory}/examples/929.xml", world.rules.display())?;
    writeln!(out, "  {program} check --config {directory}/gwanmun.toml")?;
    Ok(())
}

fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "gwanmun".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "documents bear the time they are written")]
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// What a watcher sees: a bar on a terminal, plain lines otherwise, nothing for machines.
struct Progress {
    bar: Option<ProgressBar>,
    silent: bool,
    since: Instant,
}

impl Progress {
    fn new(silent: bool) -> Self {
        let bar = (!silent && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, silent, since: Instant::now() }
    }

    fn steps(&self, count: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(count as u64);
        }
    }

    fn wait_for(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    fn reach(&self, what: &str) {
        self.tell(what);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    fn tell(&self, what: &str) {
        let line = format!("{:6.2} s  {what}", self.since.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None if !self.silent => eprintln!("{line}"),
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
const WATCH_EVERY: Duration = Duration::from_millis(500);
const START_PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(100);
