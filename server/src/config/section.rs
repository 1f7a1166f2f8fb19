//! A table of the file whose keys are asked for one by one. What nobody asked
//! for is unknown, so there is no list of keys that could be out of date.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{example, item::Item, report::Report};

/// From this likeness on, a known key is offered for an unknown one.
const ALIKE: f64 = 0.8;

/// One table.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    /// Its name, empty at the top.
    name: String,
    /// Where it starts.
    offset: usize,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(super) fn top(report: &'a Report<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(report, String::new(), table.span().start, table.get_ref())
    }

    fn new(report: &'a Report<'a>, name: String, offset: usize, table: &'a DeTable<'a>) -> Self {
        Self {
            report,
            name,
            offset,
            table,
            known: Vec::new(),
        }
    }

    /// Where mistakes go.
    pub(super) fn report(&self) -> &'a Report<'a> {
        self.report
    }

    /// Where the section starts.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// What this key is set to, if it is.
    pub(super) fn item(&mut self, key: &'static str) -> Item<'a> {
        self.know(key);
        Item::new(self.report, self.path(key), self.table.get(key))
    }

    /// The same, and a mistake if it is not.
    pub(super) fn required(&mut self, key: &'static str) -> Item<'a> {
        if !self.table.contains_key(key) {
            self.wrong(format!("has no `{key}`; add `{key} = ...`"));
        }
        self.item(key)
    }

    /// A section below this one, if it is there.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.item(key).value()?;
        let name = self.path(key);
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(self.report, name, value.span().start, table)),
            _ => {
                let message = format!("{name}: must be one section; write `[{name}]`");
                self.report.add(value.span().start, message);
                None
            }
        }
    }

    /// All sections of this name below this one.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let name = self.path(key);
        let wrong = |offset| {
            let message = format!("{name}: must be a list of sections; write `[[{name}]]`");
            self.report.add(offset, message);
        };
        let values = match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => &[][..],
            Some((_, DeValue::Array(values))) => values,
            Some((value, _)) => {
                wrong(value.span().start);
                &[]
            }
        };
        let mut sections = Vec::new();
        for value in values {
            match value.get_ref() {
                DeValue::Table(table) => sections.push(Self::new(
                    self.report,
                    name.clone(),
                    value.span().start,
                    table,
                )),
                _ => wrong(value.span().start),
            }
        }
        self.know(key);
        sections
    }

    /// Adds a mistake about the section as a whole.
    pub(super) fn wrong(&self, message: String) {
        let name = &self.name;
        self.report.add(self.offset, format!("{name} {message}"));
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                self.report
                    .add(key.span().start, self.unknown(key.get_ref()));
            }
        }
    }

    fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    fn unknown(&self, key: &str) -> String {
        let at = if self.name.is_empty() {
            "outside of the sections".to_owned()
        } else {
            format!("in [{}]", self.name)
        };
        let remedy = if let Some(known) = self.alike(key) {
            format!("did you mean `{known}`?")
        } else if let Some(home) = example::home_of(key) {
            format!("it belongs {home}")
        } else {
            format!("known here: {}", self.known.join(", "))
        };
        format!("unknown key `{key}` {at}; {remedy}")
    }

    fn alike(&self, key: &str) -> Option<&'static str> {
        let likeness = |known: &str| strsim::jaro_winkler(key, known);
        self.known
            .iter()
            .copied()
            .filter(|known| likeness(known) >= ALIKE)
            .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
    }

    /// The key with its section.
    pub(super) fn path(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }
}
