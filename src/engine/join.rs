//! What the join came to is told: to the record, to customs and to the broker (domain brief, 5.3).

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::step::Step;
use crate::case::ReportEvent;
use crate::model::{Case, EventKind, JoinEvent, MessageKey};
use crate::routing::Addressee;
use crate::telemetry::EventCode;

/// What moved the case.
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    /// A message.
    Message(&'a MessageKey),
    /// Time.
    Time,
}

impl Step {
    /// Tells customs and the broker of join events.
    pub(super) fn tell_join(&mut self, desk: Desk<'_>, case: &Case, events: &[JoinEvent], cause: Cause<'_>) {
        for event in events {
            let (code, text) = match event.kind {
                EventKind::FirstResult => {
                    (EventCode::CaseFirstResult, "the first required result is in".to_owned())
                }
                EventKind::AllCollected { favourable } => {
                    let how = if favourable { "favourable" } else { "unfavourable" };
                    (EventCode::CaseAllCollected, format!("every required result is in: {how}"))
                }
                EventKind::Reopened => {
                    let text = format!("revision {}, round {} begins", event.revision, event.round);
                    (EventCode::CaseReopened, text)
                }
                // Told to those whom its profile names.
                EventKind::Overdue { .. } => continue,
            };
            let told = entry(desk.now, code, text).of_case(&case.id);
            self.audit.push(match cause {
                Cause::Message(key) => told.of_message(key),
                Cause::Time => told,
            });
            for to in [Addressee::Customs, Addressee::Applicant] {
                self.report(desk, case, ReportEvent::from(event), to);
            }
        }
    }
}
