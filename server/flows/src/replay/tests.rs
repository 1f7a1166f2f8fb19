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
fn any_file_is_read_by_what_it_begins_with_also_compressed() {
    use std::io::Write as _;
    let json = b"{\"flow\":{}}\n".as_slice();
    let capture = [
        &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0][..],
        &[0; 8],
        &[0, 0, 1, 0, 101, 0, 0, 0],
        &[0; 8],
        &[28, 0, 0, 0, 28, 0, 0, 0],
        &[
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 8,
            0, 0,
        ],
    ]
    .concat();
    for (names, content) in [
        (
            ["flows.log", "flows", "FLOWS.JSONL", "flows.txt", "a.json"],
            json,
        ),
        (["a.pcap", "a.pcapng", "a.cap", "a.json", "a"], &capture),
    ] {
        for name in names {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(content).unwrap();
            let gzip = gzip.finish().unwrap();
            for (name, content) in [
                (name.to_owned(), content),
                (format!("{name}.gz"), &gzip),
                (name.to_owned(), &gzip),
            ] {
                let report = load_bytes(&name, content).0.unwrap();
                assert_eq!((report.loaded, report.rejected), (1, 0), "{name}");
            }
            // Two files in one, of which the second is cut off.
            if content == json {
                let twice = [&gzip[..], &gzip[..gzip.len() - 9]].concat();
                let report = load_bytes(name, &twice).0.unwrap();
                assert!(report.loaded >= 1 && report.causes[&Cause::FileTruncated] == 1);
            }
        }
    }
    let error = load_bytes("a.pcap.gz", json).0.unwrap_err();
    assert!(matches!(error, ReplayError::NotCapture { .. }));
    let error = load_bytes("a.log", b"\x28\xb5\x2f\xfd\x00").0.unwrap_err();
    assert!(error.to_string().contains("`zstd -dc`"), "{error}");
}

#[test]
fn a_file_without_flows_tells_what_was_found() {
    let nothing = |name: &str, content: &[u8]| load_bytes(name, content).0.unwrap().nothing();
    assert_eq!(nothing("a.log", b""), None);
    assert_eq!(nothing("a.log", b"{\"flow\":{}}\nx"), None);
    let text = nothing("a.log", b"started\nstopped\n").unwrap_or_default();
    assert!(text.starts_with("2 not_json; 1: column 1: "), "{text}");
    let status = nothing("a.json", b"{\"node_status\":{}}").unwrap_or_default();
    assert_eq!(status, "1 node_status");
}
