//! How far a long run has come, so that one that is broken off goes on from there: `make soak` names a directory.
//!
//! What another program did, or what was done under other settings, does not count: then it begins anew.

use std::fs;
use std::path::{Path, PathBuf};

use gwanmun::model::Digest;

use crate::process::PROGRAM;

/// How far it is, and what was counted on the way.
pub(super) struct Place<const COUNTS: usize> {
    kind: &'static str,
    all: u64,
    done: u64,
    counts: [u64; COUNTS],
    kept: Option<Kept>,
}

/// Where it is kept, and what it is of: the program and its tests, and what they were set to.
struct Kept {
    file: PathBuf,
    of: String,
}

impl<const COUNTS: usize> Place<COUNTS> {
    /// Where a run of so many goes on: where one of as many was broken off, or at the beginning. `set` is what else
    /// makes two runs one. A plain run keeps no place.
    pub(super) fn of(kind: &'static str, all: u64, set: &str) -> Self {
        let kept = std::env::var_os("SOAK_PLACE").map(|directory| {
            fs::create_dir_all(&directory).expect("can be made");
            let tests = std::env::current_exe().expect("this program has a name");
            let of = [Path::new(PROGRAM), &tests].map(|it| Digest::of(&fs::read(it).expect("can be read")));
            let of = format!("{}:{}:{}:{all}", of[0], of[1], Digest::of(set.as_bytes()));
            Kept { file: PathBuf::from(directory).join(kind), of }
        });
        let (mut done, mut counts) = (0, [0; COUNTS]);
        if let Some(Kept { file, of }) = &kept
            && let Ok(text) = fs::read_to_string(file)
            && let Some(numbers) = text.strip_prefix(&format!("{of} "))
        {
            let numbers: Vec<u64> =
                numbers.split_whitespace().map(|it| it.parse().expect("a number")).collect();
            let [kept_done, kept_counts @ ..] = &numbers[..] else { panic!("{kind}: {text:?}") };
            (done, counts) = (*kept_done, kept_counts.try_into().expect("as many as are counted"));
            println!("{kind}: goes on behind {done} of {all}");
        }
        Self { kind, all, done, counts, kept }
    }

    /// The next ones, so many at most; none when all are done.
    pub(super) fn next(&self, at_most: u64) -> Option<std::ops::Range<u64>> {
        (self.done < self.all).then(|| self.done..self.all.min(self.done + at_most))
    }

    /// How many are done, and what was counted in them.
    pub(super) const fn so_far(&self) -> (u64, [u64; COUNTS]) {
        (self.done, self.counts)
    }

    /// So many are done now, and were checked.
    pub(super) fn reached(&mut self, done: u64, counted: [u64; COUNTS]) {
        self.done = done;
        self.counts.iter_mut().zip(counted).for_each(|(count, more)| *count += more);
        let Self { kind, all, done, counts, kept } = self;
        let Some(Kept { file, of }) = kept else { return };
        println!("{kind}: {done} of {all} done, {} remain", *all - *done);
        let numbers: Vec<_> = [*done].into_iter().chain(*counts).map(|number| number.to_string()).collect();
        let aside = file.with_extension("aside");
        fs::write(&aside, format!("{of} {}", numbers.join(" ")))
            .and_then(|()| fs::rename(&aside, file))
            .expect("can be kept");
    }
}
