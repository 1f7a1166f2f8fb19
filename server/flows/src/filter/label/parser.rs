//! Requirements of a label selector, parsed as Kubernetes does.

use std::collections::BTreeSet;

use super::{
    lexer::{self, Token},
    validate::{self, Invalid},
};
use crate::filter::text::quote;

/// How a label relates to the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Exists,
    DoesNotExist,
    Equals,
    NotEquals,
    In,
    NotIn,
    GreaterThan,
    LessThan,
}

/// One requirement: key, operator, sorted values.
#[derive(Debug, PartialEq)]
pub(super) struct Requirement {
    pub(super) key: String,
    pub(super) operator: Operator,
    pub(super) values: Vec<String>,
}

/// Why a selector is refused, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Something else stands where this was expected.
    #[error("found '{found}', expected: {expected}")]
    Expected {
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// `in` without parenthesis; upstream leaves out the comma here.
    #[error("found '{0}' expected: '('")]
    Parenthesis(String),
    /// A key or values that no label can have.
    #[error("{0}")]
    Invalid(String),
    /// One of the above within a requirement.
    #[error("unable to parse requirement: {0}")]
    Requirement(#[source] Box<LabelError>),
}

/// Values that cannot be that are told of a requirement.
const MAX_INVALID: usize = 100;

const BINARY_OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// Parses a translated selector.
pub(super) fn parse(selector: &str) -> Result<Vec<Requirement>, LabelError> {
    let mut parser = Parser {
        tokens: lexer::scan(selector),
        position: 0,
    };
    let mut requirements = Vec::new();
    loop {
        let (token, text) = parser.peek_value();
        match token {
            Token::Identifier | Token::Not => {}
            Token::End => return Ok(requirements),
            _ => return expected(text, "!, identifier, or 'end of string'"),
        }
        let requirement = parser
            .requirement()
            .map_err(|error| LabelError::Requirement(Box::new(error)))?;
        requirements.push(requirement);
        match parser.next_value() {
            (Token::End, _) => return Ok(requirements),
            (Token::Comma, _) => {
                let (token, text) = parser.peek_value();
                if !matches!(token, Token::Identifier | Token::Not) {
                    return expected(text, "identifier after ','");
                }
            }
            (_, text) => return expected(text, "',' or 'end of string'"),
        }
    }
}

fn expected<T>(found: &str, expected: &'static str) -> Result<T, LabelError> {
    Err(LabelError::Expected {
        found: found.into(),
        expected,
    })
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token; `End` for ever at the end.
    fn peek(&self) -> (Token, &'a str) {
        let token = self.tokens.get(self.position);
        token.copied().unwrap_or((Token::End, ""))
    }

    fn next(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        self.position += 1;
        token
    }

    /// As `peek`, where `in` and `notin` are but words.
    fn peek_value(&self) -> (Token, &'a str) {
        as_value(self.peek())
    }

    /// As `next`, where `in` and `notin` are but words.
    fn next_value(&mut self) -> (Token, &'a str) {
        as_value(self.next())
    }

    fn requirement(&mut self) -> Result<Requirement, LabelError> {
        let (key, negated) = self.key()?;
        let ends = matches!(self.peek_value().0, Token::End | Token::Comma);
        if negated || ends {
            let operator = if negated {
                Operator::DoesNotExist
            } else {
                Operator::Exists
            };
            return checked(key, operator, BTreeSet::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        checked(key, operator, values)
    }

    /// The key, and whether `!` stands before it.
    fn key(&mut self) -> Result<(&'a str, bool), LabelError> {
        let (mut token, mut text) = self.next_value();
        let negated = token == Token::Not;
        if negated {
            (token, text) = self.next_value();
        }
        if token != Token::Identifier {
            return expected(text, "identifier");
        }
        match validate::key(text) {
            Some(detail) => Err(LabelError::Invalid(
                Invalid::new("<nil>", text, &detail).to_string(),
            )),
            None => Ok((text, negated)),
        }
    }

    fn operator(&mut self) -> Result<Operator, LabelError> {
        let (token, text) = self.next();
        match token {
            Token::In => Ok(Operator::In),
            Token::NotIn => Ok(Operator::NotIn),
            Token::Equals | Token::DoubleEquals => Ok(Operator::Equals),
            Token::NotEquals => Ok(Operator::NotEquals),
            Token::Greater => Ok(Operator::GreaterThan),
            Token::Less => Ok(Operator::LessThan),
            _ => expected(text, BINARY_OPERATORS),
        }
    }

    /// Values in parentheses.
    fn values(&mut self) -> Result<BTreeSet<&'a str>, LabelError> {
        let (token, text) = self.next_value();
        if token != Token::Open {
            return Err(LabelError::Parenthesis(text.into()));
        }
        let (token, text) = self.peek_value();
        match token {
            Token::Identifier | Token::Comma => {
                let values = self.value_list()?;
                match self.next_value() {
                    (Token::Close, _) => Ok(values),
                    _ => expected(text, "')'"),
                }
            }
            Token::Close => {
                self.next();
                Ok(BTreeSet::from([""]))
            }
            _ => expected(text, "',', ')' or identifier"),
        }
    }

    /// Words between commas; nothing between two commas is the empty value.
    fn value_list(&mut self) -> Result<BTreeSet<&'a str>, LabelError> {
        let mut values = BTreeSet::new();
        loop {
            match self.next_value() {
                (Token::Identifier, text) => {
                    values.insert(text);
                    match self.peek_value() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, text) => return expected(text, "',' or ')'"),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert("");
                    }
                    match self.peek_value().0 {
                        Token::Close => {
                            values.insert("");
                            return Ok(values);
                        }
                        Token::Comma => {
                            values.insert("");
                        }
                        _ => {}
                    }
                }
                (_, text) => return expected(text, "',', or identifier"),
            }
        }
    }

    /// The single value after `=` and the like; none is the empty value.
    fn exact_value(&mut self) -> Result<BTreeSet<&'a str>, LabelError> {
        if matches!(self.peek_value().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([""]));
        }
        match self.next_value() {
            (Token::Identifier, text) => Ok(BTreeSet::from([text])),
            (_, text) => expected(text, "identifier"),
        }
    }
}

fn as_value((token, text): (Token, &str)) -> (Token, &str) {
    match token {
        Token::In | Token::NotIn => (Token::Identifier, text),
        token => (token, text),
    }
}

/// The requirement, if its values can be values of labels.
fn checked(
    key: &str,
    operator: Operator,
    values: BTreeSet<&str>,
) -> Result<Requirement, LabelError> {
    let mut errors = Vec::new();
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
        for (i, value) in values.iter().enumerate() {
            if super::parse_int(value).is_none() {
                errors.push(Invalid::new(&format!("values[{i}]"), value, detail));
            }
        }
    }
    for (i, value) in values.iter().enumerate() {
        if errors.len() >= MAX_INVALID {
            break;
        }
        if let Some(detail) = validate::value(value) {
            errors.push(Invalid::new(&format!("values[{i}][{key}]"), value, &detail));
        }
    }
    errors.truncate(MAX_INVALID);
    if !errors.is_empty() {
        return Err(LabelError::Invalid(validate::join(&errors)));
    }
    Ok(Requirement {
        key: key.into(),
        operator,
        values: values.into_iter().map(String::from).collect(),
    })
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = quote(&self.value);
        write!(f, "{}: Invalid value: {value}: {}", self.field, self.detail)
    }
}
