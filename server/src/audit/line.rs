//! A line of the file: a JSON object, in the order of the fields.
//!
//! Pure. Control characters and what else is odd are escaped, so that a line can
//! be read on a terminal and is the same value.

use std::borrow::Cow;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use sextant_flows::printable::printable_json;

use super::{
    code::{code_name, code_of},
    record::{Entry, Record},
};
use crate::flow::Time;

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    time: Cow<'a, str>,
    who: Cow<'a, str>,
    from: Cow<'a, str>,
    method: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    what: Cow<'a, str>,
    code: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    message: Cow<'a, str>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Cow<'a, str>>,
}

/// The line, with its end.
pub(super) fn to_line(entry: &Entry) -> String {
    let record = &entry.record;
    let line = Line {
        time: text(record.time).into(),
        who: record.who.as_str().into(),
        from: record.from.as_str().into(),
        method: record.method.as_str().into(),
        what: record.what.as_str().into(),
        code: code_name(record.code).into(),
        message: record.message.as_str().into(),
        count: entry.count,
        since: entry.since.map(|time| text(time).into()),
    };
    let json = serde_json::to_string(&line).expect("texts and numbers have a JSON form");
    printable_json(&json).into_owned() + "\n"
}

/// The entry of a line; nothing if it is none, such as one that was cut off.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let since = line.since.map(|text| time(&text));
    let record = Record {
        time: time(&line.time)?,
        who: line.who.into_owned(),
        from: line.from.into_owned(),
        method: line.method.into_owned(),
        what: line.what.into_owned(),
        code: code_of(&line.code)?,
        message: line.message.into_owned(),
    };
    Some(Entry {
        sequence: 0,
        record: record.shortened(),
        count: line.count,
        since: since.flatten(),
    })
}

/// As RFC 3339 has it, in UTC.
pub(super) fn text(time: Time) -> String {
    Timestamp::from(time).to_string()
}

fn time(text: &str) -> Option<Time> {
    text.parse::<Timestamp>().ok().map(Time::from)
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sextant_flows::printable::is_odd;
    use tonic::Code;

    use super::*;

    fn entry() -> Entry {
        Entry {
            sequence: 0,
            record: Record {
                time: Time::from_nanos(1_700_000_000_120_000_000),
                who: "uid:0".into(),
                from: "unix, pid 12".into(),
                method: "sextant.flow.v1.FlowService/RecordFlows".into(),
                what: String::new(),
                code: Code::Ok,
                message: String::new(),
            },
            count: 1,
            since: None,
        }
    }

    #[test]
    fn a_line_has_what_there_is_and_no_more() {
        assert_eq!(
            to_line(&entry()),
            "{\"time\":\"2023-11-14T22:13:20.120Z\",\"who\":\"uid:0\",\"from\":\"unix, pid 12\",\
             \"method\":\"sextant.flow.v1.FlowService/RecordFlows\",\"code\":\"OK\"}\n"
        );
        let folded = Entry {
            count: 7,
            since: Some(Time::from_nanos(0)),
            ..entry()
        };
        assert!(to_line(&folded).ends_with("\"count\":7,\"since\":\"1970-01-01T00:00:00Z\"}\n"));
    }

    #[test]
    fn what_is_no_line_is_no_entry() {
        let line = to_line(&entry());
        assert_eq!(parse(line.as_bytes()), Some(entry()));
        for end in 0..line.len() - 1 {
            assert_eq!(parse(&line.as_bytes()[..end]), None, "{end}");
        }
        for wrong in ["", "{}", "[]", "null", "\0", "\u{ff}"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(parse(line.replace("OK", "FINE").as_bytes()), None);
        assert_eq!(parse(line.replace("2023", "x").as_bytes()), None);
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_is_one_line_without_anything_odd(
            who in ".{0,40}", message in "[\u{0}-\u{9f}\u{202e}\u{2028}\"\\\\]{0,40}", count in 1..u64::MAX,
        ) {
            let mut entry = entry();
            (entry.record.who, entry.record.message, entry.count) = (who, message, count);
            let line = to_line(&entry);
            prop_assert!(!line.trim_end_matches('\n').contains(is_odd));
            prop_assert_eq!(parse(line.as_bytes()), Some(entry));
        }
    }
}
