//! Requests to change policies, and to try them on flows, with documents of any text; a
//! line of `%%` begins another document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use sextant_fuzz::{Daemon, bounded};
use sextant_proto::sextant::policy::v1::{ApplyRequest, Document, SimulateRequest};

thread_local! {
    static DAEMON: Daemon = Daemon::default();
}

fuzz_target!(|text: &str| {
    let document = |text: &str| Document {
        name: "file".into(),
        text: text.into(),
    };
    let documents: Vec<_> = text.split("\n%%\n").map(document).collect();
    let apply = ApplyRequest {
        documents: documents.clone(),
        validate_only: true,
        ..ApplyRequest::default()
    };
    let simulate = SimulateRequest {
        documents,
        prune: true,
        ..SimulateRequest::default()
    };
    for (method, message) in [
        ("Apply", apply.encode_to_vec()),
        ("Simulate", simulate.encode_to_vec()),
    ] {
        let path = format!("/sextant.policy.v1.PolicyService/{method}");
        DAEMON.with(|daemon| bounded(method, || daemon.ask(&path, &message)));
    }
});
