//! Lines that wait to be written, as one text.

/// Bytes from which on a batch is written.
pub(super) const MAX_BATCH: usize = 256 << 10;

/// Lines, each with its newline. What was written is taken off its front.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: String,
    /// Where each line ends.
    ends: Vec<usize>,
    /// Lines that were written.
    written: usize,
}

impl Batch {
    /// Adds a line that `write` appends; without one, all stays as it was.
    pub(super) fn add<E>(
        &mut self,
        write: impl FnOnce(&mut String) -> Result<(), E>,
    ) -> Result<(), E> {
        let begin = self.text.len();
        if let Err(error) = write(&mut self.text) {
            self.text.truncate(begin);
            return Err(error);
        }
        self.text.push('\n');
        self.ends.push(self.text.len());
        Ok(())
    }

    /// Whether it is large enough to be written.
    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= MAX_BATCH
    }

    /// Lines that are not written.
    pub(super) fn len(&self) -> usize {
        self.ends.len() - self.written
    }

    /// The lines that are not written, one by one.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        (self.written..self.ends.len()).map(|line| &self.text[self.begin(line)..self.ends[line]])
    }

    /// So many lines were written; how many bytes they have.
    pub(super) fn advance(&mut self, lines: usize) -> u64 {
        let begin = self.begin(self.written);
        self.written += lines;
        let bytes = self.begin(self.written) - begin;
        if self.written == self.ends.len() {
            self.text.clear();
            self.ends.clear();
            self.written = 0;
        }
        bytes as u64
    }

    fn begin(&self, line: usize) -> usize {
        line.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_off_the_front_as_they_are_written() {
        let mut batch = Batch::default();
        for line in ["a", "bc", "def"] {
            batch
                .add(|text| {
                    text.push_str(line);
                    Ok::<_, ()>(())
                })
                .unwrap();
        }
        let refused = batch.add(|text| {
            text.push('x');
            Err(())
        });
        assert!(refused.is_err());
        assert_eq!(batch.advance(1), 2);
        assert_eq!(batch.lines().collect::<Vec<_>>(), ["bc\n", "def\n"]);
        assert_eq!((batch.advance(2), batch.len()), (7, 0));
    }
}
