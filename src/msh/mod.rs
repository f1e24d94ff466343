//! The message layer (ebMS 2.0, 4 to 6): what an arriving message means, and one delivery's life.
//!
//! Values in, values out: no store, no clock, no socket. `engine` puts the answers together.

mod acknowledgment;
mod attempt;
mod compose;
mod duplicate;
mod inbound;
mod order;
mod outbound;
mod retry;
mod service;
mod window;

pub use acknowledgment::{
    ReceiptFault, acknowledge, acknowledge_hop, acknowledge_hop_beside, check_receipt, message_error,
};
pub use attempt::{ResponseContent, judge_response};
pub use compose::{Posting, compose, service_to_send};
pub use duplicate::{Standing, standing_of};
pub use inbound::{AgePolicy, check_arrival, check_next_msh, wants_acknowledgment};
pub use order::{
    OrderFault, OrderPolicy, Turn, came_early, done, numbered, refused_early, scheduled, settle, taken,
    turn_of,
};
pub use outbound::{
    CLOCK_STEP_MAX, Ending, begin_attempt, end_without_receipt, note_failed_attempt, set_out,
};
pub use retry::{longest_wait, resend_at};
pub use service::{
    TEST, is_test, ping, pong, status_of, status_of_passed_on, status_request, status_response, test_message,
};
pub use window::Window;
