//! Label selectors: the Kubernetes grammar, with Cilium's label sources.
//!
//! A selector is translated first (`k8s:app` becomes `k8s.app`, `app` becomes
//! `any.app`), then parsed and checked as Kubernetes does, so that error texts
//! agree. Labels are judged by `source:key=value`; where several have the same
//! key, the first one counts. Differs from upstream: labels are sorted by key
//! stably at any number, upstream beyond twelve in no documented order.

mod cilium;
mod lexer;
mod parser;
mod validate;

use sextant_proto::flow as pb;

use super::{Checks, FilterError, Side};
use cilium::{Key, Label};
use parser::{Operator, Requirement};

pub use parser::LabelError;

/// Requirements that must all hold; none hold for everything.
#[derive(Debug)]
struct Selector(Vec<Test>);

/// A compiled requirement.
#[derive(Debug)]
struct Test {
    key: Key,
    condition: Condition,
}

/// What a label must be.
#[derive(Debug)]
enum Condition {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Selector {
    fn compile(text: &str) -> Result<Self, LabelError> {
        let requirements = parser::parse(&cilium::translate(text))?;
        Ok(Self(requirements.into_iter().map(Test::new).collect()))
    }

    fn matches(&self, labels: &[Label]) -> bool {
        self.0.iter().all(|test| test.matches(labels))
    }
}

impl Test {
    fn new(requirement: Requirement) -> Self {
        let Requirement {
            key,
            operator,
            values,
        } = requirement;
        // The parser has checked that this is an integer.
        let number = values.first().and_then(|value| parse_int(value));
        Self {
            key: Key::parse(&key),
            condition: match operator {
                Operator::Exists => Condition::Exists,
                Operator::DoesNotExist => Condition::Absent,
                Operator::Equals | Operator::In => Condition::In(values),
                Operator::NotEquals | Operator::NotIn => Condition::NotIn(values),
                Operator::GreaterThan => Condition::Greater(number.unwrap_or(i64::MAX)),
                Operator::LessThan => Condition::Less(number.unwrap_or(i64::MIN)),
            },
        }
    }

    fn matches(&self, labels: &[Label]) -> bool {
        let label = self.key.find(labels);
        let value = label.map(|label| label.value);
        match &self.condition {
            Condition::Exists => value.is_some(),
            Condition::Absent => value.is_none(),
            Condition::In(wanted) => value.is_some_and(|v| wanted.iter().any(|w| w == v)),
            Condition::NotIn(other) => value.is_none_or(|v| other.iter().all(|o| o != v)),
            Condition::Greater(bound) => value.and_then(parse_int).is_some_and(|n| n > *bound),
            Condition::Less(bound) => value.and_then(parse_int).is_some_and(|n| n < *bound),
        }
    }
}

/// Go's `strconv.ParseInt(text, 10, 64)`, which reads as Rust does.
fn parse_int(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Selectors of which one must hold.
struct Selectors(Vec<Selector>);

impl Selectors {
    fn compile(texts: &[String]) -> Result<Self, LabelError> {
        let selectors: Result<_, _> = texts.iter().map(|text| Selector::compile(text)).collect();
        selectors.map(Self)
    }

    fn matches(&self, labels: &[String]) -> bool {
        let labels = cilium::parse_labels(labels);
        self.0.iter().any(|selector| selector.matches(&labels))
    }
}

/// Compiles `source_label`, `destination_label` and `node_labels`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    for (side, field, texts) in [
        (Side::Source, "source_label", &filter.source_label),
        (
            Side::Destination,
            "destination_label",
            &filter.destination_label,
        ),
    ] {
        if !texts.is_empty() {
            checks.budget.texts(field, texts)?;
            let selectors =
                Selectors::compile(texts).map_err(|reason| FilterError::Label { side, reason })?;
            checks.endpoint(side, move |endpoint| selectors.matches(&endpoint.labels));
        }
    }
    if !filter.node_labels.is_empty() {
        checks.budget.texts("node_labels", &filter.node_labels)?;
        let selectors = Selectors::compile(&filter.node_labels).map_err(FilterError::NodeLabel)?;
        checks.origin(move |origin| selectors.matches(&origin.node_labels));
    }
    Ok(())
}
