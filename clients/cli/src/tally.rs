//! Summaries and hints of a file, added up as the server adds up its store. Bound: what
//! `sextant_flows::summary` keeps; nothing of a flow that was counted.

use std::{ops::ControlFlow, time::Duration};

use sextant_flows::{
    flow::{Flow, Time},
    summary::{Hints, MAX_BUCKETS, MAX_FIELDS, Span, Tally, Window, answer},
};
use sextant_proto::sextant::flow::v1::{
    FilterHint, FlowField, FlowSummary, ListFilterHintsResponse, SummaryOrder,
};

use crate::{
    filter::Filters,
    input::{self, Input, Wanted},
};

/// What 0 means, as in the server.
const DEFAULT_GROUPS: u32 = 10;
const DEFAULT_HINTS: u32 = 20;

/// Why there is no summary of a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TallyError {
    /// As in the server.
    #[error("--group-by takes at most {MAX_FIELDS} fields; leave some out")]
    Fields,
    /// It would be read twice.
    #[error(
        "--window and --bucket need a file that can be read twice, and standard input cannot; leave them out to count all of it, or give --since and --until"
    )]
    Twice,
    /// As in the server.
    #[error(
        "--bucket makes {0} parts of the window, and {MAX_BUCKETS} are the most; give a longer one"
    )]
    Buckets(i64),
    /// As in the server.
    #[error("--since is after --until; give an earlier one")]
    Order,
}

/// What is asked of a file.
pub(crate) struct Question<'a> {
    pub(crate) input: Input<'a>,
    pub(crate) filters: &'a Filters,
    /// How far back from the last flow; all of the file without it.
    pub(crate) window: Option<Duration>,
    pub(crate) since: Option<Time>,
    pub(crate) until: Option<Time>,
    /// Length of the parts of the window that are counted too.
    pub(crate) bucket: Option<Duration>,
    pub(crate) group_by: &'a [FlowField],
    pub(crate) limit: u32,
    pub(crate) order: SummaryOrder,
}

/// The summary of a file.
pub(crate) fn summary(question: &Question<'_>) -> anyhow::Result<FlowSummary> {
    if question.group_by.len() > MAX_FIELDS {
        return Err(TallyError::Fields.into());
    }
    let (since, until) = bounds(question)?;
    let window = Window {
        noted_from: Time::from_nanos(i64::MIN),
        since: since.unwrap_or(Time::from_nanos(0)),
        until: until.unwrap_or(Time::from_nanos(i64::MAX)),
    };
    let mut tally = match question.bucket {
        Some(length) => Tally::with_buckets(window, question.group_by, length),
        None => Tally::new(window, question.group_by),
    };
    let (first, last) = flows(question, |flow| tally.see(flow))?;
    let limit = limit(question.limit, DEFAULT_GROUPS);
    let from = since.unwrap_or(first);
    let span = Span {
        since: from,
        known_from: from,
        until: until.unwrap_or(last),
        bucket: question.bucket.map_or(0, nanos),
    };
    Ok(answer(tally.finish(limit, question.order), span, 0))
}

/// Begin and end of the window, where they are not those of the file.
fn bounds(question: &Question<'_>) -> anyhow::Result<(Option<Time>, Option<Time>)> {
    let (mut since, mut until) = (question.since, question.until);
    let is_cut = question.bucket.is_some();
    let is_open = until.is_none() || (since.is_none() && question.window.is_none());
    if (question.window.is_some() && until.is_none()) || (is_cut && is_open) {
        if question.input.path.as_os_str() == "-" {
            return Err(TallyError::Twice.into());
        }
        let (first, last) = span(question)?;
        until = until.or(Some(last));
        since = since.or(is_cut.then_some(first));
    }
    if let (Some(window), Some(until)) = (question.window, until) {
        since = Some(Time::from_nanos(
            until.as_nanos().saturating_sub(nanos(window)),
        ));
    }
    if let (Some(since), Some(until)) = (since, until) {
        let length = until.as_nanos().saturating_sub(since.as_nanos());
        if length < 0 {
            return Err(TallyError::Order.into());
        }
        let parts = question
            .bucket
            .map_or(0, |part| length / nanos(part).max(1));
        if parts > MAX_BUCKETS as i64 {
            return Err(TallyError::Buckets(parts).into());
        }
    }
    Ok((since, until))
}

fn nanos(length: Duration) -> i64 {
    i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)
}

/// The values of a field in a file.
pub(crate) fn hints(
    input: Input<'_>,
    filters: &Filters,
    field: FlowField,
    prefix: &str,
    limit: u32,
) -> anyhow::Result<ListFilterHintsResponse> {
    let question = Question {
        input,
        filters,
        window: None,
        since: None,
        until: None,
        bucket: None,
        group_by: &[],
        limit,
        order: SummaryOrder::Unspecified,
    };
    let mut hints = Hints::new(field);
    flows(&question, |flow| hints.see(flow))?;
    let (values, value_count) = hints.finish(prefix, self::limit(limit, DEFAULT_HINTS));
    let hint = |(value, flows)| FilterHint { value, flows };
    Ok(ListFilterHintsResponse {
        hints: values.into_iter().map(hint).collect(),
        value_count,
    })
}

fn limit(given: u32, default: u32) -> usize {
    let limit = if given == 0 { default } else { given };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The first and the last time of a file.
fn span(question: &Question<'_>) -> anyhow::Result<(Time, Time)> {
    flows(question, |_| ())
}

/// Shows the flows that the filters let pass; returns their first and last time.
fn flows(question: &Question<'_>, mut see: impl FnMut(&Flow)) -> anyhow::Result<(Time, Time)> {
    let mut wanted = Wanted::new(question.filters, None, None)?;
    let mut span: Option<(Time, Time)> = None;
    input::each(question.input, |response| {
        if wanted.takes(&response).map_err(std::io::Error::other)?
            && let Some(flow) = wanted.flow(response)
        {
            let time = flow.time.unwrap_or_default();
            let (first, last) = span.unwrap_or((time, time));
            span = Some((first.min(time), last.max(time)));
            see(&flow);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(span.unwrap_or_default())
}
