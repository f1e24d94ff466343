//! `gwanmun rules check|explain|test`: what a rule directory says, before it is in force.
//!
//! Reads files and asks `routing`, by the same matcher as the gateway; changes nothing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::codec::document::{document_code_of_root, read_document};
use crate::config::{knows_code, read_rules};
use crate::model::{Declaration, DeclarationLine, Document, HsCode, Timestamp};
use crate::routing::{Explanation, Known, RuleFault, RuleFiles, RuleSet, RuleSeverity};

/// Check, explain and test a rule directory
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
    /// Run the tests of a rule directory and print the differences
    Test(TestArgs),
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Warnings are told and let pass. Whether agencies have agreements is checked by `gwanmun check`, which knows the
partners. Exit 0 when the directory can be used, 1 when it has an error.

Example:
  gwanmun rules check routing-rules/kr-import
  gwanmun rules check --json routing-rules/kr-import | jq -r '.faults[].message'")]
struct CheckArgs {
    #[command(flatten)]
    source: Source,
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
Tests stand in tests/*.toml of the directory. Rows that no test exercises are listed and let pass. Exit 0 when every
test passes, 1 when not.

Example: gwanmun rules test routing-rules/kr-import")]
struct TestArgs {
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Debug, clap::Args)]
struct Source {
    /// The rule directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
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
            RulesCommand::Test(args) => args.run(out),
        }
    }
}

impl CheckArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let source = &self.source;
        let files = source.files()?;
        let (rules, mut faults) = match source.load(&files) {
            Ok((rules, warnings)) => (Some(rules), warnings),
            Err(faults) => (None, faults),
        };
        faults.extend(rules.iter().flat_map(|rules| rules.run_tests(&files).faults));
        if source.json {
            let rule_set = rules.as_ref().map(|rules| {
                json!({ "id": rules.id(), "revision": rules.revision(), "digest": rules.digest(),
                    "requirements": rules.requirements_count() })
            });
            writeln!(out, "{:#}", json!({ "faults": faults, "rule_set": rule_set }))?;
        } else {
            source.tell(&faults, out)?;
        }
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
        let declaration = match &self.doc {
            Some(file) => read_declaration(file, out)?,
            None => in_short(&self.line),
        };
        let explanation = rules.explain(&declaration, self.at.unwrap_or_else(now));
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
        if !self.source.json {
            writeln!(out, "{count} tests passed")?;
        }
        Ok(())
    }
}

impl Source {
    fn files(&self) -> Result<RuleFiles> {
        read_rules(&self.directory).map_err(|faults| {
            let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(told.join("\n"))
        })
    }

    fn load(&self, files: &RuleFiles) -> Result<(Arc<RuleSet>, Vec<RuleFault>), Vec<RuleFault>> {
        RuleSet::load(files, &Known { codes: &knows_code, registry: None })
    }

    /// The rule set, without its warnings; its errors are told.
    fn rules(&self, files: &RuleFiles, out: &mut dyn Write) -> Result<Arc<RuleSet>> {
        match self.load(files) {
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
        lines: lines.collect(),
        attachments: Vec::new(),
    }
}

/// The declaration in a file; what is wrong with it is told.
fn read_declaration(file: &Path, out: &mut dyn Write) -> Result<Declaration> {
    let name = file.display();
    let octets = fs::read(file).with_context(|| format!("cannot read {name}"))?;
    let code = document_code_of_root(&octets)
        .with_context(|| format!("{name} is no business document: its root element is not known"))?;
    match read_document(&code, &octets) {
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
fn instant(text: &str) -> Result<Timestamp> {
    let has_offset = text.get(19..).is_some_and(|rest| rest.contains(['Z', '+', '-']));
    ensure!(has_offset, "expected an instant with offset such as 2009-12-01T10:00:00+09:00");
    Ok(text.parse()?)
}

fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command is its own shell: without --at it asks as of now"
    )]
    let now = jiff::Timestamp::now();
    now.into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        rules: RulesArgs,
    }

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/routing-rules/kr-import");

    /// What a command says, and what it fails with.
    fn told(arguments: &[&str]) -> (String, Option<String>) {
        let mut out = Vec::new();
        let line = Line::try_parse_from([&["rules"], arguments].concat()).expect("is a command");
        let failed = line.rules.run(&mut out).err().map(|error| format!("{error:#}"));
        (String::from_utf8(out).expect("is text"), failed)
    }

    /// A copy of the worked example with one text replaced.
    fn changed(file: &str, from: &str, to: &str) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("makes a directory");
        for (path, octets) in read_rules(Path::new(EXAMPLE)).expect("is readable").0 {
            let text = String::from_utf8(octets).expect("is text");
            let text = if path == file { text.replacen(from, to, 1) } else { text };
            let path = copy.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("makes it");
            fs::write(path, text).expect("writes");
        }
        copy
    }

    fn path(directory: &tempfile::TempDir) -> &str {
        directory.path().to_str().expect("is text")
    }

    #[test]
    fn the_worked_example_is_in_order_and_passes_its_tests() {
        let (out, failed) = told(&["check", EXAMPLE]);
        assert_eq!(failed, None, "{out}");
        assert!(
            out.starts_with("kr-import 2009-12-01 can be used: 12 requirements, 0 warning(s), digest "),
            "{out}"
        );
        let (out, failed) = told(&["test", EXAMPLE]);
        assert_eq!(failed, None, "{out}");
        assert!(out.ends_with(" tests passed\n") && out.lines().count() == 1, "{out}");
    }

    #[test]
    fn mistakes_are_told_with_their_place_for_people_and_machines() {
        let broken = changed("requirements.csv", ",KMDIA,", ",KMDA,");
        let (out, failed) = told(&["check", path(&broken)]);
        let fault = format!("{}/requirements.csv:12:", path(&broken));
        assert!(out.contains(&fault) && out.contains(": error: "), "{out}");
        assert_eq!(failed, Some(format!("1 error(s) in {}", path(&broken))), "{out}");
        let (out, failed) = told(&["check", "--json", path(&broken)]);
        let read: serde_json::Value = serde_json::from_str(&out).expect("is JSON");
        assert_eq!(read["faults"][0]["line"], 12, "{out}");
        assert!(failed.is_some() && read["rule_set"].is_null());
        for command in [&["test", path(&broken)][..], &["explain", path(&broken), "--line", "1211901000"]] {
            assert!(told(command).1.is_some_and(|failed| failed.contains("cannot be used")), "{command:?}");
        }
        assert!(told(&["check", "/nowhere"]).1.is_some_and(|failed| failed.contains("cannot be read")));
    }

    #[test]
    fn mistakes_of_rule_tests_are_told_by_check_too() {
        let broken = changed("tests/herbs.toml", "name =", "nane =");
        let (out, failed) = told(&["check", path(&broken)]);
        assert!(failed.is_some() && out.contains("/tests/herbs.toml:"), "{out}");
    }

    #[test]
    fn a_test_that_fails_is_told_by_its_differences_only() {
        let broken = changed("tests/herbs.toml", "[\"plant\"]", "[\"plants\"]");
        let (out, failed) = told(&["test", path(&broken)]);
        assert!(failed.is_some_and(|failed| failed.starts_with("1 of ")), "{out}");
        assert_eq!(out.lines().count(), 1, "{out}");
        assert!(out.contains("/tests/herbs.toml:") && out.contains("plants"), "{out}");
    }

    #[test]
    fn a_declaration_is_explained_line_by_line() {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/documents/929/held-approvals.xml");
        let at = "2009-12-01T10:00:00+09:00";
        let (out, failed) = told(&["explain", EXAMPLE, "--doc", document, "--at", at]);
        assert_eq!(failed, None, "{out}");
        for expected in [
            "line 1 0805100000",
            "hit   plant: law 12 -> NPQS GOVCBRX02",
            "held  law 12 under number NPQS-2009-004711 (claimed, not verified)",
            "hit   electric: law 23 -> KTL GOVCBRX11 (declared not applicable, reason Z",
            "join: import-case: all_collected after 2 required application(s)",
        ] {
            assert!(out.contains(expected), "{expected}: {out}");
        }
        let (out, _) = told(&["explain", "--json", EXAMPLE, "--doc", document, "--at", at]);
        let read: serde_json::Value = serde_json::from_str(&out).expect("is JSON");
        assert_eq!(read["plan"]["applications"].as_array().map(Vec::len), Some(2), "{out}");
    }

    #[test]
    fn lines_in_short_are_explained_too() {
        let at = "2009-12-01T10:00:00+09:00";
        let (out, failed) = told(&["explain", EXAMPLE, "--line", "0201300000 US", "--at", at]);
        assert_eq!(failed, None, "{out}");
        assert!(out.contains("near  animal-fmd but for origin"), "{out}");
        for line in ["1211", "1211901000 cn", "1211901000 CN SALE more", ""] {
            assert!(Line::try_parse_from(["rules", "explain", EXAMPLE, "--line", line]).is_err(), "{line:?}");
        }
        for arguments in [
            &["explain", EXAMPLE][..],
            &["explain", EXAMPLE, "--line", "1211901000", "--at", "2009-12-01T10:00:00"],
        ] {
            assert!(Line::try_parse_from([&["rules"], arguments].concat()).is_err(), "{arguments:?}");
        }
        assert!(told(&["explain", EXAMPLE, "--line", "7318150000"]).0.contains("join: nothing is required"));
    }

    #[test]
    fn a_document_with_findings_or_of_another_kind_is_not_explained() {
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/documents/");
        let explain = |name: &str| told(&["explain", EXAMPLE, "--doc", &format!("{samples}{name}")]);
        let (out, failed) = explain("929/three-findings.xml");
        assert_eq!(out.lines().count(), 3, "{out}");
        assert!(failed.is_some_and(|failed| failed.contains("3 finding(s)")));
        assert!(
            explain("X01/herbs.xml").1.is_some_and(|failed| failed.contains("not an import declaration"))
        );
        assert!(explain("929/not-there.xml").1.is_some_and(|failed| failed.contains("cannot read")));
    }
}
