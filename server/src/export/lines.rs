//! Lines that several exporters write: of one event and one mask they are the same bytes,
//! so whoever comes first makes a line for all.
//!
//! Not a queue: nobody waits but for a line that is being made, and what is not here any
//! more is made again. Bound: `PLACES` lines of `LONGEST` bytes for each mask that more
//! than one exporter has.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use crate::mask::Mask;

/// Exporters that are further apart make their own.
const PLACES: usize = 4096;
/// Lines that are longer are not kept.
const LONGEST: usize = 4 << 10;

/// The lines of each mask; clones are the same.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<OfMask>>>);

type OfMask = (Option<Mask>, Weak<Shelf>);

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    /// Those of this mask, for as long as somebody has them.
    pub(super) fn of(&self, mask: Option<&Mask>) -> Arc<Shelf> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, shelf)| shelf.strong_count() > 0);
        let same = all.iter().find(|(of, _)| of.as_ref() == mask);
        if let Some(shelf) = same.and_then(|(_, shelf)| shelf.upgrade()) {
            return shelf;
        }
        let shelf = Arc::<Shelf>::default();
        all.push((mask.cloned(), Arc::downgrade(&shelf)));
        shelf
    }
}

/// The latest lines of one mask, by the last bits of their events' sequence numbers.
/// Not made before two exporters have it.
#[derive(Default)]
pub(super) struct Shelf(OnceLock<Box<[Mutex<Place>]>>);

#[derive(Default)]
struct Place {
    /// Of which event; none while it is made.
    seq: Option<u64>,
    line: Vec<u8>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Shelf {
    /// Appends the line of an event: the one that is here, or what `make` makes, which is
    /// then here for others.
    ///
    /// # Errors
    ///
    /// That of `make`.
    pub(super) fn put<E>(
        self: &Arc<Self>,
        seq: u64,
        out: &mut Vec<u8>,
        make: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if Arc::strong_count(self) < 2 {
            return make(out);
        }
        let make_all = || (0..PLACES).map(|_| Mutex::default()).collect();
        let place = &self.0.get_or_init(make_all)[seq as usize % PLACES];
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.seq != Some(seq) {
            place.seq = None;
            place.line.clear();
            make(&mut place.line)?;
            place.seq = Some(seq);
        }
        out.extend_from_slice(&place.line);
        if place.line.len() > LONGEST {
            *place = Place::default();
        }
        // It grows by doubling.
        place.line.shrink_to(LONGEST);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(shelf: &Arc<Shelf>, seq: u64, line: Result<&[u8], ()>) -> (Vec<u8>, bool) {
        let (mut out, mut is_made) = (b"before ".to_vec(), false);
        let _ = shelf.put(seq, &mut out, |out| {
            is_made = true;
            line.map(|line| out.extend_from_slice(line))
        });
        (out, is_made)
    }

    #[test]
    fn a_line_is_made_once_for_all_that_have_the_mask() {
        let lines = Lines::default();
        let one = lines.of(None);
        assert_eq!(put(&one, 1, Ok(b"alone")), (b"before alone".into(), true));
        let other = lines.of(None);
        let is_masked = Mask::compile(&["time".into()]).unwrap();
        let apart = [lines.of(is_masked.as_ref()), lines.of(is_masked.as_ref())];
        assert_eq!(put(&one, 1, Ok(b"first")), (b"before first".into(), true));
        assert_eq!(put(&other, 1, Ok(b"")), (b"before first".into(), false));
        assert_eq!(put(&apart[0], 1, Ok(b"2")), (b"before 2".into(), true));
        let next = 1 + PLACES as u64;
        assert_eq!(
            put(&other, next, Ok(b"next")),
            (b"before next".into(), true)
        );
        assert_eq!(put(&one, 1, Ok(b"again")), (b"before again".into(), true));
    }

    #[test]
    fn what_cannot_be_made_or_is_long_is_not_kept() {
        let lines = Lines::default();
        let [one, other] = [lines.of(None), lines.of(None)];
        assert_eq!(put(&one, 7, Err(())), (b"before ".into(), true));
        let long = vec![b'x'; LONGEST + 1];
        for shelf in [&one, &other] {
            let (out, is_made) = put(shelf, 7, Ok(&long));
            assert!(is_made && out.ends_with(&long));
        }
        assert_eq!(one.0.get().unwrap()[7].lock().unwrap().line.capacity(), 0);
    }
}
