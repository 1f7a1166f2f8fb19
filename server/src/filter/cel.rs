//! CEL expressions.

use sextant_proto::flow as pb;

use super::{Checks, FilterError};

/// Compiles `experimental.cel_expression`.
pub(super) fn compile(filter: &pb::FlowFilter, _checks: &mut Checks) -> Result<(), FilterError> {
    match &filter.experimental {
        Some(experimental) if !experimental.cel_expression.is_empty() => {
            Err(FilterError::Cel("not implemented yet".into()))
        }
        _ => Ok(()),
    }
}
