//! `gwanmun bench`: what the real binary does under open-loop load, over mutual TLS, with signed messages.
//!
//! Two kinds of run for each kind of key. *Accept*: declarations of unregulated goods, each accepted, acknowledged
//! and handed to customs. *Cases*: the worked example with three agencies, from lodging to clearance, with practice
//! partners that answer at once. All of it shares the machine: the generator and the partners take their part of the
//! processors, which the report shows. `--rules` measures the rule matcher alone instead.
//!
//! Promises: latencies count from the scheduled instant; a run whose generator fell behind says that it is invalid;
//! every receipt is verified, after the run; the crypto floor is that of the keys of the run, measured in the run.

mod clock;
mod figures;
mod floor;
mod load;
mod report;
mod rules;
mod stage;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::config::load_party;
use crate::model::{Timestamp, parse_duration};
use clock::now;
use figures::Percentiles;
use floor::Floor;
use load::{Broker, Lodging, Shot, Signed};
use report::{Report, Run, RunKind};
use rules::RulesFigures;
use stage::{Cast, Stage, World};

/// Measure the gateway under open-loop load, and the crypto floor of this machine
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct BenchArgs {
    /// Kinds of keys, in order
    #[arg(long, value_delimiter = ',', default_values_t = ["rsa".to_owned(), "p256".to_owned()], value_name = "KIND")]
    algorithm: Vec<String>,
    /// Declarations a second to be accepted, one run each
    #[arg(long, value_delimiter = ',', default_values_t = [100_u32, 200, 300], value_name = "RATE")]
    accept: Vec<u32>,
    /// Cases a second, one run each
    #[arg(long, value_delimiter = ',', default_values_t = [20_u32, 50, 100], value_name = "RATE")]
    cases: Vec<u32>,
    /// A whole case to lodge in runs of cases, such as tests/samples/cases/01-herbs, instead of the example of the world
    #[arg(long, value_name = "DIR")]
    case: Option<PathBuf>,
    /// How long each run lasts
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    duration: Duration,
    /// Messages in flight between the gateway and one partner
    #[arg(long, default_value_t = 32, value_name = "COUNT")]
    window: u32,
    /// Where the worlds of the runs are made; kept when given
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Where the results go
    #[arg(long, default_value = "bench.json", value_name = "FILE")]
    output: PathBuf,
    /// Print the results as JSON too
    #[arg(long)]
    json: bool,
    /// Measure the rule matcher instead: 10,000 made-up rows, a declaration of 999 lines, one core
    #[arg(long, conflicts_with_all = ["algorithm", "accept", "cases", "case", "duration", "window", "directory", "output"])]
    rules: bool,
}

const HELP: &str = "\
Prints, for each kind of key and each rate: accepted or cases a second; p50, p99 and p99.9 of the acknowledgment,
counted from the scheduled instant; how late the generator was (a run is invalid when its p99 is over 20 ms);
processor time of the gateway for each message or case; the crypto floor of this machine for the same keys; and the
ratio of the two. Everything runs on this machine.

--case takes the documents of a case that ends with clearance and whose agencies are those of routing-rules/kr-import.

--rules starts nothing and writes no file: it prints rows, lines, the time to load the rules and to plan the
declaration, and the ratio of the plan to a plain pass over the same lines.

Example:
  gwanmun bench --algorithm p256 --accept 300 --cases 50 --duration 20s
  gwanmun bench --accept 100 --cases 20 --case tests/samples/cases/02-oranges
  gwanmun bench --rules";

impl BenchArgs {
    /// Measures and reports.
    ///
    /// # Errors
    /// When a world cannot be made, a process does not start, or the results cannot be written.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        if self.rules {
            let figures = RulesFigures::measure()?;
            if self.json {
                writeln!(out, "{}", serde_json::to_string_pretty(&figures)?)?;
            } else {
                figures.tell(out)?;
            }
            return Ok(());
        }
        let temporary = std::env::temp_dir().join(format!("gwanmun-bench-{}", std::process::id()));
        let directory = self.directory.as_ref().unwrap_or(&temporary);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let report = runtime.block_on(self.measure(directory, out))?;
        if self.directory.is_none() {
            std::fs::remove_dir_all(&temporary)?;
        }
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(&self.output, &text)
            .with_context(|| format!("{} cannot be written", self.output.display()))?;
        if self.json {
            writeln!(out, "{text}")?;
        } else {
            report.tell(out)?;
            writeln!(out, "\nresults: {}", self.output.display())?;
        }
        Ok(())
    }

    async fn measure(&self, directory: &Path, out: &mut dyn Write) -> Result<Report> {
        let mut report = Report::of_this_machine(now());
        for algorithm in &self.algorithm {
            let kinds = [(RunKind::Accept, &self.accept), (RunKind::Cases, &self.cases)];
            for (kind, rate) in
                kinds.into_iter().flat_map(|(kind, rates)| rates.iter().map(move |r| (kind, *r)))
            {
                let place = directory.join(format!("{algorithm}-{kind}-{rate}"));
                let run = self.one(&place, algorithm, kind, rate).await;
                let run = run.with_context(|| format!("{algorithm}, {kind} at {rate}/s"))?;
                if !self.json {
                    writeln!(out, "{}", run.line())?;
                    out.flush()?;
                }
                report.runs.push(run);
            }
        }
        Ok(report)
    }

    /// One run in a world of its own.
    async fn one(&self, directory: &Path, algorithm: &str, kind: RunKind, rate: u32) -> Result<Run> {
        let world = World::prepare(directory, algorithm, self.window)?;
        let settings = load_party(&world.partner("broker")?.config)
            .map_err(|faults| anyhow::anyhow!("the broker's settings: {faults:?}"))?;
        let signing = settings.signing.first().context("the broker has no key")?;
        let floor = Floor::measure(signing)?;
        let broker = Arc::new(Broker::new(settings, CONNECTIONS)?);
        let (lodging, names) = self.lodging(&world.directory, kind)?;
        let count = (self.duration.as_secs_f64() * f64::from(rate)).ceil() as u32;
        let stage = Stage::set(world, cast(kind, &names)).await?;
        let mut warm = Witness::of(&stage.world, kind, now())?;
        warm_up(&broker, &lodging).await?;
        drain(&mut warm, WARM_UP).await?;
        let messages = (0..count).map(|serial| broker.sign(&lodging, serial)).collect::<Result<Vec<_>>>()?;
        let before = (stage.gateway_seconds()?, stage.partner_seconds()?);
        let started = now();
        let mut witness = Witness::of(&stage.world, kind, started)?;
        let shots = broker.fire(&messages, f64::from(rate)).await?;
        let answered = now();
        drain(&mut witness, count).await?;
        let after = (stage.gateway_seconds()?, stage.partner_seconds()?);
        let (accepted, faults) = judge(&broker, &messages, &shots);
        let lags = Percentiles::of(shots.iter().map(|shot| shot.lag).collect());
        let messages = f64::from(exchanged(&stage.world, &cast(kind, &names).names, started)? + count)
            / f64::from(count);
        Ok(Run {
            algorithm: algorithm.to_owned(),
            kind,
            rate,
            sent: count,
            accepted,
            faults,
            valid: lags.p99 <= LAG_P99_MS_MAX,
            lag_ms: lags,
            acknowledgment_ms: Percentiles::of(shots.iter().map(|shot| shot.latency).collect()),
            accepted_per_second: f64::from(accepted) / answered.since(started).as_secs_f64(),
            completed: witness.completed,
            completed_per_second: f64::from(witness.completed) / witness.last.since(started).as_secs_f64(),
            messages_per_lodging: messages,
            gateway_cpu_ms: 1000.0 * (after.0 - before.0) / f64::from(count),
            partner_cpu_ms: 1000.0 * (after.1 - before.1) / f64::from(count),
            floor_cpu_ms: 1000.0 * floor.seconds(messages),
            floor,
        })
    }
}

fn cast(kind: RunKind, agencies: &[String]) -> Cast<'_> {
    match kind {
        RunKind::Accept => Cast { names: vec!["customs"], script: "", customs_delay: "1 day" },
        RunKind::Cases => {
            let names = ["broker", "customs"].into_iter().chain(agencies.iter().map(String::as_str));
            Cast { names: names.collect(), script: "APPROVE,0s", customs_delay: "0s" }
        }
    }
}

/// What `case.toml` of a whole case says, as far as a run needs it.
#[derive(Deserialize)]
struct WholeCase {
    #[serde(default)]
    application: Vec<WholeApplication>,
}

#[derive(Deserialize)]
struct WholeApplication {
    agency: String,
    document: String,
}

impl BenchArgs {
    /// The documents of a lodging, from the examples of the world or from a whole case, and the agencies that get one.
    fn lodging(&self, world: &Path, kind: RunKind) -> Result<(Lodging, Vec<String>)> {
        let examples = world.join("examples");
        let case = self.case.as_ref().filter(|_| kind == RunKind::Cases);
        let directory = case.unwrap_or(&examples);
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let declaration = read("929.xml")?;
        let number = between(&declaration, "<ID>", "</ID>")?;
        // Filer code and year, six digits of our own, check character.
        let fresh = format!("{}{{n}}X", number.get(..7).context("a declaration number has 14 characters")?);
        if kind == RunKind::Accept {
            let unregulated = declaration.replace(REGULATED, UNREGULATED).replace(number, &fresh);
            return Ok((Lodging { documents: vec![("GOVCBR929".to_owned(), unregulated)] }, Vec::new()));
        }
        let application = match case {
            Some(_) => toml::from_str::<WholeCase>(&read("case.toml")?).context("case.toml")?.application,
            None => EXAMPLES
                .map(|(agency, document)| WholeApplication {
                    agency: agency.into(),
                    document: document.into(),
                })
                .into(),
        };
        let mut documents = vec![("GOVCBR929".to_owned(), declaration.replace(number, &fresh))];
        for WholeApplication { document, .. } in &application {
            let name = document.strip_prefix("GOVCBR").unwrap_or(document);
            let text = without_attachments(&read(&format!("{name}.xml"))?);
            let own = between(&text, "<ID>", "</ID>")?;
            let text = text.replace(own, &format!("{name}-{{n}}")).replace(number, &fresh);
            documents.push((document.clone(), text));
        }
        let agencies = application.into_iter().map(|application| application.agency.to_lowercase());
        Ok((Lodging { documents }, agencies.collect()))
    }
}

/// The agencies of the examples of a world, and what each gets.
const EXAMPLES: [(&str, &str); 3] = [("kfda", "GOVCBRX01"), ("npqs", "GOVCBRX02"), ("kpta", "GOVCBRFR2")];

fn without_attachments(text: &str) -> String {
    match (text.split_once("<AttachedDocument>"), text.rsplit_once("</AttachedDocument>")) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => text.to_owned(),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Result<&'a str> {
    let (_, rest) = text.split_once(start).with_context(|| format!("there is no {start}"))?;
    let (found, _) = rest.split_once(end).with_context(|| format!("there is no {end}"))?;
    Ok(found)
}

/// Connections are made and code is warm before the clock runs.
async fn warm_up(broker: &Arc<Broker>, lodging: &Lodging) -> Result<()> {
    let serials = (0..WARM_UP).map(|at| WARM_UP_SERIAL + at);
    let messages = serials.map(|serial| broker.sign(lodging, serial)).collect::<Result<Vec<_>>>()?;
    let shots = broker.fire(&messages, f64::from(WARM_UP)).await?;
    for (message, shot) in messages.iter().zip(&shots) {
        match &shot.answer {
            Ok(answer) => broker.check(message, answer)?,
            Err(why) => bail!("the warm-up is not answered: {why}"),
        }
    }
    Ok(())
}

/// How many receipts are good, and what was wrong with the others.
fn judge(broker: &Broker, messages: &[Signed], shots: &[Shot]) -> (u32, BTreeMap<String, u32>) {
    let (mut good, mut faults) = (0, BTreeMap::new());
    for (message, shot) in messages.iter().zip(shots) {
        let judged = match &shot.answer {
            Ok(answer) => broker.check(message, answer).map_err(|error| format!("{error:#}")),
            Err(why) => Err(why.clone()),
        };
        match judged {
            Ok(()) => good += 1,
            Err(why) => *faults.entry(why).or_default() += 1,
        }
    }
    (good, faults)
}

/// Waits until every lodging is completed, or nothing more completes.
async fn drain(witness: &mut Witness, count: u32) -> Result<()> {
    let mut until = Instant::now() + DRAIN_PATIENCE;
    while witness.completed < count && Instant::now() < until {
        if witness.look()? {
            until = Instant::now() + DRAIN_PATIENCE;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The journal that shows when a lodging is done with: at customs, or cleared.
#[derive(Debug)]
struct Witness {
    journal: PathBuf,
    at: u64,
    action: &'static str,
    says: &'static str,
    completed: u32,
    last: Timestamp,
}

impl Witness {
    /// Looks from here on.
    fn of(world: &World, kind: RunKind, since: Timestamp) -> Result<Self> {
        let (name, action, says) = match kind {
            RunKind::Accept => ("customs", "GOVCBR929", ""),
            RunKind::Cases => ("broker", "GOVCBR023", "status 13"),
        };
        let journal = world.partner(name)?.journal.clone();
        let at = std::fs::metadata(&journal).map_or(0, |file| file.len());
        Ok(Self { journal, at, action, says, completed: 0, last: since })
    }

    /// Whether more is done with than before.
    fn look(&mut self) -> Result<bool> {
        let before = self.completed;
        for line in lines_from(&self.journal, &mut self.at)? {
            let says = self.says.is_empty() || line.says == self.says;
            if line.event == "received" && line.action == self.action && says {
                self.completed += 1;
                self.last = line.time;
            }
        }
        Ok(self.completed > before)
    }
}

/// Messages between the gateway and the partners from an instant on, by their journals; lodgings left out.
fn exchanged(world: &World, names: &[&str], since: Timestamp) -> Result<u32> {
    let mut count = 0;
    for name in names {
        let lines = lines_from(&world.partner(name)?.journal, &mut 0)?;
        let messages = lines.iter().filter(|line| line.event != "ended" && line.time >= since);
        count += u32::try_from(messages.count())?;
    }
    Ok(count)
}

/// What matters of a journal line.
#[derive(Deserialize)]
struct Line {
    event: String,
    time: Timestamp,
    #[serde(default)]
    action: String,
    #[serde(default)]
    says: String,
}

/// The whole lines of a journal from an offset on, which moves behind them; one that is not there yet is empty.
fn lines_from(journal: &Path, at: &mut u64) -> Result<Vec<Line>> {
    let Ok(mut file) = File::open(journal) else { return Ok(Vec::new()) };
    file.seek(SeekFrom::Start(*at))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    *at += whole as u64;
    let lines = text.get(..whole).unwrap_or_default().lines();
    lines.map(|line| serde_json::from_str(line).with_context(|| journal.display().to_string())).collect()
}

/// Connections of the generator to the gateway.
const CONNECTIONS: usize = 64;
const WARM_UP: u32 = 20;
const WARM_UP_SERIAL: u32 = 900_000;
/// A generator that is later than this measures itself.
const LAG_P99_MS_MAX: f64 = 20.0;
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const REGULATED: &str = "1211901000";
/// Screws and bolts of iron or steel: no rule asks for anything.
const UNREGULATED: &str = "7318150000";
