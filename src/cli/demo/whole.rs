//! Whole cases from a directory: each is lodged, and the gateway must bring it where its `case.toml` says.
//!
//! A case is a directory with `case.toml`, the declaration `929.xml`, and the applications that go with it; what each
//! agency does with one stands in it behind `SIM:`. All are lodged before the first one is waited for, so that every
//! agency of the rule set is at work at once.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::timeline;
use super::world::World;
use super::{Progress, lodge};
use crate::model::{AgencyCode, ApplicationState, Case, CaseState, DocumentCode, Outcome};

/// A whole case as its directory has it.
#[derive(Debug)]
pub(super) struct WholeCase {
    /// The name of its directory.
    name: String,
    told: Told,
    /// The declaration first.
    files: Vec<PathBuf>,
}

/// `case.toml`. What the rules say at `at` is for the tests of the rules: here they apply as of today.
#[derive(Debug, Deserialize)]
struct Told {
    title: String,
    end: CaseState,
    #[serde(default)]
    application: Vec<Expected>,
}

/// An application and where it must end.
#[derive(Debug, Deserialize)]
struct Expected {
    agency: AgencyCode,
    document: DocumentCode,
    items: Vec<u16>,
    end: Outcome,
}

/// Where a case got.
#[derive(Debug, Serialize)]
pub(super) struct Ended {
    name: String,
    title: String,
    declaration: String,
    state: CaseState,
    agencies: Vec<AgencyCode>,
    /// From acceptance to the last entry of its record, milliseconds.
    took_millis: u64,
}

/// Reads every case of a directory, in order of name.
///
/// # Errors
/// When one of them cannot be read.
pub(super) fn read(directory: &Path) -> Result<Vec<WholeCase>> {
    let sorted = |directory: &Path| -> Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    let mut cases = Vec::new();
    for directory in sorted(directory)?.into_iter().filter(|path| path.is_dir()) {
        let described = directory.join("case.toml");
        let text = fs::read_to_string(&described);
        let text = text.with_context(|| format!("cannot read {}", described.display()))?;
        let told = toml::from_str(&text).with_context(|| format!("{} is no case", described.display()))?;
        let documents = sorted(&directory)?;
        let documents = documents.into_iter().filter(|path| path.extension().is_some_and(|e| e == "xml"));
        let (mut files, others): (Vec<_>, Vec<_>) = documents.partition(|path| path.ends_with(DECLARATION));
        ensure!(!files.is_empty(), "{} has no {DECLARATION}", directory.display());
        files.extend(others);
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        cases.push(WholeCase { name, told, files });
    }
    ensure!(!cases.is_empty(), "{} has no case", directory.display());
    Ok(cases)
}

/// Lodges every case, then waits for each until it has ended as it must.
///
/// # Errors
/// For the first one that is not taken, ends otherwise, or does not get there by `until`.
pub(super) async fn play(
    world: &World,
    cases: Vec<WholeCase>,
    until: Instant,
    progress: &Progress,
) -> Result<Vec<Ended>> {
    progress.steps(cases.len());
    let mut lodged = Vec::with_capacity(cases.len());
    for case in cases {
        progress.wait_for(&format!("lodging {}", case.name));
        let receipt = timeout_at(until, lodge(world, &case.files)).await.context("no receipt in time")?;
        let receipt = receipt.with_context(|| format!("{} was not taken", case.name))?;
        let declaration = receipt["documents"][0]["number"].as_str().context("the receipt has no number")?;
        lodged.push((case, declaration.to_owned()));
    }
    progress.tell(&format!("{} cases are lodged and acknowledged", lodged.len()));
    let mut ended = Vec::with_capacity(lodged.len());
    for (case, declaration) in lodged {
        progress.wait_for(&format!("waiting until {} is {}", case.name, case.told.end.as_str()));
        let account = timeline::ask(world, &declaration, case.told.end, until);
        let account = account.await.with_context(|| format!("{}: {}", case.name, case.told.title))?;
        case.compare(account.case()).with_context(|| format!("{}: {}", case.name, case.told.title))?;
        progress.reach(&format!("{} is {}", case.name, case.told.end.as_str()));
        ended.push(Ended {
            agencies: case.told.application.iter().map(|expected| expected.agency.clone()).collect(),
            name: case.name,
            title: case.told.title,
            declaration,
            state: account.case().state,
            took_millis: account.took().as_millis().try_into().unwrap_or(u64::MAX),
        });
    }
    Ok(ended)
}

impl WholeCase {
    /// Every application that it must have, no other, each ended as it must.
    fn compare(&self, case: &Case) -> Result<()> {
        let (found, expected) = (case.applications.len(), self.told.application.len());
        ensure!(found == expected, "{expected} application(s) expected, {found} found");
        for expected in &self.told.application {
            let Expected { agency, document, .. } = expected;
            let found = case.applications.iter().find(|a| a.agency == *agency && a.document == *document);
            let found = found.with_context(|| format!("there is no {document} to {agency}"))?;
            ensure!(
                found.items == expected.items,
                "{document} to {agency} is for the lines {:?}, expected {:?}",
                found.items,
                expected.items
            );
            ensure!(
                found.state == ApplicationState::Decided(expected.end),
                "{document} to {agency} is {}, expected {}",
                found.state.as_str(),
                expected.end.as_str()
            );
        }
        Ok(())
    }
}

/// For people: where each case got.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn tell(ended: &[Ended], out: &mut dyn Write) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["case", "declaration", "state", "took", "agencies"]);
    for case in ended {
        let agencies: Vec<_> = case.agencies.iter().map(AgencyCode::as_str).collect();
        let took =
            format!("{:.1} s", f64::from(u32::try_from(case.took_millis).unwrap_or(u32::MAX)) / 1000.0);
        table.add_row([
            case.name.clone(),
            case.declaration.clone(),
            case.state.as_str().to_owned(),
            took,
            agencies.join(" "),
        ]);
    }
    writeln!(out, "\n{table}\n\n{} cases ended as they must", ended.len())?;
    Ok(())
}

const DECLARATION: &str = "929.xml";
