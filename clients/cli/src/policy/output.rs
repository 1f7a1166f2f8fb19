//! Forms in which lists are printed.

use clap::ValueEnum;

/// Output formats of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// Columns.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}
