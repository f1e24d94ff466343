//! How far a long run has come, so that one that is broken off goes on from there: `make soak` names a directory.

use std::fs;
use std::path::PathBuf;

/// How far it is, and what was counted on the way.
pub(super) struct Place<const COUNTS: usize> {
    kind: &'static str,
    all: u64,
    done: u64,
    counts: [u64; COUNTS],
    file: Option<PathBuf>,
}

impl<const COUNTS: usize> Place<COUNTS> {
    /// Where a run of so many goes on: where one of as many was broken off, or at the beginning. A plain run keeps no place.
    pub(super) fn of(kind: &'static str, all: u64) -> Self {
        let file = std::env::var_os("SOAK_PLACE").map(|directory| {
            fs::create_dir_all(&directory).expect("can be made");
            PathBuf::from(directory).join(kind)
        });
        let (mut done, mut counts) = (0, [0; COUNTS]);
        if let Some(Ok(kept)) = file.as_ref().map(fs::read_to_string) {
            let numbers: Vec<u64> = kept.split(' ').map(|it| it.trim().parse().expect("a number")).collect();
            let [of, kept_done, kept_counts @ ..] = &numbers[..] else { panic!("{kind}: {kept:?}") };
            if *of == all {
                (done, counts) = (*kept_done, kept_counts.try_into().expect("as many as are counted"));
                println!("{kind}: goes on behind {done} of {all}");
            }
        }
        Self { kind, all, done, counts, file }
    }

    /// How many are done.
    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    /// The next ones, so many at most; none when all are done.
    pub(super) fn next(&self, at_most: u64) -> Option<std::ops::Range<u64>> {
        (self.done < self.all).then(|| self.done..self.all.min(self.done + at_most))
    }

    /// What was counted in all that are done.
    pub(super) const fn counts(&self) -> [u64; COUNTS] {
        self.counts
    }

    /// So many are done now, and were checked.
    pub(super) fn reached(&mut self, done: u64, counted: [u64; COUNTS]) {
        self.done = done;
        self.counts.iter_mut().zip(counted).for_each(|(count, more)| *count += more);
        let Self { kind, all, done, counts, file } = self;
        let Some(file) = file else { return };
        println!("{kind}: {done} of {all} done, {} remain", *all - *done);
        let numbers = [*all, *done].into_iter().chain(*counts).map(|number| number.to_string());
        let aside = file.with_extension("aside");
        fs::write(&aside, numbers.collect::<Vec<_>>().join(" "))
            .and_then(|()| fs::rename(&aside, file))
            .expect("can be kept");
    }
}
