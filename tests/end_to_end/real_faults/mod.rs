//! Real faults on the real program, one after the other: killed under load, each sync failed, the disk full at each step,
//! stopped and let go on, a slow disk, no descriptors, a clock that is set, keys that are gone, a record that cannot be read,
//! octets that flip, an upgrade, a large body that comes in meanwhile. After each of them: nothing that was acknowledged is lost, nothing is handed on twice, no
//! octets are wrong, nothing panicked (P1 to P4, P9 to P11, P14, S24).
//!
//! The plain run takes a few of each; `make soak` takes them all, says how far it is, and goes on where it was broken off.

mod clocks;
mod exhausted;
mod flipped;
mod frozen;
mod full;
mod keyless;
mod kills;
mod load;
mod meddled;
mod place;
mod poisoned;
mod purges;
mod spooled;
mod stalled;
mod syncs;
mod upgraded;

/// How many there are to be: of a variable, or as many as a plain run takes.
fn count(variable: &str, plain: u64) -> u64 {
    std::env::var(variable).map_or(plain, |text| text.parse().expect("a number"))
}
