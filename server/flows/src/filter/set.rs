//! Sets of wanted values: small ones are searched in a row, large ones by halves.

/// At most this many values are searched one after the other.
const FEW: usize = 8;

/// A set of wanted values.
#[derive(Clone, Debug)]
pub(super) struct OneOf<T> {
    /// Sorted, without duplicates.
    values: Box<[T]>,
}

impl<T: Ord + Copy> OneOf<T> {
    /// Whether `value` is wanted.
    pub(super) fn contains(&self, value: T) -> bool {
        if self.values.len() <= FEW {
            self.values.contains(&value)
        } else {
            self.values.binary_search(&value).is_ok()
        }
    }
}

impl<T> OneOf<T> {
    /// The wanted values.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.values.iter()
    }
}

impl<T: Ord> FromIterator<T> for OneOf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self {
            values: values.into(),
        }
    }
}

/// Which of the two truth values are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bools {
    yes: bool,
    no: bool,
}

impl Bools {
    /// Whether `value` is wanted.
    pub(super) fn contains(self, value: bool) -> bool {
        if value { self.yes } else { self.no }
    }
}

impl From<&[bool]> for Bools {
    fn from(values: &[bool]) -> Self {
        Self {
            yes: values.contains(&true),
            no: values.contains(&false),
        }
    }
}
