//! What goes wrong in a run, and how often.

use std::time::Duration;

use crate::chance::Chance;
use crate::parties::Who;
use crate::partner::Manners;

/// Odds are "one in so many"; 0 is never.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// A request or a response is lost.
    pub(crate) loss: u64,
    /// A request arrives twice.
    pub(crate) repetition: u64,
    /// A request or response is late, so that others overtake it.
    pub(crate) lateness: u64,
    /// The gateway dies, at each point where it could.
    pub(crate) crash: u64,
    /// A commit of the gateway meets a failed sync.
    pub(crate) failed_sync: u64,
    /// A commit of the gateway meets a full disk.
    pub(crate) full_disk: u64,
    /// The outcome of a commit does not reach the gateway.
    pub(crate) unknown_outcome: u64,
    /// A partner treats a message badly.
    pub(crate) bad_manners: u64,
    /// A partner posts once more what was answered before.
    pub(crate) forgetting: u64,
    /// A partner sends other content under a MessageId that the gateway has taken.
    pub(crate) forgery: u64,
    /// A partner cannot be reached, from one instant to another after the begin.
    pub(crate) outages: Vec<(Who, Duration, Duration)>,
    /// A partner can never be reached, and the gateway gives up after two retries.
    pub(crate) dead: Option<Who>,
    /// The gateway dies at this point, counted from 1, whatever the odds.
    pub(crate) crash_at: Option<u64>,
    /// When all this stops, after the begin.
    pub(crate) last: Duration,
}

impl Faults {
    /// A run's own mixture: some runs are rough in one way, some in all.
    pub(crate) fn drawn(chance: &mut Chance) -> Self {
        let mut odds = |often: u64, rarely: u64| match chance.below(4) {
            0 => 0,
            1 => often,
            _ => rarely,
        };
        let mut faults = Self {
            loss: odds(4, 15),
            repetition: odds(4, 15),
            lateness: odds(3, 10),
            crash: odds(80, 400),
            failed_sync: odds(40, 250),
            full_disk: odds(15, 60),
            unknown_outcome: odds(15, 60),
            bad_manners: odds(3, 10),
            forgetting: odds(2, 6),
            forgery: odds(2, 6),
            outages: Vec::new(),
            dead: None,
            crash_at: None,
            last: Duration::ZERO,
        };
        faults.last = chance.millis(60_000, 400_000);
        for who in Who::PARTNERS {
            if chance.one_in(6) {
                let from = chance.millis(0, 60_000);
                faults.outages.push((who, from, from + chance.millis(5_000, 200_000)));
            }
        }
        faults
    }

    /// How a partner treats the next message.
    pub(crate) fn manners(&self, chance: &mut Chance) -> Manners {
        if !chance.one_in(self.bad_manners) {
            return Manners::Honest;
        }
        chance.pick(&[
            Manners::Silent,
            Manners::Refuses(500),
            Manners::Refuses(503),
            Manners::Refuses(302),
            Manners::Refuses(404),
            Manners::Pretends,
            Manners::Babbles,
            Manners::ForgesReceipt,
            Manners::LeavesReceiptUnsigned,
        ])
    }
}
