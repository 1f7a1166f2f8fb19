//! The layer that records pages which were not answered: those of a foreign origin,
//! and those under a foreign name. Outside of everything, where these are refused.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::StatusCode;
use tonic::Code;

use super::watch::{from, who};
use crate::{
    audit::{Log, Record},
    flow::Time,
    listener::{Caller, Foreign},
};

/// Passes a request on and records its refusal. The method is the path.
pub async fn pages(State(log): State<Log>, request: Request, next: Next) -> Response {
    let caller = Caller::of(request.extensions());
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let response = next.run(request).await;
    if let Some(foreign) = response.extensions().get::<Foreign>() {
        log.record(Record {
            time: Time::now(),
            who: who(&caller, None),
            from: from(&caller),
            method: path,
            what: foreign.page(),
            code: match foreign.status() {
                StatusCode::FORBIDDEN => Code::PermissionDenied,
                // Another outcome, so that each has an entry of its own.
                _ => Code::FailedPrecondition,
            },
            message: format!("HTTP {}: {foreign}", foreign.status().as_u16()),
        });
    }
    response
}
