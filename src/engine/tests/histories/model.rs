//! A case, told a second time and as plainly as can be: sets, and the rules of the domain brief (5.2, 5.3, 8), written
//! from its words. Nothing here comes from `crate::case`; where the two differ, one of them is wrong.
//!
//! Nothing is stored that can be worked out: where an application stands is derived, each time, from all that its
//! agency has said.

use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused,
    Quarantined,
}

/// Something an agency said, with its own time of issue and the order in which it came.
#[derive(Clone, Debug)]
struct Said {
    issued: i64,
    order: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Notice(&'static str),
    Result { outcomes: BTreeMap<u16, &'static str>, valid_until: Option<i64> },
}

/// Which message of ours an answer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The newest document.
    Newest,
    /// The one before it.
    Older,
    /// The newest request to cancel.
    Cancellation,
    /// None.
    Nothing,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Application {
    /// Whether a rule asks for it.
    required: bool,
    pub(super) items: BTreeSet<u16>,
    /// The agency has been sent so many versions of its document.
    pub(super) versions: u32,
    /// The newest version has been acknowledged.
    pub(super) acknowledged: bool,
    /// When the newest version was sent, in the order of events.
    sent: usize,
    said: Vec<Said>,
    /// Items whose approval is over, with the order of the approval that was.
    lapsed: BTreeMap<u16, usize>,
    /// Whether its agency was asked to cancel it, and whether it refused to.
    pub(super) cancellation: Option<bool>,
}

/// From the worst outcome to the best (ruling 20).
const WORST_FIRST: [&str; 7] =
    ["rejected", "revoked", "lapsed", "cancelled", "approved_conditional", "approved", "not_applicable"];
const FAVOURABLE: [&str; 3] = ["approved", "approved_conditional", "not_applicable"];
/// Final for the application, and not collected for the join (ruling 20).
const NOT_COLLECTED: [&str; 2] = ["revoked", "lapsed"];

impl Application {
    /// What is decided about an item: by issue time the newest word that mentions it, of equals the last to come.
    fn outcome(&self, item: u16) -> Option<&'static str> {
        let (said, outcome) = self.decision(item)?;
        Some(if self.lapsed.get(&item) == Some(&said.order) { "lapsed" } else { outcome })
    }

    fn decision(&self, item: u16) -> Option<(&Said, &'static str)> {
        let mentions = self.said.iter().filter_map(|said| match &said.what {
            What::Result { outcomes, .. } => outcomes.get(&item).map(|outcome| (said, *outcome)),
            What::Notice(_) => None,
        });
        mentions.max_by_key(|(said, _)| (said.issued, said.order))
    }

    pub(super) fn outcomes(&self) -> BTreeMap<u16, &'static str> {
        self.items.iter().filter_map(|item| Some((*item, self.outcome(*item)?))).collect()
    }

    /// The outcome of the whole, once every item has one: that of the worst.
    fn decided(&self) -> Option<&'static str> {
        let outcomes = self.outcomes();
        if outcomes.len() < self.items.len() {
            return None;
        }
        WORST_FIRST.into_iter().find(|outcome| outcomes.values().any(|found| found == outcome))
    }

    pub(super) fn state(&self) -> &'static str {
        if let Some(outcome) = self.decided() {
            return outcome;
        }
        if self.versions == 0 {
            return "blocked";
        }
        let notices = self.said.iter().filter_map(|said| match said.what {
            What::Notice(state) => Some((said.issued, said.order, state)),
            What::Result { .. } => None,
        });
        match notices.max() {
            Some((_, order, state)) if order > self.sent => state,
            _ => "created",
        }
    }

    /// Its agency has it and has not decided.
    fn is_outstanding(&self) -> bool {
        self.decided().is_none() && self.versions > 0 && self.state() != "error"
    }

    /// Whether an answer that names this is about a version that was replaced (ruling 22).
    fn is_old(&self, named: Named) -> bool {
        match named {
            Named::Newest | Named::Cancellation => false,
            Named::Older => true,
            Named::Nothing => self.versions > 1 && !self.acknowledged,
        }
    }

    fn send(&mut self, order: usize) {
        self.versions += 1;
        self.acknowledged = false;
        self.sent = order;
    }
}

/// One declaration.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) applications: Vec<Application>,
    /// How it ended.
    end: Option<&'static str>,
    pub(super) state: &'static str,
    pub(super) revision: u32,
    pub(super) round: u32,
    /// What was reported, as revision, round and event.
    pub(super) told: Vec<(u32, u32, String)>,
    /// How many results were passed on, to each of customs and broker.
    pub(super) relayed: usize,
    order: usize,
}

impl Model {
    /// A lodging that asks for these items of each agency; `enclosed` of them have their document.
    pub(super) fn lodged(required: &[BTreeSet<u16>], enclosed: &[bool]) -> Self {
        let applications = required.iter().zip(enclosed).map(|(items, enclosed)| Application {
            required: true,
            items: items.clone(),
            versions: u32::from(*enclosed),
            ..Application::default()
        });
        let mut model = Self {
            applications: applications.collect(),
            end: None,
            state: "collecting",
            revision: 1,
            round: 1,
            told: Vec::new(),
            relayed: 0,
            order: 0,
        };
        model.count();
        model
    }

    /// Counts the rows, and reports what is new.
    fn count(&mut self) {
        if self.end.is_some() {
            return;
        }
        let required: Vec<_> = self.applications.iter().filter(|a| a.required).collect();
        if required.is_empty() {
            self.state = "ready";
            return;
        }
        let decided: Vec<_> = required.iter().map(|a| a.decided()).collect();
        let collected = decided.iter().all(|d| d.is_some_and(|d| !NOT_COLLECTED.contains(&d)));
        let favourable = decided.iter().flatten().all(|d| FAVOURABLE.contains(d));
        let now = match (collected, favourable) {
            (false, _) => "collecting",
            (true, true) => "ready",
            (true, false) => "blocked",
        };
        if required.iter().any(|a| !a.outcomes().is_empty())
            && !self.told.iter().any(|(revision, _, event)| *revision == self.revision && event == "first")
        {
            self.tell("first");
        }
        if self.state != "collecting" && now != self.state {
            self.round += 1;
            self.tell("reopened");
        }
        let reported = self
            .told
            .iter()
            .any(|(a, b, event)| (*a, *b) == (self.revision, self.round) && event.starts_with("all"));
        if collected && !reported {
            self.tell(if favourable { "all favourable" } else { "all unfavourable" });
        }
        self.state = now;
    }

    fn tell(&mut self, event: &str) {
        self.told.push((self.revision, self.round, event.to_owned()));
    }

    /// An event that nobody has seen before.
    fn next(&mut self) -> usize {
        self.order += 1;
        self.order
    }

    /// A notice: `state` is what it says, or none when it is for information.
    pub(super) fn notice(&mut self, at: usize, named: Named, state: Option<&'static str>, issued: i64) {
        let order = self.next();
        let application = &mut self.applications[at];
        match (named, state) {
            (Named::Cancellation, Some("error")) => application.cancellation = Some(true),
            (Named::Cancellation, _) | (_, None) => {}
            (_, Some(state)) => {
                if !application.is_old(named) && application.decided().is_none() {
                    application.said.push(Said { issued, order, what: What::Notice(state) });
                }
            }
        }
        self.count();
    }

    /// A result. No items: all of them.
    pub(super) fn result(
        &mut self,
        at: usize,
        named: Named,
        issued: i64,
        whole: &'static str,
        items: &BTreeMap<u16, &'static str>,
        valid_until: Option<i64>,
    ) -> Verdict {
        let order = self.next();
        let application = &mut self.applications[at];
        let is_old = application.is_old(named);
        if !is_old && items.keys().any(|item| !application.items.contains(item)) {
            return Verdict::Refused;
        }
        self.relayed += 1;
        if !is_old {
            let mut outcomes = items.clone();
            if items.is_empty() {
                outcomes = application.items.iter().map(|item| (*item, whole)).collect();
            }
            application.said.push(Said { issued, order, what: What::Result { outcomes, valid_until } });
        }
        self.count();
        Verdict::Accepted
    }

    /// The document of an application that was missing.
    pub(super) fn late(&mut self, at: usize) -> Verdict {
        let order = self.next();
        let application = &mut self.applications[at];
        if self.end.is_some() || !["blocked", "error"].contains(&application.state()) {
            return Verdict::Refused;
        }
        application.send(order);
        self.count();
        Verdict::Accepted
    }

    /// A new version of a document.
    pub(super) fn replace(&mut self, at: usize) -> Verdict {
        let order = self.next();
        let application = &mut self.applications[at];
        if self.end.is_some() || application.versions == 0 || application.decided().is_some() {
            return Verdict::Refused;
        }
        application.send(order);
        application.cancellation = None;
        Verdict::Accepted
    }

    /// The broker asks for a cancellation.
    pub(super) fn cancel(&mut self, at: usize) -> Verdict {
        self.next();
        let application = &mut self.applications[at];
        if self.end.is_some() || !application.is_outstanding() {
            return Verdict::Refused;
        }
        application.cancellation = Some(false);
        Verdict::Accepted
    }

    pub(super) fn withdraw(&mut self) -> Verdict {
        self.next();
        if self.end.is_some() {
            return Verdict::Refused;
        }
        for application in self.applications.iter_mut().filter(|a| a.is_outstanding()) {
            application.cancellation = Some(false);
        }
        self.finish("withdrawn");
        Verdict::Accepted
    }

    /// Every agency has acknowledged all that it was sent.
    pub(super) fn acknowledge(&mut self) {
        for application in &mut self.applications {
            application.acknowledged = application.versions > 0;
        }
    }

    /// Customs says that it is over.
    pub(super) fn finish(&mut self, end: &'static str) {
        self.next();
        let end = *self.end.get_or_insert(end);
        self.state = end;
    }

    /// Time is asked whether an approval is over.
    pub(super) fn lapse(&mut self, now: i64) {
        if self.end.is_some() {
            return;
        }
        for application in &mut self.applications {
            for item in application.items.clone() {
                let Some((said, "approved" | "approved_conditional")) = application.decision(item) else {
                    continue;
                };
                let What::Result { valid_until: Some(end), .. } = said.what else { continue };
                let order = said.order;
                if end <= now {
                    application.lapsed.insert(item, order);
                }
            }
        }
        self.count();
    }
}
