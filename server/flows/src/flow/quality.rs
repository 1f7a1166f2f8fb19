//! How well a TCP connection of our own datapath does; it travels in
//! `Flow.extensions`, since Hubble has no field for it.
//!
//! Keys of the Struct in `tcp`, those of the other direction with `reverse_` before
//! them. What the initiator's socket knows, if it is on this host: `srtt_us` and
//! `rtt_min_us` (smoothed and least round-trip time, numbers), `retrans` (segments sent
//! again since the connection began), `lost` (segments that count as lost now); and of
//! any connection, forwarded ones too, `zero_window` (true if the side announced a
//! window of 0). Without a direction: `handshake_us` and `established_us` (from the SYN
//! to its answer, and to the answer of that), `reset_by` (`client`, which is the
//! initiator, `server` or `both`). A key of which nothing is known is left out; a
//! number is 0 only if that was measured.

use prost_types::{Struct, Value, value::Kind};

/// What a socket knows of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Smoothed round-trip time in microseconds, once one was measured.
    pub srtt_us: Option<u32>,
    /// The least one of late.
    pub rtt_min_us: Option<u32>,
    /// Segments sent again since the connection began.
    pub retrans: u32,
    /// Segments that count as lost now.
    pub lost: u32,
}

/// Who reset a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetBy {
    /// The initiator.
    Client,
    /// The other side.
    Server,
    /// One, and then the other.
    Both,
}

impl ResetBy {
    /// Name in the extensions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Both => "both",
        }
    }
}

/// How well a connection does. Pairs are of the initiator and of the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpQuality {
    /// What the sockets know that are on this host.
    pub figures: [Option<Figures>; 2],
    /// From the SYN to its answer in microseconds, if both were seen.
    pub handshake_us: Option<u32>,
    /// From the SYN to the answer of its answer.
    pub established_us: Option<u32>,
    /// Announced a window of 0.
    pub zero_window: [bool; 2],
    /// Who reset it.
    pub reset_by: Option<ResetBy>,
}

/// A value of the Struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A number.
    Number(u32),
    /// A text.
    Text(&'static str),
    /// True.
    True,
}

impl TcpQuality {
    /// Segments sent again by the sides that are on this host, if one is.
    #[must_use]
    pub fn retrans(&self) -> Option<u64> {
        let known = self.figures.iter().flatten();
        known
            .map(|side| u64::from(side.retrans))
            .reduce(u64::saturating_add)
    }

    /// Keys and values, the keys sorted.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, Field)> {
        let [there, back] = self.figures;
        let number = |number: Option<u32>| number.map(Field::Number);
        let is_set = |is_set: bool| is_set.then_some(Field::True);
        [
            ("established_us", number(self.established_us)),
            ("handshake_us", number(self.handshake_us)),
            ("lost", number(there.map(|it| it.lost))),
            ("reset_by", self.reset_by.map(|by| Field::Text(by.name()))),
            ("retrans", number(there.map(|it| it.retrans))),
            ("reverse_lost", number(back.map(|it| it.lost))),
            ("reverse_retrans", number(back.map(|it| it.retrans))),
            (
                "reverse_rtt_min_us",
                number(back.and_then(|it| it.rtt_min_us)),
            ),
            ("reverse_srtt_us", number(back.and_then(|it| it.srtt_us))),
            ("reverse_zero_window", is_set(self.zero_window[1])),
            ("rtt_min_us", number(there.and_then(|it| it.rtt_min_us))),
            ("srtt_us", number(there.and_then(|it| it.srtt_us))),
            ("zero_window", is_set(self.zero_window[0])),
        ]
        .into_iter()
        .filter_map(|(key, field)| Some((key, field?)))
    }

    /// All of it as one value.
    pub(super) fn value(&self) -> Kind {
        let mut all = Struct::default();
        for (key, field) in self.fields() {
            let kind = match field {
                Field::Number(number) => Kind::NumberValue(number.into()),
                Field::Text(text) => Kind::StringValue(text.into()),
                Field::True => Kind::BoolValue(true),
            };
            all.fields.insert(key.into(), Value { kind: Some(kind) });
        }
        Kind::StructValue(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_what_is_not_known_is_not_told_as_nothing() {
        let quality = TcpQuality {
            figures: [None, Some(Figures::default())],
            zero_window: [true, false],
            reset_by: Some(ResetBy::Server),
            ..TcpQuality::default()
        };
        let fields: Vec<_> = quality.fields().collect();
        assert!(fields.is_sorted_by_key(|(key, _)| *key));
        let keys: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
        assert_eq!(
            keys,
            ["reset_by", "reverse_lost", "reverse_retrans", "zero_window"]
        );
        assert_eq!(quality.retrans(), Some(0));
        assert_eq!(TcpQuality::default().retrans(), None);
    }
}
