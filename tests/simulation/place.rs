//! How far a long run of seeds has come, so that one that is broken off goes on from there: `make simulate` names a file.
//!
//! Seeds that another program has passed do not count: then it begins with the first one.

use std::fs;
use std::path::PathBuf;

use gwanmun::model::Digest;

/// Where the last seed that passed is kept, and of which program.
pub(crate) struct Place(Option<(PathBuf, String)>);

impl Place {
    /// The place that is named, and the last seed that this program has passed. A plain run keeps none.
    pub(crate) fn of_this_program() -> (Self, u64) {
        let Some(file) = std::env::var_os("SIMULATION_PLACE").map(PathBuf::from) else {
            return (Self(None), 0);
        };
        let program = std::env::current_exe().and_then(fs::read).expect("this program can be read");
        let program = Digest::of(&program).to_string();
        let kept = fs::read_to_string(&file).unwrap_or_default();
        let last = kept.trim().strip_prefix(&format!("{program} "));
        let last = last.map_or(0, |last| last.parse().expect("the last seed that passed"));
        if last > 0 {
            println!("goes on behind seed {last}");
        }
        (Self(Some((file, program))), last)
    }

    /// All seeds up to this one have passed.
    pub(crate) fn reached(&self, last: u64) {
        let Some((file, program)) = &self.0 else { return };
        let aside = file.with_extension("aside");
        let written = fs::write(&aside, format!("{program} {last}\n"));
        written.and_then(|()| fs::rename(&aside, file)).expect("can be kept");
    }

    /// All have.
    pub(crate) fn forget(self) {
        if let Some((file, _)) = self.0 {
            // None is there when none had to be run.
            drop(fs::remove_file(file));
        }
    }
}
