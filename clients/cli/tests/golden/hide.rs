//! What no two runs print alike, replaced by its name: `<uptime>`.

/// A part of the output that cannot be compared.
#[derive(Debug)]
pub(crate) enum Hide {
    /// The value of this key of a JSON object, whatever it is.
    Key(&'static str),
    /// What stands between two texts, and its name.
    Between(&'static str, &'static str, &'static str),
    /// The cells of a table under this head; the width of the columns goes with it.
    Column(&'static str),
}

use Hide::{Between, Column, Key};

/// What of a case's output is not kept.
pub(crate) fn hidden(name: &str) -> &'static [Hide] {
    match name {
        "server-status" => &[
            Between("sextantd v", ",", "version"),
            Between("up ", "\n", "uptime"),
            Between("daemon ", ",", "cpu"),
            Between("measured; ", " resident", "memory"),
        ],
        "server-status-json" => &[
            Key("time"),
            Key("version"),
            Key("uptime"),
            Key("cost"),
            Key("budget"),
        ],
        "server-nodes" => &[Column("AGE"), Column("FLOWS/S")],
        "server-nodes-wide" => &[
            Column("AGE"),
            Column("FLOWS/S"),
            Between("sextantd v", " ", "version"),
        ],
        "server-nodes-json" => &[Key("version"), Key("uptime_ns")],
        "server-top" => &[
            Between("daemon ", ",", "cpu"),
            Between("measured, ", ";", "memory"),
        ],
        // Rates are over the time that the server has run.
        "recent-stats" | "recent-stats-groups" => &[Column("PACKETS/S"), Column("BYTES/S")],
        "recent-stats-json" => &[
            Key("since"),
            Key("first_seen"),
            Key("last_seen"),
            Key("until"),
            Key("flows_per_second"),
            Key("packets_per_second"),
            Key("bytes_per_second"),
            Key("drops_per_second"),
        ],
        "recent-top" => &[
            Between("<folder>/s  ", "\n", "rates"),
            Between("daemon ", ",", "cpu"),
            Between("measured, ", ";", "memory"),
            Column("PKT/S"),
            Column("BYTES/S"),
        ],
        "recent-top-json" => &[
            Key("since"),
            Key("first_seen"),
            Key("last_seen"),
            Key("until"),
            Key("time"),
            Key("version"),
            Key("uptime"),
            Key("cost"),
            Key("budget"),
            Key("oldest"),
            Key("flows_per_second"),
            Key("packets_per_second"),
            Key("bytes_per_second"),
            Key("drops_per_second"),
        ],
        _ => &[],
    }
}

impl Hide {
    /// The text without it.
    pub(crate) fn apply(&self, text: &str) -> String {
        match self {
            Key(key) => hide_key(text, key),
            Between(before, after, name) => hide_between(text, before, after, name),
            Column(head) => hide_column(text, head),
        }
    }
}

fn hide_key(text: &str, key: &str) -> String {
    let before = format!("\"{key}\":");
    let mut shown = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once(&before) {
        let mut values = serde_json::Deserializer::from_str(tail).into_iter::<serde_json::Value>();
        values.next().expect("a value").expect("JSON behind a key");
        shown += &format!("{head}{before}\"<{key}>\"");
        rest = &tail[values.byte_offset()..];
    }
    shown + rest
}

fn hide_between(text: &str, before: &str, after: &str, name: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once(before) {
        let Some(end) = tail.find(after) else { break };
        shown += &format!("{head}{before}<{name}>");
        rest = &tail[end..];
    }
    shown + rest
}

fn hide_column(text: &str, head: &str) -> String {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split("   ").map(str::trim);
        cells
            .filter(|cell| !cell.is_empty())
            .map(Into::into)
            .collect()
    };
    // Counted from the end, since cells on the left may be empty.
    let mut column = None;
    let mut shown = String::new();
    for line in text.lines() {
        let mut cells = cells(line);
        match column {
            None => column = cells.iter().rev().position(|cell| cell == head),
            Some(column) => {
                if let Some(cell) = cells.iter_mut().rev().nth(column) {
                    *cell = format!("<{}>", head.to_lowercase());
                }
            }
        }
        shown += &format!("{}\n", cells.join("   "));
    }
    shown
}

#[test]
fn what_is_hidden_is_named_and_the_rest_stays() {
    let json = r#"{"a":1,"cost":{"x":[2,"}"]},"b":"cost","time":"t","c":{"time":3}}"#;
    assert_eq!(
        Key("cost").apply(json),
        r#"{"a":1,"cost":"<cost>","b":"cost","time":"t","c":{"time":3}}"#
    );
    assert_eq!(
        Key("time").apply(json),
        r#"{"a":1,"cost":{"x":[2,"}"]},"b":"cost","time":"<time>","c":{"time":"<time>"}}"#
    );
    assert_eq!(
        Between("up ", ",", "uptime").apply("x, up 3s, y"),
        "x, up <uptime>, y"
    );
    assert_eq!(
        Column("AGE").apply("$ x\nNAME    AGE     N\nlonger   1.25s   3\n"),
        "$ x\nNAME   AGE   N\nlonger   <age>   3\n"
    );
}
