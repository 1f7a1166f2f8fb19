//! Clients whose certificate is refused, for the audit log: they make no call.

use std::sync::Arc;

use tonic::Code;

use super::watch::{from, who};
use crate::{
    audit::{Log, Record},
    flow::Time,
    listener::Refusals,
};

/// In place of a method.
const HANDSHAKE: &str = "TLS";

/// Records each.
#[must_use]
pub fn handshakes(log: Log) -> Refusals {
    Arc::new(move |caller, error| {
        log.record(Record {
            time: Time::now(),
            who: who(caller, None),
            from: from(caller),
            method: HANDSHAKE.into(),
            what: String::new(),
            code: Code::Unauthenticated,
            message: match error {
                rustls::Error::NoCertificatesPresented => {
                    "the client shows no certificate, and this listener wants one".into()
                }
                error => format!("the client's certificate is refused: {error}"),
            },
        });
    })
}
