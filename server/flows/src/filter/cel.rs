//! Filtering by expressions of the Common Expression Language.
//!
//! An expression is parsed by the grammar that cel-go has, checked against the
//! message `flow.Flow` as cel-go does, and turned into a tree that is evaluated
//! on the compact flow. The variable is `_flow`; names are looked up in the
//! package `flow` first, so `Verdict.FORWARDED` is a number. The result must be
//! a bool. Where evaluation fails the whole field does not match, and later
//! expressions are not tried. Where it takes too many steps, nothing is said of
//! the flow: the request ends.
//!
//! Bound: 1,500 words and signs and 32 loops in a request; what evaluation takes
//! is counted before it is done (turns of loops by what is in them, bytes and
//! elements that are made or compared), and makes about 4 MB at most.
//!
//! # Differences from cel-go
//!
//! - Time zones by name are those of the system's database, cel-go may have its own.
//! - `Flow.extensions` can hold well-known types and messages of the package
//!   `flow`; evaluation fails for others, which cel-go may have linked in.
//! - Of the well-known types only wrappers, `Timestamp` and `Duration` can be
//!   constructed with fields; others are `undefined field` mistakes.
//! - The limit of 250 levels is counted on the tree, cel-go counts grammar
//!   rules; an expression with more than 5,000 operators is refused likewise.
//! - After `existsOne`, which is no macro, cel-go reports further mistakes.
//! - Syntax mistakes far beyond repair may be worded differently.

mod assign;
mod check;
mod convert;
mod declare;
mod dynamic;
mod equality;
mod eval;
mod function;
mod issue;
mod making;
mod message;
mod parse;
mod plan;
pub(super) mod schema;
mod time;
mod tokens;
mod types;
mod value;

#[cfg(test)]
mod tests;

use sextant_proto::flow as pb;

use super::{
    Checks, FilterError,
    budget::{Budget, CEL_FIELD},
    meter::{Meter, Spent},
    text::quote,
};
use crate::flow::Flow;
use plan::Node;
use tokens::count;
use types::Type;

/// Compiles `experimental.cel_expression`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    let Some(experimental) = &filter.experimental else {
        return Ok(());
    };
    if experimental.cel_expression.is_empty() {
        return Ok(());
    }
    let sources = experimental.cel_expression.as_slice();
    let budget = &mut *checks.budget;
    for (index, source) in sources.iter().enumerate() {
        budget.expression(index, source, count)?;
    }
    let compile = || {
        let each = sources.iter().enumerate();
        each.map(|(index, source)| Expression::compile(source, index, budget))
            .collect()
    };
    let compiled: Option<Result<Vec<_>, _>> = parse::with_stack(compile);
    let unparsed = || Err(FilterError::Cel("expression cannot be parsed".into()));
    let expressions = compiled.unwrap_or_else(unparsed)?;
    checks.costly(move |flow, meter| some_is_true(&expressions, flow, meter));
    Ok(())
}

/// The first expression that is true or fails decides.
fn some_is_true(expressions: &[Expression], flow: &Flow, meter: &Meter) -> bool {
    for expression in expressions {
        match expression.is_true(flow, meter) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(_) => return false,
        }
    }
    false
}

/// A checked expression of type bool.
#[derive(Debug)]
struct Expression {
    plan: Node,
    /// Steps that it takes at least.
    steps: usize,
    /// Where it stands in the request.
    path: String,
}

impl Expression {
    /// Parses and checks; the mistakes are in cel-go's words.
    fn compile(source: &str, index: usize, budget: &mut Budget) -> Result<Self, FilterError> {
        let report = |issues| FilterError::Cel(issue::report(source, issues));
        let parsed = parse::parse(source).map_err(report)?;
        let plan = check::check(&parsed, index, budget)?.map_err(report)?;
        if plan.ty != Type::Bool {
            let found = quote(&types::declared_name(&plan.ty));
            return Err(FilterError::Cel(format!(
                "got {found}, wanted \"bool\" result type"
            )));
        }
        match plan.obstacle {
            Some(obstacle) => Err(FilterError::CelProgram(obstacle)),
            None => Ok(Self {
                steps: plan.node.size(),
                path: budget.path(CEL_FIELD, index),
                plan: plan.node,
            }),
        }
    }

    fn is_true(&self, flow: &Flow, meter: &Meter) -> Result<bool, value::Failure> {
        let truth = match meter.spend(self.steps) {
            Ok(()) => eval::is_true(&self.plan, flow, meter),
            Err(Spent) => Err(value::Failure),
        };
        if meter.is_over() {
            meter.blame(&self.path);
        }
        truth
    }
}
