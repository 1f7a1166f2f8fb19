//! What flows and events have in common as text: time and node come before the rest,
//! in a row of a table, a block of lines or a line. Rows are kept until the end, since
//! columns are as wide as their widest cell.

use std::{
    fmt::Display,
    io::{self, Write},
};

use crate::text;

/// When, and of which node.
pub(super) struct Stamp {
    pub(super) time: String,
    pub(super) node: String,
}

/// Puts texts in their places.
pub(super) struct Layout {
    /// Whether nodes are shown.
    node_name: bool,
    rows: Vec<Vec<String>>,
    /// Whether a block stands above.
    is_begun: bool,
}

impl Layout {
    pub(super) fn new(node_name: bool) -> Self {
        Self {
            node_name,
            rows: Vec::new(),
            is_begun: false,
        }
    }

    /// The beginning of a line.
    pub(super) fn line(&self, stamp: &Stamp) -> String {
        match self.node_name {
            true => format!("{} [{}]", stamp.time, stamp.node),
            false => stamp.time.clone(),
        }
    }

    /// Keeps a row; the head goes before the first.
    pub(super) fn row(
        &mut self,
        stamp: Stamp,
        head: impl FnOnce() -> Vec<String>,
        cells: Vec<String>,
    ) {
        if self.rows.is_empty() {
            let stamp = Stamp {
                time: "TIMESTAMP".into(),
                node: "NODE".into(),
            };
            self.push(stamp, head());
        }
        self.push(stamp, cells);
    }

    fn push(&mut self, Stamp { time, node }: Stamp, cells: Vec<String>) {
        let mut row = vec![time];
        row.extend(self.node_name.then_some(node));
        row.extend(cells);
        self.rows.push(row);
    }

    /// Writes a block, behind the separator if there is one above.
    pub(super) fn dict(
        &mut self,
        separator: &str,
        stamp: Stamp,
        fields: impl IntoIterator<Item = (impl Display, String)>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if std::mem::replace(&mut self.is_begun, true) {
            write!(out, "{separator}")?;
        }
        writeln!(out, "  TIMESTAMP: {}", stamp.time)?;
        if self.node_name {
            writeln!(out, "       NODE: {}", stamp.node)?;
        }
        for (name, value) in fields {
            writeln!(out, "{name:>11}: {value}")?;
        }
        Ok(())
    }

    /// Writes the rows that were kept.
    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(text::table(&std::mem::take(&mut self.rows), &[]).as_bytes())
    }
}
