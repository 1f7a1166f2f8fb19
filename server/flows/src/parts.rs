//! What encoded parts of messages became that come again and again, such as the ends of
//! flows: looking a part up is cheaper than making it anew.
//!
//! By the bytes of the part alone, so what is remembered is never out of date. Bound:
//! `MOST` parts of `LONGEST` bytes at most, and as much again of what they became.

use crate::generations::Generations;

/// Parts that are remembered.
const MOST: usize = 2048;
/// A longer part, or one that becomes longer, is made anew each time.
const LONGEST: usize = 2048;

/// Encoded parts, and what became of them.
#[derive(Debug)]
pub struct Parts<T: ?Sized>(Generations<Box<[u8]>, Box<T>>);

impl<T: ?Sized> Default for Parts<T> {
    fn default() -> Self {
        Self(Generations::new(MOST))
    }
}

impl<T: AsRef<[u8]> + ?Sized> Parts<T> {
    /// What a part became before.
    pub fn get(&mut self, part: &[u8]) -> Option<&T> {
        self.0.use_mut(part).map(|became| &**became)
    }

    /// Remembers what a part became that was not known.
    pub fn keep<'t>(&mut self, part: &[u8], became: &'t T)
    where
        Box<T>: From<&'t T>,
    {
        if part.len().max(became.as_ref().len()) <= LONGEST {
            self.0.insert(part.into(), became.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_known_again_unless_it_is_long_and_there_is_a_bound() {
        let mut parts = Parts::<str>::default();
        assert_eq!(parts.get(b"a"), None);
        parts.keep(b"a", "A");
        assert_eq!(parts.get(b"a"), Some("A"));
        parts.keep(&[0; LONGEST + 1], "B");
        assert_eq!(parts.get(&[0; LONGEST + 1]), None);
        parts.keep(b"c", &"C".repeat(LONGEST + 1));
        assert_eq!(parts.get(b"c"), None);
        for number in 0..10 * MOST {
            parts.keep(number.to_string().as_bytes(), "N");
            assert!(parts.0.len() <= MOST + 1);
        }
    }
}
