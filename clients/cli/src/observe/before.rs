//! `--until T --last N`: the last N before T. A server takes the last N of all, and of
//! these what is before T; so it is asked for a span before T (before the newest, if that
//! is earlier), and for longer ones before that until there are enough. Nothing is asked
//! for twice. Bound: N and what was lost
//! between them in memory, a page more than N over the wire.

use std::{collections::VecDeque, time::Duration};

use futures::StreamExt as _;
use prost_types::Timestamp;
use tonic::{Status, Streaming};

use super::{follow::Followed, selector::Selection};

/// The first span, and how much longer each is than the one after it.
const FIRST: Duration = Duration::from_secs(1);
const GROWTH: u32 = 8;
/// Behind this one everything is asked for: a fortnight.
const LONGEST: Duration = Duration::from_secs(14 * 86_400);
const NANOS: i128 = 1_000_000_000;
/// The earliest time that protobuf has.
const EARLIEST: i128 = -62_135_596_800 * NANOS;

/// Whether a selection is of this kind.
pub(super) fn is_meant(selection: &Selection) -> bool {
    let Selection { number, first, .. } = *selection;
    selection.until.is_some() && !first && number > 0 && number < u64::MAX
}

/// Asks for one span after the other; `counts` says what is one of the N.
pub(super) async fn last<M: Followed>(
    selection: &Selection,
    ask: impl AsyncFn(Selection) -> Result<Streaming<M>, Status>,
    counts: impl Fn(&M) -> bool,
) -> Result<VecDeque<M>, Status> {
    let mut found = VecDeque::new();
    let mut missing = selection.number;
    let newest = newest(selection, &ask).await?;
    for part in spans(selection, newest) {
        let mut stream = ask(part).await?;
        let mut page = Page {
            messages: VecDeque::new(),
            counted: 0,
        };
        while let Some(message) = stream.next().await {
            let message = message?;
            // What was lost is told with every span.
            if counts(&message) || !found.contains(&message) {
                page.add(message, missing, &counts);
            }
        }
        missing -= page.counted;
        page.messages.append(&mut found);
        found = page.messages;
        if missing == 0 {
            break;
        }
    }
    Ok(found)
}

/// When the newest of all was.
async fn newest<M: Followed>(
    selection: &Selection,
    ask: &impl AsyncFn(Selection) -> Result<Streaming<M>, Status>,
) -> Result<Option<i128>, Status> {
    let newest = Selection {
        number: 1,
        since: None,
        until: None,
        ..selection.clone()
    };
    let mut stream = ask(newest).await?;
    let mut time = None;
    while let Some(message) = stream.next().await {
        time = message?.time().as_ref().map(nanos).or(time);
    }
    Ok(time)
}

/// The last of a span.
struct Page<M> {
    messages: VecDeque<M>,
    counted: u64,
}

impl<M> Page<M> {
    fn add(&mut self, message: M, limit: u64, counts: &impl Fn(&M) -> bool) {
        self.counted += u64::from(counts(&message));
        self.messages.push_back(message);
        while self.counted > limit {
            let Some(oldest) = self.messages.pop_front() else {
                return;
            };
            self.counted -= u64::from(counts(&oldest));
        }
    }
}

/// The spans before the end, the latest first; together they are all of it. The first one
/// has the newest.
fn spans(selection: &Selection, newest: Option<i128>) -> impl Iterator<Item = Selection> + use<> {
    let begin = selection.since.as_ref().map(nanos);
    let end = selection.until.as_ref().map_or(0, nanos);
    let base = Selection {
        number: 0,
        ..selection.clone()
    };
    let anchor = newest.map_or(end, |newest| newest.min(end));
    let (mut until, mut length, mut is_over) = (end, FIRST, false);
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let since = anchor - i128::try_from(length.as_nanos()).unwrap_or(anchor);
        let since = match begin {
            // Before the year 1 there is no time.
            None if since < EARLIEST => None,
            Some(begin) if length > LONGEST || since <= begin => Some(begin),
            None if length > LONGEST => None,
            _ => Some(since),
        };
        is_over = since == begin;
        length *= GROWTH;
        let part = Selection {
            since: since.map(timestamp),
            until: Some(timestamp(until)),
            ..base.clone()
        };
        until = since.unwrap_or(until) - 1;
        Some(part)
    })
}

fn nanos(time: &Timestamp) -> i128 {
    i128::from(time.seconds) * NANOS + i128::from(time.nanos)
}

fn timestamp(nanos: i128) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(nanos.div_euclid(NANOS)).unwrap_or(i64::MIN),
        nanos: i32::try_from(nanos.rem_euclid(NANOS)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(since: Option<i64>, until: i64) -> Selection {
        let time = |seconds| Timestamp { seconds, nanos: 0 };
        Selection {
            number: 5,
            first: false,
            follow: false,
            since: since.map(time),
            until: Some(time(until)),
        }
    }

    #[test]
    fn spans_meet_without_overlap_and_reach_the_begin() {
        const NOW: i64 = 1_800_000_000;
        for since in [
            None,
            Some(NOW - 1),
            Some(NOW - 100),
            Some(NOW),
            Some(NOW + 5),
            Some(0),
        ] {
            let all: Vec<Selection> = spans(&selection(since, NOW), None).collect();
            assert!(all.len() < 12 && all.iter().all(|part| part.number == 0));
            let until = |part: &Selection| nanos(&part.until.unwrap());
            assert_eq!(until(&all[0]), nanos(&selection(since, NOW).until.unwrap()));
            for pair in all.windows(2) {
                let later = pair[0].since.as_ref().map(nanos).unwrap();
                assert_eq!(until(&pair[1]), later - 1, "{since:?}");
            }
            let begin = all.last().unwrap().since.map(|time| time.seconds);
            assert_eq!(begin, since);
        }
        let all = spans(&selection(None, -62_135_596_799), None);
        let since = all.map(|part| part.since.map(|time| time.seconds));
        assert_eq!(since.collect::<Vec<_>>(), [Some(-62_135_596_800), None]);
    }

    #[test]
    fn the_first_span_has_the_newest_and_all_to_the_end() {
        let newest = nanos(&Timestamp {
            seconds: 1000,
            nanos: 0,
        });
        for (end, since) in [(5000, 999), (1000, 999), (900, 899)] {
            let first = spans(&selection(None, end), Some(newest)).next().unwrap();
            assert_eq!(first.since.unwrap().seconds, since);
            assert_eq!(first.until.unwrap().seconds, end);
        }
        // All is before what is asked for.
        let of = selection(Some(2000), 5000);
        assert_eq!(spans(&of, Some(newest)).count(), 1);
    }

    #[test]
    fn a_page_keeps_the_last_that_count_and_what_is_between_them() {
        let mut page = Page {
            messages: VecDeque::new(),
            counted: 0,
        };
        for number in [1, 2, -1, 3, -2, 4] {
            page.add(number, 2, &|number| *number > 0);
        }
        assert_eq!(
            (Vec::from(page.messages), page.counted),
            (vec![-1, 3, -2, 4], 2)
        );
    }
}
