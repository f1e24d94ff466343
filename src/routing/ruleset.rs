//! `ruleset.toml`: identity, groups, classes, profiles, agencies, envelope rules and joins (domain brief, 7.2, 7.3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZoneDatabase;

use super::calendar::Calendar;
use super::fault::{Faults, Place};
use super::goods::{HsRange, HsSet};
use super::load::RULESET;
use super::reader::{Section, TextFile, texts_of};
use super::{Addressee, EnvelopeQuery, EnvelopeRule, JoinRule, Known, Pipeline};
use crate::model::{AgencyCode, Allowance, CpaId, Duty, LateAction, PartyKey, Timing, ValueError};

/// The format that this version reads.
const FORMAT: &str = "swgw-rules/1";

/// Everything that `ruleset.toml` and the calendar say.
pub(super) struct Base {
    pub(super) id: Arc<str>,
    pub(super) revision: Arc<str>,
    pub(super) calendar: Calendar,
    pub(super) calendar_file: Option<String>,
    pub(super) tables: Vec<(String, Place)>,
    pub(super) origins: BTreeMap<String, Named<BTreeSet<String>>>,
    pub(super) importers: BTreeMap<String, Named<BTreeSet<String>>>,
    pub(super) classes: BTreeMap<String, Named<Arc<HsSet>>>,
    pub(super) profiles: BTreeMap<String, Named<Profile>>,
    pub(super) agencies: BTreeMap<AgencyCode, Named<Agency>>,
    pub(super) envelopes: Vec<Envelope>,
    pub(super) joins: Vec<JoinRule>,
}

impl Base {
    /// The files that decide, in order: the ruleset itself, its tables, its calendar.
    pub(super) fn deciding_files(&self) -> BTreeSet<&str> {
        let tables = self.tables.iter().map(|(name, _)| name.as_str());
        tables.chain(self.calendar_file.as_deref()).chain([RULESET]).collect()
    }
}

/// A definition with its place; whether a table uses it is found out later.
pub(super) struct Named<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Deadlines in working time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) accept: Allowance,
    pub(super) decide: Allowance,
    pub(super) answer: Option<Allowance>,
    /// Shares at which a reminder is due, per mille, ascending.
    pub(super) remind_at: Vec<u16>,
    pub(super) on_late: Vec<LateAction>,
}

/// An agency of the rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agency {
    pub(super) party: PartyKey,
    pub(super) cpa_id: Option<CpaId>,
    pub(super) profile: Option<(String, Place)>,
}

/// An envelope rule with what it matches.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) rule: EnvelopeRule,
    pub(super) place: Place,
    matches: [Vec<Pattern>; 5],
}

/// One accepted value of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_prefix("prefix:") {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    fn takes(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Prefix(prefix) => value.starts_with(prefix.as_str()),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix(a), Self::Prefix(b)) => a.starts_with(b.as_str()) || b.starts_with(a.as_str()),
            (Self::Exact(text), pattern) | (pattern, Self::Exact(text)) => pattern.takes(text),
        }
    }
}

impl Envelope {
    /// Whether a header is one of these.
    pub(super) fn takes(&self, query: &EnvelopeQuery<'_>) -> bool {
        let role = query.from_role.map(AsRef::as_ref);
        let values = [
            Some(query.service),
            Some(query.action),
            role,
            Some(query.from.as_str()),
            Some(query.cpa.as_str()),
        ];
        self.matches.iter().zip(values).all(|(patterns, value)| {
            patterns.is_empty() || value.is_some_and(|value| patterns.iter().any(|p| p.takes(value)))
        })
    }

    /// Whether some header would be taken by both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.matches.iter().zip(&other.matches).all(|(mine, theirs)| {
            mine.is_empty() || theirs.is_empty() || mine.iter().any(|a| theirs.iter().any(|b| a.meets(b)))
        })
    }
}

/// Reads the file; what cannot be read is told and left out.
pub(super) fn read(
    file: TextFile<'_>,
    calendars: &dyn Fn(&str) -> Option<Vec<u8>>,
    known: &Known<'_>,
    faults: &mut Faults,
) -> Base {
    let table = file.toml(faults);
    let mut root = Section::root(file, &table);
    if let Some((format, place)) = root.required("format", faults)
        && format != FORMAT
    {
        faults.error(&place, format!("format {format:?} is not known"), format!("write {FORMAT:?}"));
    }
    let id = root.required("id", faults).map_or_else(|| "".into(), |(text, _)| text.into());
    let revision = root.required("revision", faults).map_or_else(|| "".into(), |(text, _)| text.into());
    let (calendar, calendar_file) = calendar(&mut root, calendars, faults);
    let tables: Vec<_> =
        root.texts("tables", faults).into_iter().map(|(name, place)| (name.to_owned(), place)).collect();
    if tables.is_empty() {
        faults.error(&root.place, "there are no tables", "add tables = [\"requirements.csv\"]");
    }
    let mut groups = root.table("groups", faults);
    let origins = origin_groups(file, groups.table("origin", faults), known, faults);
    let importers = text_groups(file, &groups.table("importer", faults), faults);
    groups.finish(faults);
    let classes = classes(file, &root.table("class", faults), known, faults);
    let profiles = profiles(file, &root.table("profile", faults), faults);
    let agencies = agencies(file, &root.table("agency", faults), known, faults);
    for agency in agencies.values() {
        if let Some((name, place)) = &agency.value.profile
            && !profiles.contains_key(name)
        {
            faults.error(place, format!("there is no profile {name}"), "define it under [profile]");
        }
    }
    let envelopes = envelopes(file, &root.table("envelope", faults), faults);
    let joins = joins(file, &root.table("join", faults), &envelopes, faults);
    root.finish(faults);
    Base {
        id,
        revision,
        calendar,
        calendar_file,
        tables,
        origins,
        importers,
        classes,
        profiles,
        agencies,
        envelopes,
        joins,
    }
}

fn calendar(
    root: &mut Section<'_>,
    calendars: &dyn Fn(&str) -> Option<Vec<u8>>,
    faults: &mut Faults,
) -> (Calendar, Option<String>) {
    let zone = root.required("time_zone", faults).and_then(|(name, place)| {
        let zone = TimeZoneDatabase::bundled().get(name).ok();
        if zone.is_none() {
            faults.error(&place, format!("there is no time zone {name}"), "write one such as \"Asia/Seoul\"");
        }
        zone
    });
    let mut weekend = Vec::new();
    for (name, place) in root.texts("weekend", faults) {
        match WEEKDAYS.iter().find(|(known, _)| *known == name) {
            Some((_, day)) => weekend.push(*day),
            None => faults.error(&place, format!("{name:?} is no day"), "write one such as \"Saturday\""),
        }
    }
    if root.take("weekend").is_none() {
        weekend = vec![Weekday::Saturday, Weekday::Sunday];
    }
    let (mut opens, mut closes) = (Time::constant(9, 0, 0, 0), Time::constant(18, 0, 0, 0));
    if let Some((text, place)) = root.text("hours", faults) {
        let read = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match read.filter(|(a, b): &(Time, Time)| a < b) {
            Some(hours) => (opens, closes) = hours,
            None => {
                faults.error(&place, format!("{text:?} are no hours"), "write them as \"09:00..18:00\"");
            }
        }
    }
    let mut holidays = BTreeSet::new();
    let named = root.text("calendar", faults);
    let file_name = named.as_ref().map(|(name, _)| (*name).to_owned());
    if let Some((name, place)) = named {
        match calendars(name) {
            Some(octets) => {
                if let Some(file) = TextFile::read(name, &octets, faults) {
                    holidays = read_holidays(file, faults);
                }
            }
            None => faults.error(&place, format!("there is no file {name}"), "add it, or leave calendar out"),
        }
    }
    let zone = zone.unwrap_or(jiff::tz::TimeZone::UTC);
    (Calendar { zone, holidays, weekend, opens, closes }, file_name)
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("Monday", Weekday::Monday),
    ("Tuesday", Weekday::Tuesday),
    ("Wednesday", Weekday::Wednesday),
    ("Thursday", Weekday::Thursday),
    ("Friday", Weekday::Friday),
    ("Saturday", Weekday::Saturday),
    ("Sunday", Weekday::Sunday),
];

/// A calendar file: `date,name`.
fn read_holidays(file: TextFile<'_>, faults: &mut Faults) -> BTreeSet<Date> {
    let rows = file.csv(faults);
    let mut holidays = BTreeSet::new();
    for cell in rows.iter().skip(1).filter_map(|row| row.first()) {
        match cell.text.parse::<Date>() {
            Ok(date) if holidays.insert(date) => {}
            Ok(date) => faults.error(&cell.place, format!("{date} stands twice"), "remove one"),
            Err(_) => {
                let message = format!("{:?} is no date", cell.text);
                faults.error(&cell.place, message, "write it as 2009-12-25");
            }
        }
    }
    holidays
}

fn text_groups(
    file: TextFile<'_>,
    section: &Section<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, Named<BTreeSet<String>>> {
    let group = |(name, place, value)| {
        let items = texts_of(file, value, faults);
        if items.is_empty() {
            faults.error(&place, format!("the group {name} is empty"), "name what belongs to it");
        }
        let value = items.into_iter().map(|(text, _)| text.to_owned()).collect();
        (str::to_owned(name), Named { value, place })
    };
    section.named().into_iter().map(group).collect()
}

fn origin_groups(
    file: TextFile<'_>,
    section: Section<'_>,
    known: &Known<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, Named<BTreeSet<String>>> {
    for (_, _, value) in section.named() {
        for (code, place) in texts_of(file, value, &mut Faults::default()) {
            check_country(code, &place, known, faults);
        }
    }
    text_groups(file, &section, faults)
}

/// Tells a country that is in no list.
pub(super) fn check_country(code: &str, place: &Place, known: &Known<'_>, faults: &mut Faults) {
    if !(known.codes)("country", code) {
        faults.error(place, format!("{code:?} is no country"), "write a code of ISO 3166-1 alpha-2");
    }
}

fn classes(
    file: TextFile<'_>,
    section: &Section<'_>,
    known: &Known<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, Named<Arc<HsSet>>> {
    let mut classes = BTreeMap::new();
    for (name, place, value) in section.named() {
        let mut set = HsSet::default();
        for (text, place) in texts_of(file, value, faults) {
            let (excluded, range) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
            match HsRange::parse(range) {
                Ok(range) => {
                    set.add(range, excluded);
                    check_hs(range_text(text), &place, known, faults);
                }
                Err(fault) => faults.error(&place, fault, "write HS codes of 2 to 10 digits, or a..b"),
            }
        }
        // Without a positive item a set takes every code: no class may do so unseen.
        if set.within.is_empty() {
            faults.error(&place, format!("the class {name} names no goods"), "name the HS codes in it");
        }
        classes.insert(name.to_owned(), Named { value: Arc::new(set.sorted()), place });
    }
    classes
}

/// An item without its exclamation mark.
fn range_text(item: &str) -> &str {
    item.strip_prefix('!').unwrap_or(item)
}

/// Tells an HS prefix, or an end of a range, that the table of codes does not have.
pub(super) fn check_hs(range: &str, place: &Place, known: &Known<'_>, faults: &mut Faults) {
    let digits = |code: &str| code.chars().filter(char::is_ascii_digit).collect::<String>();
    if !range.split("..").all(|code| (known.codes)("hs", &digits(code))) {
        let message = format!("{range} is not in the HS table");
        faults.warning(place, message, "check the code, or add it to the table");
    }
}

fn profiles(
    file: TextFile<'_>,
    section: &Section<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, Named<Profile>> {
    let mut profiles = BTreeMap::new();
    for (name, place, value) in section.named() {
        let mut section = Section::of(file, value, faults);
        let allowance = |found: Option<(&str, Place)>, faults: &mut Faults| {
            let (text, place) = found?;
            match text.parse() {
                Ok(allowance) => Some(allowance),
                Err(fault) => {
                    let ValueError { expected, found } = fault;
                    faults.error(&place, format!("{found:?} is not {expected}"), "write working time");
                    None
                }
            }
        };
        let accept = section.required("accept", faults);
        let accept = allowance(accept, faults);
        let decide = section.required("decide", faults);
        let decide = allowance(decide, faults);
        let answer = section.text("answer", faults);
        let answer = allowance(answer, faults);
        let remind_at = reminders(file, &mut section, faults);
        let on_late = late_actions(&mut section, faults);
        section.finish(faults);
        if let (Some(accept), Some(decide)) = (accept, decide) {
            let value = Profile { accept, decide, answer, remind_at, on_late };
            profiles.insert(name.to_owned(), Named { value, place });
        }
    }
    profiles
}

/// Shares of a deadline, per mille.
fn reminders(file: TextFile<'_>, section: &mut Section<'_>, faults: &mut Faults) -> Vec<u16> {
    let Some(value) = section.take("remind_at") else { return Vec::new() };
    let share = |value: &toml::Spanned<toml::de::DeValue<'_>>| {
        let number = value.get_ref().as_float().and_then(|text| text.as_str().parse::<f64>().ok())?;
        let per_mille = (number * f64::from(Duty::WHOLE)).round();
        (0..=Duty::WHOLE).find(|whole| f64::from(*whole) == per_mille)
    };
    let items = value.get_ref().as_array();
    let shares: Option<BTreeSet<u16>> = items.and_then(|items| items.iter().map(share).collect());
    if shares.is_none() {
        let place = file.place(value.span().start);
        faults.error(&place, "remind_at is no list of shares", "write numbers from 0.0 to 1.0");
    }
    shares.unwrap_or_default().into_iter().collect()
}

/// What is done when a deadline has passed.
fn late_actions(section: &mut Section<'_>, faults: &mut Faults) -> Vec<LateAction> {
    let mut actions = Vec::new();
    for (text, place) in section.texts("on_late", faults) {
        match text.parse() {
            Ok(action) => actions.push(action),
            Err(_) => {
                let remedy = "write notify:applicant, notify:agency, flag:overdue or escalate:NAME; a deadline \
                              never decides";
                faults.error(&place, format!("{text:?} is no action"), remedy);
            }
        }
    }
    actions
}

fn agencies(
    file: TextFile<'_>,
    section: &Section<'_>,
    known: &Known<'_>,
    faults: &mut Faults,
) -> BTreeMap<AgencyCode, Named<Agency>> {
    let mut agencies = BTreeMap::new();
    for (name, place, value) in section.named() {
        let mut section = Section::of(file, value, faults);
        let party = section.required("party", faults).and_then(|(text, place)| {
            PartyKey::new(text)
                .map_err(|error| faults.error(&place, error.to_string(), "write its box number"))
                .ok()
        });
        let cpa = section.text("cpa", faults).filter(|(text, _)| !text.is_empty());
        let mode = section.required("mode", faults);
        let profile = section.text("profile", faults).map(|(text, place)| (text.to_owned(), place));
        section.finish(faults);
        match (&mode, &cpa) {
            (Some(("system" | "hosted", _)), None) => {
                faults.error(&place, format!("{name} has no agreement"), "add cpa = …");
            }
            (Some(("system" | "hosted", _)) | None, _) => {}
            (Some((text, place)), _) => {
                faults.error(place, format!("mode {text:?} is not known"), "write system or hosted");
            }
        }
        let cpa_id = cpa.and_then(|(text, place)| {
            let cpa_id = CpaId::new(text).ok()?;
            let fault = known.registry.zip(party.as_ref()).and_then(|(registry, party)| {
                let hosted = mode.as_ref().is_some_and(|(mode, _)| *mode == "hosted");
                match registry.agreement(&cpa_id) {
                    Some(agreement) if agreement.partner == *party && agreement.hosted == hosted => None,
                    Some(agreement) if agreement.partner == *party && hosted => {
                        Some("is an agreement with an agency that has a system")
                    }
                    Some(agreement) if agreement.partner == *party => {
                        Some("is an agreement with an agency that is hosted")
                    }
                    Some(_) => Some("is an agreement with another party"),
                    None => Some("is no agreement that is registered"),
                }
            });
            if let Some(fault) = fault {
                faults.error(&place, format!("{text} {fault}"), "register it in the partner file");
            }
            Some(cpa_id)
        });
        if let (Ok(code), Some(party)) = (AgencyCode::new(name), party) {
            agencies.insert(code, Named { value: Agency { party, cpa_id, profile }, place });
        }
    }
    agencies
}

const HEADER_FIELDS: [&str; 5] = ["service", "action", "from_role", "from", "cpa"];

fn envelopes(file: TextFile<'_>, section: &Section<'_>, faults: &mut Faults) -> Vec<Envelope> {
    let mut envelopes: Vec<Envelope> = Vec::new();
    for (name, place, value) in section.named() {
        let mut section = Section::of(file, value, faults);
        let mut when = section.table("match", faults);
        let matches = HEADER_FIELDS.map(|field| {
            when.texts(field, faults).into_iter().map(|(text, _)| Pattern::parse(text)).collect::<Vec<_>>()
        });
        when.finish(faults);
        if matches.iter().all(Vec::is_empty) {
            faults.error(&place, format!("{name} matches everything"), "add a condition under match");
        }
        let mut then = section.table("then", faults);
        let pipeline = then.required("pipeline", faults).and_then(|(text, place)| {
            let pipeline = Pipeline::of_text(text);
            if pipeline.is_none() {
                let remedy = "write lodge, application, result, notice, customs-notice, withdraw, amend, query, \
                              fee or payment";
                faults.error(&place, format!("there is no pipeline {text:?}"), remedy);
            }
            pipeline
        });
        let mut addressees = |key, faults: &mut Faults| {
            let mut found = Vec::new();
            for (text, place) in then.texts(key, faults) {
                match text {
                    "applicant" => found.push(Addressee::Applicant),
                    "customs" => found.push(Addressee::Customs),
                    _ => {
                        let message = format!("{text:?} is no addressee");
                        faults.error(&place, message, "write applicant or customs");
                    }
                }
            }
            found
        };
        let (also_to, relay) = (addressees("also_to", faults), addressees("relay", faults));
        then.finish(faults);
        section.finish(faults);
        let Some(pipeline) = pipeline else { continue };
        let rule = EnvelopeRule { id: name.into(), pipeline, also_to, relay };
        let envelope = Envelope { rule, place, matches };
        if let Some(other) = envelopes.iter().find(|other| other.meets(&envelope)) {
            let message = format!("{name} and {} take the same envelopes", other.rule.id);
            faults.error(&envelope.place, message, "make their conditions exclude each other");
        }
        envelopes.push(envelope);
    }
    envelopes
}

fn joins(
    file: TextFile<'_>,
    section: &Section<'_>,
    envelopes: &[Envelope],
    faults: &mut Faults,
) -> Vec<JoinRule> {
    let mut joins: Vec<JoinRule> = Vec::new();
    for (name, place, value) in section.named() {
        let mut section = Section::of(file, value, faults);
        let pipeline = section.required("pipeline", faults).and_then(|(text, place)| {
            let pipeline = Pipeline::of_text(text);
            if pipeline.is_none() {
                faults.error(&place, format!("there is no pipeline {text:?}"), "write lodge");
            }
            pipeline
        });
        let choice = |found: Option<(&str, Place)>, choices: &[&str], faults: &mut Faults| {
            if let Some((text, place)) = &found
                && !choices.contains(text)
            {
                faults.error(
                    place,
                    format!("{text:?} is not known"),
                    format!("write {}", choices.join(" or ")),
                );
            }
        };
        let complete = section.text("complete", faults);
        choice(complete, &["all"], faults);
        let on_unfavourable = section.text("on_unfavourable", faults);
        choice(on_unfavourable, &["wait"], faults);
        for (text, place) in section.texts("emit", faults) {
            choice(Some((text, place)), &["first_result", "all_collected", "reopened"], faults);
        }
        let mut ignore_timing = Vec::new();
        if let Some(value) = section.take("ignore_timing") {
            let place = file.place(value.span().start);
            let items = value.get_ref().as_array().map(|items| items.iter().collect::<Vec<_>>());
            for item in items.unwrap_or_default() {
                let text = item.get_ref().as_integer().map(|number| number.as_str());
                match text.and_then(timing) {
                    Some(Timing::After) => ignore_timing.push(Timing::After),
                    Some(_) => faults.error(&place, "timings 1 and 3 always count", "write [2] or []"),
                    None => faults.error(&place, "ignore_timing is no list of timings", "write [2] or []"),
                }
            }
        }
        section.finish(faults);
        if let Some(pipeline) = pipeline {
            if let Some(other) = joins.iter().find(|other| other.pipeline == pipeline) {
                let message = format!("{name} is for the same cases as {}", other.id);
                faults.error(&place, message, "keep one join for each pipeline");
            }
            if !envelopes.iter().any(|envelope| envelope.rule.pipeline == pipeline) {
                let message = format!("no envelope rule leads to the join {name}");
                faults.warning(&place, message, "add an envelope rule with its pipeline, or remove it");
            }
            joins.push(JoinRule { id: name.into(), pipeline, ignore_timing });
        }
    }
    joins
}

/// Timing as the official list writes it; empty means 1 (ruling 12).
pub(super) fn timing(text: &str) -> Option<Timing> {
    match text {
        "" | "1" => Some(Timing::Before),
        "2" => Some(Timing::After),
        "3" => Some(Timing::RealTime),
        _ => None,
    }
}
