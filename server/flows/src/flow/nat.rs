//! A connection whose addresses are translated on their way, as one of its two legs
//! tells it; it travels in `Flow.extensions`, since Hubble has no field for all of it.
//!
//! Keys of the Struct in `nat`: `original` (as the initiator sends it) and `reply` (as
//! it is answered), each with `source` and `destination` (`address:port`). So the
//! initiator's leg has the addresses of `original`, and the other one those of `reply`.

use std::net::SocketAddr;

use prost_types::{Struct, Value, value::Kind};

/// Both tuples of a connection: sender and receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    /// As the initiator sends.
    pub original: [SocketAddr; 2],
    /// As it is answered.
    pub reply: [SocketAddr; 2],
}

impl Nat {
    /// Keys, and senders and receivers, the keys sorted.
    pub(super) fn fields(&self) -> [(&'static str, [(&'static str, String); 2]); 2] {
        let ends = |[source, destination]: [SocketAddr; 2]| {
            [
                ("destination", destination.to_string()),
                ("source", source.to_string()),
            ]
        };
        [
            ("original", ends(self.original)),
            ("reply", ends(self.reply)),
        ]
    }

    /// All of it as one value.
    pub(super) fn value(&self) -> Kind {
        let text = |text| Value {
            kind: Some(Kind::StringValue(text)),
        };
        let tuple = |(key, ends): (&str, [(&str, String); 2])| {
            let ends = ends.map(|(key, end)| (key.to_owned(), text(end)));
            let fields = Kind::StructValue(Struct {
                fields: ends.into(),
            });
            (key.to_owned(), Value { kind: Some(fields) })
        };
        Kind::StructValue(Struct {
            fields: self.fields().map(tuple).into(),
        })
    }
}
