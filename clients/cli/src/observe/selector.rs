//! Which flows, and with which fields: the request.

use clap::Args;
use prost_types::Timestamp;
use sextant_proto::observer::{GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest};

use super::{
    Column, FormatArgs, ObserveArgs,
    input::{MAX_LAST, Part},
};
use crate::{filter::FilterError, time, time::TimeError};

/// How many flows are shown if nothing is said.
const DEFAULT_LAST: u64 = 20;

/// Fields that compact, table and dict show; what Hubble asks for.
const DEFAULT_MASK: [&str; 26] = [
    "time",
    "verdict",
    "ethernet",
    "IP",
    "l4",
    "source.identity",
    "source.namespace",
    "source.pod_name",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "Type",
    "node_name",
    "l7",
    "event_type",
    "source_service",
    "destination_service",
    "is_reply",
    "Summary",
    "ip_trace_id",
    "traffic_direction",
    "policy_match_type",
    "ingress_allowed_by",
    "ingress_denied_by",
    "egress_allowed_by",
    "egress_denied_by",
];

/// Selectors of `hubble observe`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selectors")]
pub(super) struct SelectorArgs {
    /// The last N flows [default: 20]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    last: u64,
    /// The first N flows.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    first: u64,
    /// All flows that the server has.
    #[arg(long)]
    all: bool,
    /// Flows as they come.
    #[arg(short, long)]
    follow: bool,
    /// Flows since then: how long ago (3s, 1h43m), or a date or time (2006-01-02T15:04:05Z).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Flows until then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum SelectorError {
    /// Selectors that exclude each other.
    #[error("cannot set both --{0} and --{1}; leave one of them out")]
    Both(&'static str, &'static str),
    /// A table has no end.
    #[error(
        "-o table cannot be used with --follow: its columns are as wide as all flows ask for; use compact or dict"
    )]
    Table,
    /// Fields are chosen by the format.
    #[error(
        "--field-mask needs -o json; with other formats use --use-default-field-masks=false to get all fields"
    )]
    Mask,
    /// All of them are kept until the end of the file.
    #[error("--last takes at most {MAX_LAST} of a file; use --all, or --since and --until")]
    Last,
    /// Events are asked for as they are.
    #[error("{0} goes with flows only; leave it out with agent-events and debug-events")]
    FlowsOnly(&'static str),
    /// No such time.
    #[error("--{flag}: {cause}")]
    Time {
        flag: &'static str,
        cause: TimeError,
    },
    /// No such filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// Which part of what the server, or a file, has.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) number: u64,
    pub(super) first: bool,
    pub(super) follow: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl Selection {
    /// The same of a file.
    pub(super) fn part(&self) -> Part {
        match (self.number, self.first) {
            (0 | u64::MAX, _) => Part::All,
            (first, true) => Part::First(first),
            (last, false) => Part::Last(last),
        }
    }

    /// Whether a time is between the two, itself included. No time is as old as can be.
    pub(super) fn spans(&self, time: Option<&Timestamp>) -> bool {
        let order = |time: &Timestamp| (time.seconds, time.nanos);
        let time = time.map(order).unwrap_or_default();
        let since = self.since.as_ref().map(order);
        let until = self.until.as_ref().map(order);
        since.is_none_or(|since| since <= time) && until.is_none_or(|until| time <= until)
    }
}

/// The fields have the same names in all requests that take a part.
macro_rules! requests {
    ($($request:ty),*) => {$(
        #[allow(clippy::needless_update, reason = "that of flows has more fields")]
        impl From<Selection> for $request {
            fn from(part: Selection) -> Self {
                Self {
                    number: part.number,
                    first: part.first,
                    follow: part.follow,
                    since: part.since,
                    until: part.until,
                    ..Self::default()
                }
            }
        }
    )*};
}
requests!(
    GetFlowsRequest,
    GetAgentEventsRequest,
    GetDebugEventsRequest
);

/// What the arguments ask for.
pub(super) fn request(args: &ObserveArgs) -> Result<(Selection, GetFlowsRequest), SelectorError> {
    check(args)?;
    let selection = selection(args, 0)?;
    let filters = args.filters.filters()?;
    let request = GetFlowsRequest {
        whitelist: filters.whitelist,
        blacklist: filters.blacklist,
        field_mask: mask(&args.format),
        ..GetFlowsRequest::from(selection.clone())
    };
    Ok((selection, request))
}

/// The same for events, which `hubble` gives some of the past when following. It
/// takes `--first` and does not pass it on; here it is.
pub(super) fn events(args: &ObserveArgs) -> Result<Selection, SelectorError> {
    check(args)?;
    for (given, what) in [
        (!args.filters.filters()?.is_empty(), "a filter"),
        (args.filters.only_print(), "--print-raw-filters"),
        (!args.format.columns.is_empty(), "--columns"),
        (!args.format.field_mask.is_empty(), "--field-mask"),
    ] {
        if given {
            return Err(SelectorError::FlowsOnly(what));
        }
    }
    selection(args, DEFAULT_LAST)
}

/// `following` is how many are shown first if nothing but `--follow` is said.
fn selection(args: &ObserveArgs, following: u64) -> Result<Selection, SelectorError> {
    let is_file = args.input.input_file.is_some();
    let args = &args.selectors;
    let point = |flag, text: &Option<String>| {
        let point = |text: &String| time::point(text, jiff::Timestamp::now());
        let point = text.as_ref().map(point).transpose();
        point.map_err(|cause| SelectorError::Time { flag, cause })
    };
    let since = point("since", &args.since)?;
    let until = match args.follow {
        true => None,
        false => point("until", &args.until)?,
    };
    let number = match (args.first, args.last) {
        (0, 0) if since.is_some() || until.is_some() => 0,
        (0, 0) if args.all => u64::MAX,
        // A file is shown to its end.
        (0, 0) if is_file => 0,
        (0, 0) if args.follow => following,
        (0, 0) => DEFAULT_LAST,
        (0, last) => last,
        (first, _) => first,
    };
    Ok(Selection {
        number,
        first: args.first > 0,
        follow: args.follow,
        since,
        until,
    })
}

fn check(args: &ObserveArgs) -> Result<(), SelectorError> {
    let SelectorArgs {
        first,
        last,
        all,
        follow,
        ..
    } = args.selectors;
    let both = |one, other| Err(SelectorError::Both(one, other));
    if args.input.input_file.is_some() && (MAX_LAST + 1..u64::MAX).contains(&last) {
        return Err(SelectorError::Last);
    }
    if !args.format.is_json() && !args.format.field_mask.is_empty() {
        return Err(SelectorError::Mask);
    }
    match (first > 0, last > 0, all, follow) {
        (true, true, ..) => both("first", "last"),
        (true, _, true, _) => both("first", "all"),
        (true, .., true) => both("first", "follow"),
        (_, true, true, _) => both("last", "all"),
        (.., true) if args.format.output == super::Output::Table => Err(SelectorError::Table),
        _ => Ok(()),
    }
}

fn mask(format: &FormatArgs) -> Option<prost_types::FieldMask> {
    let mut paths = format.field_mask.clone();
    if !format.is_json() && format.use_default_field_masks {
        paths.extend(DEFAULT_MASK.map(String::from));
        if format.columns.contains(&Column::Interface) {
            paths.push("interface".into());
        }
        if format
            .columns
            .iter()
            .any(|column| *column != Column::Interface)
        {
            paths.push("extensions".into());
        }
    }
    (!paths.is_empty()).then_some(prost_types::FieldMask { paths })
}
