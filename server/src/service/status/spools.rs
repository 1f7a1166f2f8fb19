//! Spools of exporters that are not used, as a problem.

use sextant_proto::sextant::status::v1 as api;

use super::problems::problem;
use crate::export::State;

/// An exporter that goes on without its spool.
pub(super) fn unused(exporter: &State) -> Option<api::Problem> {
    let error = exporter.spool.as_ref()?.error.as_ref()?;
    let text = format!(
        "the exporter {} goes on without its spool: {error}",
        exporter.name
    );
    Some(problem(api::ProblemKind::Export, text, None))
}
