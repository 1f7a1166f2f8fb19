//! What compiling the filters of one request may take: bytes and number of
//! patterns, their compiled size, tokens of expressions.
//!
//! Charged where something is compiled, before it is; the place is named by the
//! list and the filter that are under way. Bound: `COMPILED` bytes in all, and
//! some milliseconds.

use super::{
    Excess, FilterError,
    memo::{self, Share},
    regexp::{Refusal, Regexp, RegexpError, Room},
};

/// Bytes of all patterns: regular expressions, label selectors, CEL expressions,
/// HTTP methods.
pub const MAX_PATTERN_BYTES: usize = 16 << 10;
/// Regular expressions and patterns of names.
pub const MAX_PATTERNS: usize = 1_000;
/// Bytes of all patterns of names.
pub const MAX_NAME_BYTES: usize = 64 << 10;
/// Compiled size of all regular expressions, in bytes.
pub const MAX_COMPILED: usize = 2 << 20;
/// Names, literals and operators of all CEL expressions.
pub const MAX_TOKENS: usize = 1_500;
/// Macros of all CEL expressions that are loops.
pub const MAX_MACROS: usize = 32;

/// Types of which the type of a part of a CEL expression may consist; people need less
/// than ten.
pub const MAX_TYPE_PARTS: usize = 100;
/// Looks at types that checking all CEL expressions takes.
pub const MAX_TYPE_STEPS: usize = 100_000;

/// States that all regular expressions may remember while they run, in bytes.
const REMEMBERED: usize = 2 << 20;
/// The least of it that one of them gets.
const LEAST_REMEMBERED: usize = 32 << 10;
/// Bytes of a filter with its checks, of a value, of a word of CEL, of a pattern of names.
const OF_FILTER: usize = 1 << 10;
const OF_VALUE: usize = 128;
const OF_TOKEN: usize = 256;
const OF_NAME: usize = 512;
/// Of a byte of a pattern: `a,b` as a label selector has two requirements.
const OF_BYTE: usize = 64;
/// Tables of verdicts of a filter.
const TABLES: usize = 5;
/// What each regular expression takes beside its states.
const EACH: usize = 2 << 10;

/// The field of a filter with a CEL expression.
pub(super) const CEL_FIELD: &str = "experimental.cel_expression";

/// What is left of it.
#[derive(Debug)]
pub(super) struct Budget {
    list: &'static str,
    filter: usize,
    /// Values that each table of verdicts may remember.
    pub(super) verdicts: usize,
    /// Of what all requests may remember.
    pub(super) share: Share,
    patterns: usize,
    name_bytes: usize,
    pattern_bytes: usize,
    compiled: usize,
    remembered: usize,
    tokens: usize,
    macros: usize,
    /// Looks at types, of `MAX_TYPE_STEPS`; none left is too much.
    pub(super) type_steps: usize,
}

impl Budget {
    /// For a request with so many filters, whose tables have such a share.
    pub(super) fn new(filters: usize, share: Share) -> Self {
        Self {
            list: "whitelist",
            filter: 0,
            verdicts: super::memo::TOTAL / filters.max(1),
            share,
            patterns: MAX_PATTERNS,
            name_bytes: MAX_NAME_BYTES,
            pattern_bytes: MAX_PATTERN_BYTES,
            compiled: MAX_COMPILED,
            remembered: REMEMBERED,
            tokens: MAX_TOKENS,
            macros: MAX_MACROS,
            type_steps: MAX_TYPE_STEPS,
        }
    }

    /// What follows is of this filter.
    pub(super) fn begin(&mut self, list: &'static str, filter: usize) {
        (self.list, self.filter) = (list, filter);
    }

    /// Path of a field of the filter.
    pub(super) fn path(&self, field: &str, index: usize) -> String {
        format!("{}[{}].{field}[{index}]", self.list, self.filter)
    }

    fn excess(&self, field: &str, index: usize, most: usize, what: &str) -> Excess {
        let text = format!("a request may have at most {most} {what}; make it smaller");
        Excess::new(self.path(field, index), text)
    }

    /// About what the compiled filters take of memory, beside what they remember: those of
    /// so many filters and values.
    pub(super) fn weight(&self, filters: usize, values: usize) -> usize {
        let expressions = (MAX_TOKENS - self.tokens) * OF_TOKEN;
        let patterns = (MAX_PATTERNS - self.patterns) * OF_NAME;
        let regexps = MAX_COMPILED - self.compiled + REMEMBERED - self.remembered;
        let texts = (MAX_PATTERN_BYTES - self.pattern_bytes) * OF_BYTE;
        let of_filter = OF_FILTER + TABLES * memo::recent_bytes(self.verdicts);
        filters * of_filter + values * OF_VALUE + expressions + patterns + regexps + texts
    }

    /// Takes the bytes of each text of a field.
    pub(super) fn texts(&mut self, field: &str, texts: &[String]) -> Result<(), Excess> {
        for (index, text) in texts.iter().enumerate() {
            self.bytes(field, index, text.len())?;
        }
        Ok(())
    }

    fn bytes(&mut self, field: &str, index: usize, bytes: usize) -> Result<(), Excess> {
        match self.pattern_bytes.checked_sub(bytes) {
            Some(left) => self.pattern_bytes = left,
            None => return Err(self.excess(field, index, MAX_PATTERN_BYTES, "bytes of patterns")),
        }
        Ok(())
    }

    /// Takes a pattern of names for each text of a field.
    pub(super) fn names(&mut self, field: &str, texts: &[String]) -> Result<(), Excess> {
        for (index, text) in texts.iter().enumerate() {
            self.pattern(field, index)?;
            match self.name_bytes.checked_sub(text.len()) {
                Some(left) => self.name_bytes = left,
                None => {
                    let what = "bytes of patterns of names";
                    return Err(self.excess(field, index, MAX_NAME_BYTES, what));
                }
            }
        }
        Ok(())
    }

    fn pattern(&mut self, field: &str, index: usize) -> Result<(), Excess> {
        match self.patterns.checked_sub(1) {
            Some(left) => self.patterns = left,
            None => return Err(self.excess(field, index, MAX_PATTERNS, "patterns")),
        }
        Ok(())
    }

    /// Compiles the regular expressions of a field; the mistake of one is given
    /// to `wrong`.
    pub(super) fn regexps(
        &mut self,
        field: &str,
        patterns: &[String],
        wrong: impl Fn(&str, RegexpError) -> FilterError,
    ) -> Result<Vec<(String, Regexp)>, FilterError> {
        let mut compiled = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            self.bytes(field, index, pattern.len())?;
            let regexp = self.regexp(field, index, pattern)?;
            let regexp = regexp.map_err(|error| wrong(pattern, error))?;
            compiled.push((self.path(field, index), regexp));
        }
        Ok(compiled)
    }

    /// Compiles a regular expression whose bytes are taken already.
    pub(super) fn regexp(
        &mut self,
        field: &str,
        index: usize,
        pattern: &str,
    ) -> Result<Result<Regexp, RegexpError>, Excess> {
        self.pattern(field, index)?;
        let share = (self.remembered / 16).max(LEAST_REMEMBERED);
        let room = Room {
            compiled: self.compiled.saturating_sub(EACH),
            remembered: share,
        };
        match Regexp::compile(pattern, room) {
            Ok(regexp) => {
                self.compiled = self.compiled.saturating_sub(regexp.size() + EACH);
                self.remembered = self.remembered.saturating_sub(share);
                Ok(Ok(regexp))
            }
            Err(Refusal::Wrong(error)) => Ok(Err(error)),
            Err(Refusal::Large) => {
                let what = "bytes of compiled regular expressions";
                Err(self.excess(field, index, MAX_COMPILED, what))
            }
        }
    }

    /// An expression whose types are too much.
    pub(super) fn types(&self, index: usize) -> Excess {
        let text = format!(
            "the types of a request's CEL expressions may have at most {MAX_TYPE_PARTS} parts each, \
             and checking them may take {MAX_TYPE_STEPS} steps; make it smaller"
        );
        Excess::new(self.path(CEL_FIELD, index), text)
    }

    /// Takes a CEL expression, of which `count` tells tokens and loops.
    pub(super) fn expression(
        &mut self,
        index: usize,
        source: &str,
        count: impl FnOnce(&str) -> (usize, usize),
    ) -> Result<(), Excess> {
        let field = CEL_FIELD;
        self.bytes(field, index, source.len())?;
        let (tokens, macros) = count(source);
        let Some(left) = self.tokens.checked_sub(tokens) else {
            return Err(self.excess(field, index, MAX_TOKENS, "words and signs of CEL"));
        };
        self.tokens = left;
        let Some(left) = self.macros.checked_sub(macros) else {
            return Err(self.excess(field, index, MAX_MACROS, "loops of CEL"));
        };
        self.macros = left;
        Ok(())
    }
}
