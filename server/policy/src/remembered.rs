//! What was worked out for endpoints, by their labels.
//!
//! Bound: `MAX_SUBJECTS` endpoints and `MAX_BYTES`; then it begins anew.

use std::collections::HashMap;

use crate::{
    endpoint::Endpoint,
    label::{Label, Labels},
};

/// Endpoints.
const MAX_SUBJECTS: usize = 10_000;
/// Bytes of their labels and of what was worked out.
const MAX_BYTES: usize = 16 << 20;
/// What is larger than one part in so many is not remembered.
const PARTS: usize = 16;

/// What rules about an endpoint depend on: its labels, and those of the host that it is a
/// part of.
type ToldBy = (Labels, Option<Labels>);

/// Something of each endpoint.
#[derive(Debug)]
pub struct Remembered<T> {
    by: HashMap<ToldBy, T>,
    bytes: usize,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self {
            by: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<T: Clone> Remembered<T> {
    /// What was remembered of an endpoint.
    #[must_use]
    pub fn get(&self, endpoint: &Endpoint) -> Option<T> {
        self.by.get(&told_by(endpoint)).cloned()
    }

    /// Remembers it, if it is not too large; `bytes` is what it takes.
    pub fn insert(&mut self, endpoint: &Endpoint, value: T, bytes: usize) {
        let told_by = told_by(endpoint);
        let labels = told_by
            .0
            .iter()
            .chain(told_by.1.iter().flat_map(Labels::iter));
        let bytes = bytes + labels.map(bytes_of).sum::<usize>();
        if bytes > MAX_BYTES / PARTS {
            return;
        }
        if self.by.len() >= MAX_SUBJECTS || self.bytes + bytes > MAX_BYTES {
            self.by.clear();
            self.bytes = 0;
        }
        // Two may have worked out the same.
        if self.by.insert(told_by, value).is_none() {
            self.bytes += bytes;
        }
    }
}

fn told_by(endpoint: &Endpoint) -> ToldBy {
    (endpoint.labels.clone(), endpoint.part_of_host.clone())
}

fn bytes_of(label: &Label) -> usize {
    size_of::<Label>() + label.key.len() + label.source.len() + label.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(number: usize, length: usize) -> Endpoint {
        let label = Label::new("k8s", "app", &format!("{number}{}", "x".repeat(length)));
        Endpoint::new([label].into_iter().collect())
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_bytes() {
        let mut remembered = Remembered::default();
        for number in 0..3 * MAX_SUBJECTS {
            remembered.insert(&endpoint(number, 0), number, 8);
            assert_eq!(remembered.get(&endpoint(number, 0)), Some(number));
        }
        assert!(remembered.by.len() <= MAX_SUBJECTS);
        for number in 0..100 {
            remembered.insert(&endpoint(number, 500_000), number, 8);
            assert!(remembered.bytes <= MAX_BYTES);
        }
        assert!(remembered.by.len() < 40, "{}", remembered.by.len());
        remembered.insert(&endpoint(7, 0), 7, MAX_BYTES);
        assert_eq!(remembered.get(&endpoint(7, 0)), None);
    }
}
