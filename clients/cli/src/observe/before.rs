//! `--until T --last N`: the last N before T. A server takes the last N of all, and of
//! these what is before T; so it is asked for a span before T, and for longer ones before
//! that until there are enough. Nothing is asked for twice. Bound: N and what was lost
//! between them in memory, a page more than N over the wire.

use std::{collections::VecDeque, time::Duration};

use futures::StreamExt as _;
use prost_types::Timestamp;
use tonic::{Status, Streaming};

use super::selector::Selection;

/// The first span, and how much longer each is than the one after it.
const FIRST: Duration = Duration::from_secs(1);
const GROWTH: u32 = 8;
/// Behind this one everything is asked for: a fortnight.
const LONGEST: Duration = Duration::from_secs(14 * 86_400);
const NANOS: i128 = 1_000_000_000;

/// Whether a selection is of this kind.
pub(super) fn is_meant(selection: &Selection) -> bool {
    let Selection { number, first, .. } = *selection;
    selection.until.is_some() && !first && number > 0 && number < u64::MAX
}

/// Asks for one span after the other; `counts` says what is one of the N.
pub(super) async fn last<M: PartialEq>(
    selection: &Selection,
    ask: impl AsyncFn(Selection) -> Result<Streaming<M>, Status>,
    counts: impl Fn(&M) -> bool,
) -> Result<VecDeque<M>, Status> {
    let mut found = VecDeque::new();
    let mut missing = selection.number;
    for part in spans(selection) {
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

/// The spans before the end, the latest first; together they are all of it.
fn spans(selection: &Selection) -> impl Iterator<Item = Selection> {
    let begin = selection.since.as_ref().map(nanos);
    let end = selection.until.as_ref().map_or(0, nanos);
    let base = Selection {
        number: 0,
        ..selection.clone()
    };
    let (mut until, mut length, mut is_over) = (end, FIRST, false);
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let since = end - i128::try_from(length.as_nanos()).unwrap_or(i128::MAX);
        let since = match begin {
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
            let all: Vec<Selection> = spans(&selection(since, NOW)).collect();
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
