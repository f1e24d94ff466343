//! `gwanmun rules`: what a rule directory says, before it is in force; and which sets are in force in a gateway.
//!
//! Reads files and asks `routing`, by the same matcher as the gateway; what changes something is in `running`.

mod diff;
mod lookup;
mod running;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::codec::catalogue::Catalogue;
use crate::codec::document::{document_code_of_root, read_document};
use crate::config::{ConfigFault, read_catalogue, read_rules};
use crate::model::{Declaration, DeclarationLine, Document, HsCode, Timestamp};
use crate::routing::{Explanation, Known, RuleFault, RuleFiles, RuleSet, RuleSeverity};

/// Check, explain, test, compare and activate rules
#[derive(Clone, Debug, clap::Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum RulesCommand {
    /// Tell every mistake of a rule directory, with file, line, column and remedy
    Check(CheckArgs),
    /// Tell what a declaration needs, line by line, and why
    Explain(ExplainArgs),
    /// Tell which laws, agencies and documents goods of an HS code meet
    Lookup(lookup::LookupArgs),
    /// Run the tests of a rule directory and print the differences
    Test(TestArgs),
    /// Compare two rule directories: their text, and what declarations would get
    Diff(diff::DiffArgs),
    /// Put a rule set in force in a running gateway, at once or at an instant
    Activate(running::ActivateArgs),
    /// Which rule set counts when in a running gateway, and who asked for it
    History(running::HistoryArgs),
    /// Show or fetch a rule set of a running gateway
    Show(running::ShowArgs),
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Warnings are told and let pass: rows that another one covers, overlaps or always takes away, exceptions with nothing to
take away, rows that have ended, names that nothing uses, HS codes outside the table. Whether agencies have agreements
is checked by `gwanmun check`, which knows the partners. Exit 0 when the directory can be used, 1 when it has an error.

--official holds the rules against a list such as the official one of goods confirmed at clearance: CSV with the
columns hs and law, and from and until where it has them; others are not read. What no row asks for is told.

Example:
  gwanmun rules check routing-rules/kr-import
  gwanmun rules check routing-rules/kr-import --at 2009-12-01T00:00:00+09:00 --official list.csv
  gwanmun rules check --json routing-rules/kr-import | jq -r '.faults[].message'")]
struct CheckArgs {
    #[command(flatten)]
    source: Source,
    /// The day that rows are in force or have ended on, an instant with offset; now, when left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Timestamp>,
    /// A list of HS codes and laws; every one that no row asks for is told
    #[arg(long, value_name = "FILE")]
    official: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Gives the very plan that the gateway would make, with the rows that nearly matched. An approval that the declarant
claims to hold is shown and changes nothing.

Example:
  gwanmun rules explain routing-rules/kr-import --doc declaration.xml --at 2009-12-01T10:00:00+09:00
  gwanmun rules explain routing-rules/kr-import --line '1211901000 CN SALE' --line 8516791000")]
struct ExplainArgs {
    #[command(flatten)]
    source: Source,
    /// An import declaration
    #[arg(long, value_name = "FILE", required_unless_present = "line", conflicts_with = "line")]
    doc: Option<PathBuf>,
    /// A line in short, instead of a declaration: HS code, origin, usage; repeat for several
    #[arg(long, value_name = "'HS [ORIGIN [USAGE]]'")]
    line: Vec<ShortLine>,
    /// When it is accepted, with offset; now, when left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Timestamp>,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Tests stand in tests/*.toml of the directory. Rows that no test exercises, requirements and exceptions, are listed
and let pass, unless --full-coverage is given. Exit 0 when every test passes, 1 when not.

Example: gwanmun rules test routing-rules/kr-import")]
struct TestArgs {
    #[command(flatten)]
    source: Source,
    /// Fail when some row is exercised by no test
    #[arg(long)]
    full_coverage: bool,
}

#[derive(Clone, Debug, clap::Args)]
struct Source {
    /// The rule directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A directory of documents and codes, as `[documents]` of the settings names one
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// A declaration line as it is typed.
#[derive(Clone, Debug)]
struct ShortLine(DeclarationLine);

impl RulesArgs {
    /// Does what was asked.
    ///
    /// # Errors
    /// When the directory has an error, a test fails, or a document cannot be read; what is wrong has been told.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            RulesCommand::Check(args) => args.run(out),
            RulesCommand::Explain(args) => args.run(out),
            RulesCommand::Lookup(args) => args.run(out),
            RulesCommand::Test(args) => args.run(out),
            RulesCommand::Diff(args) => args.run(out),
            RulesCommand::Activate(args) => args.run(out),
            RulesCommand::History(args) => args.run(out),
            RulesCommand::Show(args) => args.run(out),
        }
    }
}

impl CheckArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let source = &self.source;
        let files = source.files()?;
        let catalogue = source.catalogue()?;
        let (rules, mut faults) = match source.load(&files, &catalogue) {
            Ok((rules, warnings)) => (Some(rules), warnings),
            Err(faults) => (None, faults),
        };
        let at = self.at.unwrap_or_else(now);
        if let Some(rules) = &rules {
            faults.extend(rules.run_tests(&files).faults);
            faults.extend(rules.ended(at));
            faults.sort();
        }
        let gaps = match (&rules, &self.official) {
            (Some(rules), Some(list)) => {
                let octets = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
                let codes = |list: &str, code: &str| catalogue.knows(list, code);
                let known = Known { codes: &codes, registry: None };
                rules.gaps(&list.display().to_string(), &octets, &known, at)
            }
            _ => Vec::new(),
        };
        if source.json {
            let rule_set = rules.as_ref().map(|rules| {
                json!({ "id": rules.id(), "revision": rules.revision(), "digest": rules.digest(),
                    "requirements": rules.requirements_count() })
            });
            writeln!(out, "{:#}", json!({ "faults": faults, "gaps": gaps, "rule_set": rule_set }))?;
        } else {
            source.tell(&faults, out)?;
            gaps.iter().try_for_each(|gap| writeln!(out, "{gap}"))?;
        }
        faults.extend(gaps);
        let errors = faults.iter().filter(|fault| fault.severity == RuleSeverity::Error).count();
        ensure!(errors == 0, "{errors} error(s) in {}", source.directory.display());
        if let Some(rules) = rules.filter(|_| !source.json) {
            let (id, revision, digest) = (rules.id(), rules.revision(), rules.digest());
            let (rows, warnings) = (rules.requirements_count(), faults.len());
            writeln!(
                out,
                "{id} {revision} can be used: {rows} requirements, {warnings} warning(s), digest {digest}"
            )?;
        }
        Ok(())
    }
}

impl ExplainArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let rules = self.source.rules(&self.source.files()?, out)?;
        let at = self.at.unwrap_or_else(now);
        let declaration = match &self.doc {
            Some(file) => read_declaration(&*self.source.catalogue()?, file, at, out)?,
            None => in_short(&self.line),
        };
        let explanation = rules.explain(&declaration, at);
        if self.source.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&explanation)?)?;
            return Ok(());
        }
        write_explanation(&explanation, out)
    }
}

impl TestArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let files = self.source.files()?;
        let rules = self.source.rules(&files, out)?;
        let report = rules.run_tests(&files);
        let failed = report.outcomes.iter().filter(|test| !test.differences.is_empty()).count();
        if self.source.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            self.source.tell(&report.faults, out)?;
            for test in &report.outcomes {
                for difference in &test.differences {
                    writeln!(out, "{}: {}: {difference}", self.source.inside(&test.place), test.name)?;
                }
            }
            for row in &report.never_exercised {
                writeln!(out, "never exercised: {row}")?;
            }
        }
        let count = report.outcomes.len();
        ensure!(
            report.passed(),
            "{failed} of {count} tests failed, {} fault(s) in them",
            report.faults.len()
        );
        let (rows, missed) = (report.rows, report.never_exercised.len());
        if !self.source.json {
            writeln!(out, "{count} tests passed, {} of {rows} rows exercised", rows - missed)?;
        }
        ensure!(!self.full_coverage || missed == 0, "{missed} of {rows} rows are exercised by no test");
        Ok(())
    }
}

/// The documents and codes that the program carries, and those of a directory.
///
/// # Errors
/// With every mistake of the directory.
pub(super) fn catalogue(directory: Option<&Path>) -> Result<Arc<Catalogue>> {
    read_catalogue(directory).map_err(|faults| told(&faults))
}

/// The rule set in a directory.
///
/// # Errors
/// With every mistake of the directory.
pub(super) fn rule_set(directory: &Path, documents: Option<&Path>) -> Result<Arc<RuleSet>> {
    let source = Source::of(directory, documents, false);
    let mut told = Vec::new();
    let rules = source.files().and_then(|files| source.rules(&files, &mut told));
    rules.with_context(|| String::from_utf8_lossy(&told).into_owned())
}

impl Source {
    fn of(directory: &Path, documents: Option<&Path>, json: bool) -> Self {
        Self { directory: directory.to_owned(), documents: documents.map(Path::to_owned), json }
    }

    fn files(&self) -> Result<RuleFiles> {
        read_rules(&self.directory).map_err(|faults| told(&faults))
    }

    fn catalogue(&self) -> Result<Arc<Catalogue>> {
        catalogue(self.documents.as_deref())
    }

    /// The rule set and its warnings, held against documents and codes: no partners are known here.
    fn load(
        &self,
        files: &RuleFiles,
        catalogue: &Catalogue,
    ) -> Result<(Arc<RuleSet>, Vec<RuleFault>), Vec<RuleFault>> {
        let codes = |list: &str, code: &str| catalogue.knows(list, code);
        RuleSet::load(files, &Known { codes: &codes, registry: None })
    }

    /// The rule set, without its warnings; its errors are told.
    fn rules(&self, files: &RuleFiles, out: &mut dyn Write) -> Result<Arc<RuleSet>> {
        match self.load(files, &*self.catalogue()?) {
            Ok((rules, _)) => Ok(rules),
            Err(faults) if self.json => {
                writeln!(out, "{:#}", json!({ "faults": faults }))?;
                bail!("{} cannot be used", self.directory.display())
            }
            Err(faults) => {
                self.tell(&faults, out)?;
                bail!("{} cannot be used; see gwanmun rules check --help", self.directory.display())
            }
        }
    }

    fn tell(&self, faults: &[RuleFault], out: &mut dyn Write) -> Result<()> {
        for fault in faults {
            writeln!(out, "{}", self.inside(&fault.to_string()))?;
        }
        Ok(())
    }

    /// A text that begins with a path inside the directory, made one that an editor finds from here.
    fn inside(&self, text: &str) -> String {
        self.directory.join(text).display().to_string()
    }
}

/// Mistakes of files, one a line.
fn told(faults: &[ConfigFault]) -> anyhow::Error {
    let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(told.join("\n"))
}

impl FromStr for ShortLine {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let hs: HsCode = words.next().context("a line begins with an HS code")?.parse()?;
        ensure!(hs.as_str().len() == HsCode::LINE_DIGITS, "the HS code of a line has 10 digits");
        let origin = words.next().map(str::parse).transpose()?;
        let usage = words.next().map(str::parse).transpose()?;
        ensure!(words.next().is_none(), "expected at most HS code, origin and usage");
        Ok(Self(DeclarationLine {
            count: None,
            sequence: 0,
            hs,
            origin,
            usage,
            value: None,
            weight: None,
            requirements: Vec::new(),
            not_applicable: Vec::new(),
        }))
    }
}

/// A declaration of these lines and nothing else.
fn in_short(lines: &[ShortLine]) -> Declaration {
    let lines = (1..).zip(lines).map(|(sequence, line)| DeclarationLine { sequence, ..line.0.clone() });
    Declaration {
        number: "in short".into(),
        function: "9".into(),
        importer: None,
        export_from: None,
        cargo: None,
        bills: Vec::new(),
        lines: lines.collect(),
        attachments: Vec::new(),
    }
}

/// The declaration in a file; what is wrong with it is told.
fn read_declaration(
    catalogue: &Catalogue,
    file: &Path,
    at: Timestamp,
    out: &mut dyn Write,
) -> Result<Declaration> {
    let octets = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    read_declaration_octets(catalogue, file, &octets, at, out)
}

/// The declaration that a file holds; what is wrong with it is told.
fn read_declaration_octets(
    catalogue: &Catalogue,
    file: &Path,
    octets: &[u8],
    at: Timestamp,
    out: &mut dyn Write,
) -> Result<Declaration> {
    let name = file.display();
    let code = document_code_of_root(catalogue, octets)
        .with_context(|| format!("{name} is no business document: its root element is not known"))?;
    match read_document(catalogue, &code, octets, at) {
        Ok(Document::Declaration(declaration)) => Ok(declaration),
        Ok(_) => bail!("{name} is a {code}, not an import declaration"),
        Err(findings) => {
            for finding in &findings {
                writeln!(out, "{name}:{}: {}: {}", finding.line, finding.path, finding.message)?;
            }
            bail!("{name} has {} finding(s)", findings.len())
        }
    }
}

fn write_explanation(explanation: &Explanation, out: &mut dyn Write) -> Result<()> {
    let Explanation { rule_set, at, plan, lines, join, warnings } = explanation;
    writeln!(out, "rule set {rule_set}, digest {}, at {at}", plan.rule_set)?;
    for line in lines {
        writeln!(out, "line {} {}", line.line, line.hs)?;
        for (label, texts) in [("hit", &line.hits), ("near", &line.near), ("held", &line.claimed)] {
            for text in texts {
                writeln!(out, "  {label:<5} {text}")?;
            }
        }
    }
    if !plan.applications.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([
            "AGENCY",
            "APPLICATION",
            "RESULT",
            "LINES",
            "LAWS",
            "ROWS",
            "COUNTED",
            "ACCEPT BY",
            "DECIDE BY",
        ]);
        for application in &plan.applications {
            let by = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
            table.add_row([
                application.agency.to_string(),
                application.document.to_string(),
                application.result.to_string(),
                joined(&application.items),
                joined(&application.laws),
                joined(&application.rules),
                if application.required { "yes" } else { "no" }.to_owned(),
                by(application.accept_by),
                by(application.decide_by),
            ]);
        }
        writeln!(out, "{table}")?;
    }
    writeln!(out, "join: {join}")?;
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn joined(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// An instant that says its offset: rules are dated by the day of one time zone.
pub(super) fn instant(text: &str) -> Result<Timestamp> {
    let has_offset = text.get(19..).is_some_and(|rest| rest.contains(['Z', '+', '-']));
    ensure!(has_offset, "expected an instant with offset such as 2009-12-01T10:00:00+09:00");
    Ok(text.parse()?)
}

pub(super) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command is its own shell: without --at it asks as of now"
    )]
    let now = jiff::Timestamp::now();
    now.into()
}

#[cfg(test)]
mod tests;
