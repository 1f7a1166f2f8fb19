//! Times and durations as `hubble` reads and prints them: in UTC, by the names of
//! Go's layouts.

use std::time::Duration;

use clap::ValueEnum;
use jiff::{Timestamp, civil::Date, fmt::strtime, tz::TimeZone};

/// How a time is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum Format {
    /// `Jan _2 15:04:05.000`
    #[default]
    #[value(alias = "stampmilli")]
    StampMilli,
    /// `2006-01-02`
    #[value(alias = "yearmonthday")]
    YearMonthDay,
    /// `2006-01-02T15Z07:00`
    #[value(alias = "yearmonthdayhour")]
    YearMonthDayHour,
    /// `2006-01-02T15:04Z07:00`
    #[value(alias = "yearmonthdayhourminute")]
    YearMonthDayHourMinute,
    /// `2006-01-02T15:04:05Z07:00`
    #[value(name = "RFC3339", alias = "rfc3339")]
    Rfc3339,
    /// `2006-01-02T15:04:05.999Z07:00`
    #[value(name = "RFC3339Milli", alias = "rfc3339milli")]
    Rfc3339Milli,
    /// `2006-01-02T15:04:05.999999Z07:00`
    #[value(name = "RFC3339Micro", alias = "rfc3339micro")]
    Rfc3339Micro,
    /// `2006-01-02T15:04:05.999999999Z07:00`
    #[value(name = "RFC3339Nano", alias = "rfc3339nano")]
    Rfc3339Nano,
    /// `Mon, 02 Jan 2006 15:04:05 -0700`
    #[value(name = "RFC1123Z", alias = "rfc1123z")]
    Rfc1123Z,
}

/// What is no time.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no time: say how long ago (3s, 1h43m) or when (2006-01-02T15:04:05Z)")]
pub(crate) struct TimeError(String);

impl Format {
    /// The time in UTC; `N/A` if there is none, or none that has a date.
    pub(crate) fn print(self, time: Option<&prost_types::Timestamp>) -> String {
        let Some(time) = time.and_then(valid) else {
            return "N/A".into();
        };
        let (layout, digits) = match self {
            Self::StampMilli => ("%b %e %H:%M:%S%.3f", 0),
            Self::YearMonthDay => ("%Y-%m-%d", 0),
            Self::YearMonthDayHour => ("%Y-%m-%dT%HZ", 0),
            Self::YearMonthDayHourMinute => ("%Y-%m-%dT%H:%MZ", 0),
            Self::Rfc1123Z => ("%a, %d %b %Y %H:%M:%S +0000", 0),
            Self::Rfc3339 => ("%Y-%m-%dT%H:%M:%SZ", 0),
            Self::Rfc3339Milli => ("%Y-%m-%dT%H:%M:%S", 3),
            Self::Rfc3339Micro => ("%Y-%m-%dT%H:%M:%S", 6),
            Self::Rfc3339Nano => ("%Y-%m-%dT%H:%M:%S", 9),
        };
        let mut text = time.to_zoned(TimeZone::UTC).strftime(layout).to_string();
        if digits > 0 {
            let fraction = format!("{:09}", time.subsec_nanosecond());
            let fraction = fraction[..digits].trim_end_matches('0');
            if !fraction.is_empty() {
                text.push('.');
                text += fraction;
            }
            text.push('Z');
        }
        text
    }
}

/// Those of the years 1 to 9999, as protobuf has it.
fn valid(time: &prost_types::Timestamp) -> Option<Timestamp> {
    const FIRST_SECOND: i64 = -62_135_596_800;
    if time.seconds < FIRST_SECOND || !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A point in time: a duration before `now`, or one of the layouts.
pub(crate) fn point(text: &str, now: Timestamp) -> Result<prost_types::Timestamp, TimeError> {
    let error = || TimeError(text.into());
    let time = match signed_nanos(text) {
        Some(nanos) => now.as_nanosecond().checked_sub(nanos).and_then(|nanos| {
            let nanos = Timestamp::from_nanosecond(nanos);
            nanos.ok()
        }),
        None => absolute(text),
    };
    let time = time.ok_or_else(error)?;
    let nanos = time.as_nanosecond();
    Ok(prost_types::Timestamp {
        seconds: nanos.div_euclid(1_000_000_000) as i64,
        nanos: nanos.rem_euclid(1_000_000_000) as i32,
    })
}

/// As `point`, before the time of the call, for clap.
pub(crate) fn moment(text: &str) -> Result<prost_types::Timestamp, String> {
    point(text, Timestamp::now()).map_err(|error| error.to_string())
}

fn absolute(text: &str) -> Option<Timestamp> {
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    // `%:z` does not know the letter.
    let numeric = match text.strip_suffix('Z') {
        Some(rest) => format!("{rest}+00:00"),
        None => text.into(),
    };
    [
        "%Y-%m-%dT%H%:z",
        "%Y-%m-%dT%H:%M%:z",
        "%Y-%m-%dT%H:%M:%S%.f%:z",
        "%a, %d %b %Y %H:%M:%S %z",
    ]
    .iter()
    .find_map(|layout| strtime::parse(layout, &numeric).ok()?.to_timestamp().ok())
}

/// A duration that is not negative, for clap.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    signed_nanos(text)
        .and_then(|nanos| u64::try_from(nanos).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| "not a duration such as 500ms, 10s or 1h30m".into())
}

/// Go's durations in nanoseconds: numbers with units, such as `1h43m` or `-1.5s`.
fn signed_nanos(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = total.checked_add(nanos(number, unit)?)?;
        rest = after;
    }
    (total <= i128::from(i64::MAX)).then_some(sign * total)
}

fn nanos(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = match whole {
        "" => 0,
        digits => digits.parse::<i64>().ok()?,
    };
    let fraction = match fraction {
        "" => 0.0,
        digits => format!("0.{digits}").parse::<f64>().ok()?,
    };
    Some(i128::from(whole) * unit + (fraction * unit as f64) as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64, nanos: i32) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos }
    }

    #[test]
    fn times_are_printed_as_go_prints_the_layout() {
        let moment = time(1_136_214_245, 120_456_000);
        for (format, text) in [
            (Format::StampMilli, "Jan  2 15:04:05.120"),
            (Format::YearMonthDay, "2006-01-02"),
            (Format::YearMonthDayHour, "2006-01-02T15Z"),
            (Format::YearMonthDayHourMinute, "2006-01-02T15:04Z"),
            (Format::Rfc3339, "2006-01-02T15:04:05Z"),
            (Format::Rfc3339Milli, "2006-01-02T15:04:05.12Z"),
            (Format::Rfc3339Micro, "2006-01-02T15:04:05.120456Z"),
            (Format::Rfc3339Nano, "2006-01-02T15:04:05.120456Z"),
            (Format::Rfc1123Z, "Mon, 02 Jan 2006 15:04:05 +0000"),
        ] {
            assert_eq!(format.print(Some(&moment)), text, "{format:?}");
        }
        assert_eq!(
            Format::Rfc3339Milli.print(Some(&time(0, 0))),
            "1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn no_time_and_a_time_out_of_range_print_as_not_available() {
        assert_eq!(Format::StampMilli.print(None), "N/A");
        for wrong in [
            time(i64::MAX, 0),
            time(0, -1),
            time(0, 1_000_000_000),
            time(-62_135_596_801, 0),
        ] {
            assert_eq!(Format::StampMilli.print(Some(&wrong)), "N/A", "{wrong:?}");
        }
    }

    #[test]
    fn points_in_time_are_relative_or_one_of_the_layouts() {
        let now = Timestamp::new(1_000_000, 500_000_000).unwrap();
        for (text, expect) in [
            ("3s", time(999_997, 500_000_000)),
            ("1h43m", time(1_000_000 - 6_180, 500_000_000)),
            ("1.5s", time(999_999, 0)),
            ("-1s", time(1_000_001, 500_000_000)),
            ("0", time(1_000_000, 500_000_000)),
            ("2006-01-02", time(1_136_160_000, 0)),
            ("2006-01-02T15Z", time(1_136_214_000, 0)),
            ("2006-01-02T15-07:00", time(1_136_239_200, 0)),
            ("2006-01-02T15:04+00:00", time(1_136_214_240, 0)),
            ("2006-01-02T15:04:05Z", time(1_136_214_245, 0)),
            ("2006-01-02T15:04:05.25Z", time(1_136_214_245, 250_000_000)),
            ("Mon, 02 Jan 2006 15:04:05 -0700", time(1_136_239_445, 0)),
        ] {
            assert_eq!(point(text, now).unwrap(), expect, "{text}");
        }
        for wrong in [
            "",
            "x",
            "3",
            "3 s",
            "1h-3m",
            "2006-13-02",
            "Jan  2 15:04:05.000",
            "1.2.3s",
        ] {
            assert!(point(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_for_settings_are_not_negative() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("-1s").is_err());
        assert!(duration("5").is_err());
    }
}
