//! Names of addresses by pages.
//!
//! A page begins behind the last name of the one before, so names that come and go
//! meanwhile change nothing else. Bound: `MOST` names and `MOST_BYTES` in a page.

use std::{collections::HashSet, net::IpAddr};

use sextant_proto::sextant::flow::v1::{
    self as api, AddressName, ListNamesRequest, ListNamesResponse,
};
use tonic::Status;

use crate::{
    filter::Glob,
    names::Client,
    pipeline::{NameSource, NamedAddress},
    service::{
        error::invalid,
        token::{NOT_OF_THIS, fingerprint},
    },
};

/// Names of a page unless told.
const USUAL: usize = 1000;
/// Names of a page.
const MOST: usize = 10_000;
/// Bytes of a page, about.
const MOST_BYTES: usize = 3 << 20;
/// All clients, in a token.
const ALL: &str = "*";
/// Patterns, and addresses, of a request.
const MAX_WANTED: usize = 100;
/// Bytes of one of them: the longest name, as text.
const MAX_PATTERN: usize = 1024;
/// Bytes of all patterns: each is held against each name.
const MAX_PATTERNS: usize = 8 << 10;

/// What orders names: no two have the same.
type Place = (String, IpAddr, Option<Client>, u16, NameSource);

/// A request that is understood.
#[derive(Debug)]
pub(super) struct Query {
    names: Vec<Glob>,
    addresses: HashSet<IpAddr>,
    limit: usize,
    /// The last name of the page before.
    after: Option<Place>,
    request: u64,
}

impl Query {
    pub(super) fn compile(request: &ListNamesRequest) -> Result<Self, Status> {
        for (field, wanted) in [("name", &request.name), ("address", &request.address)] {
            if wanted.len() > MAX_WANTED {
                return Err(invalid(
                    field,
                    &format!("at most {MAX_WANTED} may be given"),
                ));
            }
        }
        if request.name.iter().map(String::len).sum::<usize>() > MAX_PATTERNS {
            let text = format!("has more than {MAX_PATTERNS} bytes of patterns");
            return Err(invalid("name", &text));
        }
        let limit = match request.limit as usize {
            0 => USUAL,
            limit if limit <= MOST => limit,
            _ => return Err(invalid("limit", &format!("is at most {MOST}"))),
        };
        let glob = |(index, pattern): (usize, &String)| {
            let field = format!("name[{index}]");
            if pattern.len() > MAX_PATTERN {
                return Err(invalid(&field, "is longer than any name"));
            }
            Glob::compile(pattern).map_err(|error| invalid(&field, &error.to_string()))
        };
        let address = |(index, text): (usize, &String)| {
            let wrong = || invalid(&format!("address[{index}]"), "is no IP address");
            text.parse().map_err(|_| wrong())
        };
        let id = fingerprint(&ListNamesRequest {
            limit: 0,
            page_token: String::new(),
            ..request.clone()
        });
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(read(token, id).ok_or_else(|| invalid("page_token", NOT_OF_THIS))?),
        };
        Ok(Self {
            names: request
                .name
                .iter()
                .enumerate()
                .map(glob)
                .collect::<Result<_, _>>()?,
            addresses: request
                .address
                .iter()
                .enumerate()
                .map(address)
                .collect::<Result<_, _>>()?,
            limit,
            after,
            request: id,
        })
    }

    fn wants(&self, named: &NamedAddress) -> bool {
        let by_name =
            self.names.is_empty() || self.names.iter().any(|glob| glob.matches(&named.name));
        by_name && (self.addresses.is_empty() || self.addresses.contains(&named.address))
    }

    pub(super) fn answer(&self, mut all: Vec<NamedAddress>) -> ListNamesResponse {
        all.retain(|named| self.wants(named));
        all.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        let name_count = all.len() as u64;
        let begin = self
            .after
            .as_ref()
            .map_or(0, |(name, address, client, zone, source)| {
                let after = (name.as_str(), *address, *client, *zone, *source);
                all.partition_point(|named| order(named) <= after)
            });
        let mut names = Vec::new();
        let mut bytes = 0;
        for named in &all[begin..] {
            bytes += named.name.len() + size_of::<AddressName>();
            if names.len() == self.limit || bytes > MOST_BYTES {
                break;
            }
            names.push(message(named));
        }
        let end = begin + names.len();
        let next_page_token = match all.get(end.saturating_sub(1)) {
            Some(last) if end < all.len() => token(last, self.request),
            _ => String::new(),
        };
        ListNamesResponse {
            names,
            name_count,
            next_page_token,
        }
    }
}

fn order(named: &NamedAddress) -> (&str, IpAddr, Option<Client>, u16, NameSource) {
    let NamedAddress {
        address,
        client,
        zone,
        source,
        ..
    } = *named;
    (&named.name, address, client, zone, source)
}

fn message(named: &NamedAddress) -> AddressName {
    AddressName {
        name: named.name.to_string(),
        address: named.address.to_string(),
        client: match named.client {
            None => String::new(),
            Some(Client::Host) => "host".into(),
            Some(Client::Other(_, address)) => address.to_string(),
        },
        zone: named.zone.into(),
        learned: Some(named.learned.into()),
        expires: named.expires.map(Into::into),
        source: match named.source {
            NameSource::Dns => api::NameSource::Dns,
            NameSource::Tls => api::NameSource::Tls,
            NameSource::HostsFile => api::NameSource::HostsFile,
        }
        .into(),
    }
}

fn token(last: &NamedAddress, request: u64) -> String {
    let client = match last.client {
        None => ALL.to_owned(),
        Some(Client::Host) => String::new(),
        Some(Client::Other(zone, address)) => format!("{zone},{address}"),
    };
    let source = match last.source {
        NameSource::Dns => 0,
        NameSource::Tls => 1,
        NameSource::HostsFile => 2,
    };
    // The name last: it may have any sign.
    format!(
        "{request:x}/{source}/{}/{client}/{}/{}",
        last.zone, last.address, last.name
    )
}

fn read(token: &str, request: u64) -> Option<Place> {
    let mut parts = token.splitn(6, '/');
    let of = u64::from_str_radix(parts.next()?, 16).ok()?;
    let source = match parts.next()? {
        "0" => NameSource::Dns,
        "1" => NameSource::Tls,
        "2" => NameSource::HostsFile,
        _ => return None,
    };
    let zone = parts.next()?.parse().ok()?;
    let client = match parts.next()? {
        ALL => None,
        "" => Some(Client::Host),
        other => {
            let (zone, address) = other.split_once(',')?;
            Some(Client::Other(zone.parse().ok()?, address.parse().ok()?))
        }
    };
    let address = parts.next()?.parse().ok()?;
    let name = parts.next()?.to_owned();
    (of == request).then_some((name, address, client, zone, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Time;

    fn named(name: &str, last: u8, client: Client) -> NamedAddress {
        NamedAddress {
            source: match last % 3 {
                0 => NameSource::Tls,
                1 => NameSource::HostsFile,
                _ => NameSource::Dns,
            },
            name: name.into(),
            address: [192, 0, 2, last].into(),
            zone: 0,
            client: (last % 3 != 1).then_some(client),
            learned: Time::from_nanos(1),
            expires: (last % 3 != 1).then(|| Time::from_nanos(2)),
        }
    }

    fn all() -> Vec<NamedAddress> {
        let other = Client::Other(7, [10, 0, 0, 1].into());
        let mut all: Vec<_> = (0..50_u8)
            .flat_map(|n| {
                [
                    named(&format!("n{}.test", n / 2), n, other),
                    named("a/b.test", n, Client::Host),
                ]
            })
            .collect();
        all.reverse();
        all
    }

    #[test]
    fn pages_together_are_all_names_in_order() {
        let mut request = ListNamesRequest {
            limit: 7,
            ..ListNamesRequest::default()
        };
        let mut seen = Vec::new();
        loop {
            let answer = Query::compile(&request).expect("right").answer(all());
            assert_eq!(answer.name_count, 100);
            assert!(answer.names.len() <= 7);
            seen.extend(
                answer
                    .names
                    .into_iter()
                    .map(|name| (name.name, name.address)),
            );
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), 100);
        let mut whole: Vec<_> = all()
            .iter()
            .map(message)
            .map(|m| (m.name, m.address))
            .collect();
        whole.sort_by(|a, b| {
            let key = |(name, address): &(String, String)| {
                (name.clone(), address.parse::<IpAddr>().expect("one"))
            };
            key(a).cmp(&key(b))
        });
        assert_eq!(seen, whole);
    }

    #[test]
    fn names_and_addresses_choose() {
        let request = ListNamesRequest {
            name: vec!["N3.test.".into(), "n4*".into()],
            address: vec!["192.0.2.7".into(), "192.0.2.8".into(), "192.0.2.20".into()],
            ..ListNamesRequest::default()
        };
        let answer = Query::compile(&request).expect("right").answer(all());
        let names: Vec<_> = answer.names.into_iter().map(|name| name.name).collect();
        assert_eq!(names, ["n3.test", "n4.test"]);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let field = |request: ListNamesRequest| {
            let status = Query::compile(&request).expect_err("wrong");
            status
                .message()
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let of = ListNamesRequest::default;
        let with_token = |token: &str| ListNamesRequest {
            page_token: token.into(),
            ..of()
        };
        assert_eq!(
            field(ListNamesRequest {
                limit: 10_001,
                ..of()
            }),
            "limit"
        );
        assert_eq!(
            field(ListNamesRequest {
                name: vec!["a".into(), "b c".into()],
                ..of()
            }),
            "name[1]"
        );
        assert_eq!(
            field(ListNamesRequest {
                name: vec!["a".repeat(2000)],
                ..of()
            }),
            "name[0]"
        );
        assert_eq!(
            field(ListNamesRequest {
                name: vec!["a".into(); 101],
                ..of()
            }),
            "name"
        );
        assert_eq!(
            field(ListNamesRequest {
                address: vec!["x".into()],
                ..of()
            }),
            "address[0]"
        );
        for token in ["x", "0/0//0/192.0.2.1/a", "0/2//0/192.0.2.1/a", "1/2/3"] {
            assert_eq!(field(with_token(token)), "page_token");
        }
    }
}
