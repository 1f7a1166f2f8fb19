//! Text of a server made fit for a terminal, numbers made fit for people, and
//! columns.

use std::time::Duration;

use sextant_flows::printable::printable;

/// What a server or a file says must not steer the terminal, nor pass for a line of ours.
pub(crate) fn harmless(text: &str) -> String {
    printable(text).into_owned()
}

/// The same for texts that may have several lines.
pub(crate) use sextant_flows::printable::printable_lines as harmless_lines;

/// The name of an enumeration's value, or its number where there is none.
pub(crate) fn value_name<E: TryFrom<i32>>(number: i32, name: fn(&E) -> &'static str) -> String {
    E::try_from(number).map_or_else(|_| number.to_string(), |value| name(&value).to_owned())
}

/// Digits in groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in at most six characters with a prefix of 1000: `12.3k`.
pub(crate) fn short(number: f64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T", "P", "E"])
}

/// Bytes in at most nine characters with a prefix of 1024: `12.3 KiB`.
pub(crate) fn bytes(number: f64) -> String {
    let units = [" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"];
    scaled(number, 1024.0, &units)
}

fn scaled(mut number: f64, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number.abs() >= base && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    let text = match number {
        whole if whole.fract() == 0.0 && (unit == 0 || whole >= 100.0) => format!("{whole:.0}"),
        large if large >= 100.0 => format!("{large:.0}"),
        small => format!("{small:.1}"),
    };
    text + units[unit]
}

/// A share as a percentage: `1.25 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A duration with its two largest units: `2d3h`, `4m5s`, `1.25s`, `3ms`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes, seconds) {
        (1.., ..) => format!("{days}d{hours}h"),
        (0, 1.., ..) => format!("{hours}h{minutes}m"),
        (0, 0, 1.., _) => format!("{minutes}m{rest}s"),
        (.., 1..) => format!("{:.2}s", duration.as_secs_f64()),
        _ if duration.as_millis() > 0 => format!("{}ms", duration.as_millis()),
        _ if duration.is_zero() => "0s".into(),
        _ => format!("{}us", duration.as_micros()),
    }
}

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a head, in columns that are as wide as their widest cell, three
/// spaces apart. The last column is not padded.
pub(crate) fn table(rows: &[Vec<String>], aligns: &[Align]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            match aligns.get(column).unwrap_or(&Align::Left) {
                Align::Right => line = line + &padding + cell,
                Align::Left if column + 1 == row.len() => line += cell,
                Align::Left => line = line + cell + &padding,
            }
            if column + 1 < row.len() {
                line += "   ";
            }
        }
        text += &line;
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn amounts_are_scaled_to_few_characters() {
        for (number, text) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (999.0, "999"),
            (1_500.0, "1.5k"),
            (123_456.0, "123k"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(1024.0 * 1024.0 * 512.0), "512 MiB");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        for (millis, text) in [
            (0, "0s"),
            (3, "3ms"),
            (1_250, "1.25s"),
            (61_000, "1m1s"),
            (3_660_000, "1h1m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn tables_align_and_leave_no_blanks_at_the_end() {
        let rows = [["A", "N", "Z"], ["long", "1", "z"]].map(|row| row.map(String::from).to_vec());
        let text = table(&rows, &[Align::Left, Align::Right, Align::Left]);
        assert_eq!(text, "A      N   Z\nlong   1   z\n");
    }
}
