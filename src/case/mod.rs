//! The application and case layers (domain brief, 5): what an arriving document does to a case.
//!
//! Each act is a pure function of a case and an input; it changes the case and says what happened. The expected
//! set is stored rows, the join counts them and nothing else, and silence never decides.
//!
//! Does not know messages, agreements or deliveries: `engine` puts the answers together.

mod amendment;
mod application;
mod approval;
mod customs;
mod deadline;
mod fee;
mod join;
mod lapse;
mod lodging;
mod notice;
mod report;
mod result;
mod stamp;
mod version;
mod withdrawal;

#[cfg(test)]
mod tests;

pub use amendment::{Amendment, LinesToPlan, Release, amend, lines_to_plan};
pub use application::{DeliveryEnd, end_of_delivery, shown_state};
pub use approval::{
    Approvals, CHARGES_MAX, Claims, Conflicting, Moved, Movement, account, hold, lapse_approval, stated,
    superseded, undo,
};
pub use customs::{CustomsEffect, apply_customs_notice};
pub use deadline::{Late, SLACK, act, next_duty, note_stages, watch_change};
pub use fee::{
    Answered, ChargeEffect, FEES_MAX, FeeEffect, IncomingFee, Look, ORDERS_MAX, OrderFault, REASON_CHARS_MAX,
    apply_fee_notice, ask_bank, hurry, longest_payment_wait, next_payment, order_payment, take_answer,
};
pub use join::{settle, settle_amended};
pub use lapse::{lapse, next_lapse};
pub use lodging::{EncloseFault, Enclosed, Lodging, Place, enclose, lodge};
pub use notice::{NoticeEffect, apply_notice};
pub use report::{ReportEvent, status_answer, status_report, status_report_for_agency, status_rows};
pub use result::{IncomingResult, ResultEffect, apply_result, open_result_only};
pub use stamp::version_of;
pub use version::{ReplaceFault, Version, replace, version_named};
pub use withdrawal::{WithdrawalFault, cancel, withdraw};
