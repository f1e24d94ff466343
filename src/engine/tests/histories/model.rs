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

/// A result as an agency issues it; no items are all of them.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) issued: i64,
    pub(super) whole: &'static str,
    pub(super) items: BTreeMap<u16, &'static str>,
    pub(super) valid_until: Option<i64>,
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
    pub(super) agency: usize,
    /// Whether a rule asks for it.
    required: bool,
    pub(super) items: BTreeSet<u16>,
    /// Items that an amendment took away.
    gone: BTreeSet<u16>,
    /// The agency has been sent so many versions of its document.
    pub(super) versions: u32,
    /// An amendment asks for another version, which has not come.
    pub(super) outdated: bool,
    /// The agency was told of items that an amendment took away.
    told_of_items: bool,
    /// The newest version has been acknowledged.
    acknowledged: bool,
    /// When the newest version was sent, in the order of events.
    sent: usize,
    said: Vec<Said>,
    /// Since when an item is another one, in the order of events: what was said before is about the old one.
    anew: BTreeMap<u16, usize>,
    /// Items whose approval is over, with the order of the approval that was.
    lapsed: BTreeMap<u16, usize>,
    /// Whether its agency was asked to cancel it, and whether it refused to.
    pub(super) cancellation: Option<bool>,
}

/// From the worst outcome to the best (ruling 20).
const WORST_FIRST: [&str; 7] =
    ["rejected", "revoked", "lapsed", "cancelled", "approved_conditional", "approved", "not_applicable"];
const FAVOURABLE: [&str; 3] = ["approved", "approved_conditional", "not_applicable"];
const APPROVALS: [&str; 2] = ["approved", "approved_conditional"];
/// Final for the application, and not collected for the join (ruling 20).
const NOT_COLLECTED: [&str; 2] = ["revoked", "lapsed"];

impl Application {
    /// What is decided about an item: by issue time the newest word that mentions it, of equals the last to come.
    fn outcome(&self, item: u16) -> Option<&'static str> {
        let (said, outcome) = self.decision(item)?;
        Some(if self.lapsed.get(&item) == Some(&said.order) { "lapsed" } else { outcome })
    }

    fn decision(&self, item: u16) -> Option<(&Said, &'static str)> {
        let since = self.anew.get(&item).copied().unwrap_or_default();
        let mentions =
            self.said.iter().filter(|said| said.order > since).filter_map(|said| match &said.what {
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
        if self.versions == 0 || self.outdated {
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

    /// No rule asks for it any more, and its document never came.
    pub(super) fn would_be_voluntary(&self) -> bool {
        self.versions == 0 && !self.required
    }

    /// Its agency has it and has not decided.
    fn is_outstanding(&self) -> bool {
        self.decided().is_none() && self.versions > 0 && self.state() != "error"
    }

    /// Whether an answer that names this is about a version that was replaced (ruling 22).
    fn is_old(&self, named: Named) -> bool {
        let has_others = self.versions > 1 || self.outdated || self.told_of_items;
        match named {
            Named::Newest | Named::Cancellation => false,
            Named::Older => true,
            Named::Nothing => has_others && (self.outdated || !self.acknowledged),
        }
    }

    fn send(&mut self, order: usize) {
        self.versions += 1;
        self.acknowledged = false;
        self.outdated = false;
        self.sent = order;
    }

    /// Of these items those that the agency is told of when they go: all that it has not decided, and else those
    /// that it has approved (ruling 23).
    fn to_let_go(&self, items: &BTreeSet<u16>) -> BTreeSet<u16> {
        match (self.is_outstanding(), self.cancellation) {
            (true, Some(false)) => BTreeSet::new(),
            (true, _) => items.clone(),
            (false, _) => self.approved(items),
        }
    }

    fn approved(&self, items: &BTreeSet<u16>) -> BTreeSet<u16> {
        let outcomes = self.outcomes();
        let approved = |item: &u16| outcomes.get(item).is_some_and(|outcome| APPROVALS.contains(outcome));
        items.iter().copied().filter(approved).collect()
    }
}

/// Lines of a declaration: what they are of.
pub(super) type Lines = BTreeMap<u16, &'static str>;
/// Which agencies goods need.
pub(super) type Rules = fn(&str) -> &'static [usize];

/// One declaration.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) applications: Vec<Application>,
    pub(super) lines: Lines,
    /// The expected set: line and agency.
    rows: BTreeSet<(u16, usize)>,
    /// How it ended.
    end: Option<&'static str>,
    pub(super) state: &'static str,
    pub(super) revision: u32,
    pub(super) round: u32,
    /// What was reported, as revision, round and event.
    pub(super) told: Vec<(u32, u32, String)>,
    /// How many results were passed on, to each of customs and broker.
    pub(super) relayed: usize,
    /// How many documents each agency was sent, requests to cancel among them.
    pub(super) sent: BTreeMap<usize, usize>,
    order: usize,
    /// An amendment is taken, and its rows are not counted yet.
    is_amending: bool,
}

impl Model {
    /// A lodging of these lines.
    pub(super) fn lodged(lines: &Lines, rules: Rules) -> Self {
        let mut model = Self {
            applications: Vec::new(),
            lines: lines.clone(),
            rows: BTreeSet::new(),
            end: None,
            state: "collecting",
            revision: 1,
            round: 1,
            told: Vec::new(),
            relayed: 0,
            sent: BTreeMap::new(),
            order: 0,
            is_amending: false,
        };
        for (line, goods) in lines {
            model.rows.extend(rules(goods).iter().map(|agency| (*line, *agency)));
        }
        model.add_what_is_missing();
        model.count();
        model
    }

    /// The application of an agency that counts, if one does.
    pub(super) fn current(&self, agency: usize) -> Option<usize> {
        self.applications.iter().position(|a| a.agency == agency && a.required)
    }

    fn items(&self, agency: usize) -> BTreeSet<u16> {
        self.rows.iter().filter(|(_, of)| *of == agency).map(|(line, _)| *line).collect()
    }

    fn add_what_is_missing(&mut self) {
        for agency in 0..3 {
            let items = self.items(agency);
            if !items.is_empty() && self.current(agency).is_none() {
                self.applications.push(Application {
                    agency,
                    required: true,
                    items,
                    ..Application::default()
                });
            }
        }
    }

    fn stands(&self) -> &'static str {
        let required = self.applications.iter().filter(|a| a.required);
        let decided: Vec<_> = required.map(Application::decided).collect();
        let collected = decided.iter().all(|d| d.is_some_and(|d| !NOT_COLLECTED.contains(&d)));
        let favourable = decided.iter().flatten().all(|d| FAVOURABLE.contains(d));
        match (collected, favourable) {
            (false, _) => "collecting",
            (true, true) => "ready",
            (true, false) => "blocked",
        }
    }

    /// Counts the rows, and reports what is new.
    fn count(&mut self) {
        if self.end.is_some() || self.is_amending {
            return;
        }
        let now = self.stands();
        let required: Vec<_> = self.applications.iter().filter(|a| a.required).collect();
        if required.is_empty() {
            self.state = now;
            return;
        }
        if required.iter().any(|a| !a.outcomes().is_empty())
            && !self.told.iter().any(|(revision, _, event)| *revision == self.revision && event == "first")
        {
            self.tell("first");
        }
        if self.state != "collecting" && now != self.state {
            self.round += 1;
            self.tell("reopened");
        }
        let this = (self.revision, self.round);
        let reported = self.told.iter().any(|(a, b, event)| (*a, *b) == this && event.starts_with("all"));
        match now {
            "ready" if !reported => self.tell("all favourable"),
            "blocked" if !reported => self.tell("all unfavourable"),
            _ => {}
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

    fn sends(&mut self, at: usize) {
        *self.sent.entry(self.applications[at].agency).or_default() += 1;
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

    pub(super) fn result(&mut self, at: usize, named: Named, answer: &Answer) -> Verdict {
        let order = self.next();
        let application = &mut self.applications[at];
        let is_old = application.is_old(named);
        let had = |item: &u16| application.items.contains(item) || application.gone.contains(item);
        if !is_old && !answer.items.keys().all(had) {
            return Verdict::Refused;
        }
        self.relayed += 1;
        if !is_old {
            let mut outcomes = answer.items.clone();
            if outcomes.is_empty() {
                outcomes = application.items.iter().map(|item| (*item, answer.whole)).collect();
            }
            outcomes.retain(|item, _| application.items.contains(item));
            let what = What::Result { outcomes, valid_until: answer.valid_until };
            application.said.push(Said { issued: answer.issued, order, what });
        }
        self.count();
        Verdict::Accepted
    }

    /// The document of an application that was missing, or that its agency refused.
    pub(super) fn original(&mut self, at: usize) -> Verdict {
        let order = self.next();
        let application = &mut self.applications[at];
        let is_wanted = application.versions == 0 && application.required || application.state() == "error";
        if self.end.is_some() || !is_wanted {
            return Verdict::Refused;
        }
        application.send(order);
        self.sends(at);
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
        self.sends(at);
        self.count();
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
        self.sends(at);
        Verdict::Accepted
    }

    /// The declaration as it is from now on. Documents that come with it are told afterwards, before
    /// [`Model::amended`].
    pub(super) fn amend(&mut self, lines: &Lines, rules: Rules) -> Verdict {
        let order = self.next();
        if self.end.is_some() {
            return Verdict::Refused;
        }
        let before = self.rows.clone();
        let is_same = |line: &u16| self.lines.get(line) == lines.get(line);
        self.rows.retain(|(line, _)| lines.contains_key(line) && is_same(line));
        for (line, goods) in lines.iter().filter(|(line, _)| !is_same(line)) {
            self.rows.extend(rules(goods).iter().map(|agency| (*line, *agency)));
        }
        let changed: BTreeSet<u16> = lines.keys().copied().filter(|line| !is_same(line)).collect();
        self.lines = lines.clone();
        self.revision += 1;
        self.round = 1;
        self.is_amending = true;
        for at in 0..self.applications.len() {
            let agency = self.applications[at].agency;
            let wanted = self.items(agency);
            let application = &mut self.applications[at];
            if !application.required {
                continue;
            }
            let was: BTreeSet<u16> =
                before.iter().filter(|(_, of)| *of == agency).map(|(line, _)| *line).collect();
            if wanted.is_empty() {
                application.required = false;
                if !application.to_let_go(&application.items).is_empty() {
                    application.cancellation = Some(false);
                    self.sends(at);
                }
                continue;
            }
            let touched: BTreeSet<u16> =
                wanted.iter().copied().filter(|item| changed.contains(item) || !was.contains(item)).collect();
            let gone: BTreeSet<u16> = was.difference(&wanted).copied().collect();
            let mut let_go = application.to_let_go(&gone);
            let held = application.approved(&gone);
            application.gone.extend(&gone);
            application.items = wanted;
            if !touched.is_empty() {
                application.outdated = application.versions > 0;
                application.anew.extend(touched.into_iter().map(|item| (item, order)));
                continue;
            }
            if application.outdated {
                // A new version will tell; if none is needed any more, only approvals are let go.
                let_go = if application.decided().is_some() { held } else { BTreeSet::new() };
            }
            if !let_go.is_empty() {
                application.told_of_items = true;
                self.sends(at);
            }
        }
        self.add_what_is_missing();
        Verdict::Accepted
    }

    /// Counts the rows of the new revision.
    pub(super) fn amended(&mut self) {
        self.is_amending = false;
        let was = std::mem::replace(&mut self.state, "collecting");
        if was != "collecting" && self.stands() == "collecting" {
            self.tell("reopened");
        }
        self.count();
    }

    pub(super) fn withdraw(&mut self) -> Verdict {
        self.next();
        if self.end.is_some() {
            return Verdict::Refused;
        }
        for at in 0..self.applications.len() {
            let application = &mut self.applications[at];
            if application.is_outstanding() && application.cancellation != Some(false) {
                application.cancellation = Some(false);
                self.sends(at);
            }
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

    /// It is over.
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
