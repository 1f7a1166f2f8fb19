//! What a request for entries asks for: checked, then matched. Pure.

use std::sync::Arc;

use sextant_proto::sextant::audit::v1::{AuditOrder, ListAuditRequest};
use tonic::{Code, Status};

use crate::{
    audit::Entry,
    flow::Time,
    service::{
        error::{check_time, invalid},
        token,
    },
};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: u32 = 1000;
/// Longest pattern.
const MAX_PATTERN: usize = 512;

/// A request that is right.
#[derive(Debug)]
pub(super) struct Query {
    since: Option<Time>,
    until: Option<Time>,
    who: String,
    method: String,
    refused_only: bool,
    oldest_first: bool,
    limit: usize,
    /// The last entry of the page before.
    after: Option<u64>,
    fingerprint: u64,
}

impl Query {
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` with the field.
    pub(super) fn of(request: &ListAuditRequest) -> Result<Self, Status> {
        for (field, time) in [("since", &request.since), ("until", &request.until)] {
            check_time(time.as_ref()).map_err(|error| invalid(field, &error.to_string()))?;
        }
        for (field, text) in [("who", &request.who), ("method", &request.method)] {
            if text.len() > MAX_PATTERN {
                return Err(invalid(field, "is longer than 512 bytes"));
            }
        }
        let order = AuditOrder::try_from(request.order);
        let order = order.map_err(|_| invalid("order", "is none that is known"))?;
        if request.limit > MAX_LIMIT {
            return Err(invalid("limit", "is more than 1,000; ask page by page"));
        }
        let fingerprint = fingerprint(request);
        let after = match request.page_token.as_str() {
            "" => None,
            given => {
                let page = page(given, fingerprint);
                Some(page.ok_or_else(|| invalid("page_token", token::NOT_OF_THIS))?)
            }
        };
        Ok(Self {
            since: request.since.map(Time::from),
            until: request.until.map(Time::from),
            who: request.who.clone(),
            method: request.method.clone(),
            refused_only: request.refused_only,
            oldest_first: order == AuditOrder::OldestFirst,
            limit: match request.limit {
                0 => DEFAULT_LIMIT,
                limit => limit as usize,
            },
            after,
            fingerprint,
        })
    }

    /// The entries of the page, and the token of the next one, if there is one.
    /// `entries` are the oldest first.
    pub(super) fn page<'a>(&self, entries: &'a [Arc<Entry>]) -> (Vec<&'a Entry>, String) {
        let entries = entries.iter().map(AsRef::as_ref);
        let mut found: Vec<_> = match self.oldest_first {
            true => self.select(entries),
            false => self.select(entries.rev()),
        };
        let mut token = String::new();
        if found.len() > self.limit {
            found.truncate(self.limit);
            if let Some(last) = found.last() {
                token = format!("{:x}-{:x}", last.sequence, self.fingerprint);
            }
        }
        (found, token)
    }

    /// The entries of the page and one more.
    fn select<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Vec<&'a Entry> {
        entries
            .filter(|entry| self.is_after(entry) && self.matches(entry))
            .take(self.limit + 1)
            .collect()
    }

    fn is_after(&self, entry: &Entry) -> bool {
        match (self.after, self.oldest_first) {
            (None, _) => true,
            (Some(last), true) => entry.sequence > last,
            (Some(last), false) => entry.sequence < last,
        }
    }

    fn matches(&self, entry: &Entry) -> bool {
        let record = &entry.record;
        let name = record.method.rsplit('/').next().unwrap_or_default();
        self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time <= until)
            && is_like(&self.who, &record.who)
            && (is_like(&self.method, &record.method) || is_like(&self.method, name))
            && !(self.refused_only && record.code == Code::Ok)
    }
}

/// Nothing matches all; a `*` at the end what begins so.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern.is_empty() || pattern == text,
    }
}

fn page(token: &str, request: u64) -> Option<u64> {
    let (last, of) = token.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    (number(of)? == request).then(|| number(last))?
}

/// Of all of a request but its limit and its page.
fn fingerprint(request: &ListAuditRequest) -> u64 {
    token::fingerprint(&ListAuditRequest {
        limit: 0,
        page_token: String::new(),
        ..request.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Record;

    /// Callers `uid:0` to `uid:9` in turn, a second apart; odd ones were refused.
    fn entries() -> Vec<Arc<Entry>> {
        let entry = |n: u64| Entry {
            sequence: n,
            record: Record {
                time: Time::from_nanos(n as i64 * 1_000_000_000),
                who: format!("uid:{}", n % 10),
                from: String::new(),
                method: format!("a.B/C{}", n % 3),
                what: String::new(),
                code: match n % 2 {
                    0 => Code::Ok,
                    _ => Code::PermissionDenied,
                },
                message: String::new(),
            },
            count: 1,
            since: None,
        };
        (0..250).map(|n| Arc::new(entry(n))).collect()
    }

    fn sequences(request: &ListAuditRequest) -> Vec<u64> {
        let entries = entries();
        let (page, _) = Query::of(request).unwrap().page(&entries);
        page.iter().map(|entry| entry.sequence).collect()
    }

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn the_newest_hundred_come_first_unless_asked_otherwise() {
        let newest: Vec<u64> = (150..250).rev().collect();
        assert_eq!(sequences(&ListAuditRequest::default()), newest);
        let oldest = ListAuditRequest {
            order: AuditOrder::OldestFirst.into(),
            limit: 3,
            ..ListAuditRequest::default()
        };
        assert_eq!(sequences(&oldest), [0, 1, 2]);
    }

    #[test]
    fn each_filter_keeps_what_it_names() {
        let all = ListAuditRequest {
            limit: 1000,
            ..ListAuditRequest::default()
        };
        let check = |request: &ListAuditRequest, expect: usize| {
            assert_eq!(sequences(request).len(), expect, "{request:?}");
        };
        check(&all, 250);
        for (who, count) in [("uid:3", 25), ("uid:*", 250), ("*", 250), ("uid", 0)] {
            let who = who.into();
            check(&ListAuditRequest { who, ..all.clone() }, count);
        }
        for (method, count) in [
            ("a.B/C0", 84),
            ("C0", 84),
            ("C*", 250),
            ("a.B/*", 250),
            ("B", 0),
        ] {
            let method = method.into();
            check(
                &ListAuditRequest {
                    method,
                    ..all.clone()
                },
                count,
            );
        }
        let (since, until) = (at(10), at(12));
        check(
            &ListAuditRequest {
                since,
                ..all.clone()
            },
            240,
        );
        check(
            &ListAuditRequest {
                since,
                until,
                ..all.clone()
            },
            3,
        );
        let refused_only = true;
        check(
            &ListAuditRequest {
                refused_only,
                ..all
            },
            125,
        );
    }

    #[test]
    fn pages_have_each_entry_once_also_when_new_ones_come() {
        for order in [AuditOrder::NewestFirst, AuditOrder::OldestFirst] {
            let all = entries();
            let mut request = ListAuditRequest {
                refused_only: true,
                order: order.into(),
                limit: 7,
                ..ListAuditRequest::default()
            };
            let (mut seen, mut there) = (Vec::new(), 200);
            loop {
                let entries = &all[..there];
                let (page, token) = Query::of(&request).unwrap().page(entries);
                seen.extend(page.iter().map(|entry| entry.sequence));
                if token.is_empty() {
                    break;
                }
                (request.page_token, request.limit) = (token, 9);
                there = (there + 10).min(all.len());
            }
            let end = if order == AuditOrder::NewestFirst {
                200
            } else {
                250
            };
            let mut expect: Vec<u64> = (0..end).filter(|n| n % 2 == 1).collect();
            if order == AuditOrder::NewestFirst {
                expect.reverse();
            }
            assert_eq!(seen, expect);
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_field() {
        let good = ListAuditRequest::default;
        let long = "x".repeat(513);
        for (field, request) in [
            (
                "since",
                ListAuditRequest {
                    since: at(i64::MAX),
                    ..good()
                },
            ),
            (
                "until",
                ListAuditRequest {
                    until: at(i64::MIN),
                    ..good()
                },
            ),
            (
                "who",
                ListAuditRequest {
                    who: long.clone(),
                    ..good()
                },
            ),
            (
                "method",
                ListAuditRequest {
                    method: long,
                    ..good()
                },
            ),
            ("order", ListAuditRequest { order: 9, ..good() }),
            (
                "limit",
                ListAuditRequest {
                    limit: 1001,
                    ..good()
                },
            ),
            (
                "page_token",
                ListAuditRequest {
                    page_token: "1-2".into(),
                    ..good()
                },
            ),
            (
                "page_token",
                ListAuditRequest {
                    page_token: "ä".into(),
                    ..good()
                },
            ),
        ] {
            let refused = Query::of(&request).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert!(refused.message().starts_with(field), "{refused}");
        }
    }
}
