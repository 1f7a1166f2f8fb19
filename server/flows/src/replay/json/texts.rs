//! JSON within text: what log collectors put around a line of Hubble's.
//!
//! A prefix of any kind (container runtimes, `kubectl --prefix`, syslog), quoted
//! in a field of logfmt (`msg="{\"flow\":..}"`) or of CSV (`"{""flow"":..}"`), or a field
//! of an envelope (Docker, Filebeat, Fluent Bit, journald, OpenTelemetry). Bound: the length of the text.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::scan::{Scanned, object};

/// Brackets of a prefix that are tried, as of `{pod="x"}`.
const MAX_TRIES: usize = 8;

/// Fields of envelopes that hold lines, objects or lists of them, the most usual
/// first.
const FIELDS: [&str; 37] = [
    "message",
    "log",
    "msg",
    "MESSAGE",
    "line",
    "event",
    "original",
    "body",
    "data",
    "payload",
    "record",
    "result",
    "_source",
    "_raw",
    "jsonPayload",
    "textPayload",
    "text",
    "content",
    "flows",
    "events",
    "items",
    "records",
    "logs",
    "hits",
    "streams",
    "values",
    "json",
    "log_processed",
    "attributes",
    "resourceLogs",
    "scopeLogs",
    "logRecords",
    "stringValue",
    "short_message",
    "full_message",
    "LogMessage",
    "LogEntry",
];

/// A line of a container runtime: a time, the stream, whether it goes on, text.
pub(super) struct RuntimeLine<'a> {
    pub(super) is_error_stream: bool,
    pub(super) is_part: bool,
    pub(super) text: &'a [u8],
}

impl<'a> RuntimeLine<'a> {
    /// Reads `2026-01-02T03:04:05.6Z stdout F text`.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let (time, stream, tag) = (words.next()?, words.next()?, words.next()?);
        let is_time = time.first().is_some_and(u8::is_ascii_digit) && time.contains(&b'T');
        let is_error_stream = match stream {
            b"stdout" => false,
            b"stderr" => true,
            _ => return None,
        };
        // More tags may follow behind colons.
        let is_part = match tag.split(|byte| *byte == b':').next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        is_time.then(|| Self {
            is_error_stream,
            is_part,
            text: words.next().unwrap_or_default(),
        })
    }
}

/// What a text holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found<'a> {
    pub(super) objects: Vec<Cow<'a, [u8]>>,
    /// The text ends within an object.
    pub(super) is_open: bool,
}

/// The JSON objects in a text, also those that are quoted in it.
pub(super) fn objects(text: &[u8]) -> Found<'_> {
    let mut found = Found::default();
    let (mut at, mut tries) = (0, 0);
    while let Some(place) = text[at..].iter().position(|byte| *byte == b'{') {
        let start = at + place;
        match object(&text[start..]) {
            Scanned::Complete(length) => {
                found
                    .objects
                    .push(Cow::Borrowed(&text[start..start + length]));
                at = start + length;
                continue;
            }
            Scanned::Open => {
                found.is_open = true;
                return found;
            }
            Scanned::Broken => {}
        }
        if let Some((inner, length)) = quoted(text, start) {
            let inner = objects(inner.as_bytes());
            let inner = inner.objects.into_iter();
            found
                .objects
                .extend(inner.map(|object| Cow::Owned(object.into_owned())));
            at = start + length;
            continue;
        }
        tries += 1;
        if tries == MAX_TRIES {
            break;
        }
        at = start + 1;
    }
    found
}

/// The text that is quoted, if its first character is the bracket at `start`,
/// and how far it reaches from there.
fn quoted(text: &[u8], start: usize) -> Option<(String, usize)> {
    let from = start
        .checked_sub(1)
        .filter(|before| text[*before] == b'"')?;
    if text[start..].starts_with(b"{\"\"") {
        return doubled(&text[start..]);
    }
    let mut escaped = false;
    let end = text[start..].iter().position(|byte| match byte {
        b'\\' => {
            escaped = !escaped;
            false
        }
        b'"' => !std::mem::take(&mut escaped),
        _ => {
            escaped = false;
            false
        }
    })?;
    let literal = &text[from..=start + end];
    let inner = serde_json::from_slice(literal).ok()?;
    Some((inner, end + 1))
}

/// The text of a field of CSV (RFC 4180), in which quotes are doubled, and how far it
/// reaches.
fn doubled(text: &[u8]) -> Option<(String, usize)> {
    let mut end = 0;
    loop {
        end += text[end..].iter().position(|byte| *byte == b'"')?;
        if text.get(end + 1) != Some(&b'"') {
            break;
        }
        end += 2;
    }
    let field = std::str::from_utf8(&text[..end]).ok()?;
    Some((field.replace("\"\"", "\""), end + 1))
}

/// What an envelope may hold: texts, and objects as texts; and whether the text
/// is Docker's, which has a line feed if it is whole.
pub(super) fn contents(envelope: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(envelope) else {
        return Vec::new();
    };
    let is_docker =
        |key: &str, fields: &Map<String, Value>| key == "log" && fields.contains_key("stream");
    let docker = is_docker("log", &fields);
    let mut contents = Vec::new();
    for key in FIELDS {
        match fields.remove(key) {
            Some(Value::String(text)) => contents.push((text.into_bytes(), docker && key == "log")),
            Some(Value::Array(bytes)) if bytes.first().is_some_and(Value::is_u64) => {
                contents.push((bytes_of(&bytes), false))
            }
            Some(object @ (Value::Object(_) | Value::Array(_))) => {
                contents.push((object.to_string().into_bytes(), false))
            }
            _ => {}
        }
    }
    contents
}

/// A text as journald prints it that has other characters than printable ones.
fn bytes_of(numbers: &[Value]) -> Vec<u8> {
    let byte = |number: &Value| number.as_u64().and_then(|number| u8::try_from(number).ok());
    numbers.iter().map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let found = objects(text.as_bytes()).objects.into_iter();
        found
            .map(|object| String::from_utf8_lossy(&object).into_owned())
            .collect()
    }

    #[test]
    fn objects_are_found_behind_prefixes_and_in_quotes() {
        let object = r#"{"flow":{"uuid":"a\"}"}}"#;
        let quoted = serde_json::to_string(object).unwrap_or_default();
        let csv = format!("\"{}\"", object.replace('"', "\"\""));
        let twice = serde_json::to_string(&format!("x {object}")).unwrap_or_default();
        for (text, count) in [
            (object.to_owned(), 1),
            (format!("[pod/cilium-x] {object}"), 1),
            (
                format!("Jan  2 03:04:05 host hubble[7]: {object} trailing"),
                1,
            ),
            (format!("level=info msg={quoted} subsys=hubble"), 1),
            (format!("{{pod=\"x\", node=\"y\"}} {object}"), 1),
            (format!("{object}{object} {object},"), 3),
            (format!("a={{}} b={quoted} c={quoted}"), 3),
            (format!("1,{csv},2,{csv}"), 2),
            ("level=info msg=\"no flow\"".to_owned(), 0),
            ("{{{{{{{{{{".to_owned(), 0),
        ] {
            assert_eq!(texts(&text).len(), count, "{text}");
            assert!(
                texts(&text)
                    .iter()
                    .all(|found| found == object || found == "{}")
            );
        }
        // Only what begins with the bracket is taken out of quotes.
        assert_eq!(texts(&format!("msg={twice}")).len(), 0);
        assert!(objects(b"x {\"flow\":{").is_open);
    }

    #[test]
    fn lines_of_container_runtimes_are_known() {
        let line = |text: &str| {
            RuntimeLine::parse(text.as_bytes())
                .map(|line| (line.is_error_stream, line.is_part, line.text.to_vec()))
        };
        assert_eq!(
            line("2026-01-02T03:04:05.6Z stdout F {\"a\": 1}"),
            Some((false, false, b"{\"a\": 1}".to_vec()))
        );
        assert_eq!(
            line("2026-01-02T03:04:05+01:00 stderr P:x a b"),
            Some((true, true, b"a b".to_vec()))
        );
        for other in [
            "2026-01-02T03:04:05Z stdout",
            "x stdout F a",
            "2026-01-02T03:04:05Z out F a",
            "2026-01-02T03:04:05Z stdout G a",
        ] {
            assert_eq!(line(other), None);
        }
    }

    #[test]
    fn envelopes_give_what_they_hold() {
        let docker = contents(br#"{"log":"a\n","stream":"stdout","time":"x"}"#);
        assert_eq!(docker, [(b"a\n".to_vec(), true)]);
        let nested = contents(br#"{"jsonPayload":{"flow":{}},"message":"m","log":{"offset":1}}"#);
        assert_eq!(nested.len(), 3);
        let journald = contents(br#"{"MESSAGE":[27,123,125],"_PID":"1"}"#);
        assert_eq!(journald, [(b"\x1b{}".to_vec(), false)]);
        assert!(contents(b"[]").is_empty() && contents(br#"{"flow":{}}"#).is_empty());
    }
}
