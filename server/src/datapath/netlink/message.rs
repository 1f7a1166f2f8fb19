//! Messages of netlink as bytes: requests are put together, answers taken
//! apart attribute by attribute (linux/netlink.h, linux/rtnetlink.h).
//!
//! Pure. A library would decode some sixty attributes of a link and drops the
//! whole message for one that it does not like, such as a name that is not
//! UTF-8; here only what is asked for is looked at.

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// The bits of an attribute's type that are flags (`NLA_F_NESTED` and others).
const TYPE_MASK: u16 = 0x3fff;

/// Offset of `nlmsg_flags` and `nlmsg_seq`.
const FLAGS_AT: usize = 6;
const SEQUENCE_AT: usize = 8;

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// Of this `RTM_...` type, with its fixed structure.
    pub(crate) fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[FLAGS_AT..SEQUENCE_AT].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        let mut request = Self(bytes);
        request.pad();
        request
    }

    /// With an attribute.
    #[must_use]
    pub(in super::super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// With an attribute that holds others.
    #[must_use]
    pub(in super::super) fn with_nested(mut self, kind: u16, values: &[(u16, &[u8])]) -> Self {
        let start = self.0.len();
        self.push(kind, &[]);
        for (kind, value) in values {
            self.push(*kind, value);
        }
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = (ATTRIBUTE + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// What is sent: with these flags added and this number.
    pub(super) fn finish(mut self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        let own = u16_at(&self.0, FLAGS_AT).unwrap_or(0);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[FLAGS_AT..SEQUENCE_AT].copy_from_slice(&(own | flags).to_ne_bytes());
        self.0[SEQUENCE_AT..SEQUENCE_AT + 4].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// A message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// `RTM_...` or `NLMSG_...`.
    pub(super) kind: u16,
    /// `NLM_F_...`.
    pub(super) flags: u16,
    /// Number of the request that it answers; 0 for what the kernel tells.
    pub(super) sequence: u32,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

/// The messages in what was received; the rest of a broken one is left out.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let message = Message {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, FLAGS_AT)?,
            sequence: u32_at(bytes, SEQUENCE_AT)?,
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes behind a fixed structure, or in another attribute.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & TYPE_MASK;
        let value = bytes.get(ATTRIBUTE..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(in super::super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

pub(in super::super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

pub(in super::super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// A number in the order of the network, as netfilter has them.
pub(crate) fn u32_be(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A string of the kernel for people: without its final zero; what is not
/// UTF-8 or would control a terminal as `\xNN`.
pub(in super::super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let mut text = String::new();
    let escape = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    };
    for chunk in bytes[..end.unwrap_or(bytes.len())].utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() {
                escape(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(letter);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_as_it_was_made() {
        let bytes = Request::new(44, 1, &[7; 5])
            .with(1, b"bpf\0")
            .with_nested(2, &[(6, &[1, 0, 0, 0]), (7, b"name\0")])
            .finish(4, 9);
        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].kind, found[0].flags, found[0].sequence),
            (44, 5, 9)
        );
        let outer: Vec<_> = attributes(&found[0].body[8..]).collect();
        assert_eq!(outer[0], (1, b"bpf\0".as_slice()));
        let inner: Vec<_> = attributes(outer[1].1).collect();
        assert_eq!(
            inner,
            [(6, [1, 0, 0, 0].as_slice()), (7, b"name\0".as_slice())]
        );
    }

    #[test]
    fn broken_messages_and_attributes_end_the_walk() {
        let good = Request::new(16, 0, &[0; 16])
            .with(3, b"eth0\0")
            .finish(0, 0);
        for length in 0..good.len() {
            assert_eq!(messages(&good[..length]).count(), 0, "{length}");
        }
        for bytes in [&[0; 16][..], &[3, 0, 1, 0], &[255; 40], &[4, 0, 1]] {
            assert!(messages(bytes).count() <= 1);
            assert!(attributes(bytes).count() <= 1, "{bytes:?}");
        }
    }

    #[test]
    fn names_that_are_not_text_are_escaped() {
        assert_eq!(text(b"eth0\0\0"), "eth0");
        assert_eq!(text(b"v\xff\xfe\0"), "v\\xff\\xfe");
        assert_eq!(text("ü\u{1b}[1m".as_bytes()), "ü\\x1b[1m");
        assert_eq!(text(b""), "");
    }
}
