//! Moments and durations, as Go's `time` reads, writes and counts them. All in
//! UTC, at a fixed offset, or in a named time zone of the system's database.

use std::fmt::Write as _;

use super::{
    declare::Function,
    value::{Failure, Instant, Outcome, Value},
};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// First and last second of the years 1 and 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// The moment, if it lies in the years 1 to 9999.
pub(super) fn checked(at: Instant) -> Result<Instant, Failure> {
    let inside = (FIRST..=LAST).contains(&at.seconds);
    inside.then_some(at).ok_or(Failure)
}

/// The moment some nanoseconds later.
pub(super) fn shift<'a>(at: Instant, by: i128) -> Outcome<'a> {
    let nanos = nanos_of(at) + by;
    let seconds = i64::try_from(nanos.div_euclid(SECOND.into())).map_err(|_| Failure)?;
    let nanos = nanos.rem_euclid(SECOND.into()) as i64;
    checked(Instant { seconds, nanos }).map(Value::Timestamp)
}

/// From the second moment to the first.
pub(super) fn difference<'a>(a: Instant, b: Instant) -> Outcome<'a> {
    let nanos = i64::try_from(nanos_of(a) - nanos_of(b)).map_err(|_| Failure)?;
    Ok(Value::Duration(nanos))
}

fn nanos_of(at: Instant) -> i128 {
    i128::from(at.seconds) * i128::from(SECOND) + i128::from(at.nanos)
}

/// A part of a moment or a duration, for the functions that begin with `get`.
pub(super) fn part<'a>(function: Function, of: &Value, zone: Option<&Value>) -> Outcome<'a> {
    let part = match (of, zone) {
        (Value::Duration(nanos), None) => of_duration(function, *nanos)?,
        (Value::Timestamp(at), None) => of_instant(function, *at)?,
        (Value::Timestamp(at), Some(Value::String(zone))) => {
            let seconds = at.seconds.checked_add(offset(zone, *at).ok_or(Failure)?);
            let seconds = seconds.ok_or(Failure)?;
            of_instant(function, Instant { seconds, ..*at })?
        }
        _ => return Err(Failure),
    };
    Ok(Value::Int(part))
}

fn of_duration(function: Function, nanos: i64) -> Result<i64, Failure> {
    match function {
        Function::Hours => Ok(nanos / (3_600 * SECOND)),
        Function::Minutes => Ok(nanos / (60 * SECOND)),
        Function::Seconds => Ok(nanos / SECOND),
        Function::Milliseconds => Ok(nanos / 1_000_000),
        _ => Err(Failure),
    }
}

fn of_instant(function: Function, at: Instant) -> Result<i64, Failure> {
    let (year, month, day) = date(at.seconds.div_euclid(DAY));
    let second = at.seconds.rem_euclid(DAY);
    Ok(match function {
        Function::FullYear => year,
        Function::Month => month - 1,
        Function::DayOfMonth => day - 1,
        Function::Date => day,
        Function::DayOfYear => at.seconds.div_euclid(DAY) - days(year, 1, 1),
        // The epoch was a Thursday.
        Function::DayOfWeek => (at.seconds.div_euclid(DAY) + 4).rem_euclid(7),
        Function::Hours => second / 3_600,
        Function::Minutes => second / 60 % 60,
        Function::Seconds => second % 60,
        Function::Milliseconds => at.nanos / 1_000_000,
        _ => return Err(Failure),
    })
}

/// Seconds east of UTC: `UTC`, nothing, hours and minutes with a sign, or a
/// name of the IANA database, whose offset depends on the moment.
fn offset(zone: &str, at: Instant) -> Option<i64> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        return match zone {
            "" | "UTC" => Some(0),
            name => named(name, at),
        };
    };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minutes = if zone.starts_with('-') {
        -minutes
    } else {
        minutes
    };
    hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)
}

fn named(zone: &str, at: Instant) -> Option<i64> {
    let zone = jiff::tz::TimeZone::get(zone).ok()?;
    let at = jiff::Timestamp::from_second(at.seconds).ok()?;
    Some(i64::from(zone.to_offset(at).seconds()))
}

/// Year, month and day of a day since the epoch (proleptic Gregorian).
fn date(day: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is the last one.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days from the epoch to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// RFC 3339 with a fraction of any length.
pub(super) fn instant_text(at: Instant) -> String {
    let (year, month, day) = date(at.seconds.div_euclid(DAY));
    let second = at.seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if at.nanos != 0 {
        let fraction = format!("{:09}", at.nanos);
        write!(out, ".{}", fraction.trim_end_matches('0')).expect("cannot fail on a string");
    }
    out.push('Z');
    out
}

/// Reads RFC 3339.
pub(super) fn parse_instant(text: &str) -> Option<Instant> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-');
    let year = digits(date.next()?, 4)?;
    let month = digits(date.next()?, 2)?;
    let day = digits(date.next()?, 2)?;
    if date.next().is_some() || !(1..=12).contains(&month) || !is_day(year, month, day) {
        return None;
    }
    let (clock, zone) = time.split_at(time.find(['Z', '+', '-'])?);
    let (clock, nanos) = match clock.find(['.', ',']) {
        Some(at) => (&clock[..at], fraction(&clock[at + 1..])?),
        None => (clock, 0),
    };
    let mut clock = clock.split(':');
    let hour = digits(clock.next()?, 2)?;
    let minute = digits(clock.next()?, 2)?;
    let second = digits(clock.next()?, 2)?;
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days(year, month, day) * DAY + hour * 3_600 + minute * 60 + second;
    checked(Instant {
        seconds: seconds - parse_zone(zone)?,
        nanos,
    })
    .ok()
}

fn is_day(year: i64, month: i64, day: i64) -> bool {
    let (next_year, next_month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    let len = days(next_year, next_month, 1) - days(year, month, 1);
    (1..=len).contains(&day)
}

fn parse_zone(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 24 && minutes <= 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn digits(text: &str, len: usize) -> Option<i64> {
    let valid = text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten()
}

/// Digits behind the point as nanoseconds; further ones are cut.
fn fraction(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nine: String = text.chars().chain("000000000".chars()).take(9).collect();
    nine.parse().ok()
}

/// Seconds with a fraction and an `s`.
pub(super) fn duration_text(nanos: i64) -> String {
    let seconds = (nanos / SECOND) as f64 + (nanos % SECOND) as f64 / 1e9;
    format!("{seconds}s")
}

/// Reads Go's durations: `1h30m`, `-1.5s`, `100ms`.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, after) = parse_term(rest)?;
        total = total.checked_add(nanos).filter(|total| *total <= 1 << 63)?;
        rest = after;
    }
    if negative {
        return i64::try_from(-i128::from(total)).ok();
    }
    i64::try_from(total).ok()
}

/// A number with a unit.
fn parse_term(text: &str) -> Option<(u64, &str)> {
    let split = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(split(text));
    let (decimals, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(split(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    let is_unit = |c: char| c != '.' && !c.is_ascii_digit();
    let (unit, rest) = rest.split_at(rest.find(|c| !is_unit(c)).unwrap_or(rest.len()));
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanos = whole.checked_mul(unit)?;
    if !decimals.is_empty() {
        // As in Go, digits beyond what fits are ignored.
        let decimals = &decimals[..decimals.len().min(18)];
        let scale = 10_f64.powi(decimals.len() as i32);
        let value: f64 = decimals.parse().ok()?;
        nanos = nanos.checked_add((value * (unit as f64 / scale)) as u64)?;
    }
    Some((nanos, rest))
}
