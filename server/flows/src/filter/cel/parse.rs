//! Parsing, by the ANTLR grammar that the crate `cel` shares with cel-go.
//!
//! The parser recurses and is not ours, so it runs on a thread of its own: its
//! stack is large enough for every input that is let in, and a panic in it is
//! a mistake in the expression. The caller waits for it.

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

const TOO_DEEP: &str = "max recursion depth exceeded";

/// Stack for parsing and checking.
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

/// Parses an expression. To be called within `with_stack`.
pub(super) fn parse(source: &str) -> Result<Parsed, Vec<Issue>> {
    let len = source.chars().count();
    if len > MAX_LEN {
        return Err(whole(&format!(
            "expression code point size exceeds limit: size: {len}, limit {MAX_LEN}"
        )));
    }
    let nests = |b: &u8| b".[+-*/%<>=!?".contains(b);
    if source.bytes().filter(|b| nests(b)).count() > MAX_OPERATORS {
        return Err(whole(TOO_DEEP));
    }
    let parser = Parser::new()
        .max_recursion_depth(MAX_DEPTH as u16 - 1)
        .enable_ident_escape_syntax(true);
    let (root, info) = parser
        .parse_with_source_info(source)
        .map_err(|errors| issues(source, &errors.errors))?;
    if depth(&root, &info) > MAX_DEPTH {
        return Err(whole(TOO_DEEP));
    }
    match bad_macro(&root, &info) {
        Some(issue) => Err(vec![issue]),
        None => Ok(Parsed { root, info }),
    }
}

/// Runs `work` on a thread with a large stack; gives nothing if it panics.
pub(super) fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("cel-parser".into())
            .stack_size(STACK)
            .spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}

fn whole(text: &str) -> Vec<Issue> {
    vec![Issue {
        place: Place::NONE,
        text: text.into(),
    }]
}

/// The crate's errors in cel-go's words. The crate goes on after a syntax
/// error and complains about what is missing from its tree; cel-go does not.
fn issues(source: &str, errors: &[ParseError]) -> Vec<Issue> {
    let nested =
        |error: &ParseError| error.msg == "UNKNOWN" || error.msg.contains("Recursion limit of");
    if errors.iter().any(nested) {
        return whole("expression recursion limit exceeded: 250");
    }
    let syntax = errors
        .iter()
        .any(|error| error.msg.starts_with("Syntax error"));
    let follow_up = |error: &&ParseError| {
        syntax && (error.msg.starts_with("Incomplete") || error.msg.starts_with("No `"))
    };
    let issues = errors.iter().filter(|error| !follow_up(error));
    issues
        .map(|error| Issue {
            place: Place {
                line: error.pos.0 as i64,
                column: if source.is_empty() {
                    -1
                } else {
                    error.pos.1 as i64 - 1
                },
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

/// Levels of the tree as cel-go counts them: operators of arithmetic and
/// comparison, selections, indices and calls on a target; not what macros add.
fn depth(expr: &IdedExpr, info: &SourceInfo) -> usize {
    let counts = match &expr.expr {
        Expr::Call(call) => {
            call.target.is_some()
                || !matches!(call.func_name.as_str(), "_&&_" | "_||_" | "!_" | "-_")
                    && call.func_name.starts_with(['_', '@'])
        }
        Expr::Select(_) | Expr::Comprehension(_) => true,
        _ => false,
    };
    let below = children(expr).into_iter().map(|part| {
        let added = matches!(expr.expr, Expr::Comprehension(_))
            && info.offset_for(part.id) == info.offset_for(expr.id);
        // Once for each part: nested macros would take for ever otherwise.
        depth(part, info).saturating_sub(usize::from(added))
    });
    usize::from(counts) + below.max().unwrap_or(0)
}

/// The parts of an expression.
pub(super) fn children(expr: &IdedExpr) -> Vec<&IdedExpr> {
    match &expr.expr {
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Expr::Comprehension(fold) => vec![
            &fold.iter_range,
            &fold.accu_init,
            &fold.loop_cond,
            &fold.loop_step,
            &fold.result,
        ],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Struct(message) => message
            .entries
            .iter()
            .flat_map(|e| entry(&e.expr))
            .collect(),
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

/// The crate expands `existsOne`, which cel-go does not do by default, and lets
/// a loop variable have a name that cel-go keeps for itself.
fn bad_macro(expr: &IdedExpr, info: &SourceInfo) -> Option<Issue> {
    if let Expr::Comprehension(fold) = &expr.expr
        && let Some((start, _)) = info.offset_for(expr.id)
    {
        let start = start as usize;
        let (before, after) = info.source.split_at_checked(start).unwrap_or_default();
        let issue = |offset, text: &str| {
            let place = Place::of(&info.source, offset);
            let text = text.into();
            Some(Issue { place, text })
        };
        if before.trim_end().ends_with("existsOne") {
            let text = "undeclared reference to 'existsOne' (in container 'flow')";
            return issue(start, text);
        }
        if fold.iter_var == "__result__" {
            let at = start + after.find('_').unwrap_or(0);
            return issue(at, "iteration variable overwrites accumulator variable");
        }
    }
    children(expr)
        .into_iter()
        .find_map(|part| bad_macro(part, info))
}
