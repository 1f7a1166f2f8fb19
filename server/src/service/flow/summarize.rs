//! Summaries and hints: checks the request, shows the stored flows to
//! `summary`, answers.
//!
//! The whole store is read, since recorded flows need not be in order of time;
//! a repeated summary begins where the earlier ones found nothing before.

use std::{ops::ControlFlow, time::Duration};

use sextant_proto::{
    flow::FlowFilter,
    sextant::flow::v1::{self as api, FlowField, SummaryOrder},
};
use tonic::Status;

use crate::{
    filter::Filters,
    flow::Time,
    service::{error::invalid, stream::turn::Turn},
    store::{Event, Read, Ring, Run},
    summary::{Counts, Hints, MAX_FIELDS, Summary, Tally, Window},
};

/// Events between two looks at the clock.
const LOOK: u64 = 256;
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
const MAX_WINDOW: Duration = Duration::from_secs(3600);
const DEFAULT_GROUPS: u32 = 10;
const DEFAULT_HINTS: u32 = 20;
const MAX_LIMIT: u32 = 1000;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A summary that was asked for, checked and compiled.
pub(super) struct SummaryQuery {
    filters: Filters,
    window: Duration,
    /// How far before the window totals of flows are noted.
    noted: Duration,
    group_by: Vec<FlowField>,
    limit: usize,
    order: SummaryOrder,
    /// Nothing before this event can be in a later window.
    from: u64,
}

impl SummaryQuery {
    /// Checks all fields; the first mistake is the answer.
    pub(super) fn compile(
        request: &api::SummarizeFlowsRequest,
        noted: Duration,
        path: &str,
    ) -> Result<Self, Status> {
        let at = |field: &str| format!("{path}{field}");
        let window = duration(request.window.as_ref(), DEFAULT_WINDOW, &at("window"))?;
        if window.is_zero() || window > MAX_WINDOW {
            return Err(invalid(
                &at("window"),
                "give more than 0 s and at most 3600 s",
            ));
        }
        let filters = filters(&request.whitelist, &request.blacklist, path)?;
        if request.group_by.len() > MAX_FIELDS {
            let text = format!("give at most {MAX_FIELDS} fields");
            return Err(invalid(&at("group_by"), &text));
        }
        let mut group_by = Vec::new();
        for (place, number) in request.group_by.iter().enumerate() {
            let path = at(&format!("group_by[{place}]"));
            let field = field(*number, &path)?;
            if group_by.contains(&field) {
                return Err(invalid(&path, "is given twice; give each field once"));
            }
            group_by.push(field);
        }
        let order = SummaryOrder::try_from(request.order).map_err(|_| {
            let text = format!("there is no order {}", request.order);
            invalid(&at("order"), &text)
        })?;
        Ok(Self {
            filters,
            window,
            noted,
            group_by,
            limit: limit(request.limit, DEFAULT_GROUPS, &at("limit"))?,
            order,
            from: 0,
        })
    }

    /// The summary of the window that ends now. `started` is when the store
    /// began to be filled.
    pub(super) async fn run(&mut self, ring: &Ring, started: Time) -> api::FlowSummary {
        let until = Time::now();
        let since = earlier(until, self.window);
        let window = Window {
            noted_from: earlier(since, self.noted),
            since,
            until,
        };
        let mut tally = Tally::new(window, &self.group_by);
        let reach = reach(ring, started);
        let mut lost = Lost::default();
        let mut from = None;
        let mut cursor = ring.cursor_at(self.from.max(ring.oldest_seq()));
        let end = ring.next_seq();
        let mut turn = Turn::begin();
        while cursor.seq() < end {
            let seq = cursor.seq();
            let filters = &mut self.filters;
            let read = cursor.next(|event| {
                let time = event.time().unwrap_or_default();
                if time >= window.noted_from
                    && let Event::Flow(flow) = event
                    && filters.matches(flow)
                {
                    tally.see(flow);
                }
                time
            });
            match read {
                Read::Event(time) => {
                    if time >= window.noted_from {
                        from.get_or_insert(seq);
                    }
                    lost.decide(time >= since);
                }
                Read::Lost(count) => lost.pending += count,
                Read::Empty => break,
            }
            if cursor.seq().is_multiple_of(LOOK) {
                turn.pass_on().await;
            }
        }
        lost.decide(true);
        self.from = from.unwrap_or(end);
        let since = since.max(reach).min(until);
        answer(
            tally.finish(self.limit, self.order),
            since,
            until,
            lost.counted,
        )
    }
}

/// Events that were overwritten. Those before the window are no loss.
#[derive(Default)]
struct Lost {
    pending: u64,
    counted: u64,
}

impl Lost {
    fn decide(&mut self, within: bool) {
        let pending = std::mem::take(&mut self.pending);
        self.counted += if within { pending } else { 0 };
    }
}

/// How far back the store knows everything.
fn reach(ring: &Ring, started: Time) -> Time {
    let oldest = match ring.cursor_at(ring.oldest_seq()).next(Event::time) {
        Read::Event(time) => time.unwrap_or_default(),
        Read::Lost(_) | Read::Empty => Time::now(),
    };
    match ring.oldest_seq() {
        0 => started.min(oldest),
        _ => oldest,
    }
}

fn answer(summary: Summary, since: Time, until: Time, lost: u64) -> api::FlowSummary {
    let seconds = ((until.as_nanos() - since.as_nanos()) as f64 / 1e9).max(1e-3);
    let traffic = |counts: Counts| api::Traffic {
        flows: counts.flows,
        packets: counts.packets,
        bytes: counts.bytes,
        drops: counts.drops,
        flows_per_second: counts.flows as f64 / seconds,
        packets_per_second: counts.packets as f64 / seconds,
        bytes_per_second: counts.bytes as f64 / seconds,
        drops_per_second: counts.drops as f64 / seconds,
    };
    api::FlowSummary {
        since: Some(since.into()),
        until: Some(until.into()),
        total: Some(traffic(summary.total)),
        groups: summary
            .groups
            .into_iter()
            .map(|group| api::SummaryGroup {
                values: group.values,
                traffic: Some(traffic(group.counts)),
            })
            .collect(),
        group_count: summary.group_count,
        others: Some(traffic(summary.others)),
        lost,
        truncated: summary.truncated,
    }
}

/// The interval of a repeated summary.
pub(super) fn interval(given: Option<&prost_types::Duration>) -> Result<Duration, Status> {
    let interval = duration(given, DEFAULT_INTERVAL, "interval")?;
    if !(MIN_INTERVAL..=MAX_WINDOW).contains(&interval) {
        return Err(invalid("interval", "give 0.1 s to 3600 s"));
    }
    Ok(interval)
}

/// Answers ListFilterHints.
pub(super) async fn hints(
    request: api::ListFilterHintsRequest,
    ring: &Ring,
) -> Result<api::ListFilterHintsResponse, Status> {
    let field = field(request.field, "field")?;
    let limit = limit(request.limit, DEFAULT_HINTS, "limit")?;
    let mut filters = filters(&request.whitelist, &request.blacklist, "")?;
    let sieve = filters.sieve().clone();
    let mut hints = Hints::new(field);
    let mut cursor = ring.cursor_at(ring.oldest_seq());
    let end = ring.next_seq();
    let mut turn = Turn::begin();
    while cursor.seq() < end {
        let run = cursor.run(&sieve, |event| {
            if let Event::Flow(flow) = event
                && filters.matches(flow)
            {
                hints.see(flow);
            }
            ControlFlow::Continue(())
        });
        if run == Run::Empty {
            break;
        }
        turn.pass_on().await;
    }
    let (values, value_count) = hints.finish(&request.prefix, limit);
    Ok(api::ListFilterHintsResponse {
        hints: values
            .into_iter()
            .map(|(value, flows)| api::FilterHint { value, flows })
            .collect(),
        value_count,
    })
}

fn earlier(time: Time, by: Duration) -> Time {
    Time::from_nanos(time.as_nanos().saturating_sub(by.as_nanos() as i64))
}

fn duration(
    given: Option<&prost_types::Duration>,
    default: Duration,
    path: &str,
) -> Result<Duration, Status> {
    match given {
        None => Ok(default),
        Some(given) => Duration::try_from(*given)
            .map_err(|_| invalid(path, "is negative or no valid duration")),
    }
}

fn limit(given: u32, default: u32, path: &str) -> Result<usize, Status> {
    match given {
        0 => Ok(default as usize),
        1..=MAX_LIMIT => Ok(given as usize),
        _ => Err(invalid(path, &format!("give at most {MAX_LIMIT}"))),
    }
}

fn field(number: i32, path: &str) -> Result<FlowField, Status> {
    match FlowField::try_from(number) {
        Ok(FlowField::Unspecified) => {
            Err(invalid(path, "name a field, such as FLOW_FIELD_SOURCE_IP"))
        }
        Ok(field) => Ok(field),
        Err(_) => Err(invalid(path, &format!("there is no field {number}"))),
    }
}

/// Compiles both lists; each filter is tried alone when they do not compile,
/// so that the wrong one is named.
fn filters(white: &[FlowFilter], black: &[FlowFilter], path: &str) -> Result<Filters, Status> {
    Filters::compile(white, black).map_err(|error| {
        let wrong = |list: &[FlowFilter], name: &str| {
            let fails =
                |one: &FlowFilter| Filters::compile(std::slice::from_ref(one), &[]).is_err();
            let place = list.iter().position(fails)?;
            Some(format!("{path}{name}[{place}]"))
        };
        let field = wrong(white, "whitelist").or_else(|| wrong(black, "blacklist"));
        invalid(&field.unwrap_or_default(), &error.to_string())
    })
}
