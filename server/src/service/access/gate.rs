//! The layer before all services: each call is judged before anything of it is
//! read.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::Access;
use crate::listener::Caller;

/// Passes on what may be called, and answers with a status what may not.
pub(in crate::service) async fn guard(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = Caller::of(request.extensions());
    match access.check(request.uri().path(), &caller, request.headers()) {
        Ok(view) => {
            request.extensions_mut().insert(view);
            next.run(request).await
        }
        Err(status) => status.into_http(),
    }
}
