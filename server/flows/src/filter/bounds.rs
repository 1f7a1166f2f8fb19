//! What a request may ask for at most, counted on its encoded form: how many
//! filters, values and bytes of text.
//!
//! A server calls this before it decodes, since two bytes of an empty filter
//! become a kilobyte of lists; `Filters::compile` calls it for everybody else.
//! Not a decoder: bytes that are no protobuf are left to one. Bound: reads each
//! byte once, stops at the first excess, keeps nothing.

use prost::Message as _;
use sextant_proto::flow as pb;

use crate::{
    field::{Field, Malformed},
    shape::{self, Kind, Shape},
};

/// Filters of a request, both lists together.
pub const MAX_FILTERS: usize = 1024;
/// Values of a request: every field of every message in it, each value of a list.
pub const MAX_VALUES: usize = 10_000;
/// Bytes of all texts of a request.
pub const MAX_TEXT: usize = 1 << 20;

/// What a request may have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Values.
    pub values: usize,
    /// Bytes of text.
    pub text: usize,
}

/// A request for flows.
const OF_FLOWS: Most = Most {
    values: MAX_VALUES,
    text: MAX_TEXT,
};

const FILTER: &str = "flow.FlowFilter";

/// A request that asks for too much: the field at which it does, and the bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {bound}")]
pub struct Excess {
    /// Path of the field, such as `whitelist[3].http_url[7]`.
    pub field: String,
    /// What is allowed, and what to do.
    pub bound: String,
}

impl Excess {
    pub(super) fn new(field: impl Into<String>, bound: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            bound: bound.into(),
        }
    }

    /// The same, seen from the message around.
    fn within(mut self, outer: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => outer.into(),
            inner => format!("{outer}.{inner}"),
        };
        self
    }
}

/// Checks an encoded request.
///
/// # Errors
/// The first field that is too much. Bytes after what is no protobuf are not
/// counted, as no decoder reads them.
pub fn check_encoded(wire: &[u8], message: &str) -> Result<(), Excess> {
    check_within(wire, message, OF_FLOWS)
}

/// Checks an encoded request that may have something else than filters.
///
/// # Errors
/// As `check_encoded`.
pub fn check_within(wire: &[u8], message: &str, most: Most) -> Result<(), Excess> {
    match Shape::named(message) {
        Some(message) => ignore_malformed(Counts::new(most).walk(wire, message)),
        None => Ok(()),
    }
}

/// Checks the filters of a request; how many values they have.
pub(super) fn check(
    whitelist: &[pb::FlowFilter],
    blacklist: &[pb::FlowFilter],
) -> Result<usize, Excess> {
    let mut counts = Counts::new(OF_FLOWS);
    if whitelist.is_empty() && blacklist.is_empty() {
        // The schema need not be read.
        return Ok(0);
    }
    let Some(message) = Shape::named(FILTER) else {
        return Ok(0);
    };
    let mut wire = Vec::new();
    for (list, filters) in [("whitelist", whitelist), ("blacklist", blacklist)] {
        for (index, filter) in filters.iter().enumerate() {
            let place = || format!("{list}[{index}]");
            counts.filter().map_err(|excess| excess.within(&place()))?;
            wire.clear();
            if filter.encode(&mut wire).is_ok() {
                ignore_malformed(counts.walk(&wire, message))
                    .map_err(|excess| excess.within(&place()))?;
            }
        }
    }
    Ok(counts.values + counts.filters)
}

/// Why a walk ended early.
enum Stop {
    Malformed,
    Excess(Excess),
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Excess> for Stop {
    fn from(excess: Excess) -> Self {
        Self::Excess(excess)
    }
}

fn ignore_malformed(walked: Result<(), Stop>) -> Result<(), Excess> {
    match walked {
        Err(Stop::Excess(excess)) => Err(excess),
        Err(Stop::Malformed) | Ok(()) => Ok(()),
    }
}

/// What was met so far.
struct Counts {
    most: Most,
    filters: usize,
    values: usize,
    text: usize,
}

impl Counts {
    fn new(most: Most) -> Self {
        Self {
            most,
            filters: 0,
            values: 0,
            text: 0,
        }
    }

    fn walk(&mut self, wire: &[u8], message: &Shape) -> Result<(), Stop> {
        let mut rest = wire;
        while let Some(field) = Field::next(rest)? {
            let known = message.field(field.number);
            self.field(&field, known).map_err(|stop| {
                let before = &wire[..wire.len() - rest.len()];
                match stop {
                    Stop::Excess(excess) => excess.within(&place(before, known)).into(),
                    Stop::Malformed => stop,
                }
            })?;
            rest = &rest[field.whole.len()..];
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, known: Option<&shape::Field>) -> Result<(), Stop> {
        let Some((known, bytes)) = known.zip(field.message) else {
            return Ok(self.add_values(1)?);
        };
        match known.kind {
            Kind::Message(inner) => {
                let inner = Shape::at(inner);
                self.add_values(1)?;
                if inner.name == FILTER {
                    self.filter()?;
                }
                self.walk(bytes, inner)
            }
            Kind::Text | Kind::Bytes => {
                self.add_values(1)?;
                Ok(self.add_text(bytes.len())?)
            }
            kind => Ok(self.add_values(packed(kind, bytes))?),
        }
    }

    fn filter(&mut self) -> Result<(), Excess> {
        self.filters += 1;
        within(self.filters, MAX_FILTERS, "filters")
    }

    fn add_values(&mut self, count: usize) -> Result<(), Excess> {
        self.values = self.values.saturating_add(count);
        within(self.values, self.most.values, "values")
    }

    fn add_text(&mut self, bytes: usize) -> Result<(), Excess> {
        self.text = self.text.saturating_add(bytes);
        within(self.text, self.most.text, "bytes of text")
    }
}

fn within(found: usize, most: usize, what: &str) -> Result<(), Excess> {
    if found <= most {
        return Ok(());
    }
    let text = format!("a request may have at most {most} {what}; divide it into several");
    Err(Excess::new("", text))
}

/// Numbers in the bytes of a packed list.
fn packed(kind: Kind, bytes: &[u8]) -> usize {
    match kind {
        Kind::Fixed { is_short } | Kind::SignedFixed { is_short } => {
            bytes.len() / if is_short { 4 } else { 8 }
        }
        Kind::Float => bytes.len() / 4,
        Kind::Double => bytes.len() / 8,
        _ => bytes.iter().filter(|byte| **byte < 0x80).count(),
    }
}

/// Name of a field, with its place in a list: `before` is what the message has
/// in front of it.
fn place(before: &[u8], field: Option<&shape::Field>) -> String {
    let Some(field) = field else {
        return "an unknown field".into();
    };
    if !field.is_repeated || field.is_map {
        return field.name.clone();
    }
    let earlier = crate::field::fields(before).filter_map(Result::ok);
    let index = earlier.filter(|one| one.number == field.number).count();
    format!("{}[{index}]", field.name)
}

#[cfg(test)]
mod tests {
    use sextant_proto::observer::GetFlowsRequest;

    use super::*;

    fn refused(request: &GetFlowsRequest) -> String {
        check_encoded(&request.encode_to_vec(), "observer.GetFlowsRequest")
            .unwrap_err()
            .to_string()
    }

    fn request(whitelist: Vec<pb::FlowFilter>) -> GetFlowsRequest {
        GetFlowsRequest {
            whitelist,
            ..GetFlowsRequest::default()
        }
    }

    #[test]
    fn the_filter_too_many_is_named() {
        let mut many = request(vec![pb::FlowFilter::default(); MAX_FILTERS]);
        let wire = many.encode_to_vec();
        assert_eq!(check_encoded(&wire, "observer.GetFlowsRequest"), Ok(()));
        many.blacklist.push(pb::FlowFilter::default());
        // Encoded in front, so the last one of the whitelist is too many.
        let text =
            "whitelist[1023]: a request may have at most 1024 filters; divide it into several";
        assert_eq!(refused(&many), text);
        let excess = check(&many.whitelist, &many.blacklist).unwrap_err();
        assert_eq!(excess.field, "blacklist[0]");
    }

    #[test]
    fn the_value_too_many_is_named_wherever_it_is() {
        let filter = pb::FlowFilter {
            source_pod: vec!["x".into(); 9_997],
            source_workload: vec![pb::Workload::default(); 2],
            ..pb::FlowFilter::default()
        };
        let many = request(vec![pb::FlowFilter::default(), filter]);
        let text = "whitelist[1].source_workload[1]: a request may have at most 10000 values; \
                    divide it into several";
        assert_eq!(refused(&many), text);
        let packed = request(vec![pb::FlowFilter {
            source_identity: (0..10_000).collect(),
            ..pb::FlowFilter::default()
        }]);
        assert!(refused(&packed).starts_with("whitelist[0].source_identity[0]: "));
        let masked = GetFlowsRequest {
            field_mask: Some(prost_types::FieldMask {
                paths: vec!["uuid".into(); 100_000],
            }),
            ..GetFlowsRequest::default()
        };
        assert!(refused(&masked).starts_with("field_mask.paths[9999]: "));
    }

    #[test]
    fn text_is_counted_over_all_fields() {
        let long = request(vec![
            pb::FlowFilter {
                source_pod: vec!["x".repeat(MAX_TEXT / 2)],
                experimental: Some(pb::flow_filter::Experimental {
                    cel_expression: vec!["true".into(), "x".repeat(MAX_TEXT / 2)],
                }),
                ..pb::FlowFilter::default()
            };
            1
        ]);
        let text = "whitelist[0].experimental.cel_expression[1]: a request may have at most \
                    1048576 bytes of text; divide it into several";
        assert_eq!(refused(&long), text);
    }

    #[test]
    fn bytes_that_are_no_request_are_left_to_the_decoder() {
        for wire in [&[0xff; 20][..], &[0x32, 5, 1], b"", &[0x0b; 50]] {
            assert_eq!(check_encoded(wire, "observer.GetFlowsRequest"), Ok(()));
        }
        let unknown = [0x78, 1].repeat(10_001);
        assert!(check_encoded(&unknown, "observer.GetFlowsRequest").is_err());
    }
}
