//! A partner asks what would come of a message: it takes the road of a POST up to its decision, and nothing is kept.

use std::sync::Arc;

use super::admin::json_response;
use super::driver::{DriveError, compute};
use super::receive::{Received, content_type, overloaded, proved, turned_away};
use super::shared::{InForce, Shared, now};
use crate::engine::{Foretold, foretell, needs};
use crate::transport::{Request, Response, StatusCode};

/// What would come of the message in this request.
pub(super) async fn check(shared: Arc<Shared>, request: Request) -> Response {
    let (Some(content_type), Some(origin)) = (content_type(&request), proved(&request)) else {
        return Response::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    };
    let Ok(_permit) = Arc::clone(&shared.in_hand).try_acquire_owned() else {
        return overloaded(&shared, "as many messages are in hand as may be");
    };
    let received = Received::asked(content_type, request.body.into(), origin);
    let foretold = compute(&shared, move |shared, in_force| decided(shared, in_force, received)).await;
    match foretold.and_then(|foretold| foretold) {
        Ok(foretold) => json_response(StatusCode::OK, &foretold),
        Err(error) => {
            let answer = turned_away(&shared, &error);
            answer.unwrap_or_else(|| Response::empty(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

fn decided(shared: &Shared, in_force: &InForce, received: Received) -> Result<Foretold, DriveError> {
    let event = received.open(in_force);
    let now = now();
    let schedule = in_force.schedule.load();
    let context = in_force.context(schedule.rules(now));
    let view = shared.store.load(&needs(&event, &context))?;
    Ok(foretell(now, &event, &view, &context))
}
