//! Why a filter is refused. The texts are Hubble's to the letter, since they
//! reach clients as they are.

use std::fmt;

use super::{
    Excess, LabelError, RegexpError, Side,
    text::{quote, quote_char},
};

/// A filter that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No such protocol.
    #[error("invalid protocol filter: unknown protocol: {}", quote(.0))]
    Protocol(String),
    /// Not an IP address.
    #[error("invalid IP address {} in filter: {reason}", quote(.text))]
    IpAddress {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not an IP prefix.
    #[error("invalid IP prefix {} in filter: {reason}", quote(.text))]
    IpPrefix {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An empty pod or cluster name.
    #[error("invalid filter, name must not be empty")]
    EmptyName,
    /// An empty service name.
    #[error("invalid {0} service filter: invalid filter, name must not be empty")]
    EmptyService(Side),
    /// A DNS or node name pattern without content.
    #[error("empty pattern")]
    EmptyPattern,
    /// A DNS or node name pattern with more than one trailing dot.
    #[error("multiple trailing dots in pattern")]
    TrailingDots,
    /// A node name pattern with more than one slash.
    #[error("too many slashes in pattern")]
    TooManySlashes,
    /// A character that no DNS or node name pattern holds.
    #[error("{}: invalid rune in pattern", quote_char(*.0))]
    InvalidRune(char),
    /// A regular expression of a DNS query.
    #[error("invalid DNS query filter: failed to compile regexp: {0}")]
    DnsQuery(#[source] RegexpError),
    /// A label selector of one side.
    #[error("invalid {side} label filter: {reason}")]
    Label {
        /// Which side.
        side: Side,
        /// What is wrong with it.
        #[source]
        reason: LabelError,
    },
    /// A label selector of the node.
    #[error("invalid node label filter: {0}")]
    NodeLabel(#[source] LabelError),
    /// A port that is no number or too large.
    #[error("invalid {side} port filter: invalid port {quoted}: strconv.ParseUint: parsing {quoted}: {reason}", quoted = quote(.text))]
    Port {
        /// Which side.
        side: Side,
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: PortError,
    },
    /// An HTTP filter beside an event type filter that shuts out L7 events.
    #[error("filtering by http {0} requires the event type filter to only match 'l7' events")]
    NotL7(HttpField),
    /// A status code that is neither a code nor a prefix of one.
    #[error("invalid http status code filter: invalid status code prefix: {}", quote(.0))]
    HttpStatus(String),
    /// A regular expression of an HTTP path or URL.
    #[error("invalid http {field} filter: {pattern}: {reason}")]
    HttpPattern {
        /// Path or URL.
        field: HttpField,
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        reason: RegexpError,
    },
    /// The request asks for too much; not Hubble's text, which has no such bound.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// A CEL expression that does not compile.
    #[error("error compiling CEL expression: {0}")]
    Cel(String),
    /// A CEL expression that compiles, but cannot be evaluated.
    #[error("error building CEL program: {0}")]
    CelProgram(String),
}

/// What is wrong with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not digits.
    #[error("invalid syntax")]
    Syntax,
    /// Above 65535.
    #[error("value out of range")]
    Range,
}

/// A field of an HTTP record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpField {
    /// Status code.
    StatusCode,
    /// Method.
    Method,
    /// Path of the URL.
    Path,
    /// URL.
    Url,
    /// Headers.
    Headers,
}

impl fmt::Display for HttpField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StatusCode => "status code",
            Self::Method => "method",
            Self::Path => "path",
            Self::Url => "url",
            Self::Headers => "headers",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}
