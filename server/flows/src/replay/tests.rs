#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::fs;

use super::*;

/// Loads `content` from a file named `name`.
pub(super) fn load_bytes(name: &str, content: &[u8]) -> (Result<Report, ReplayError>, Vec<Event>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let mut events = Vec::new();
    let node = Origin {
        node_name: "node-1".into(),
        ..Origin::default()
    };
    let report = load(
        &path,
        &mut Interners::default(),
        &node.into(),
        &mut |event| {
            events.push(event);
        },
    );
    (report, events)
}

#[test]
fn a_missing_file_is_named_with_a_remedy() {
    let node = Origin::default().into();
    let error = load(
        Path::new("/nonexistent/x.jsonl"),
        &mut Interners::default(),
        &node,
        &mut |_| {},
    );
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("cannot open replay file /nonexistent/x.jsonl: "));
    assert!(text.ends_with("; check path and permissions"), "{text}");
}

#[test]
fn an_unknown_extension_is_refused_before_opening() {
    for name in ["flows.log", "flows", "flows.jsonl.gz"] {
        let error = load_bytes(name, b"{}").0.unwrap_err();
        assert!(matches!(error, ReplayError::Extension { .. }), "{name}");
    }
    assert!(load_bytes("FLOWS.JSONL", b"").0.is_ok());
}
