//! Encoded events that wait to be written, one after another.

/// Events in the form in which they are written. What was written is taken off its front.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each event ends.
    ends: Vec<usize>,
    /// Events that were written.
    written: usize,
}

impl Batch {
    /// Adds an event that `write` appends; without one, all stays as it was.
    pub(super) fn add<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let begin = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(begin);
            return Err(error);
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Bytes of the events that are in it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Events that are not written.
    pub(super) fn len(&self) -> usize {
        self.ends.len() - self.written
    }

    /// The events that are not written, one by one.
    pub(super) fn events(&self) -> impl Iterator<Item = &[u8]> {
        (self.written..self.ends.len())
            .map(|event| &self.bytes[self.begin(event)..self.ends[event]])
    }

    /// The first of the events that are not written, as far as they are no more than this
    /// many and no more than so many bytes; but one in any case, if there is one.
    pub(super) fn first(&self, most: usize, most_bytes: usize) -> (usize, &[u8]) {
        self.part(0, most, most_bytes)
    }

    /// The same of those after the first `skipped`.
    pub(super) fn part(&self, skipped: usize, most: usize, most_bytes: usize) -> (usize, &[u8]) {
        let first = self.written + skipped;
        let begin = self.begin(first);
        let waiting = &self.ends[first..];
        let fitting = waiting.partition_point(|end| end - begin <= most_bytes);
        let events = fitting.min(most).max(1).min(waiting.len());
        (events, &self.bytes[begin..self.begin(first + events)])
    }

    /// So many events were written; how many bytes they have.
    pub(super) fn advance(&mut self, events: usize) -> u64 {
        let begin = self.begin(self.written);
        self.written += events;
        let bytes = self.begin(self.written) - begin;
        if self.written == self.ends.len() {
            self.bytes.clear();
            self.ends.clear();
            self.written = 0;
        }
        bytes as u64
    }

    fn begin(&self, event: usize) -> usize {
        event.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for event in events {
            let added = batch.add(|bytes| {
                bytes.extend_from_slice(event.as_bytes());
                Ok::<_, ()>(())
            });
            added.unwrap();
        }
        batch
    }

    #[test]
    fn events_go_off_the_front_as_they_are_written() {
        let mut batch = batch(&["a", "bc", "def"]);
        let refused = batch.add(|bytes| {
            bytes.push(b'x');
            Err(())
        });
        assert!(refused.is_err());
        assert_eq!(batch.advance(1), 1);
        assert_eq!(
            batch.events().collect::<Vec<_>>(),
            [b"bc".as_slice(), b"def"]
        );
        assert_eq!((batch.advance(2), batch.len()), (5, 0));
    }

    #[test]
    fn a_part_has_as_many_as_fit_and_one_at_least() {
        let mut batch = batch(&["aa", "bb", "cccc"]);
        assert_eq!(batch.first(9, 4), (2, b"aabb".as_slice()));
        assert_eq!(batch.first(1, 4), (1, b"aa".as_slice()));
        assert_eq!(batch.first(9, 1), (1, b"aa".as_slice()));
        assert_eq!(batch.part(1, 9, 6), (2, b"bbcccc".as_slice()));
        assert_eq!(batch.part(3, 9, 6), (0, b"".as_slice()));
        batch.advance(2);
        assert_eq!(batch.first(9, 1), (1, b"cccc".as_slice()));
        batch.advance(1);
        assert_eq!(batch.first(9, 1), (0, b"".as_slice()));
    }
}
