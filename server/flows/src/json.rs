//! Protobuf's JSON as Hubble prints it: proto names in the order of declaration,
//! 64-bit integers as text, `<`, `>` and `&` escaped; and back. Of what comes from
//! other versions, names that are not known are passed over; what a user types may have
//! none.
//!
//! The library writes fields by number, hence a writer of our own.

mod keys;
#[cfg(test)]
mod reference;
mod writer;

use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};

use crate::{descriptors, parts::Parts, shape::Shape};
use writer::Text;

/// Why a text is no message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// The message, of the type with this full name, as one line of JSON.
///
/// # Panics
///
/// Where the protos have no such type.
#[must_use]
pub fn print(message: &impl Message, name: &str) -> String {
    let mut text = String::with_capacity(1024);
    write(&mut text, &message.encode_to_vec(), name)
        .expect("both are made of the same descriptors");
    text
}

/// Appends the encoded message, of the type with this full name, as one line of JSON.
///
/// # Errors
///
/// What is no such message; nothing is appended then.
///
/// # Panics
///
/// Where the protos have no such type.
pub fn write(text: &mut String, encoded: &[u8], name: &str) -> Result<(), JsonError> {
    written(text, None, encoded, name)
}

/// Writes messages one after another: the same text, but ends of flows that come again
/// are copied.
#[derive(Debug, Default)]
pub struct Writer(Parts<str>);

impl Writer {
    /// As [`write`].
    ///
    /// # Errors
    ///
    /// What is no such message; nothing is appended then.
    ///
    /// # Panics
    ///
    /// Where the protos have no such type.
    pub fn write(
        &mut self,
        text: &mut String,
        encoded: &[u8],
        name: &str,
    ) -> Result<(), JsonError> {
        written(text, Some(&mut self.0), encoded, name)
    }
}

fn written(
    out: &mut String,
    parts: Option<&mut Parts<str>>,
    encoded: &[u8],
    name: &str,
) -> Result<(), JsonError> {
    let shape = Shape::named(name).expect("callers name messages of the protos");
    let written = writer::write(&mut Text { out, parts }, shape, encoded);
    written.map_err(|error| JsonError(error.to_string()))
}

/// The message, of the type with this full name, that the JSON text is.
///
/// # Errors
///
/// What of the text is no such message.
pub fn parse<M: Message + Default>(text: &str, name: &str) -> Result<M, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let message = read(&mut reader, name, false)?;
    let end = reader.end();
    end.map_err(|error| JsonError(error.to_string()))?;
    Ok(message)
}

/// All the messages of this type that the text has, one after another. A name that is not
/// known is a mistake: passed over, it would leave a message that says something else.
///
/// # Errors
///
/// What of the text is no such message.
pub fn parse_strict<M: Message + Default>(text: &str, name: &str) -> Result<Vec<M>, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut messages = Vec::new();
    for once in serde_json::Deserializer::from_str(text).into_iter::<keys::Once>() {
        once.map_err(|error| JsonError(error.to_string()))?;
    }
    while reader.end().is_err() {
        messages.push(read(&mut reader, name, true)?);
    }
    Ok(messages)
}

/// The message of this type that a value is, in the same strict way.
///
/// # Errors
///
/// What of the value is no such message.
pub fn from_value<M: Message + Default>(
    value: &serde_json::Value,
    name: &str,
) -> Result<M, JsonError> {
    DynamicMessage::deserialize(descriptor(name), value)
        .map_err(|error| JsonError(error.to_string()))?
        .transcode_to()
        .map_err(|error| JsonError(error.to_string()))
}

fn read<'a, M: Message + Default>(
    reader: &mut serde_json::Deserializer<serde_json::de::StrRead<'a>>,
    name: &str,
    is_strict: bool,
) -> Result<M, JsonError> {
    let options = DeserializeOptions::new().deny_unknown_fields(is_strict);
    DynamicMessage::deserialize_with_options(descriptor(name), reader, &options)
        .map_err(|error| JsonError(error.to_string()))?
        .transcode_to()
        .map_err(|error| JsonError(error.to_string()))
}

fn descriptor(name: &str) -> MessageDescriptor {
    descriptors::message(name).expect("callers name messages of the protos")
}

#[cfg(test)]
mod tests {
    use sextant_proto::{flow as pb, observer::GetFlowsResponse};

    use super::*;
    use crate::replay::testing;

    const LINE: &str = concat!(
        r#"{"flow":{"time":"2026-01-02T03:04:05.120Z","uuid":"u","verdict":"DROPPED","IP":{"source":"1.2.3.4","#,
        r#""ipVersion":"IPv4"},"l4":{"TCP":{"flags":{}}},"l7":{"latency_ns":"7","http":{"url":"/?a=1\u0026b=\u003c\u003e"}},"#,
        r#""is_reply":false,"Summary":"s","extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","#,
        r#""value":{"bytes":120,"list":["a","b"],"ratio":0.5}}},"node_name":"n","time":"2026-01-02T03:04:05Z"}"#,
    );

    #[test]
    fn a_line_of_hubble_comes_out_as_it_went_in() {
        let response: GetFlowsResponse = parse(LINE, "observer.GetFlowsResponse").unwrap();
        assert_eq!(print(&response, "observer.GetFlowsResponse"), LINE);
    }

    #[test]
    fn unknown_names_are_passed_over_and_unknown_numbers_kept() {
        let flow: pb::Flow = parse(r#"{"verdict":77,"new_field":{"a":1}}"#, "flow.Flow").unwrap();
        assert_eq!(print(&flow, "flow.Flow"), r#"{"verdict":77}"#);
    }

    #[test]
    fn a_type_that_is_not_known_keeps_name_and_content() {
        let flow = pb::Flow {
            extensions: Some(prost_types::Any {
                type_url: "type.googleapis.com/utils.RetinaMetadata".into(),
                value: vec![8, 1],
            }),
            ..pb::Flow::default()
        };
        assert_eq!(
            print(&flow, "flow.Flow"),
            r#"{"extensions":{"@type":"type.googleapis.com/utils.RetinaMetadata","value":"CAE="}}"#
        );
    }

    #[test]
    fn several_messages_may_follow_one_another() {
        let filters: Vec<pb::FlowFilter> = parse_strict(
            r#" {"protocol":["tcp"]} {"reply":[true]}"#,
            "flow.FlowFilter",
        )
        .unwrap();
        assert_eq!(filters.len(), 2);
        assert!(parse_strict::<pb::FlowFilter>("{", "flow.FlowFilter").is_err());
        assert!(parse::<pb::FlowFilter>("{} {}", "flow.FlowFilter").is_err());
    }

    /// Messages of all kinds, also with fields that are said twice, as two encoded ones
    /// after another are.
    #[test]
    fn what_is_written_is_what_the_library_reads() {
        for name in [
            "observer.ExportEvent",
            "flow.Flow",
            "sextant.flow.v1.FlowSummary",
            "sextant.policy.v1.Policy",
        ] {
            let mut writer = Writer::default();
            for seed in 0..1500 {
                let one = testing::message(name, seed).encode_to_vec();
                let two = [
                    one.clone(),
                    testing::message(name, seed + 1).encode_to_vec(),
                ]
                .concat();
                for encoded in [one, two] {
                    let message =
                        DynamicMessage::decode(descriptor(name), encoded.as_slice()).unwrap();
                    let expect = format!("before{}", reference::print(&message));
                    let mut text = String::from("before");
                    write(&mut text, &encoded, name).unwrap();
                    assert_eq!(text, expect, "{name} {seed}");
                    for what in ["new", "again"] {
                        let mut text = String::from("before");
                        writer.write(&mut text, &encoded, name).unwrap();
                        assert_eq!(text, expect, "{name} {seed} {what}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_message_leaves_nothing() {
        let whole = testing::message("observer.ExportEvent", 7).encode_to_vec();
        let mut refused = 0;
        for end in 0..whole.len() {
            let library = DynamicMessage::decode(descriptor("observer.ExportEvent"), &whole[..end]);
            let mut text = String::new();
            let written = write(&mut text, &whole[..end], "observer.ExportEvent");
            assert_eq!(written.is_err(), library.is_err(), "{end}");
            assert_eq!(written.is_err(), text.is_empty(), "{end}");
            refused += usize::from(written.is_err());
        }
        assert!(refused > 0);
    }
}
