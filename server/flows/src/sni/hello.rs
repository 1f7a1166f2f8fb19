//! One ClientHello (RFC 8446, 4.1.2; of older versions it is the same): the name in it.
//!
//! Each length is held against what is there. Extensions that are not known, GREASE
//! (RFC 8701) among them, are passed over. Bound: one walk over the bytes.

use std::net::IpAddr;

/// Handshake type of a ClientHello.
const CLIENT_HELLO: u8 = 1;
/// Extension with the server's name (RFC 6066, 3).
const SERVER_NAME: u16 = 0;
/// The only kind of name that there is.
const HOST_NAME: u8 = 0;
/// As long as a name in DNS.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Type and length of a handshake message.
const HEAD: usize = 4;

/// Why there is no name, though there are the first bytes of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    /// It is another message, or no TLS.
    #[error("the bytes are no TLS ClientHello")]
    NotHello,
    /// Lengths in it do not fit each other.
    #[error("the lengths in the TLS ClientHello do not fit")]
    Lengths,
    /// The name is not within the bytes that are read.
    #[error("the TLS ClientHello is longer than what is read of it")]
    TooLong,
    /// The name is an IP address, which RFC 6066 forbids.
    #[error("the server name in the TLS ClientHello is an IP address")]
    Address,
    /// The name is none that DNS could have.
    #[error("the server name in the TLS ClientHello is no DNS name")]
    Name,
    /// Bytes of it did not come before the connection was forgotten.
    #[error("the TLS ClientHello is not complete")]
    Incomplete,
}

impl Malformed {
    /// All, in the order of their counters.
    pub const ALL: [Self; 6] = [
        Self::NotHello,
        Self::Lengths,
        Self::TooLong,
        Self::Address,
        Self::Name,
        Self::Incomplete,
    ];

    /// Name in the state and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotHello => "not_hello",
            Self::Lengths => "lengths",
            Self::TooLong => "too_long",
            Self::Address => "address",
            Self::Name => "name",
            Self::Incomplete => "incomplete",
        }
    }
}

/// How long a handshake message is, with its head, by the first bytes of it.
pub(super) fn length(message: &[u8]) -> Option<usize> {
    let [_, length @ ..] = message.first_chunk::<HEAD>()?;
    let [high, middle, low] = length.map(usize::from);
    Some(HEAD + (high << 16 | middle << 8 | low))
}

/// Reads the server's name of a handshake message, in lower case and without a dot at
/// the end; none if the client gave none. `is_partial`: these are only its first bytes.
///
/// # Errors
/// Why there is none.
pub fn read(message: &[u8], is_partial: bool) -> Result<Option<String>, Malformed> {
    let mut left = Left {
        bytes: message,
        short: match is_partial {
            true => Malformed::TooLong,
            false => Malformed::Lengths,
        },
    };
    if left.number::<1>()? != usize::from(CLIENT_HELLO) {
        return Err(Malformed::NotHello);
    }
    let length = left.number::<3>()?;
    let mut left = left.at_most(length)?;
    // Version and random.
    left.take(2 + 32)?;
    left.part::<1>()?; // session
    left.part::<2>()?; // cipher suites
    left.part::<1>()?; // compression
    if left.bytes.is_empty() && !is_partial {
        return Ok(None);
    }
    let length = left.number::<2>()?;
    let mut extensions = left.at_most(length)?;
    while !extensions.bytes.is_empty() {
        let kind = extensions.number::<2>()?;
        let extension = extensions.part::<2>()?;
        if kind == usize::from(SERVER_NAME) {
            return server_name(extension);
        }
    }
    match is_partial {
        true => Err(Malformed::TooLong),
        false => Ok(None),
    }
}

/// The host's name in the extension.
fn server_name(extension: &[u8]) -> Result<Option<String>, Malformed> {
    let whole = |bytes| Left {
        bytes,
        short: Malformed::Lengths,
    };
    let mut names = whole(whole(extension).part::<2>()?);
    while !names.bytes.is_empty() {
        let kind = names.number::<1>()?;
        let name = names.part::<2>()?;
        if kind == usize::from(HOST_NAME) {
            return host_name(name).map(Some);
        }
    }
    Ok(None)
}

fn host_name(name: &[u8]) -> Result<String, Malformed> {
    let text = str::from_utf8(name).map_err(|_| Malformed::Name)?;
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.parse::<IpAddr>().is_ok() {
        return Err(Malformed::Address);
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label =
        |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(fits);
    match text.len() <= LONGEST_NAME && text.split('.').all(is_label) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Malformed::Name),
    }
}

/// What is left to be read, and what it means that it is too short.
#[derive(Clone, Copy)]
struct Left<'a> {
    bytes: &'a [u8],
    short: Malformed,
}

impl<'a> Left<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(self.short)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A number of so many bytes.
    fn number<const BYTES: usize>(&mut self) -> Result<usize, Malformed> {
        let bytes = self.take(BYTES)?.iter();
        Ok(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What has its length before it.
    fn part<const BYTES: usize>(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number::<BYTES>()?;
        self.take(length)
    }

    /// The next so many bytes, or as many of them as are there of a part.
    fn at_most(self, length: usize) -> Result<Self, Malformed> {
        if self.bytes.len() >= length {
            return Ok(Self {
                bytes: &self.bytes[..length],
                short: Malformed::Lengths,
            });
        }
        match self.short {
            Malformed::TooLong => Ok(self),
            short => Err(short),
        }
    }
}

#[cfg(test)]
mod tests;
