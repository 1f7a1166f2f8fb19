//! Parsing, by the ANTLR grammar that the crate `cel` shares with cel-go.
//!
//! The parser recurses and is not ours, so it runs on a thread of its own: its
//! stack is large enough for every input of the size that is let in, and a
//! panic in it is a mistake in the expression. Nothing waits but the caller.

use std::thread;

use cel::{
    common::ast::{EntryExpr, Expr, IdedExpr, SourceInfo},
    parser::{ParseError, Parser},
};

use super::issue::{Issue, Place};

/// Code points that an expression may have, as in cel-go.
const MAX_LEN: usize = 100_000;

/// Depth of an expression, as in cel-go.
const MAX_DEPTH: usize = 250;

/// Characters that may nest the tree one level deeper. Beyond that the parser
/// is not tried.
const MAX_OPERATORS: usize = 5_000;

/// Stack of the parser: measured need of the deepest tree, times four.
const STACK: usize = 128 << 20;

/// A parsed expression and the places of its nodes.
pub(super) struct Parsed {
    pub(super) root: IdedExpr,
    info: SourceInfo,
}

impl Parsed {
    /// Where a node is.
    pub(super) fn place(&self, id: u64) -> Place {
        match self.info.offset_for(id) {
            Some((start, _)) => Place::of(&self.info.source, start as usize),
            None => Place::NONE,
        }
    }
}

/// Parses an expression.
pub(super) fn parse(source: &str) -> Result<Parsed, Vec<Issue>> {
    let len = source.chars().count();
    if len > MAX_LEN {
        return Err(whole(format!(
            "expression code point size exceeds limit: size: {len}, limit {MAX_LEN}"
        )));
    }
    let nests = |b: &u8| b".[+-*/%<>=!?".contains(b);
    if source.bytes().filter(|b| nests(b)).count() > MAX_OPERATORS {
        return Err(too_deep());
    }
    let source = source.to_string();
    let parser = thread::Builder::new()
        .name("cel-parser".into())
        .stack_size(STACK)
        .spawn(move || parse_here(source));
    match parser.map(thread::JoinHandle::join) {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(_)) => Err(whole("expression cannot be parsed".into())),
        Err(_) => Err(whole("no memory for parsing".into())),
    }
}

fn whole(text: String) -> Vec<Issue> {
    let place = Place::NONE;
    vec![Issue { place, text }]
}

fn too_deep() -> Vec<Issue> {
    whole(format!("expression recursion limit exceeded: {MAX_DEPTH}"))
}

/// Parses on the present stack.
fn parse_here(source: String) -> Result<Parsed, Vec<Issue>> {
    let parser = Parser::new()
        .max_recursion_depth(MAX_DEPTH as u16)
        .enable_ident_escape_syntax(true);
    match parser.parse_with_source_info(&source) {
        Ok((root, _)) if depth(&root) > MAX_DEPTH => Err(too_deep()),
        Ok((root, info)) => match bad_macro(&root, &info) {
            Some(issue) => Err(vec![issue]),
            None => Ok(Parsed { root, info }),
        },
        Err(errors) => Err(issues(&source, &errors.errors)),
    }
}

/// The crate's errors in cel-go's words. The crate goes on after a syntax
/// error and complains about what is missing from its tree; cel-go does not.
fn issues(source: &str, errors: &[ParseError]) -> Vec<Issue> {
    if errors.iter().any(|error| error.msg == "UNKNOWN") {
        return too_deep();
    }
    let syntax = errors.iter().any(|error| error.msg.starts_with("Syntax error"));
    let follow_up = |error: &&ParseError| {
        syntax && (error.msg.starts_with("Incomplete") || error.msg.starts_with("No `"))
    };
    let issues = errors.iter().filter(|error| !follow_up(error));
    issues
        .map(|error| Issue {
            place: Place {
                line: error.pos.0 as i64,
                column: if source.is_empty() { -1 } else { error.pos.1 as i64 - 1 },
            },
            text: narrowed(&error.msg),
        })
        .collect()
}

/// Where an operator could follow, cel-go names only what would end the part;
/// the crate's runtime names the operators as well.
fn narrowed(text: &str) -> String {
    let Some((before, expected)) = text.split_once(" expecting {") else {
        return text.into();
    };
    let expected: Vec<&str> = expected.trim_end_matches('}').split(", ").collect();
    if !expected.contains(&"'%'") {
        return text.into();
    }
    let ends = ["<EOF>", "')'", "']'", "':'", "'}'"];
    match ends.iter().find(|end| expected.contains(end)) {
        Some(end) => format!("{before} expecting {end}"),
        None => text.into(),
    }
}

/// Levels of the tree.
fn depth(expr: &IdedExpr) -> usize {
    let deepest = |exprs: &[&IdedExpr]| exprs.iter().map(|e| depth(e)).max().unwrap_or(0);
    1 + deepest(&children(expr))
}

/// The parts of an expression.
pub(super) fn children(expr: &IdedExpr) -> Vec<&IdedExpr> {
    match &expr.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(fold) => vec![
            &fold.iter_range,
            &fold.accu_init,
            &fold.loop_cond,
            &fold.loop_step,
            &fold.result,
        ],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Struct(message) => message.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// The crate expands `existsOne`, which cel-go does not do by default.
fn bad_macro(expr: &IdedExpr, info: &SourceInfo) -> Option<Issue> {
    if matches!(expr.expr, Expr::Comprehension(_))
        && let Some((start, _)) = info.offset_for(expr.id)
    {
        let before: String = info.source.chars().take(start as usize).collect();
        if before.trim_end().ends_with("existsOne") {
            return Some(Issue {
                place: Place::of(&info.source, start as usize),
                text: "undeclared reference to 'existsOne' (in container 'flow')".into(),
            });
        }
    }
    children(expr).into_iter().find_map(|part| bad_macro(part, info))
}
