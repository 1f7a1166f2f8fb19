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
