//! The series of one metric by the values of their labels, of which there are so many at
//! most.
//!
//! Bound: a number of series and the bytes of their labels. What would be one more is
//! counted in one series whose labels all are `overflow`, and told once; those that
//! nothing was counted in for `IDLE` make room, so that a flood of names is over some time.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};

use super::labels::{Labels, values};

/// Value of all labels of what found no room.
pub(super) const OVERFLOW: &str = "overflow";
/// Bytes of a series' labels that the bound counts with.
const SERIES_BYTES: usize = 1024;

/// Where there is no room, series go that were not used for as long, or twice as long.
const IDLE: Duration = Duration::from_secs(300);

/// A series.
#[derive(Debug)]
struct Kept<V> {
    value: V,
    /// Since it was looked last who is.
    is_used: bool,
}

/// How a metric is told, and how many series it may have.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// As it is on the page, without `_total`.
    pub(super) name: Cow<'static, str>,
    pub(super) help: Cow<'static, str>,
    /// Names of the labels.
    pub(super) labels: Vec<Cow<'static, str>>,
    /// Series at most.
    pub(super) most: usize,
    /// For people: the setting that has `most`.
    pub(super) setting: &'static str,
}

/// All series of a metric.
#[derive(Debug)]
pub(super) struct Series<V> {
    described: Described,
    series: HashMap<Box<[u8]>, Kept<V>, RandomState>,
    /// Of the keys.
    bytes: usize,
    /// When it was looked which series are used.
    looked: Option<Instant>,
    overflow: Option<V>,
    /// Key of the series of what finds no room: no other series may look like it.
    overflow_key: Box<[u8]>,
    overflowed: u64,
}

impl<V> Series<V> {
    pub(super) fn new(described: Described) -> Self {
        let mut labels = Labels::default();
        for _ in &described.labels {
            labels.value(OVERFLOW);
        }
        Self {
            described,
            series: HashMap::default(),
            bytes: 0,
            looked: None,
            overflow: None,
            overflow_key: labels.key().into(),
            overflowed: 0,
        }
    }

    /// Adds to the series with these labels, begun if it is new; to that of what finds no room if there is none.
    pub(super) fn add(
        &mut self,
        labels: &Labels,
        begin: impl FnOnce() -> V,
        add: impl FnOnce(&mut V),
    ) {
        let key = labels.key();
        if let Some(kept) = self.series.get_mut(key) {
            kept.is_used = true;
            return add(&mut kept.value);
        }
        if !self.described.labels.is_empty() {
            if self.is_full(key.len()) {
                self.make_room(Instant::now());
            }
            if self.is_full(key.len()) || *key == *self.overflow_key {
                return add(self.overflow(begin));
            }
            self.bytes += key.len();
        }
        let new = || Kept {
            value: begin(),
            is_used: true,
        };
        add(&mut self.series.entry(key.into()).or_insert_with(new).value);
    }

    fn is_full(&self, bytes: usize) -> bool {
        let most = self.described.most;
        self.series.len() >= most || self.bytes + bytes > most.saturating_mul(SERIES_BYTES)
    }

    /// Removes the series that were not used since it was looked last, if that is long ago.
    fn make_room(&mut self, now: Instant) {
        let looked = *self.looked.get_or_insert_with(|| {
            self.series
                .values_mut()
                .for_each(|kept| kept.is_used = false);
            now
        });
        if now.saturating_duration_since(looked) < IDLE {
            return;
        }
        self.looked = Some(now);
        self.retain(|_, kept| std::mem::take(&mut kept.is_used));
    }

    fn retain(&mut self, mut stays: impl FnMut(&[u8], &mut Kept<V>) -> bool) {
        let mut bytes = 0;
        self.series.retain(|key, kept| {
            let stays = stays(key, kept);
            bytes += if stays { key.len() } else { 0 };
            stays
        });
        self.bytes = bytes;
    }

    fn overflow(&mut self, begin: impl FnOnce() -> V) -> &mut V {
        if self.overflowed == 0 {
            let Described { name, setting, .. } = &self.described;
            tracing::warn!(
                metric = %name,
                series = self.series.len(),
                "no room for more series; further ones are counted in one whose labels are `{OVERFLOW}`: \
                 choose labels with fewer values, or raise `{setting}`"
            );
        }
        self.overflowed += 1;
        self.overflow.get_or_insert_with(begin)
    }

    /// From now on told so, with the series as they are: of the same labels.
    pub(super) fn describe(&mut self, described: Described) {
        self.described = described;
    }

    pub(super) fn described(&self) -> &Described {
        &self.described
    }

    /// How many there are, without the one for what found no room.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// What found no room for a series.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Removes the series of which `is_gone` says so, by values of labels and by what is counted.
    pub(super) fn remove(&mut self, mut is_gone: impl FnMut(&[&str], &V) -> bool) {
        self.retain(|key, kept| {
            let texts: Vec<&str> = values(key).collect();
            !is_gone(&texts, &kept.value)
        });
    }

    #[cfg(test)]
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.series.get(key).map(|kept| &kept.value)
    }

    #[cfg(test)]
    pub(super) fn of_overflow(&self) -> Option<&V> {
        self.overflow.as_ref()
    }
}

impl<V: EncodeMetric> Series<V> {
    /// Puts all of them on the page; nothing if there are none, as Prometheus' clients do.
    pub(super) fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kept = self.series.values().map(|kept| &kept.value);
        let first = kept.chain(&self.overflow).next();
        let Some(first) = first else {
            return Ok(());
        };
        let Described {
            name, help, labels, ..
        } = &self.described;
        let mut family = page.encode_descriptor(name, help, None, first.metric_type())?;
        if labels.is_empty() {
            return first.encode(family);
        }
        let overflow = self
            .overflow
            .iter()
            .map(|value| (&self.overflow_key, value));
        let mut named = Vec::with_capacity(labels.len());
        let kept = self.series.iter().map(|(key, kept)| (key, &kept.value));
        for (key, value) in kept.chain(overflow) {
            named.clear();
            named.extend(labels.iter().map(AsRef::<str>::as_ref).zip(values(key)));
            value.encode(family.encode_family(&named.as_slice())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{metrics::counter::ConstCounter, registry::Registry};

    use super::*;

    fn labels(values: &[&str]) -> Labels {
        let mut labels = Labels::default();
        for value in values {
            labels.value(value);
        }
        labels
    }

    fn series(labels: &[&'static str]) -> Series<u64> {
        Series::new(Described {
            name: "x".into(),
            help: "X".into(),
            labels: labels.iter().map(|label| (*label).into()).collect(),
            most: 2,
            setting: "most",
        })
    }

    fn count(series: &mut Series<u64>, labels: &Labels) {
        series.add(labels, || 0, |value| *value += 1);
    }

    #[test]
    fn what_finds_no_room_is_counted_in_one_series() {
        let mut series = series(&["a"]);
        for name in ["one", "two", "three", "one", "four", "three"] {
            count(&mut series, &labels(&[name]));
        }
        assert_eq!((series.len(), series.overflowed()), (2, 3));
        assert_eq!(series.of_overflow(), Some(&3));
        assert_eq!(series.get(labels(&["one"]).key()), Some(&2));
    }

    #[test]
    fn series_that_nothing_is_counted_in_make_room() {
        let mut series = series(&["a"]);
        for name in ["one", "two", "three"] {
            count(&mut series, &labels(&[name]));
        }
        assert_eq!((series.len(), series.overflowed()), (2, 1));
        // The one is used on, the other is not.
        count(&mut series, &labels(&["one"]));
        series.make_room(Instant::now());
        assert_eq!(series.len(), 2, "not yet");
        series.make_room(Instant::now() + IDLE);
        assert_eq!(series.len(), 1);
        count(&mut series, &labels(&["three"]));
        assert_eq!((series.len(), series.overflowed()), (2, 1));
        assert_eq!(series.get(labels(&["one"]).key()), Some(&2));
        assert_eq!(series.get(labels(&["three"]).key()), Some(&1));
        // Both were used since.
        count(&mut series, &labels(&["one"]));
        series.make_room(Instant::now() + 2 * IDLE);
        assert_eq!(series.len(), 2);
    }

    #[test]
    fn a_series_that_looks_like_that_of_what_found_no_room_is_that() {
        let mut series = series(&["a", "b"]);
        count(&mut series, &labels(&["overflow", "overflow"]));
        count(&mut series, &labels(&["overflow", "b"]));
        assert_eq!((series.len(), series.overflowed()), (1, 1));
        assert_eq!(series.of_overflow(), Some(&1));
    }

    #[test]
    fn without_labels_there_is_one_series_and_room_for_it() {
        let mut series = series(&[]);
        for _ in 0..3 {
            count(&mut series, &labels(&[]));
        }
        assert_eq!((series.len(), series.overflowed()), (1, 0));
        assert_eq!(series.get(&[]), Some(&3));
    }

    #[test]
    fn long_labels_find_no_room_either_and_removed_ones_give_it_back() {
        let mut series = series(&["a"]);
        let long = "l".repeat(2 * SERIES_BYTES - 1);
        count(&mut series, &labels(&[&long]));
        count(&mut series, &labels(&["s"]));
        assert_eq!((series.len(), series.overflowed()), (1, 1));
        series.remove(|values, _| values == [long.as_str()]);
        assert_eq!((series.len(), series.bytes), (0, 0));
        count(&mut series, &labels(&["s"]));
        assert_eq!((series.len(), series.overflowed()), (1, 1));
    }

    /// The page of one series.
    #[derive(Debug)]
    struct Page(Series<ConstCounter>);

    impl prometheus_client::collector::Collector for Page {
        fn encode(&self, mut page: DescriptorEncoder<'_>) -> fmt::Result {
            self.0.encode(&mut page)
        }
    }

    #[test]
    fn labels_are_told_and_left_out_where_there_are_none() {
        for (names, values, told) in [
            (&[][..], &[][..], "x_total 7"),
            (&["a"], &["b\"c"], "x_total{a=\"b\\\"c\"} 7"),
        ] {
            let described = series(names).described;
            let mut series = Series::new(described);
            series.add(&labels(values), || ConstCounter::new(7), |_| {});
            let mut registry = Registry::default();
            registry.register_collector(Box::new(Page(series)));
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
            assert!(page.lines().any(|line| line == told), "{page}");
        }
    }
}
