//! `--input-file` takes what `--replay` takes: JSON in all its forms, compressed files,
//! captures by what is in them.

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{SEXTANT, run};

const PRETTY: &str = "[\n  {\n    \"flow\": {\n      \"uuid\": \"a\"\n    }\n  },\n  {\"flow\":{\"uuid\":\"b\"}}{\"uuid\":\"c\"}\n]\n";
const LOG: &str = concat!(
    "2026-01-02T03:04:05.6Z stdout F {\"flow\":{\"uuid\":\"a\"}}\n",
    "level=info msg=\"{\\\"flow\\\":{\\\"uuid\\\":\\\"b\\\"}}\"\n",
    "{\"log\":\"{\\\"uuid\\\":\\\"c\\\"}\\n\",\"stream\":\"stdout\"}\n",
);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    fn compressed(&self, path: &Path) -> PathBuf {
        let done = Command::new("gzip").arg("-k").arg(path).status();
        assert!(done.expect("gzip is there").success());
        let mut name = path.as_os_str().to_owned();
        name.push(".gz");
        name.into()
    }
}

/// What a command prints of a file.
fn printed(line: &str, file: &Path) -> String {
    let mut arguments: Vec<String> = line.split(' ').map(String::from).collect();
    arguments.extend(["--input-file".into(), file.display().to_string()]);
    let output = run(Path::new(SEXTANT), &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{file:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn has_all(file: &Path) {
    let text = printed("observe -o json", file);
    for uuid in ["a", "b", "c"] {
        assert_eq!(
            text.matches(&format!("\"uuid\":\"{uuid}\"")).count(),
            1,
            "{file:?}: {text}"
        );
    }
    assert_eq!(
        printed("observe --first 2 -o json", file).lines().count(),
        2
    );
    assert!(printed("observe --last 1 -o json", file).contains("\"uuid\":\"c\""));
    let stats = printed("stats -o json", file);
    assert!(stats.contains("\"flows\":\"3\""), "{stats}");
}

/// Flows at these minutes of an hour.
fn at(minutes: &[u32]) -> String {
    let flow = |minute: &u32| {
        let time = format!("2026-01-02T03:{minute:02}:00Z");
        format!("{{\"flow\":{{\"time\":\"{time}\",\"uuid\":\"u{minute}\"}},\"time\":\"{time}\"}}\n")
    };
    minutes.iter().map(flow).collect()
}

#[test]
fn a_summary_is_of_any_time_and_in_parts() {
    let folder = Folder::new();
    let file = folder.file("flows.json", at(&[0, 1, 2, 10, 11, 30]));
    let total = |line: &str| {
        let text = printed(line, &file);
        let total = text.lines().find(|line| line.starts_with("TOTAL")).unwrap();
        total.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(total("stats"), "6");
    assert_eq!(total("stats --since 2026-01-02T03:01:00Z"), "5");
    assert_eq!(total("stats --until 2026-01-02T03:10:00Z"), "4");
    let both = "stats --since 2026-01-02T03:01:00Z --until 2026-01-02T03:10:00Z";
    assert_eq!(total(both), "3");
    assert_eq!(total("stats --window 5m --until 2026-01-02T03:11:00Z"), "2");
    let parts = |line: &str| {
        let text = printed(line, &file);
        let parts = text.lines().skip_while(|line| !line.starts_with("SINCE"));
        let part = |line: &str| {
            let mut cells = line.split_whitespace();
            format!(
                "{} {}",
                &cells.next().unwrap()[14..16],
                cells.next().unwrap()
            )
        };
        parts.skip(1).map(part).collect::<Vec<_>>()
    };
    assert_eq!(parts("stats --bucket 10m"), ["00 3", "10 2", "20 1"]);
    assert_eq!(
        parts(&format!("{both} --bucket 3m")),
        ["01 2", "04 0", "07 1"]
    );
    assert!(parts("stats").is_empty());
}

#[test]
fn parts_that_are_too_many_and_spans_that_end_before_they_begin_are_refused() {
    let folder = Folder::new();
    let file = folder.file("flows.json", at(&[0, 59]));
    let file = file.display();
    for (line, cause) in [
        ("--bucket 1ms", "1000 are the most"),
        ("--since 2026-01-02 --until 2026-01-01", "is after --until"),
        ("--since yesterday", "is no time"),
        ("--since 1h --window 1h", "cannot be used with"),
    ] {
        let arguments: Vec<String> = format!("stats --input-file {file} {line}")
            .split(' ')
            .map(String::from)
            .collect();
        let output = run(Path::new(SEXTANT), &arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(cause),
            "{line}: {error}"
        );
    }
}

#[test]
fn json_is_taken_as_people_have_it() {
    let folder = Folder::new();
    for (name, text) in [("pretty.json", PRETTY), ("node.log", LOG)] {
        let file = folder.file(name, text);
        has_all(&file);
        has_all(&folder.compressed(&file));
    }
}

/// A TCP segment with SYN, from 10.0.0.1:40000 to 10.0.0.2:80.
fn capture() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 101, 1, 0, 40, 40] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    bytes.extend([
        0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ]);
    bytes
}

#[test]
fn captures_are_known_by_what_is_in_them() {
    let folder = Folder::new();
    for name in ["a.pcap", "no-name"] {
        let file = folder.file(name, capture());
        for file in [folder.compressed(&file), file] {
            let text = printed("observe --port 80", &file);
            assert!(text.contains("10.0.0.2:80 (world)"), "{file:?}: {text}");
        }
    }
}

#[test]
fn lines_of_standard_input_are_shown_as_they_come() {
    let mut child = Command::new(SEXTANT)
        .args(["observe", "-o", "json", "--input-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    let mut shown = BufReader::new(child.stdout.take().expect("piped")).lines();
    for uuid in ["a", "b"] {
        writeln!(input, "{{\"flow\":{{\"uuid\":\"{uuid}\"}}}}").expect("it reads");
        let line = shown.next().expect("a line").expect("text");
        assert!(line.contains(&format!("\"{uuid}\"")), "{line}");
    }
    drop(input);
    assert!(child.wait().expect("it ends").success());
}

/// A capture (libpcap's own format) of UDP from 10.0.0.1:1 to 10.0.0.2:2 and back, each in a
/// VLAN of its own.
fn capture_of_vlans(vlans: [u8; 2]) -> Vec<u8> {
    let mut file = Vec::new();
    let words: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1];
    file.extend(words.map(u32::to_le_bytes).concat());
    for (n, vlan) in vlans.into_iter().enumerate() {
        let (from, to) = if n == 0 { (1, 2) } else { (2, 1) };
        let mut packet = vec![
            2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x81, 0, 0, vlan, 8, 0,
        ];
        packet.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend([10, 0, 0, from, 10, 0, 0, to, 0, from, 0, to, 0, 8, 0, 0]);
        let size = packet.len() as u32;
        let header: [u32; 4] = [1_700_000_000 + n as u32, 0, size, size];
        file.extend(header.map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    file
}

#[test]
fn vlans_of_a_capture_tell_connections_apart_where_they_are_to() {
    let folder = Folder::new();
    let replies = |flags: &str, file: &Path| {
        let text = printed(&format!("observe -o json{flags}"), file);
        text.matches("\"is_reply\":true").count()
    };
    let two = folder.file("two.pcap", capture_of_vlans([7, 8]));
    assert_eq!(replies("", &two), 1);
    assert_eq!(replies(" --vlan-in-key", &two), 0);
    let one = folder.file("one.pcap", capture_of_vlans([7, 7]));
    assert_eq!(replies(" --vlan-in-key", &one), 1);
    for command in ["stats -o json --group-by client-ip", "top --once"] {
        let (apart, together) = (format!("{command} --vlan-in-key"), command);
        assert_ne!(printed(&apart, &two), printed(together, &two), "{command}");
    }
}
