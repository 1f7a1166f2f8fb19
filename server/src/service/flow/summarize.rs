//! Summaries and hints: checks the request, shows the stored flows to
//! `summary`, answers.
//!
//! The whole store is read, since recorded flows need not be in order of time;
//! a repeated summary begins where the earlier ones found nothing before.

use std::time::Duration;

use sextant_proto::{
    flow::FlowFilter,
    sextant::flow::v1::{self as api, FlowField, SummaryOrder},
};
use tonic::Status;

use crate::{
    filter::{FilterError, Filters},
    flow::Time,
    selection::{Selection, View},
    service::{
        error::{RequestError, check_time, invalid},
        stream::{scan::scan, turn::Turn},
    },
    store::{Event, Read, Ring},
    summary::{Hints, MAX_BUCKETS, MAX_FIELDS, Span, Tally, Window, answer},
};

use super::page::{Page, fingerprint};

/// Events between two looks at the clock.
const LOOK: u64 = 256;
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
const MAX_WINDOW: Duration = Duration::from_secs(3600);
const DEFAULT_GROUPS: u32 = 10;
const DEFAULT_HINTS: u32 = 20;
const MAX_GROUPS: u32 = 10_000;
const MAX_HINTS: u32 = 1000;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A summary that was asked for, checked and compiled.
pub(super) struct SummaryQuery {
    selection: Selection,
    /// Unless `since` is given.
    window: Duration,
    since: Option<Time>,
    /// Now, unless it is given.
    until: Option<Time>,
    bucket: Option<Duration>,
    page: Option<Page>,
    fingerprint: u64,
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
        view: &View,
    ) -> Result<Self, Status> {
        let at = |field: &str| format!("{path}{field}");
        let window = duration(request.window.as_ref(), DEFAULT_WINDOW, &at("window"))?;
        if window.is_zero() || window > MAX_WINDOW {
            return Err(invalid(
                &at("window"),
                "give more than 0 s and at most 3600 s",
            ));
        }
        let time = |time: Option<&prost_types::Timestamp>, field: &str| {
            check_time(time).map_err(|error| invalid(&at(field), &error.to_string()))?;
            Ok::<_, Status>(time.copied().map(Time::from))
        };
        let since = time(request.since.as_ref(), "since")?;
        let until = time(request.until.as_ref(), "until")?;
        if since.is_some() && request.window.is_some() {
            return Err(invalid(&at("window"), "give window or since, not both"));
        }
        if since.is_some_and(|since| since > until.unwrap_or_else(Time::now)) {
            return Err(invalid(&at("since"), "is after the end of the window"));
        }
        let selection = selection(view, &request.whitelist, &request.blacklist, path)?;
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
        let query = Self {
            selection,
            window,
            since,
            until,
            bucket: bucket(request.bucket.as_ref(), &at("bucket"))?,
            page: Page::of(request, path)?,
            fingerprint: fingerprint(request),
            noted,
            group_by,
            limit: limit(request.limit, DEFAULT_GROUPS, MAX_GROUPS, &at("limit"))?,
            order,
            from: 0,
        };
        query.check_buckets(&at("bucket"))?;
        Ok(query)
    }

    /// About how many bytes its filters take.
    pub(super) fn weight(&self) -> usize {
        self.selection.weight()
    }

    /// As `compile`, for a summary that is repeated: it always ends now.
    pub(super) fn compile_repeated(
        request: &api::SummarizeFlowsRequest,
        noted: Duration,
        path: &str,
        view: &View,
    ) -> Result<Self, Status> {
        let given = [
            ("since", request.since.is_some()),
            ("until", request.until.is_some()),
            ("page_token", !request.page_token.is_empty()),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            let text = "a repeated summary ends now and has no pages; give window";
            return Err(invalid(&format!("{path}{field}"), text));
        }
        Self::compile(request, noted, path, view)
    }

    fn check_buckets(&self, path: &str) -> Result<(), Status> {
        let Some(bucket) = self.bucket else {
            return Ok(());
        };
        let (since, until) = self.bounds();
        let span = until.as_nanos().saturating_sub(since.as_nanos());
        let parts = (span as u128).div_ceil(bucket.as_nanos());
        if parts > MAX_BUCKETS as u128 {
            let text = format!("makes {parts} parts of the window; {MAX_BUCKETS} at most");
            return Err(invalid(path, &text));
        }
        Ok(())
    }

    /// Begin and end of the window.
    fn bounds(&self) -> (Time, Time) {
        if let Some(page) = &self.page {
            return (page.since, page.until);
        }
        let until = self.until.unwrap_or_else(Time::now);
        (
            self.since.unwrap_or_else(|| earlier(until, self.window)),
            until,
        )
    }

    /// The summary. `started` is when the store began to be filled.
    ///
    /// # Errors
    /// The filters take too much to be judged.
    pub(super) async fn run(
        &mut self,
        ring: &Ring,
        started: Time,
    ) -> Result<api::FlowSummary, Status> {
        let (since, until) = self.bounds();
        let window = Window {
            noted_from: earlier(since, self.noted),
            since,
            until,
        };
        let mut tally = self.tally(window, ring.len());
        let known_from = self.known_from(since, until, reach(ring, started));
        let mut lost = Lost::default();
        let mut from = None;
        let mut cursor = ring.cursor_at(self.from.max(ring.oldest_seq()));
        let end = self
            .page
            .map_or(u64::MAX, |page| page.end)
            .min(ring.next_seq());
        let mut turn = Turn::begin();
        while cursor.seq() < end {
            let seq = cursor.seq();
            let selection = &mut self.selection;
            let read = cursor.next(|event| {
                let time = event.time().unwrap_or_default();
                if time >= window.noted_from
                    && let Event::Flow(flow) = event
                    && let Some(flow) = selection.show(flow)?
                {
                    tally.see(&flow);
                }
                Ok::<_, RequestError>(time)
            });
            match read {
                Read::Event(time) => {
                    let time = time?;
                    if time >= window.noted_from {
                        from.get_or_insert(seq);
                    }
                    lost.decide(time >= since);
                }
                Read::Lost(count) => lost.pending += count,
                Read::Empty => break,
            }
            if self.selection.is_slow() || cursor.seq().is_multiple_of(LOOK) {
                turn.pass_on().await;
            }
        }
        lost.decide(true);
        self.from = from.unwrap_or(end);
        let skip = self.page.map_or(0, |page| page.skip);
        let summary = tally.finish_page(skip, self.limit, self.order);
        let next = Page {
            since,
            until,
            end,
            skip: skip + summary.groups.len(),
        };
        let is_more = !summary.groups.is_empty() && (next.skip as u64) < summary.group_count;
        let span = Span {
            since,
            known_from,
            until,
            bucket: self.bucket.map_or(0, |bucket| bucket.as_nanos() as i64),
        };
        let mut answer = answer(summary, span, lost.counted);
        if is_more {
            answer.next_page_token = next.token(self.fingerprint);
        }
        Ok(answer)
    }

    /// With room for so many flows.
    fn tally(&self, window: Window, flows: u64) -> Tally {
        let tally = match self.bucket {
            Some(bucket) => Tally::with_buckets(window, &self.group_by, bucket),
            None => Tally::new(window, &self.group_by),
        };
        tally.with_room(usize::try_from(flows).unwrap_or(usize::MAX))
    }

    /// Where what is known of the window begins. A begin that was asked for is
    /// moved only if events of the window are gone.
    fn known_from(&self, since: Time, until: Time, reach: Reach) -> Time {
        match (self.since.is_some(), reach) {
            (true, Reach::Whole(_)) => since,
            (true, Reach::From(oldest)) if oldest > until => since,
            (_, Reach::Whole(begin) | Reach::From(begin)) => since.max(begin).min(until),
        }
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
#[derive(Clone, Copy)]
enum Reach {
    /// Nothing is gone; it began then.
    Whole(Time),
    /// Since the oldest event.
    From(Time),
}

fn reach(ring: &Ring, started: Time) -> Reach {
    let oldest = match ring.cursor_at(ring.oldest_seq()).next(Event::time) {
        Read::Event(time) => time.unwrap_or_default(),
        Read::Lost(_) | Read::Empty => Time::now(),
    };
    match ring.oldest_seq() {
        0 => Reach::Whole(started.min(oldest)),
        _ => Reach::From(oldest),
    }
}

/// The length of the parts of the window.
fn bucket(given: Option<&prost_types::Duration>, path: &str) -> Result<Option<Duration>, Status> {
    if given.is_none() {
        return Ok(None);
    }
    let bucket = duration(given, Duration::ZERO, path)?;
    if bucket.is_zero() || i64::try_from(bucket.as_nanos()).is_err() {
        return Err(invalid(path, "give more than 0 s and at most 292 years"));
    }
    Ok(Some(bucket))
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
    view: &View,
) -> Result<api::ListFilterHintsResponse, Status> {
    let field = field(request.field, "field")?;
    let limit = limit(request.limit, DEFAULT_HINTS, MAX_HINTS, "limit")?;
    let mut selection = selection(view, &request.whitelist, &request.blacklist, "")?;
    let mut hints = Hints::new(field);
    scan(ring, &mut selection, |flow| hints.see(flow)).await?;
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
    let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Time::from_nanos(time.as_nanos().saturating_sub(by))
}

fn duration(
    given: Option<&prost_types::Duration>,
    default: Duration,
    path: &str,
) -> Result<Duration, Status> {
    match given {
        None => Ok(default),
        Some(given) => crate::duration::of_message(given)
            .ok_or_else(|| invalid(path, "is negative or no valid duration")),
    }
}

fn limit(given: u32, default: u32, most: u32, path: &str) -> Result<usize, Status> {
    match given {
        0 => Ok(default as usize),
        given if given <= most => Ok(given as usize),
        _ => Err(invalid(path, &format!("give at most {most}"))),
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

/// What the lists of a request select of what is in view.
fn selection(
    view: &View,
    white: &[FlowFilter],
    black: &[FlowFilter],
    path: &str,
) -> Result<Selection, Status> {
    let filters = filters(white, black, path)?;
    Ok(Selection::new(view, filters).map_err(RequestError::from)?)
}

/// Compiles both lists; each filter is tried alone when they do not compile,
/// so that the wrong one is named.
fn filters(white: &[FlowFilter], black: &[FlowFilter], path: &str) -> Result<Filters, Status> {
    Filters::compile(white, black).map_err(|error| {
        if let FilterError::Excess(excess) = &error {
            return invalid(&format!("{path}{}", excess.field), &excess.bound);
        }
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

#[cfg(test)]
mod tests;
