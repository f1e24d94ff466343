//! What goes wrong in a run, and how often.

use std::time::Duration;

use crate::chance::Chance;
use crate::parties::Who;
use crate::partner::Manners;

/// How a clock differs from the right time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offset {
    Ahead(Duration),
    Behind(Duration),
}

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
    /// The gateway is slow between loading and committing, so that others write what it has loaded.
    pub(crate) slowness: u64,
    /// A partner dies when it is asked, before it has taken what it is asked or after that.
    pub(crate) partner_crash: u64,
    /// A partner treats a message badly.
    pub(crate) bad_manners: u64,
    /// A partner posts once more what was answered before.
    pub(crate) forgetting: u64,
    /// A partner sends other content under a MessageId that the gateway has taken.
    pub(crate) forgery: u64,
    /// A partner cannot be reached, from one instant to another after the begin.
    pub(crate) outages: Vec<(Who, Duration, Duration)>,
    /// The clock of a party is so far off from an instant after the begin on, until the next one of its own.
    pub(crate) clock_steps: Vec<(Who, Duration, Offset)>,
    /// Backups are made, each so long after the begin.
    pub(crate) backups: Vec<Duration>,
    /// The disk of the gateway is lost, each so long after the begin, and the last backup restored.
    pub(crate) losses: Vec<Duration>,
    /// An octet that is stored flips, each so long after the begin.
    pub(crate) flips: Vec<Duration>,
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
            slowness: odds(3, 12),
            partner_crash: odds(8, 30),
            bad_manners: odds(3, 10),
            forgetting: odds(2, 6),
            forgery: odds(2, 6),
            outages: Vec::new(),
            clock_steps: Vec::new(),
            backups: Vec::new(),
            losses: Vec::new(),
            flips: Vec::new(),
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
        faults.draw_clock_steps(chance);
        faults
    }

    /// Half of the runs have right clocks, a quarter has steps of minutes, a quarter steps of up to days.
    fn draw_clock_steps(&mut self, chance: &mut Chance) {
        let furthest = match chance.below(4) {
            0 => CLOCK_MINUTES,
            1 => CLOCK_DAYS,
            _ => return,
        };
        let last = u64::try_from(self.last.as_millis()).expect("a short run");
        for who in Who::PARTNERS.into_iter().chain([Who::Gateway]) {
            let steps = if who == Who::Gateway || chance.one_in(3) { 1 + chance.below(3) } else { 0 };
            for _ in 0..steps {
                let (at, by) = (chance.millis(0, last), chance.millis(1_000, furthest));
                let offset = if chance.one_in(2) { Offset::Ahead(by) } else { Offset::Behind(by) };
                self.clock_steps.push((who, at, offset));
            }
        }
    }

    /// Of all runs every other one loses its disk, or octets on it flip, or both; there are backups then.
    ///
    /// Clocks are off by so little then that nobody notices. What is sent again after a restore and refused for its Timestamp
    /// goes out as a new message: what came of the first one before the loss is there already, under other names, and what
    /// rests on it comes before it (docs/operations.md).
    pub(crate) fn draw_damage(&mut self, chance: &mut Chance) {
        let (losses, flips) = match chance.below(6) {
            0 => (1 + chance.below(2), 0),
            1 => (0, 1 + chance.below(4)),
            2 => (1, 1 + chance.below(3)),
            _ => return,
        };
        for (_, _, Offset::Ahead(by) | Offset::Behind(by)) in &mut self.clock_steps {
            *by = Duration::from_secs(by.as_secs() % CLOCK_UNNOTICED);
        }
        let last = u64::try_from(self.last.as_millis()).expect("a short run");
        let mut at = chance.millis(0, 30_000);
        while at < self.last {
            self.backups.push(at);
            at += chance.millis(10_000, 120_000);
        }
        self.losses = (0..losses).map(|_| chance.millis(10_000, last)).collect();
        self.flips = (0..flips).map(|_| chance.millis(5_000, last)).collect();
    }

    /// The same with much damage, and right clocks.
    pub(crate) fn damaging(mut self) -> Self {
        let last = self.last;
        let every = |seconds: u64| {
            let times = (1..).map(|time| Duration::from_secs(time * seconds));
            times.take_while(|at| *at < last).collect::<Vec<_>>()
        };
        (self.backups, self.losses, self.flips) = (every(20), every(100), every(15));
        self.clock_steps.clear();
        self
    }

    /// How far off a clock is at most.
    pub(crate) fn clock_reach(&self) -> Duration {
        let offsets = self.clock_steps.iter().map(|(_, _, offset)| match offset {
            Offset::Ahead(by) | Offset::Behind(by) => *by,
        });
        offsets.max().unwrap_or_default()
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
            Manners::LetsAnotherSign,
        ])
    }
}

/// Seconds: from one end to the other less than what a Timestamp may be ahead.
const CLOCK_UNNOTICED: u64 = 140;
/// Clocks that are off by this go from one end to the other by the step that no delivery may end by (P9).
const CLOCK_MINUTES: u64 = 30 * 60 * 1000;
/// Less than how old messages may be.
const CLOCK_DAYS: u64 = 3 * 86_400_000;
