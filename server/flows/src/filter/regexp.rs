//! Regular expressions of Go's `regexp`, run by the crate `regex`.
//!
//! A pattern is parsed as Go parses it, so it is accepted or refused with the
//! same text, and then written anew in the syntax of the crate `regex`, where
//! it means the same. Both match in linear time.
//!
//! Differs from Go: a pattern whose compiled form is larger than 10 MiB, as
//! `\pL{1000}`, is refused (`expression too large`; Go's own bound is higher),
//! so is one that nests repetitions and alternatives some 100 levels deep
//! (`expression nests too deeply`; Go's bound is 1000), and classes such as
//! `\pL` are those of this build's Unicode version.

mod class;
mod node;
mod parser;
mod unicode;

#[cfg(test)]
mod tests;

pub use parser::RegexpError;

/// Bound of a compiled pattern in bytes.
const SIZE_LIMIT: usize = 10 << 20;

/// Nesting of the rewritten pattern. The crate's compiler recurses, so this
/// bounds its stack.
const NEST_LIMIT: u32 = 300;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Regexp(regex::Regex);

impl Regexp {
    /// Compiles a pattern of Go's syntax.
    pub(super) fn compile(pattern: &str) -> Result<Self, RegexpError> {
        let rewritten = parser::parse(pattern)?.without_optional_ends().to_pattern();
        regex::RegexBuilder::new(&rewritten)
            .size_limit(SIZE_LIMIT)
            .nest_limit(NEST_LIMIT)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => RegexpError::large(pattern),
                _ => RegexpError::nested(pattern),
            })
    }

    /// Whether it matches anywhere in `text`.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}
