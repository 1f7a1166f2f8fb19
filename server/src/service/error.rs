//! From errors to gRPC codes, as Hubble does it: its server returns plain
//! errors for bad filters, masks and times, so clients see `Unknown` with the
//! bare text; only `first` with `follow` is `InvalidArgument`.

use prost_types::Timestamp;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::mask::MaskError;
use crate::filter::FilterError;

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The two exclude each other.
    #[error("first cannot be specified with follow")]
    FirstWithFollow,
    /// A filter that cannot be compiled.
    #[error(transparent)]
    Filter(#[from] FilterError),
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
            RequestError::Filter(_) | RequestError::Time(_) | RequestError::Mask(_) => {
                Self::unknown(error.to_string())
            }
        }
    }
}

/// A field of a request to one of our own services is wrong: `INVALID_ARGUMENT`
/// with `google.rpc.BadRequest`.
pub(super) fn invalid(field: &str, description: &str) -> Status {
    Status::with_error_details(
        tonic::Code::InvalidArgument,
        format!("{field}: {description}"),
        ErrorDetails::with_bad_request_violation(field, description),
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
