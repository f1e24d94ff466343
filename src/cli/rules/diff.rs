//! `gwanmun rules diff`: what two rule directories say differently, and which declarations would get other
//! applications, deadlines or joins.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Source, instant, now, read_declaration_octets};
use crate::codec::catalogue::Catalogue;
use crate::codec::document::document_code_of_root;
use crate::model::{Declaration, Timestamp};
use crate::routing::{PlanChange, RuleSet, TextChange};

/// Declarations of a corpus.
const CORPUS_MAX: usize = 100_000;
/// Directories of a corpus inside each other.
const DEPTH_MAX: usize = 8;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The text is compared row by row and key by key: order and comments are no change. Behaviour is compared by planning
declarations with both: those of the tests in both directories, each at its own instant, and those of --corpus, a
directory of XML documents (with directories in it) as they were stored. Documents in it that are no declarations are
passed over; a declaration that cannot be read is told. Ids of rows are no behaviour.

Exit 0 also when they differ; with --fail-on-change 1 when some declaration would be treated differently.

Example:
  gwanmun rules diff routing-rules/kr-import /tmp/next
  gwanmun rules diff routing-rules/kr-import /tmp/next --corpus declarations --at 2010-01-01T09:00:00+09:00")]
pub(super) struct DiffArgs {
    /// The rule directory as it is
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The rule directory as it shall be
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Declarations to plan with both: XML documents in a directory
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// When the declarations of the corpus are accepted, with offset; now, when left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Timestamp>,
    /// Exit 1 when some declaration would be treated differently
    #[arg(long)]
    fail_on_change: bool,
    /// A directory of documents and codes, as `[documents]` of the settings names one
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// A declaration to be planned, and what it is called.
struct Candidate {
    name: String,
    declaration: Declaration,
    at: Timestamp,
}

impl DiffArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let [old, new] = [&self.old, &self.new]
            .map(|directory| Source::of(directory, self.documents.as_deref(), self.json));
        let (old_files, new_files) = (old.files()?, new.files()?);
        let (old_rules, new_rules) = (old.rules(&old_files, out)?, new.rules(&new_files, out)?);
        let text = old_rules.text_changes(&old_files, &new_rules, &new_files);
        let mut candidates = Vec::new();
        let mut seen = BTreeSet::new();
        for sample in old_files.samples().into_iter().chain(new_files.samples()) {
            let name = format!("{} {}", sample.place, sample.name);
            if seen.insert(name.clone()) {
                candidates.push(Candidate { name, declaration: sample.declaration, at: sample.at });
            }
        }
        let at = self.at.unwrap_or_else(now);
        let passed_over = match &self.corpus {
            Some(directory) => self.read_corpus(&*new.catalogue()?, directory, at, &mut candidates, out)?,
            None => 0,
        };
        let compared: Vec<_> = candidates
            .iter()
            .map(|c| (c, old_rules.plan_changes(&new_rules, &c.declaration, c.at)))
            .filter(|(_, changes)| !changes.is_empty())
            .collect();
        if self.json {
            let named = |rules: &RuleSet| json!({ "id": rules.id(), "revision": rules.revision(), "digest": rules.digest() });
            let behaviour: Vec<_> = compared
                .iter()
                .map(|(c, changes)| json!({ "declaration": c.name, "at": c.at, "changes": changes }))
                .collect();
            let told = json!({ "old": named(&old_rules), "new": named(&new_rules), "text": text,
                "behaviour": behaviour, "compared": candidates.len(), "passed_over": passed_over });
            writeln!(out, "{told:#}")?;
        } else {
            tell_text(&text, out)?;
            let changed = compared.len();
            writeln!(
                out,
                "behaviour: {changed} of {} declarations would be treated differently",
                candidates.len()
            )?;
            for (candidate, changes) in &compared {
                writeln!(out, "  {}", candidate.name)?;
                tell_plan(changes, out)?;
            }
            if passed_over > 0 {
                writeln!(out, "{passed_over} document(s) of the corpus are no declarations")?;
            }
        }
        let changed = compared.len();
        ensure!(
            !self.fail_on_change || changed == 0,
            "{changed} declaration(s) would be treated differently"
        );
        Ok(())
    }

    /// Adds the declarations of a directory; gives how many documents are none.
    fn read_corpus(
        &self,
        catalogue: &Catalogue,
        directory: &Path,
        at: Timestamp,
        candidates: &mut Vec<Candidate>,
        out: &mut dyn Write,
    ) -> Result<usize> {
        let mut files = Vec::new();
        documents_in(directory, 0, &mut files)?;
        let (mut passed_over, mut unread) = (0, 0);
        for file in files {
            let name = file.display().to_string();
            let octets = fs::read(&file).with_context(|| format!("cannot read {name}"))?;
            if document_code_of_root(catalogue, &octets).is_none_or(|code| code.as_str() != "GOVCBR929") {
                passed_over += 1;
                continue;
            }
            // Findings are for people; for machines the count is in the error.
            let told: &mut dyn Write = if self.json { &mut std::io::sink() } else { out };
            match read_declaration_octets(catalogue, &file, &octets, at, told) {
                Ok(declaration) => candidates.push(Candidate { name, declaration, at }),
                Err(_) => unread += 1,
            }
        }
        ensure!(unread == 0, "{unread} declaration(s) of the corpus cannot be read");
        Ok(passed_over)
    }
}

/// The XML documents of a directory and those below it, by name.
fn documents_in(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    ensure!(depth <= DEPTH_MAX, "{} lies too deep", directory.display());
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            documents_in(&path, depth + 1, found)?;
        } else if path.extension().is_some_and(|extension| extension == "xml") {
            ensure!(found.len() < CORPUS_MAX, "there are more than {CORPUS_MAX} documents in the corpus");
            found.push(path);
        }
    }
    Ok(())
}

fn tell_text(changes: &[TextChange], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "text: {} change(s)", changes.len())?;
    for TextChange { file, entry, change } in changes {
        let values = change.to_string();
        let space = if values.is_empty() { "" } else { ": " };
        writeln!(out, "  {} {file} {entry}{space}{values}", change.sign())?;
    }
    Ok(())
}

fn tell_plan(changes: &[PlanChange], out: &mut dyn Write) -> std::io::Result<()> {
    for PlanChange { what, change } in changes {
        let values = change.to_string();
        let space = if values.is_empty() { "" } else { ": " };
        writeln!(out, "    {} {what}{space}{values}", change.sign())?;
    }
    Ok(())
}
