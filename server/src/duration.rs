//! Durations of messages. Not `TryFrom`, which panics where what is negative has no
//! positive counterpart (prost-types 0.14).

use std::time::Duration;

/// A duration as protobuf has it, unless it is negative or no valid one.
#[must_use]
pub(crate) fn of_message(given: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(given.seconds).ok()?;
    let nanos = u32::try_from(given.nanos).ok()?;
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_negative_or_not_valid_is_none_however_large() {
        let of = |seconds, nanos| of_message(&prost_types::Duration { seconds, nanos });
        assert_eq!(of(1, 5), Some(Duration::new(1, 5)));
        assert!(of(i64::MAX, 999_999_999).is_some());
        for (seconds, nanos) in [
            (-1, 0),
            (0, -1),
            (1, -1),
            (0, 1_000_000_000),
            (i64::MIN, 0),
            (0, i32::MIN),
            (i64::MAX, i32::MAX),
        ] {
            assert_eq!(of(seconds, nanos), None, "{seconds} {nanos}");
        }
    }
}
