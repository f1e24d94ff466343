//! A rule set: read from its files, checked as a whole, compiled for matching.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::archive::archive;
use super::fault::{Faults, Place};
use super::goods::number_of;
use super::index::GoodsIndex;
use super::matcher::{Subject, Verdict};
use super::reader::TextFile;
use super::ruleset::{self, Base};
use super::table::{self, Exception, Requirement, Rows};
use super::{
    AgencyForms, AgencyTarget, EnvelopeQuery, EnvelopeRule, JoinRule, Known, Pipeline, RuleFault, RuleFiles,
    check,
};
use crate::model::{Declaration, DeclarationLine, Digest, DocumentCode, RuleId, Timestamp};

/// The file that every rule directory has.
pub(super) const RULESET: &str = "ruleset.toml";

/// A rule set that may be used: its files had no error.
pub struct RuleSet {
    pub(super) base: Base,
    pub(super) requirements: Vec<Requirement>,
    pub(super) exceptions: Vec<Exception>,
    pub(super) required_goods: GoodsIndex,
    excepted_goods: GoodsIndex,
    documents: BTreeMap<DocumentCode, Option<AgencyTarget>>,
    archive: Vec<u8>,
    digest: Digest,
}

impl std::fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleSet")
            .field("id", &self.base.id)
            .field("revision", &self.base.revision)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// What a line meets.
pub(super) struct Met<'a> {
    /// Rows that match.
    pub(super) hits: Vec<&'a Requirement>,
    /// Exceptions that match.
    pub(super) exceptions: Vec<&'a Exception>,
    /// Rows whose goods match and that fail on one other condition, with that condition.
    pub(super) near: Vec<(&'a Requirement, &'static str)>,
}

impl RuleSet {
    /// Near misses that are kept of one line (ruling 14).
    pub const NEAR_MISSES_MAX: usize = 20;

    /// Reads, checks and compiles a rule directory; gives the warnings beside it.
    ///
    /// # Errors
    /// Every mistake and warning, in order of file and place, when there is a mistake.
    pub fn load(files: &RuleFiles, known: &Known<'_>) -> Result<(Arc<Self>, Vec<RuleFault>), Vec<RuleFault>> {
        let mut faults = Faults::default();
        let start = Place::start_of(RULESET);
        let Some(octets) = files.0.get(RULESET) else {
            faults.error(&start, "the file is missing", "a rule directory has a ruleset.toml");
            return Err(faults.into_list());
        };
        let Some(file) = TextFile::read(RULESET, octets, &mut faults) else { return Err(faults.into_list()) };
        let base = ruleset::read(file, &|name| files.0.get(name).cloned(), known, &mut faults);
        let mut rows = Rows::default();
        for (name, place) in &base.tables {
            match files.0.get(name.as_str()) {
                None => faults.error(place, format!("there is no table {name}"), "add it, or leave it out"),
                Some(octets) => {
                    if let Some(file) = TextFile::read(name, octets, &mut faults) {
                        table::read(file, &base, known, &mut rows, &mut faults);
                    }
                }
            }
        }
        check::rows(&rows, &mut faults);
        check::agreements(&base, &rows, known, &mut faults);
        check::unused_names(files, &base, &rows, &mut faults);
        if faults.has_errors() {
            return Err(faults.into_list());
        }
        let Rows { mut requirements, mut exceptions } = rows;
        requirements.sort_by(|a, b| a.id.cmp(&b.id));
        exceptions.sort_by(|a, b| a.id.cmp(&b.id));
        let required_goods = GoodsIndex::of(requirements.iter().map(|row| &row.when.goods));
        let excepted_goods = GoodsIndex::of(exceptions.iter().map(|row| &row.when.goods));
        let documents = agencies_of_documents(&base, &requirements);
        let archive = archive(files, &base);
        let digest = Digest::of(&archive);
        let rules = Self {
            base,
            requirements,
            exceptions,
            required_goods,
            excepted_goods,
            documents,
            archive,
            digest,
        };
        Ok((Arc::new(rules), faults.into_list()))
    }

    /// Digest of the files that decide: ruleset, tables and calendar (ruling 17).
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The files that decide, as octets whose SHA-256 is the digest; [`RuleFiles::of_archive`] gives them back.
    #[must_use]
    pub fn archive(&self) -> &[u8] {
        &self.archive
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.base.id
    }

    /// Its revision.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.base.revision
    }

    /// How many requirements it has.
    #[must_use]
    pub fn requirements_count(&self) -> usize {
        self.requirements.len()
    }

    /// The ids of its requirements, in order.
    pub fn requirement_ids(&self) -> impl Iterator<Item = &RuleId> {
        self.requirements.iter().map(|row| &row.id)
    }

    /// Its agencies in order of code, each with the application documents that rows send it and the result of each.
    pub fn agencies(&self) -> impl Iterator<Item = AgencyForms<'_>> {
        self.base.agencies.iter().map(|(code, agency)| AgencyForms {
            agency: code,
            party: &agency.value.party,
            cpa_id: agency.value.cpa_id.as_ref(),
            forms: self
                .requirements
                .iter()
                .filter(|row| row.agency == *code)
                .map(|row| (&row.application, &row.result))
                .collect(),
        })
    }

    /// What is done with a message of this header; nothing known is quarantine. At most one rule matches: two that
    /// could are a mistake of the set.
    #[must_use]
    pub fn envelope(&self, query: &EnvelopeQuery<'_>) -> Option<&EnvelopeRule> {
        self.base.envelopes.iter().find(|envelope| envelope.takes(query)).map(|envelope| &envelope.rule)
    }

    /// When the results of a case of this pipeline are all there.
    #[must_use]
    pub fn join(&self, pipeline: Pipeline) -> Option<&JoinRule> {
        self.base.joins.iter().find(|join| join.pipeline == pipeline)
    }

    /// The agency that an application document belongs to (ruling 4). `None` when no row names the document, or rows
    /// name it for several agencies: whose it is, only a plan could tell.
    #[must_use]
    pub fn agency_of_document(&self, code: &DocumentCode) -> Option<AgencyTarget> {
        self.documents.get(code)?.clone()
    }

    /// What a line of a declaration meets at an instant. Rows come in order of id.
    pub(super) fn meet(&self, declaration: &Declaration, line: &DeclarationLine, at: Timestamp) -> Met<'_> {
        let subject = Subject { declaration, line, goods: number_of(line.hs), at };
        let mut met = Met { hits: Vec::new(), exceptions: Vec::new(), near: Vec::new() };
        for row in self.required_goods.holding(subject.goods).into_iter().map(|at| &self.requirements[at]) {
            match row.when.judge(&subject) {
                Verdict::Holds => met.hits.push(row),
                Verdict::HoldsBut(failing) if met.near.len() < Self::NEAR_MISSES_MAX => {
                    met.near.push((row, failing));
                }
                Verdict::HoldsBut(_) | Verdict::Fails => {}
            }
        }
        let excepting = self.excepted_goods.holding(subject.goods).into_iter().map(|at| &self.exceptions[at]);
        met.exceptions = excepting.filter(|row| row.when.judge(&subject) == Verdict::Holds).collect();
        met
    }
}

/// The agency of each application document; `None` where rows name it for several.
fn agencies_of_documents(
    base: &Base,
    requirements: &[Requirement],
) -> BTreeMap<DocumentCode, Option<AgencyTarget>> {
    let mut documents: BTreeMap<DocumentCode, Option<AgencyTarget>> = BTreeMap::new();
    for row in requirements {
        match documents.entry(row.application.clone()) {
            Entry::Vacant(entry) => {
                let agency = base.agencies.get(&row.agency).map(|agency| &agency.value);
                entry.insert(agency.map(|agency| AgencyTarget {
                    agency: row.agency.clone(),
                    party: agency.party.clone(),
                    cpa_id: agency.cpa_id.clone(),
                    result: row.result.clone(),
                }));
            }
            Entry::Occupied(mut entry) => {
                if entry.get().as_ref().is_some_and(|target| target.agency != row.agency) {
                    entry.insert(None);
                }
            }
        }
    }
    documents
}
