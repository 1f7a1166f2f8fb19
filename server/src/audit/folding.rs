//! Floods of calls made small: what is alike is counted, not repeated.
//!
//! The files have a bound, so whoever could add entries without end could push
//! out the evidence. Alike are records of the same caller, host, method and
//! outcome. Of refusals the first is let through, of calls that went well the
//! first `CALLS`; the others are told as one record with a count when the window
//! is over, and windows grow while a flood lasts. Refusals that differ have an
//! allowance, for each host and for all; beyond it they are counted as several
//! (`*`). Pure. Bound: `MAX_FOLDS`, `MAX_HOSTS`.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use tonic::Code;

use super::record::{OF_USER, Record};
use crate::{flow::Time, listener::Origin};

/// Calls that went well, of one kind, that are let through in a window.
const CALLS: u32 = 256;
/// The window of refusals, at first.
const REFUSALS_WINDOW: Duration = Duration::from_secs(5);
/// The window of calls that went well, at first.
const CALLS_WINDOW: Duration = Duration::from_secs(60);
/// No window is longer.
const LONGEST_WINDOW: Duration = Duration::from_secs(300);
/// Kinds of refusals of one host: so many at once, then one each interval.
const HOST: Rate = Rate {
    burst: 20,
    interval: Duration::from_secs(10),
};
/// The same of all hosts together.
const ALL: Rate = Rate {
    burst: 200,
    interval: Duration::from_secs(1),
};
const MAX_FOLDS: usize = 4096;
const MAX_HOSTS: usize = 1024;
/// Several names, or any.
const SEVERAL: &str = "*";

/// What is being folded.
#[derive(Debug)]
pub(super) struct Folding {
    folds: HashMap<Kind, Fold>,
    hosts: HashMap<String, Allowance>,
    all: Allowance,
}

/// Records that were folded: the last of them, how many, and when they began.
#[derive(Debug, PartialEq)]
pub(super) struct Folded {
    pub(super) record: Record,
    pub(super) count: u64,
    pub(super) since: Time,
}

/// What alike records have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    who: String,
    host: String,
    method: String,
    code: i32,
}

/// The records of a kind, in a window.
#[derive(Debug)]
struct Fold {
    ends: Instant,
    window: Duration,
    /// How many more are let through.
    left: u32,
    folded: Option<Folded>,
}

struct Rate {
    burst: u32,
    interval: Duration,
}

/// What is left of a rate.
#[derive(Debug)]
struct Allowance {
    left: u32,
    /// When the last one was given back.
    filled: Instant,
}

impl Folding {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            folds: HashMap::new(),
            hosts: HashMap::new(),
            all: Allowance::new(&ALL, now),
        }
    }

    /// The record, if it is to have an entry of its own.
    pub(super) fn admit(&mut self, record: Record, now: Instant) -> Option<Record> {
        let kind = Kind::of(&record);
        if let Some(fold) = self.folds.get_mut(&kind) {
            return fold.take(record);
        }
        let is_call = record.code == Code::Ok;
        if self.folds.len() < MAX_FOLDS && (is_call || self.allows(&kind.host, now)) {
            let (window, left) = match is_call {
                true => (CALLS_WINDOW, CALLS),
                false => (REFUSALS_WINDOW, 1),
            };
            let fold = Fold::new(now, window, left);
            return self.folds.entry(kind).or_insert(fold).take(record);
        }
        self.fold_several(kind, record, now);
        None
    }

    /// Counts a record that is not to be told apart from others of its host.
    fn fold_several(&mut self, kind: Kind, mut record: Record, now: Instant) {
        let mut several = Kind {
            who: SEVERAL.into(),
            method: SEVERAL.into(),
            ..kind
        };
        let has_room = self.folds.len() < MAX_FOLDS && self.hosts.contains_key(&several.host);
        if !has_room && !self.folds.contains_key(&several) {
            // At most one for each code, beside the bound.
            several.host = SEVERAL.into();
        }
        record.who = several.who.clone();
        record.from = several.host.clone();
        record.method = several.method.clone();
        record.what = String::new();
        let fold = Fold::new(now, REFUSALS_WINDOW, 0);
        self.folds.entry(several).or_insert(fold).take(record);
    }

    /// Whether one more kind of refusals of this host may be told apart.
    fn allows(&mut self, host: &str, now: Instant) -> bool {
        if !self.hosts.contains_key(host) {
            if self.hosts.len() >= MAX_HOSTS {
                let is_used = |_: &String, host: &mut Allowance| !host.is_full(&HOST, now);
                self.hosts.retain(is_used);
            }
            if self.hosts.len() >= MAX_HOSTS {
                return false;
            }
            let full = Allowance::new(&HOST, now);
            self.hosts.insert(host.to_owned(), full);
        }
        let of_host = self.hosts.get_mut(host);
        of_host.is_some_and(|host| host.take(&HOST, now)) && self.all.take(&ALL, now)
    }

    /// Windows that are open.
    pub(super) fn len(&self) -> usize {
        self.folds.len()
    }

    /// When the next window is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.folds.values().map(|fold| fold.ends).min()
    }

    /// What was folded in windows that are over.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<Folded> {
        let mut ended = Vec::new();
        self.folds.retain(|_, fold| {
            if fold.ends > now {
                return true;
            }
            let folded = fold.folded.take();
            let is_flood = folded.is_some();
            ended.extend(folded);
            fold.window = LONGEST_WINDOW.min(fold.window * 2);
            (fold.ends, fold.left) = (now + fold.window, 0);
            is_flood
        });
        in_order(ended)
    }

    /// All that is folded, at the end of the log.
    pub(super) fn finish(&mut self) -> Vec<Folded> {
        let folds = self.folds.drain();
        in_order(folds.filter_map(|(_, fold)| fold.folded).collect())
    }
}

fn in_order(mut folded: Vec<Folded>) -> Vec<Folded> {
    folded.sort_by_key(|folded| folded.record.time);
    folded
}

impl Kind {
    fn of(record: &Record) -> Self {
        Self {
            who: record.who.clone(),
            host: host(record),
            method: record.method.clone(),
            code: record.code as i32,
        }
    }
}

/// Where a record is from, without what one host can choose anew each time: a
/// port, an address of its network, or of the loopback, a process.
fn host(record: &Record) -> String {
    let (address, user) = match record.from.split_once(OF_USER) {
        Some((address, user)) => (address, user.parse().ok()),
        None => (record.from.as_str(), None),
    };
    let with_port = address.parse::<SocketAddr>();
    let address = with_port.or_else(|_| {
        let ip = address.parse::<IpAddr>();
        ip.map(|ip| SocketAddr::new(ip, 0))
    });
    match address {
        Ok(address) => Origin::Tcp(address).share(user).to_string(),
        // A unix socket: who calls is a user.
        Err(_) => record.who.clone(),
    }
}

impl Fold {
    fn new(now: Instant, window: Duration, left: u32) -> Self {
        Self {
            ends: now + window,
            window,
            left,
            folded: None,
        }
    }

    fn take(&mut self, record: Record) -> Option<Record> {
        if self.left > 0 {
            self.left -= 1;
            return Some(record);
        }
        match &mut self.folded {
            Some(folded) => {
                folded.count += 1;
                folded.record = record;
            }
            None => {
                self.folded = Some(Folded {
                    since: record.time,
                    count: 1,
                    record,
                });
            }
        }
        None
    }
}

impl Allowance {
    fn new(rate: &Rate, now: Instant) -> Self {
        Self {
            left: rate.burst,
            filled: now,
        }
    }

    fn take(&mut self, rate: &Rate, now: Instant) -> bool {
        self.fill(rate, now);
        let has_one = self.left > 0;
        self.left -= u32::from(has_one);
        has_one
    }

    fn is_full(&mut self, rate: &Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.left == rate.burst
    }

    fn fill(&mut self, rate: &Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        let back = passed.as_nanos() / rate.interval.as_nanos();
        let back = u32::try_from(back).unwrap_or(u32::MAX).min(rate.burst);
        self.left = rate.burst.min(self.left + back);
        if self.left == rate.burst {
            self.filled = now;
        } else {
            self.filled += back * rate.interval;
        }
    }
}

#[cfg(test)]
mod tests;
