//! Amendment: a new revision of the declaration, and what that means for each application (domain brief, 5.3;
//! rulings 18, 21, 23).
//!
//! Lines whose matched fields changed are planned with today's rules, all others keep the rows that they have. An
//! item of an application is untouched when its line is, and the same laws ask for it: it keeps its outcome. An
//! application none of whose items is touched keeps everything and hears nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::approval::{Approvals, Claims, Standing, Template, Templates, templates, verify_rows};
use super::lodging::planned;
use super::result::conclude;
use crate::model::{
    AgencyCode, Amended, Application, ApplicationState, Case, Declaration, DeclarationLine, DocumentCode,
    LawCode, PlannedRow, Timestamp,
};
use crate::routing::{LooksAt, Plan, PlannedApplication};

/// An amended declaration.
#[derive(Clone, Debug)]
pub struct Amendment<'a> {
    /// The declaration as it is to be from now on.
    pub declaration: &'a Declaration,
    /// What today's rules ask for, for the lines of [`lines_to_plan`].
    pub plan: Plan,
    /// Which lines these are, and which of them are other goods now.
    pub lines: LinesToPlan,
    /// What is kept of it in the case.
    pub amended: Amended,
    /// Approvals that it cites, and those that the case rests on.
    pub approvals: &'a Approvals,
    /// When it is taken.
    pub now: Timestamp,
}

/// Lines of an amended declaration that are planned anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinesToPlan {
    /// All of them.
    pub planned: BTreeSet<u16>,
    /// Those whose matched fields changed, so that nothing decided about them counts any more.
    pub changed: BTreeSet<u16>,
}

/// What an agency is to be told because rows of its application fell away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Place of the application in the case.
    pub index: usize,
    /// The items that are no longer asked for.
    pub items: Vec<u16>,
    /// The whole application is no longer asked for.
    pub whole: bool,
}

/// Which lines are planned anew: those that are new, whose matched fields changed, or for which the broker says of
/// other laws that they do not apply. A line of a case that does not know its declaration is new.
#[must_use]
pub fn lines_to_plan(case: &Case, declaration: &Declaration, looks_at: LooksAt) -> LinesToPlan {
    let mut lines = LinesToPlan::default();
    for line in &declaration.lines {
        let before = case.declared.as_ref().and_then(|before| {
            Some((before, before.lines.iter().find(|known| known.sequence == line.sequence)?))
        });
        let is_same = before.is_some_and(|before| is_same(before, (declaration, line), looks_at));
        if !is_same {
            lines.changed.insert(line.sequence);
        }
        if !is_same || before.is_none_or(|(_, known)| known.not_applicable != line.not_applicable) {
            lines.planned.insert(line.sequence);
        }
    }
    lines
}

/// Whether rules see the same goods.
fn is_same(
    (before, known): (&Declaration, &DeclarationLine),
    (after, line): (&Declaration, &DeclarationLine),
    looks_at: LooksAt,
) -> bool {
    (known.hs, known.origin, &known.usage) == (line.hs, line.origin, &line.usage)
        && (!looks_at.value || known.value == line.value)
        && (!looks_at.weight || known.weight == line.weight)
        && (!looks_at.importer || before.importer == after.importer)
        && (!looks_at.export_from || before.export_from == after.export_from)
}

/// Takes an amendment: revision n+1, with its expected set. Says whom to tell what; documents that came along are
/// placed afterwards, and then [`settle_amended`](super::settle_amended)
/// counts.
pub fn amend(case: &mut Case, amendment: Amendment<'_>) -> Vec<Release> {
    let Amendment { declaration, plan, lines, amended, approvals, now } = amendment;
    let before = items_of(&case.expected);
    let there: BTreeSet<u16> = declaration.lines.iter().map(|line| line.sequence).collect();
    let keeps = |line: &u16| there.contains(line) && !lines.planned.contains(line);
    case.expected.retain(|row| keeps(&row.line));
    case.expected.extend(plan.rows);
    case.expected.sort();
    case.trace.retain(|trace| keeps(&trace.line));
    case.trace.extend(plan.trace);
    case.trace.sort();
    case.revision += 1;
    case.round = 1;
    case.declared = Some(declaration.clone());
    case.rule_set = Some(plan.rule_set);
    case.amendments.push(amended);

    let plans: BTreeMap<Key, PlannedApplication> =
        plan.applications.into_iter().map(|p| ((p.agency.clone(), p.document.clone()), p)).collect();
    let templates = charge_anew(case, &plans, approvals, now);
    reshape(case, &before, plans, &templates, (&there, &lines.changed))
}

/// Every requirement that rested on an approval stands, what the case used of approvals is free, and then all that its
/// lines cite is verified as at a lodging.
fn charge_anew(
    case: &mut Case,
    plans: &BTreeMap<Key, PlannedApplication>,
    approvals: &Approvals,
    now: Timestamp,
) -> Templates {
    let held = std::mem::take(&mut case.held);
    for row in &mut case.expected {
        let rested = held.iter().any(|held| {
            (held.line, &held.law, &held.agency, &held.document)
                == (row.line, &row.law, &row.agency, &row.document)
        });
        if rested && row.removed.as_ref().is_some_and(|removed| removed.starts_with(HELD)) {
            row.removed = None;
        }
    }
    let mut templates = templates(&held);
    let applications = case.applications.iter().filter(|application| application.is_planned());
    templates.extend(applications.map(|application| {
        let (party, result) = (application.party.clone(), application.result.clone());
        let template = Template { party, result, watch: application.watch.clone() };
        ((application.agency.clone(), application.document.clone()), template)
    }));
    templates.extend(plans.iter().map(|(key, planned)| {
        let (party, result) = (planned.party.clone(), planned.result.clone());
        (key.clone(), Template { party, result, watch: planned.watch.clone() })
    }));
    let mut free = approvals.clone();
    for approval in free.values_mut() {
        approval.charges.retain(|charge| charge.case != case.id || charge.own);
    }
    if let (Some(declared), Some(submitter)) = (&case.declared, &case.submitter) {
        let claims = Claims { case: &case.id, realm: case.realm, submitter, declared, now };
        let Standing { held, unverified } = verify_rows(&mut case.expected, claims, &mut free, &templates);
        case.held = held;
        case.unverified = unverified;
    }
    templates
}

/// Gives every application of a case the items that its rows ask for now, and adds those that are new. Says whom to
/// tell what.
pub(super) fn reshape(
    case: &mut Case,
    before: &BTreeMap<Key, BTreeMap<u16, BTreeSet<LawCode>>>,
    mut plans: BTreeMap<Key, PlannedApplication>,
    templates: &Templates,
    (there, changed): (&BTreeSet<u16>, &BTreeSet<u16>),
) -> Vec<Release> {
    let mut wanted = items_of(&case.expected);
    let mut released = Vec::new();
    for index in 0..case.applications.len() {
        let application = &mut case.applications[index];
        if !application.is_planned() {
            continue;
        }
        let key = (application.agency.clone(), application.document.clone());
        let planned = plans.remove(&key);
        let was = before.get(&key).cloned().unwrap_or_default();
        let Some(items) = wanted.remove(&key) else {
            application.required = false;
            application.released_in = Some(case.revision);
            application.watch = None;
            let items = to_let_go(application, &application.items);
            released.extend((!items.is_empty()).then_some(Release { index, items, whole: true }));
            continue;
        };
        let items = touch(application, &was, &items, there, changed, planned.as_ref());
        describe(&mut case.applications[index], &case.expected);
        released.extend((!items.is_empty()).then_some(Release { index, items, whole: false }));
    }
    for (key, items) in wanted {
        let again = || templates.get(&key).map(|template| template.application(&key));
        let Some(application) = plans.remove(&key).map(planned).or_else(again) else { continue };
        case.applications.push(Application { items: items.into_keys().collect(), ..application });
        let last = case.applications.len() - 1;
        describe(&mut case.applications[last], &case.expected);
    }
    released
}

/// What an approval that is held writes into the rows that it satisfies begins with this.
pub(super) const HELD: &str = "held approval ";

/// An application of a case: its agency and its document.
pub(super) type Key = (AgencyCode, DocumentCode);

/// The items of each application that rows ask for, with the laws that do.
pub(super) fn items_of(rows: &[PlannedRow]) -> BTreeMap<Key, BTreeMap<u16, BTreeSet<LawCode>>> {
    let mut items: BTreeMap<Key, BTreeMap<u16, BTreeSet<LawCode>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.removed.is_none()) {
        let key = (row.agency.clone(), row.document.clone());
        items.entry(key).or_default().entry(row.line).or_default().insert(row.law.clone());
    }
    items
}

/// Gives an application the items that are wanted now. Returns those that fell away and that its agency is to let
/// go of; where others are touched it is to get a new version of the whole, which says so.
fn touch(
    application: &mut Application,
    was: &BTreeMap<u16, BTreeSet<LawCode>>,
    wanted: &BTreeMap<u16, BTreeSet<LawCode>>,
    there: &BTreeSet<u16>,
    changed: &BTreeSet<u16>,
    planned: Option<&PlannedApplication>,
) -> Vec<u16> {
    let is_untouched = |item: &u16| !changed.contains(item) && was.get(item) == wanted.get(item);
    let gone: Vec<u16> = was.keys().filter(|item| !wanted.contains_key(item)).copied().collect();
    let is_touched = wanted.keys().any(|item| !is_untouched(item));
    if !is_touched && gone.is_empty() {
        return Vec::new();
    }
    let released = to_let_go(application, &gone);
    let held: Vec<u16> = gone.iter().copied().filter(|item| is_held(application, *item)).collect();
    let was_missing = application.state == ApplicationState::Blocked;
    // What the applicant put in beyond the rows stays with its line.
    let is_extra = |item: &&u16| !was.contains_key(item) && there.contains(item) && !changed.contains(item);
    let items: BTreeSet<u16> =
        application.items.iter().filter(is_extra).chain(wanted.keys()).copied().collect();
    application.former_items.extend(application.items.iter().copied().filter(|item| !items.contains(item)));
    application.former_items.retain(|item| !items.contains(item));
    let is_kept = |item: &u16| items.contains(item) && (!wanted.contains_key(item) || is_untouched(item));
    application.outcomes.retain(|item, _| is_kept(item));
    application.items = items.into_iter().collect();
    if !is_touched {
        conclude(application, application.state);
        return match application.state {
            // The new version, which is still to come, tells the agency.
            ApplicationState::Blocked => Vec::new(),
            _ if was_missing => held,
            _ => released,
        };
    }
    if let Some(planned) = planned {
        application.accept_by = planned.accept_by;
        application.decide_by = planned.decide_by;
        application.watch.clone_from(&planned.watch);
    }
    application.former.extend(application.sent_as.take());
    application.state = ApplicationState::Blocked;
    Vec::new()
}

/// Laws, rules and whether it counts, as its rows say.
fn describe(application: &mut Application, rows: &[PlannedRow]) {
    let key = (&application.agency, &application.document);
    let own: Vec<_> =
        rows.iter().filter(|row| row.removed.is_none() && (&row.agency, &row.document) == key).collect();
    let laws: BTreeSet<_> = own.iter().map(|row| row.law.clone()).collect();
    let rules: BTreeSet<_> = own.iter().map(|row| row.rule.clone()).collect();
    application.required = own.iter().any(|row| row.counts);
    application.laws = laws.into_iter().collect();
    application.rules = rules.into_iter().collect();
}

/// Of these items those that the agency is to be told of: all, when it has them and has not decided; else those that
/// it has approved (ruling 23).
fn to_let_go(application: &Application, items: &[u16]) -> Vec<u16> {
    if application.is_outstanding() {
        let is_asked = application.is_to_be_cancelled();
        return if is_asked { Vec::new() } else { items.to_vec() };
    }
    items.iter().filter(|item| is_held(application, **item)).copied().collect()
}

/// An approval that holds.
fn is_held(application: &Application, item: u16) -> bool {
    application.outcomes.get(&item).is_some_and(|item| item.outcome.is_approval())
}
