//! The value of one key of the file, and its conversion. Each conversion gives
//! `None` for a key that is not there and for a mistake, which it reports.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use toml::{Spanned, de::DeValue};

use super::{
    names,
    report::{Once, Report},
    values::{self, Parsed},
};

/// What a string in the file looks like.
const STRING: &str = "a string, in quotes";

/// A value and the place where it is.
type Value<'a> = &'a Spanned<DeValue<'a>>;

/// A key that may be set.
pub(super) struct Item<'a> {
    report: &'a Report<'a>,
    /// The key with its section.
    key: String,
    value: Option<Value<'a>>,
}

impl<'a> Item<'a> {
    pub(super) fn new(report: &'a Report<'a>, key: String, value: Option<Value<'a>>) -> Self {
        Self { report, key, value }
    }

    /// What is in the file.
    pub(super) fn value(&self) -> Option<Value<'a>> {
        self.value
    }

    /// Where it is, if it is there.
    pub(super) fn offset(&self) -> Option<usize> {
        self.value.map(|value| value.span().start)
    }

    /// Not there, or a list of nothing.
    pub(super) fn is_empty(&self) -> bool {
        match self.value.map(Spanned::get_ref) {
            None => true,
            Some(DeValue::Array(values)) => values.is_empty(),
            Some(_) => false,
        }
    }

    /// A string.
    pub(super) fn text<T>(&self, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        self.one(self.value?, STRING, &parse)
    }

    /// A string that says how long.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let parse = |text: &str| values::duration(text, &range);
        self.one(
            self.value?,
            "a duration in quotes, such as `\"5s\"`",
            &parse,
        )
    }

    /// `true` or `false`.
    pub(super) fn switch(&self) -> Option<bool> {
        let value = self.value?;
        match value.get_ref() {
            DeValue::Boolean(on) => Some(*on),
            other => self.mismatch(value, other, "`true` or `false`, without quotes"),
        }
    }

    /// A whole number.
    pub(super) fn number<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.whole(self.value?, &range)
    }

    /// A list of whole numbers.
    pub(super) fn numbers<T>(&self, range: RangeInclusive<T>, most: usize) -> Option<Vec<T>>
    where
        T: FromStr + PartialOrd + Display,
    {
        let value = self.value?;
        let DeValue::Array(values) = value.get_ref() else {
            return self.mismatch(value, value.get_ref(), "a list of whole numbers: `[22]`");
        };
        if values.len() > most {
            let message = format!("{}: has {} numbers; {most} at most", self.key, values.len());
            self.report.add(value.span().start, message);
            return None;
        }
        let whole = values.iter().map(|value| self.whole(value, &range));
        Some(whole.flatten().collect())
    }

    /// A list of numbers that may have fractions.
    pub(super) fn fractions(&self, most: usize) -> Option<Vec<f64>> {
        let wanted = "a list of numbers: `[0.5, 1, 2.5]`";
        let value = self.value?;
        let DeValue::Array(values) = value.get_ref() else {
            return self.mismatch(value, value.get_ref(), wanted);
        };
        if values.is_empty() || values.len() > most {
            let message = format!(
                "{}: has {} numbers; give 1 to {most}",
                self.key,
                values.len()
            );
            self.report.add(value.span().start, message);
            return None;
        }
        let one = |value: Value<'a>| {
            let number = match value.get_ref() {
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .map(|whole| whole as f64),
                DeValue::Float(number) => number.as_str().parse().ok(),
                other => return self.mismatch(value, other, wanted),
            };
            let number = number.filter(|number: &f64| number.is_finite());
            let number = number.ok_or_else(|| "does not fit; give a finite number".to_owned());
            self.report.keep(value.span().start, &self.key, number)
        };
        Some(values.iter().filter_map(one).collect())
    }

    /// A table of strings, each of its keys with what is parsed of key and string.
    pub(super) fn named<T>(
        &self,
        most: usize,
        parse: impl Fn(&str, &str) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        let value = self.value?;
        let DeValue::Table(table) = value.get_ref() else {
            let wanted = "a table of strings: `{ name = \"...\" }`";
            return self.mismatch(value, value.get_ref(), wanted);
        };
        if table.len() > most {
            let message = format!("{}: has {} keys; {most} at most", self.key, table.len());
            self.report.add(value.span().start, message);
            return None;
        }
        let one = |key: &str, value| self.one(value, STRING, &|text: &str| parse(key, text));
        let each = table.iter();
        Some(
            each.filter_map(|(key, value)| one(key.get_ref(), value))
                .collect(),
        )
    }

    fn whole<T>(&self, value: Value<'a>, range: &RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        let parsed = match value.get_ref() {
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix())
            {
                Ok(plain) => values::number(&plain.to_string(), range),
                Err(_) => values::number(number.as_str(), range),
            },
            other => return self.mismatch(value, other, "a whole number, without quotes"),
        };
        self.report.keep(value.span().start, &self.key, parsed)
    }

    /// A list of strings.
    pub(super) fn texts<T>(&self, parse: impl Fn(&str) -> Parsed<T>) -> Option<Vec<T>> {
        let places = self.places(parse)?;
        Some(places.into_iter().map(|(value, _)| value).collect())
    }

    /// A list of strings, with their places.
    pub(super) fn places<T>(&self, parse: impl Fn(&str) -> Parsed<T>) -> Option<Vec<(T, usize)>> {
        let value = self.value?;
        let DeValue::Array(values) = value.get_ref() else {
            return self.mismatch(value, value.get_ref(), "a list of strings: `[\"...\"]`");
        };
        let place = |value: Value<'a>| Some((self.one(value, STRING, &parse)?, value.span().start));
        Some(values.iter().filter_map(place).collect())
    }

    /// Labels: a list of `key=value`, or a table; each key once.
    pub(super) fn labels(&self, parse: impl Fn(&str) -> Parsed<String>) -> Option<Vec<String>> {
        let value = self.value?;
        let labels = match value.get_ref() {
            DeValue::Table(table) => table
                .iter()
                .filter_map(|(key, value)| {
                    let parse = |text: &str| parse(&format!("{}={text}", key.get_ref()));
                    Some((self.one(value, STRING, &parse)?, key.span().start))
                })
                .collect(),
            DeValue::Array(_) => self.places(parse)?,
            other => {
                let wanted = "labels: `[\"key=value\"]` or `{ key = \"value\" }`";
                return self.mismatch(value, other, wanted);
            }
        };
        let mut once = Once::new(self.report);
        for (label, offset) in &labels {
            let key = names::label_key(label);
            once.see(format!("{}: label `{key}`", self.key), *offset);
        }
        Some(labels.into_iter().map(|(label, _)| label).collect())
    }

    fn one<T>(
        &self,
        value: Value<'a>,
        wanted: &str,
        parse: &impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        match value.get_ref() {
            DeValue::String(text) => {
                let parsed = parse(text);
                self.report.keep(value.span().start, &self.key, parsed)
            }
            other => self.mismatch(value, other, wanted),
        }
    }

    fn mismatch<T>(&self, value: Value<'a>, is: &DeValue<'a>, wanted: &str) -> Option<T> {
        let message = format!("{}: is {}; write {wanted}", self.key, kind(is));
        self.report.add(value.span().start, message);
        None
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table (put keys with dots in quotes)",
    }
}
