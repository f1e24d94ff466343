//! The rule sets that were put in force or will be, kept beside the store, and since when each counts (domain brief,
//! 7.2; ruling 17).
//!
//! A set is one file named by its digest; the activations are one list, replaced as a whole. Which set is in force
//! at an instant follows from the list and from nothing else: of the activations whose time has come, the latest one,
//! and of several at one instant the one that was asked for last. So an activation needs no timer and survives a
//! restart. They are files and not rows of the store because they are read once, at a start, and an operator can look
//! at them; that an activation was asked for stands in the audit record before it stands in the list.
//!
//! The rule directory of the settings is activated at a start or reload that finds other rules in it than the last
//! one did: an unchanged directory takes back nothing that was activated since.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Timestamp};
use crate::routing::{Known, RuleFault, RuleFiles, RuleSet, RuleSeverity};

/// Activations that are kept; beyond, the oldest ones that are no longer in force go.
const ACTIVATIONS_MAX: usize = 10_000;

/// A set counts from an instant on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Activation {
    /// From when on.
    pub(super) at: Timestamp,
    /// Digest of the set.
    pub(super) rules: Digest,
    /// Its name.
    pub(super) id: Arc<str>,
    /// Its revision.
    pub(super) revision: Arc<str>,
    /// When it was asked for.
    pub(super) asked_at: Timestamp,
    /// Who asked.
    pub(super) asked_by: Arc<str>,
    /// Whether it is what the rule directory held.
    pub(super) of_directory: bool,
}

/// Why the shelf cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShelfError {
    /// The file system refuses.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Files {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {detail}; restore it, or start with other rules in the rule directory", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How it shows.
        detail: String,
    },
    /// A set that counts does not fit the partners any more.
    #[error("the rules {rules}, which count from {at}, cannot be used: {}", told(faults))]
    Refused {
        /// Which set.
        rules: Digest,
        /// From when on.
        at: Timestamp,
        /// What is wrong with it.
        faults: Vec<RuleFault>,
    },
}

fn told(faults: &[RuleFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Which set counts when: the one in force now, and those to come.
#[derive(Debug)]
pub(super) struct Schedule(Vec<(Timestamp, Arc<RuleSet>)>);

impl Schedule {
    /// The set that counts at an instant. Before the first one, the first one does.
    pub(super) fn rules(&self, at: Timestamp) -> &Arc<RuleSet> {
        let come = self.0.iter().rev().find(|(from, _)| *from <= at);
        &come.or(self.0.first()).expect("a schedule has a set").1
    }

    /// All of them.
    pub(super) fn sets(&self) -> impl Iterator<Item = &Arc<RuleSet>> {
        self.0.iter().map(|(_, set)| set)
    }
}

/// The shelf.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    root: PathBuf,
    /// In the order in which they were asked for.
    activations: Vec<Activation>,
}

impl Shelf {
    /// Reads what there is; a directory that is not there yet is an empty shelf.
    pub(super) fn open(root: PathBuf) -> Result<Self, ShelfError> {
        fs::create_dir_all(&root).map_err(files("made", &root))?;
        let path = root.join(LIST);
        let activations = match fs::read(&path) {
            Ok(octets) => serde_json::from_slice(&octets)
                .map_err(|error| ShelfError::Damaged { path, detail: error.to_string() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(files("read", &path)(error)),
        };
        Ok(Self { root, activations })
    }

    /// In the order in which they were asked for.
    pub(super) fn activations(&self) -> &[Activation] {
        &self.activations
    }

    /// The one in force at an instant.
    pub(super) fn in_force(&self, at: Timestamp) -> Option<&Activation> {
        let come = self.activations.iter().filter(|activation| activation.at <= at);
        // The last of those that are equally late.
        come.max_by_key(|activation| activation.at)
    }

    /// Whether the directory holds other rules than when it was last looked at.
    pub(super) fn is_new_in_directory(&self, rules: &RuleSet) -> bool {
        let last = self.activations.iter().rev().find(|activation| activation.of_directory);
        last.is_none_or(|last| last.rules != rules.digest())
    }

    /// The digests that begin so.
    pub(super) fn digests(&self, beginning: &str) -> Vec<Digest> {
        let mut digests: Vec<Digest> = self.activations.iter().map(|activation| activation.rules).collect();
        digests.retain(|digest| digest.to_string().starts_with(beginning));
        digests.sort_unstable();
        digests.dedup();
        digests
    }

    /// The files of a set, as they were.
    pub(super) fn files(&self, digest: Digest) -> Result<RuleFiles, ShelfError> {
        let path = self.root.join(digest.to_string());
        let octets = fs::read(&path).map_err(files("read", &path))?;
        let found = Digest::of(&octets);
        let damaged = |detail: String| ShelfError::Damaged { path, detail };
        if found != digest {
            return Err(damaged(format!("its octets have digest {found}")));
        }
        RuleFiles::of_archive(&octets).ok_or_else(|| damaged("it is no archive of rules".to_owned()))
    }

    /// The same shelf with one more activation; nothing is written yet.
    pub(super) fn with(&self, activation: Activation) -> Self {
        let mut next = self.clone();
        let in_force = self.in_force(activation.asked_at).cloned();
        next.activations.push(activation.clone());
        let excess = next.activations.len().saturating_sub(ACTIVATIONS_MAX);
        let mut gone = 0;
        next.activations.retain(|one| {
            let goes = gone < excess && one.at < activation.asked_at && Some(one) != in_force.as_ref();
            gone += usize::from(goes);
            !goes
        });
        next
    }

    /// The sets that count from an instant on, each checked against what is known; those at hand are not read again.
    pub(super) fn schedule(
        &self,
        now: Timestamp,
        known: &Known<'_>,
        at_hand: &[Arc<RuleSet>],
    ) -> Result<Schedule, ShelfError> {
        let in_force = self.in_force(now);
        let later = self.activations.iter().filter(|activation| activation.at > now);
        let mut sets = Vec::new();
        for Activation { at, rules, .. } in in_force.into_iter().chain(later) {
            let set = match at_hand.iter().find(|set| set.digest() == *rules) {
                Some(set) => Arc::clone(set),
                None => load(&self.files(*rules)?, known).map_err(|faults| ShelfError::Refused {
                    rules: *rules,
                    at: *at,
                    faults,
                })?,
            };
            sets.push((*at, set));
        }
        // Stable: of several at one instant the last one asked for stays last.
        sets.sort_by_key(|(at, _)| *at);
        Ok(Schedule(sets))
    }

    /// Keeps a set; one that is there already is mended.
    pub(super) fn keep(&self, rules: &RuleSet) -> Result<(), ShelfError> {
        self.write(&rules.digest().to_string(), rules.archive())
    }

    /// Writes the list.
    pub(super) fn save(&self) -> Result<(), ShelfError> {
        let octets = serde_json::to_vec_pretty(&self.activations).expect("activations are JSON");
        self.write(LIST, &octets)
    }

    /// Aside, synced, renamed, directory synced: there is the old file or the new one.
    fn write(&self, name: &str, octets: &[u8]) -> Result<(), ShelfError> {
        let (path, aside) = (self.root.join(name), self.root.join(format!("{name}.aside")));
        let written = File::create(&aside).and_then(|mut file| {
            file.write_all(octets)?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(&self.root)?.sync_all()
        });
        written.map_err(files("written", &path))
    }
}

/// A set, checked against what is known; its mistakes, when it has some.
pub(super) fn load(files: &RuleFiles, known: &Known<'_>) -> Result<Arc<RuleSet>, Vec<RuleFault>> {
    let loaded = RuleSet::load(files, known);
    loaded.map(|(rules, _)| rules).map_err(|mut faults| {
        faults.retain(|fault| fault.severity == RuleSeverity::Error);
        faults
    })
}

fn files(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ShelfError {
    let path = path.to_owned();
    move |source| ShelfError::Files { doing, path, source }
}

/// The list of activations.
const LIST: &str = "activations.json";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const KNOWN: Known<'_> = Known { codes: &|_, _| true, registry: None };

    /// A set without rows, of this revision.
    fn set(revision: u32) -> Arc<RuleSet> {
        let toml = format!(
            "format = \"swgw-rules/1\"\nid = \"empty\"\nrevision = \"{revision}\"\ntime_zone = \"Asia/Seoul\"\n\
             tables = [\"r.csv\"]\n"
        );
        let table = "id,from,until,hs,law,agency,application,result\n".to_owned();
        let files = [("ruleset.toml", toml), ("r.csv", table)];
        let files = RuleFiles(BTreeMap::from(files.map(|(name, text)| (name.to_owned(), text.into_bytes()))));
        load(&files, &KNOWN).expect("in order")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn asked(rules: &RuleSet, from: i64, asked_at: i64, of_directory: bool) -> Activation {
        Activation {
            at: at(from),
            rules: rules.digest(),
            id: rules.id().into(),
            revision: rules.revision().into(),
            asked_at: at(asked_at),
            asked_by: "uid 1".into(),
            of_directory,
        }
    }

    /// A shelf on which these sets were activated: revision, from when on, when it was asked for.
    fn shelf(root: &Path, activations: &[(u32, i64, i64)]) -> Shelf {
        let mut shelf = Shelf::open(root.to_owned()).expect("opens");
        for (revision, from, asked_at) in activations {
            let rules = set(*revision);
            shelf = shelf.with(asked(&rules, *from, *asked_at, false));
            shelf.keep(&rules).expect("is kept");
        }
        shelf.save().expect("is saved");
        shelf
    }

    #[test]
    fn what_counts_follows_from_the_list_before_and_after_a_restart() {
        let check = |activations: &[(u32, i64, i64)], counts: &[(i64, u32)]| {
            let world = tempfile::tempdir().expect("makes a directory");
            let shelf = shelf(world.path(), activations);
            let again = Shelf::open(world.path().to_owned()).expect("opens");
            assert_eq!(shelf.activations, again.activations);
            let schedule = again.schedule(at(counts[0].0), &KNOWN, &[]).expect("can be used");
            for (second, revision) in counts {
                let rules = set(*revision).digest();
                assert_eq!(schedule.rules(at(*second)).digest(), rules, "{activations:?} at {second}");
                assert_eq!(again.in_force(at(*second)).map(|one| one.rules), Some(rules), "at {second}");
            }
        };
        check(&[(1, 0, 0)], &[(0, 1), (99, 1)]);
        check(&[(1, 0, 0), (2, 50, 1)], &[(1, 1), (49, 1), (50, 2), (51, 2)]);
        // Something else at once, before the planned one: the planned one still comes.
        check(&[(1, 0, 0), (2, 50, 1), (3, 10, 10)], &[(10, 3), (49, 3), (50, 2)]);
        // Taken back: at its instant what counts already is asked for again.
        check(&[(1, 0, 0), (2, 50, 1), (1, 50, 2)], &[(2, 1), (49, 1), (50, 1), (99, 1)]);
        check(&[(1, 0, 0), (2, 50, 1), (3, 60, 2)], &[(70, 3)]);
        check(&[(1, 0, 0), (2, 5, 5), (1, 9, 9)], &[(9, 1)]);
    }

    #[test]
    fn an_unchanged_directory_takes_nothing_back() {
        let world = tempfile::tempdir().expect("makes a directory");
        let (one, two) = (set(1), set(2));
        let empty = Shelf::open(world.path().to_owned()).expect("opens");
        assert!(empty.is_new_in_directory(&one) && empty.in_force(at(0)).is_none());
        let shelf = empty.with(asked(&one, 0, 0, true)).with(asked(&two, 1, 1, false));
        assert!(!shelf.is_new_in_directory(&one), "it was looked at before");
        assert!(shelf.is_new_in_directory(&two), "the directory did not hold it");
    }

    #[test]
    fn damage_is_told_and_a_set_that_is_not_needed_is_not_read() {
        let world = tempfile::tempdir().expect("makes a directory");
        let shelf = shelf(world.path(), &[(1, 0, 0), (2, 10, 10)]);
        let schedule = |second| shelf.schedule(at(second), &KNOWN, &[]);
        let damage = |rules: &RuleSet| {
            fs::write(world.path().join(rules.digest().to_string()), "ruleset").expect("writes");
        };
        damage(&set(1));
        assert!(schedule(10).is_ok(), "what has passed is for looking back");
        assert!(matches!(schedule(5), Err(ShelfError::Damaged { .. })));
        damage(&set(2));
        assert!(
            schedule(10).is_err_and(|error| error.to_string().contains("is damaged: its octets have digest"))
        );
        assert!(shelf.schedule(at(10), &KNOWN, &[set(2)]).is_ok(), "it is in the directory");
        shelf.keep(&set(2)).expect("is kept");
        assert!(schedule(10).is_ok(), "keeping it again mends it");
        fs::write(world.path().join(LIST), "[").expect("writes");
        assert!(matches!(Shelf::open(world.path().to_owned()), Err(ShelfError::Damaged { .. })));
    }

    #[test]
    fn the_oldest_activations_go_and_never_the_one_in_force() {
        let rules = set(1);
        let full = |count: usize| {
            let past = (0..count).map(|second| asked(&rules, i64::try_from(second).expect("few"), 0, false));
            Shelf { root: PathBuf::new(), activations: past.collect() }
        };
        let planned = asked(&rules, 1_000_000, 500_000, false);
        let kept = full(ACTIVATIONS_MAX - 1).with(planned.clone());
        assert_eq!(
            (kept.activations.len(), kept.activations[0].at),
            (ACTIVATIONS_MAX, at(0)),
            "at the limit"
        );
        let kept = full(ACTIVATIONS_MAX).with(planned.clone());
        assert_eq!((kept.activations.len(), kept.activations[0].at), (ACTIVATIONS_MAX, at(1)), "one past it");
        let kept = full(3 * ACTIVATIONS_MAX).with(planned.clone());
        assert_eq!((kept.activations.len(), kept.activations.last()), (ACTIVATIONS_MAX, Some(&planned)));
        let in_force = kept.in_force(at(500_000)).map(|one| one.at);
        assert_eq!(in_force, Some(at(3 * i64::try_from(ACTIVATIONS_MAX).expect("fits") - 1)), "far past it");
    }

    #[test]
    fn a_set_is_called_by_the_beginning_of_its_digest() {
        let world = tempfile::tempdir().expect("makes a directory");
        let shelf = shelf(world.path(), &[(1, 0, 0), (2, 1, 1), (1, 2, 2)]);
        assert_eq!(shelf.digests("").len(), 2);
        assert_eq!(shelf.digests(&set(2).digest().to_string()), [set(2).digest()]);
        assert_eq!(shelf.digests("zz"), []);
        let files = shelf.files(set(1).digest()).expect("is there");
        assert_eq!(load(&files, &KNOWN).expect("in order").digest(), set(1).digest());
    }
}
