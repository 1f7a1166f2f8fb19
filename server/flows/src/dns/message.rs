//! One DNS message (RFC 1035): what a flow and the cache of names need of it.
//!
//! Bound: so many questions and records as are read at most; a name has at most
//! 255 bytes, and its pointers lead back only.

use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
};

use domain::{
    base::{
        Message as Wire, ParsedName, Rtype,
        iana::{Class, Opcode},
        name::ToName as _,
    },
    rdata::{A, Aaaa, Cname},
};

/// Questions that are read; in practice there is one.
const MAX_QUESTIONS: usize = 4;
/// Records of the answer that are read.
const MAX_RECORDS: usize = 256;
/// Aliases that are kept and followed; resolvers give up sooner.
const MAX_ALIASES: usize = 32;

/// Whether a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It asks.
    Query,
    /// It answers.
    Answer,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Question {
    /// In lower case, with a dot at the end; bytes that are no letters as `\DDD`.
    pub name: String,
    /// Numbers of the record types, of each question.
    pub types: Vec<u16>,
}

impl Question {
    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.name.len() + size_of_val(self.types.as_slice())
    }
}

/// An address of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// It.
    pub ip: IpAddr,
    /// Seconds, the least of the records that lead to it.
    pub ttl: u32,
    /// It belongs to the name that was asked for, by way of aliases perhaps.
    pub is_asked: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number that an answer has from its query.
    pub id: u16,
    /// Which way it goes.
    pub kind: Kind,
    /// It is a plain query or the answer to one, no update or notice.
    pub is_plain: bool,
    /// The answer did not fit, and is cut.
    pub is_cut: bool,
    /// What is asked; none where an answer does not repeat it.
    pub question: Option<Question>,
    /// Response code, with the bits of EDNS (RFC 6891).
    pub rcode: u16,
    /// Addresses, in the order of the answer.
    pub addresses: Vec<Address>,
    /// Targets of aliases, with a dot at the end, as they were sent.
    pub aliases: Vec<String>,
    /// Types of the answer's records, in their order.
    pub record_types: Vec<u16>,
    /// Seconds: the least of all addresses and aliases, if there are any.
    pub ttl: Option<u32>,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    /// Shorter than a header.
    #[error("the message is shorter than a DNS header")]
    Short,
    /// The question cannot be read.
    #[error("the question of the DNS message cannot be read")]
    Question,
    /// A query asks for nothing.
    #[error("the DNS query has no question")]
    NoQuestion,
    /// The answer's records cannot be read.
    #[error("the answer of the DNS message cannot be read")]
    Records,
    /// More records than are read.
    #[error("the answer of the DNS message has more than {MAX_RECORDS} records")]
    TooManyRecords,
    /// It answers but was sent to port 53, or asks but came from there.
    #[error("the DNS message goes the wrong way")]
    WrongWay,
    /// The stream cannot be followed: bytes are missing, or it is no DNS.
    #[error("DNS messages in the TCP stream cannot be told apart")]
    Stream,
}

impl Malformed {
    /// All, in the order of their counters.
    pub const ALL: [Self; 7] = [
        Self::Short,
        Self::Question,
        Self::NoQuestion,
        Self::Records,
        Self::TooManyRecords,
        Self::WrongWay,
        Self::Stream,
    ];

    /// Name in the state and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Question => "question",
            Self::NoQuestion => "no_question",
            Self::Records => "records",
            Self::TooManyRecords => "too_many_records",
            Self::WrongWay => "wrong_way",
            Self::Stream => "stream",
        }
    }
}

/// Reads a message. `is_partial`: these are only its first bytes, so the records
/// may end anywhere.
///
/// # Errors
/// Why the bytes are no message.
pub fn read(bytes: &[u8], is_partial: bool) -> Result<Message, Malformed> {
    let wire = Wire::from_octets(bytes).map_err(|_| Malformed::Short)?;
    let header = wire.header();
    let is_plain = header.opcode() == Opcode::QUERY;
    let (question, asked) = question(&wire)?;
    let mut message = Message {
        id: header.id(),
        kind: if header.qr() {
            Kind::Answer
        } else {
            Kind::Query
        },
        is_plain,
        is_cut: header.tc(),
        question,
        rcode: 0,
        addresses: Vec::new(),
        aliases: Vec::new(),
        record_types: Vec::new(),
        ttl: None,
    };
    match message.kind {
        Kind::Query if message.question.is_none() => return Err(Malformed::NoQuestion),
        Kind::Query => {}
        Kind::Answer => {
            message.rcode = wire.opt_rcode().to_int();
            if is_plain {
                answer(&wire, asked, is_partial || header.tc(), &mut message)?;
            }
        }
    }
    Ok(message)
}

type Name<'a> = ParsedName<&'a [u8]>;

/// A name that is compared with many: by its hash first, since a name that is
/// like another one but for its end is dear to compare.
#[derive(Clone, Copy)]
struct Hashed<'a> {
    name: Name<'a>,
    hash: u64,
}

impl<'a> Hashed<'a> {
    fn new(name: Name<'a>) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            name,
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name.name_eq(&other.name)
    }
}

fn question<'a>(
    wire: &'a Wire<&'a [u8]>,
) -> Result<(Option<Question>, Option<Name<'a>>), Malformed> {
    let mut first: Option<(Question, Name<'a>)> = None;
    for question in wire.question().take(MAX_QUESTIONS) {
        let question = question.map_err(|_| Malformed::Question)?;
        let kind = question.qtype().to_int();
        match &mut first {
            Some((first, _)) => first.types.push(kind),
            None => {
                let name = *question.qname();
                let question = Question {
                    name: text(&name).to_ascii_lowercase(),
                    types: vec![kind],
                };
                first = Some((question, name));
            }
        }
    }
    Ok(first.map_or((None, None), |(question, name)| {
        (Some(question), Some(name))
    }))
}

/// Records that may lead from the question to an address.
#[derive(Default)]
struct Found<'a> {
    addresses: Vec<(Hashed<'a>, IpAddr, u32)>,
    aliases: Vec<(Hashed<'a>, Hashed<'a>, u32)>,
}

fn answer<'a>(
    wire: &'a Wire<&'a [u8]>,
    asked: Option<Name<'a>>,
    may_end: bool,
    to: &mut Message,
) -> Result<(), Malformed> {
    let mut found = Found::default();
    let read = records(wire, &mut found, &mut to.record_types);
    match read {
        Err(Malformed::Records) if may_end => {}
        read => read?,
    }
    let ttls = found.addresses.iter().map(|(.., ttl)| ttl);
    let ttls = ttls.chain(found.aliases.iter().map(|(.., ttl)| ttl));
    to.ttl = ttls.min().copied();
    to.aliases = found
        .aliases
        .iter()
        .map(|(_, target, _)| text(&target.name))
        .collect();
    let chain = asked.map_or_else(Vec::new, |asked| chain(asked, &found.aliases));
    to.addresses = found
        .addresses
        .iter()
        .map(|(owner, ip, ttl)| {
            let link = chain.iter().find(|(name, _)| name.is(owner));
            Address {
                ip: *ip,
                ttl: link.map_or(*ttl, |(_, least)| *least.min(ttl)),
                is_asked: link.is_some(),
            }
        })
        .collect();
    Ok(())
}

fn records<'a>(
    wire: &'a Wire<&'a [u8]>,
    found: &mut Found<'a>,
    types: &mut Vec<u16>,
) -> Result<(), Malformed> {
    for record in wire.answer().map_err(|_| Malformed::Records)? {
        let record = record.map_err(|_| Malformed::Records)?;
        if types.len() == MAX_RECORDS {
            return Err(Malformed::TooManyRecords);
        }
        types.push(record.rtype().to_int());
        if record.class() != Class::IN {
            continue;
        }
        let (owner, ttl) = (record.owner().deref_octets(), record.ttl().as_secs());
        let owner = || Hashed::new(owner);
        match record.rtype() {
            Rtype::A => {
                let a = record.to_record::<A>();
                let a = a.ok().flatten().ok_or(Malformed::Records)?;
                found.addresses.push((owner(), a.data().addr().into(), ttl));
            }
            Rtype::AAAA => {
                let aaaa = record.to_record::<Aaaa>();
                let aaaa = aaaa.ok().flatten().ok_or(Malformed::Records)?;
                found
                    .addresses
                    .push((owner(), aaaa.data().addr().into(), ttl));
            }
            Rtype::CNAME if found.aliases.len() < MAX_ALIASES => {
                let cname = record.to_record::<Cname<Name<'a>>>();
                let cname = cname.ok().flatten().ok_or(Malformed::Records)?;
                let target = Hashed::new(*cname.data().cname());
                found.aliases.push((owner(), target, ttl));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names that stand for the one that was asked for, in whatever order the
/// aliases came, with the least TTL on the way.
fn chain<'a>(asked: Name<'a>, aliases: &[(Hashed<'a>, Hashed<'a>, u32)]) -> Vec<(Hashed<'a>, u32)> {
    let mut chain = vec![(Hashed::new(asked), u32::MAX)];
    // Each step takes another alias, so a circle ends.
    for _ in 0..aliases.len() {
        let Some((last, least)) = chain.last().copied() else {
            break;
        };
        let Some((_, target, ttl)) = aliases.iter().find(|(owner, ..)| owner.is(&last)) else {
            break;
        };
        chain.push((*target, least.min(*ttl)));
    }
    chain
}

/// A name with a dot at the end; what is no plain character is escaped as in
/// zone files (RFC 1035, section 5.1).
fn text(name: &Name<'_>) -> String {
    let mut text = String::with_capacity(64);
    for label in name.iter().filter(|label| !label.is_root()) {
        for byte in label.as_slice() {
            match byte {
                b'.' | b'\\' | b' ' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(*byte));
                }
                0x21..0x7f => text.push(char::from(*byte)),
                _ => {
                    let _ = write!(text, "\\{byte:03}");
                }
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests;
