//! The checks of one filter, gathered field by field.
//!
//! All checks of a filter must agree and none has an effect, so they run
//! cheapest first, whatever the order in which they were compiled.

use super::{
    Side,
    budget::Budget,
    memo::{Memo, Share},
    meter::Meter,
};
use crate::flow::{Endpoint, Flow, Names, Origin, sketch::Forbidden};

/// Decides on a flow; what may take long takes steps.
pub(super) type Check = Box<dyn FnMut(&Flow, &Meter) -> bool + Send + Sync>;

/// Decides on an interned value.
type Test<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;

/// Checks by what they cost.
pub(super) struct Checks<'a> {
    /// What the checks cannot all agree on.
    pub(super) forbidden: Forbidden,
    /// What compiling may still take.
    pub(super) budget: &'a mut Budget,
    plain: Vec<Check>,
    source: Vec<Test<Endpoint>>,
    destination: Vec<Test<Endpoint>>,
    origin: Vec<Test<Origin>>,
    names: Vec<Check>,
    costly: Vec<Check>,
}

impl<'a> Checks<'a> {
    /// None yet.
    pub(super) fn new(budget: &'a mut Budget) -> Self {
        Self {
            forbidden: Forbidden::default(),
            budget,
            plain: Vec::new(),
            source: Vec::new(),
            destination: Vec::new(),
            origin: Vec::new(),
            names: Vec::new(),
            costly: Vec::new(),
        }
    }

    /// Adds a check of some fields.
    pub(super) fn plain(&mut self, mut check: impl FnMut(&Flow) -> bool + Send + Sync + 'static) {
        self.plain.push(Box::new(move |flow, _| check(flow)));
    }

    /// Adds a check that may take long, and runs last.
    pub(super) fn costly(
        &mut self,
        check: impl FnMut(&Flow, &Meter) -> bool + Send + Sync + 'static,
    ) {
        self.costly.push(Box::new(check));
    }

    /// Whether a check may take long.
    pub(super) fn are_costly(&self) -> bool {
        !self.costly.is_empty()
    }

    /// Adds a test of an endpoint. A missing endpoint is tested as an empty one.
    pub(super) fn endpoint(
        &mut self,
        side: Side,
        test: impl Fn(&Endpoint) -> bool + Send + Sync + 'static,
    ) {
        match side {
            Side::Source => self.source.push(Box::new(test)),
            Side::Destination => self.destination.push(Box::new(test)),
        }
    }

    /// Adds a test of the node.
    pub(super) fn origin(&mut self, test: impl Fn(&Origin) -> bool + Send + Sync + 'static) {
        self.origin.push(Box::new(test));
    }

    /// Adds a test of DNS names; a side without any fails it.
    pub(super) fn names(
        &mut self,
        side: Side,
        test: impl Fn(&Names, &Meter) -> bool + Send + Sync + 'static,
    ) {
        match side {
            Side::Source => self.forbidden.only_named_sources(),
            Side::Destination => self.forbidden.only_named_destinations(),
        }
        let mut memo = Memo::new(self.budget.verdicts, &self.budget.share);
        self.names.push(Box::new(move |flow, meter| {
            side.names(flow)
                .is_some_and(|names| memo.verdict(names, |names| test(names, meter)))
        }));
    }

    /// All checks, the cheapest first.
    pub(super) fn finish(self) -> Vec<Check> {
        let room = (self.budget.verdicts, &self.budget.share);
        let mut checks = self.plain;
        checks.extend(on_endpoint(Side::Source, self.source, room));
        checks.extend(on_endpoint(Side::Destination, self.destination, room));
        checks.extend(on_origin(self.origin, room));
        checks.extend(self.names);
        checks.extend(self.costly);
        checks
    }
}

fn on_endpoint(
    side: Side,
    tests: Vec<Test<Endpoint>>,
    (room, share): (usize, &Share),
) -> Option<Check> {
    let judge = all_of(tests)?;
    let missing = judge(&Endpoint::default());
    let mut memo = Memo::new(room, share);
    Some(Box::new(move |flow, _| match side.endpoint(flow) {
        Some(endpoint) => memo.verdict(endpoint, &judge),
        None => missing,
    }))
}

fn on_origin(tests: Vec<Test<Origin>>, (room, share): (usize, &Share)) -> Option<Check> {
    let judge = all_of(tests)?;
    let mut memo = Memo::new(room, share);
    Some(Box::new(move |flow, _| memo.verdict(&flow.origin, &judge)))
}

/// One test that passes what all pass; nothing if there are none.
fn all_of<T: 'static>(tests: Vec<Test<T>>) -> Option<Test<T>> {
    if tests.is_empty() {
        return None;
    }
    Some(Box::new(move |value| tests.iter().all(|test| test(value))))
}
