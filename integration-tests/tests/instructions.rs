//! Instructions of the hot parts, counted by callgrind: a guard against slow
//! code that does not depend on how busy the machine is.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{collections::BTreeMap, path::PathBuf, process::Command};

/// Instructions for one flow or event, by part; `SEXTANT_COUNT=1` writes it anew.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
/// A part may take so much more than it took: what the compiler inlines changes
/// with code elsewhere.
const TOLERANCE: f64 = 0.25;
/// As in the program.
const COUNT: f64 = 1024.0;

/// Built by `make test` with the profile `quick`.
fn program() -> PathBuf {
    std::env::var_os("SEXTANT_INSTRUCTIONS").map_or_else(
        || {
            let built = "../target/quick/examples/instructions";
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(built)
        },
        PathBuf::from,
    )
}

/// What callgrind counts for so many rounds, start-up included.
fn counted(part: &str, rounds: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program())
        .args([part, &rounds.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let (_, count) = text.split_once("Collected :").expect(&text);
    count.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn hot_parts_take_no_more_instructions_than_they_did() {
    let baseline = std::fs::read_to_string(BASELINE).unwrap();
    let mut now = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in baseline.lines().filter(|line| !line.starts_with('#')) {
        let (part, before) = line.split_once(' ').unwrap();
        let before: f64 = before.trim().parse().unwrap();
        // The difference leaves start-up out.
        let each = (counted(part, 6) - counted(part, 2)) / 4.0 / COUNT;
        now.insert(part.to_owned(), each);
        println!("{part}: {before:.0} before, {each:.0} now");
        if each / before > 1.0 + TOLERANCE {
            wrong.push(format!("{part}: {before:.0} before, {each:.0} now"));
        }
    }
    if std::env::var_os("SEXTANT_COUNT").is_some() {
        let mut text =
            String::from("# Instructions for one flow or event; see tests/instructions.rs.\n");
        for (part, each) in now {
            text += &format!("{part} {each:.0}\n");
        }
        std::fs::write(BASELINE, text).unwrap();
        return;
    }
    assert!(
        wrong.is_empty(),
        "more instructions: {wrong:?}; mend it, or if it is meant: \
         SEXTANT_COUNT=1 cargo test --package sextant-integration-tests --test instructions"
    );
}
