//! From errors to gRPC codes, as Hubble does it: its server returns plain
//! errors for bad filters, masks and times, so clients see `Unknown` with the
//! bare text; only `first` with `follow` is `InvalidArgument`. So is what asks
//! for too much, which Hubble does not bound.

use prost_types::Timestamp;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    filter::{FilterError, Overrun},
    mask::MaskError,
};

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The two exclude each other.
    #[error("first cannot be specified with follow")]
    FirstWithFollow,
    /// A filter that cannot be compiled.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Filters that take too much to be judged.
    #[error(transparent)]
    Overrun(#[from] Overrun),
    /// Policies that take too much to judge flows: steps for all, and more for each.
    #[error(
        "judging the flows took more than {0} steps, and {1} more for each; \
         give smaller policies, or fewer flows by filters or times"
    )]
    Steps(u64, u64),
    /// A time that protobuf does not allow.
    #[error("{0}")]
    Time(String),
    /// A mask that names no field.
    #[error(transparent)]
    Mask(#[from] MaskError),
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::FirstWithFollow => Self::invalid_argument(error.to_string()),
            RequestError::Filter(FilterError::Excess(excess)) => {
                invalid(&excess.field, &excess.bound)
            }
            RequestError::Overrun(_) | RequestError::Steps(..) => {
                Self::resource_exhausted(error.to_string())
            }
            RequestError::Filter(_) | RequestError::Time(_) | RequestError::Mask(_) => {
                Self::unknown(short(error.to_string()))
            }
        }
    }
}

/// Bytes of a status that come from a request; transports bound their headers.
const MAX_TEXT: usize = 4 << 10;

/// The text, cut where it is long.
fn short(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let is_end = |at: &usize| text.is_char_boundary(*at);
        text.truncate((0..=MAX_TEXT).rev().find(is_end).unwrap_or(0));
        text.push('…');
    }
    text
}

/// A field of a request to one of our own services is wrong: `INVALID_ARGUMENT`
/// with `google.rpc.BadRequest`.
pub(super) fn invalid(field: &str, description: &str) -> Status {
    let description = short(description.into());
    Status::with_error_details(
        tonic::Code::InvalidArgument,
        format!("{field}: {description}"),
        ErrorDetails::with_bad_request_violation(field, description.as_str()),
    )
}

/// Years 1 to 9999, as protobuf's `Timestamp` allows; texts are Go's.
pub(super) fn check_time(time: Option<&Timestamp>) -> Result<(), RequestError> {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    let Some(Timestamp { seconds, nanos }) = time else {
        return Ok(());
    };
    let problem = if *seconds < FIRST {
        "before 0001-01-01"
    } else if *seconds > LAST {
        "after 9999-12-31"
    } else if !(0..1_000_000_000).contains(nanos) {
        "has out-of-range nanos"
    } else {
        return Ok(());
    };
    let mut fields = Vec::new();
    if *seconds != 0 {
        fields.push(format!("seconds:{seconds}"));
    }
    if *nanos != 0 {
        fields.push(format!("nanos:{nanos}"));
    }
    Err(RequestError::Time(format!(
        "proto: timestamp ({}) {problem}",
        fields.join(" ")
    )))
}
