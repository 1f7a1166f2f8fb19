//! Recorded flows taken apart: the endpoints of both sides are known again by
//! their bytes, so that each is decoded, checked and interned about once.
//!
//! Bound: `KNOWN_BYTES` of endpoints for each call; a full table is cleared. One
//! endpoint of more than `LONG` bytes is not remembered.

use std::{borrow::Cow, collections::HashMap};

use foldhash::fast::RandomState;
use prost::Message as _;
use sextant_proto::flow as pb;

use crate::{
    field::{Malformed, fields},
    flow::{Endpoint, Interned, Interners, proto::endpoint_from},
    pipeline::Recorded,
    record::{Invalid, check, check_length, endpoint},
};

/// Encoded endpoints that are remembered at most; what is kept beside each of
/// them has about twice its bytes.
const KNOWN_BYTES: usize = 2 << 20;
/// What an endpoint costs beside its bytes.
const OVERHEAD: usize = 256;
const LONG: usize = 2048;
/// Fields of `Flow`.
const SOURCE: u32 = 8;
const DESTINATION: u32 = 9;

/// Endpoints by their bytes.
#[derive(Default)]
pub struct Sides {
    known: HashMap<Box<[u8]>, Interned<Endpoint>, RandomState>,
    /// Bytes of what is known, with the overhead.
    known_bytes: usize,
    /// Kept for its capacity.
    rest: Vec<u8>,
}

/// A flow that was found valid.
pub struct Valid {
    /// Without its endpoints.
    flow: pb::Flow,
    source: Option<Side>,
    destination: Option<Side>,
}

enum Side {
    Known(Interned<Endpoint>),
    New(Box<[u8]>, pb::Endpoint),
}

impl Sides {
    /// Decodes and checks a flow.
    ///
    /// # Errors
    ///
    /// The first field that is wrong; none is named where the bytes are no flow.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Valid, Invalid> {
        check_length(bytes.len())?;
        self.rest.clear();
        let [source, destination] =
            take_apart(bytes, &mut self.rest).map_err(|error| unreadable(&error))?;
        let flow = pb::Flow::decode(&*self.rest).map_err(|error| unreadable(&error))?;
        check(&flow)?;
        let side = |field, bytes: Option<Cow<'_, [u8]>>| {
            bytes.map(|bytes| self.side(field, &bytes)).transpose()
        };
        Ok(Valid {
            flow,
            source: side("source", source)?,
            destination: side("destination", destination)?,
        })
    }

    fn side(&self, field: &str, bytes: &[u8]) -> Result<Side, Invalid> {
        if let Some(known) = self.known.get(bytes) {
            return Ok(Side::Known(known.clone()));
        }
        let side = pb::Endpoint::decode(bytes).map_err(|error| unreadable(&error))?;
        endpoint(field, &side)?;
        Ok(Side::New(bytes.into(), side))
    }

    /// Shares what the flow has in common with others.
    pub fn share(&mut self, valid: Valid, interners: &mut Interners) -> Recorded {
        let mut side = |side: Option<Side>| side.map(|side| self.shared(side, interners));
        Recorded {
            source: side(valid.source),
            destination: side(valid.destination),
            flow: valid.flow,
        }
    }

    fn shared(&mut self, side: Side, interners: &mut Interners) -> Interned<Endpoint> {
        match side {
            Side::Known(endpoint) => endpoint,
            Side::New(bytes, endpoint) => {
                let endpoint = endpoint_from(endpoint, interners);
                if bytes.len() <= LONG {
                    self.remember(bytes, endpoint.clone());
                }
                endpoint
            }
        }
    }

    fn remember(&mut self, bytes: Box<[u8]>, endpoint: Interned<Endpoint>) {
        let cost = bytes.len() + OVERHEAD;
        if self.known_bytes + cost > KNOWN_BYTES {
            self.known.clear();
            self.known_bytes = 0;
        }
        // Equal bytes can be new twice in a batch.
        if self.known.insert(bytes, endpoint).is_none() {
            self.known_bytes += cost;
        }
    }
}

/// The bytes of both endpoints; those of all other fields are put into `rest`.
fn take_apart<'a>(
    flow: &'a [u8],
    rest: &mut Vec<u8>,
) -> Result<[Option<Cow<'a, [u8]>>; 2], Malformed> {
    let mut sides = [None, None];
    for field in fields(flow) {
        let field = field?;
        let (side, part) = match (field.number, field.message) {
            (SOURCE, Some(part)) => (&mut sides[0], part),
            (DESTINATION, Some(part)) => (&mut sides[1], part),
            // Also a side that is no message: to be refused with the rest.
            _ => {
                rest.extend_from_slice(field.whole);
                continue;
            }
        };
        match side {
            None => *side = Some(Cow::Borrowed(part)),
            // A message that comes in parts is all of them, one behind the other.
            Some(before) => before.to_mut().extend_from_slice(part),
        }
    }
    Ok(sides)
}

fn unreadable(error: &dyn std::error::Error) -> Invalid {
    Invalid {
        field: String::new(),
        description: format!("the flow cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::proto::{from_proto, to_proto};

    fn endpoint(name: &str) -> pb::Endpoint {
        pb::Endpoint {
            namespace: "ns".into(),
            pod_name: name.into(),
            labels: vec!["k8s:a=b".into()],
            ..pb::Endpoint::default()
        }
    }

    fn taken(sides: &mut Sides, interners: &mut Interners, bytes: &[u8]) -> pb::Flow {
        let valid = sides.decode(bytes).unwrap();
        let recorded = sides.share(valid, interners);
        let mut flow = from_proto(recorded.flow, interners);
        (flow.source, flow.destination) = (recorded.source, recorded.destination);
        to_proto(&flow)
    }

    #[test]
    fn what_was_taken_apart_is_the_same_flow_also_when_its_sides_are_known() {
        let flow = pb::Flow {
            uuid: "a".into(),
            source: Some(endpoint("from")),
            destination: Some(endpoint("to")),
            node_name: "n".into(),
            ..pb::Flow::default()
        };
        let (mut sides, mut interners) = (Sides::default(), Interners::default());
        for _ in 0..2 {
            let again = taken(&mut sides, &mut interners, &flow.encode_to_vec());
            assert_eq!(again, flow);
        }
        assert_eq!((sides.known.len(), interners.endpoints.len()), (2, 2));
    }

    #[test]
    fn a_side_in_two_parts_is_merged() {
        let part = |side: pb::Endpoint| pb::Flow {
            source: Some(side),
            ..pb::Flow::default()
        };
        let identity = pb::Endpoint {
            identity: 7,
            ..pb::Endpoint::default()
        };
        let mut bytes = part(endpoint("from")).encode_to_vec();
        bytes.extend(part(identity).encode_to_vec());
        let merged = pb::Flow::decode(&*bytes).unwrap();
        let (mut sides, mut interners) = (Sides::default(), Interners::default());
        assert_eq!(taken(&mut sides, &mut interners, &bytes), merged);
    }

    #[test]
    fn a_side_that_is_no_message_is_refused() {
        for field in [SOURCE, DESTINATION] {
            let refused = Sides::default().decode(&[(field << 3) as u8, 1]).err();
            let text = refused
                .map(|invalid| invalid.description)
                .unwrap_or_default();
            assert!(text.starts_with("the flow cannot be read: "), "{text}");
        }
    }

    fn flow_from(name: &str) -> Vec<u8> {
        let flow = pb::Flow {
            source: Some(endpoint(name)),
            ..pb::Flow::default()
        };
        flow.encode_to_vec()
    }

    #[test]
    fn remembered_endpoints_are_bounded_in_bytes() {
        let (mut sides, mut interners) = (Sides::default(), Interners::default());
        let mut most = 0;
        for n in 0..2 * KNOWN_BYTES / OVERHEAD {
            taken(&mut sides, &mut interners, &flow_from(&n.to_string()));
            let cost = |bytes: &[u8]| bytes.len() + OVERHEAD;
            if n % 1000 == 0 {
                let sum: usize = sides.known.keys().map(|bytes| cost(bytes)).sum();
                assert_eq!(sum, sides.known_bytes);
            }
            most = most.max(sides.known_bytes);
        }
        assert!((KNOWN_BYTES / 2..=KNOWN_BYTES).contains(&most), "{most}");
    }

    #[test]
    fn a_long_endpoint_is_taken_but_not_remembered() {
        let (mut sides, mut interners) = (Sides::default(), Interners::default());
        let mut long = endpoint("a");
        long.labels = vec!["l".repeat(1000); 3];
        let flow = pb::Flow {
            source: Some(long),
            ..pb::Flow::default()
        };
        assert_eq!(
            taken(&mut sides, &mut interners, &flow.encode_to_vec()),
            flow
        );
        assert_eq!((sides.known.len(), sides.known_bytes), (0, 0));
    }
}
