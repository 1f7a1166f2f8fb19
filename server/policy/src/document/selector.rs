//! Label selectors as Kubernetes writes them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::problem::{Found, Path, Problem};
use crate::selector::{Operator, Requirement, Selector};

/// Letters of a value: names of units are as long.
const MAX_VALUE: usize = 255;
/// Letters of a key's name.
const MAX_NAME: usize = 63;
/// Letters of what stands before a key's name.
const MAX_PREFIX: usize = 253;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LabelSelector {
    match_labels: Option<BTreeMap<String, Option<String>>>,
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

impl LabelSelector {
    /// The selector; `prefix` is put before each key.
    pub(super) fn selector(&self, prefix: &str, path: &Path, problems: &mut Found) -> Selector {
        let mut requirements = Vec::new();
        for (key, value) in self.match_labels.iter().flatten() {
            let value = value.clone().unwrap_or_default();
            let path = path.field("matchLabels").field(key);
            check_key(key, &path, problems);
            check_value(&value, &path, problems);
            let operator = Operator::In(vec![value]);
            requirements.push(Requirement::new(&format!("{prefix}{key}"), operator));
        }
        let expressions = path.field("matchExpressions");
        for (n, expression) in self.match_expressions.iter().flatten().enumerate() {
            let path = expressions.item(n);
            check_key(&expression.key, &path.field("key"), problems);
            match expression.operator(&path, problems) {
                Ok(operator) => requirements.push(Requirement::new(
                    &format!("{prefix}{}", expression.key),
                    operator,
                )),
                Err(problem) => problems.push(problem),
            }
        }
        Selector::new(requirements)
    }

    /// Whether it asks for nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.match_labels.iter().flatten().next().is_none()
            && self.match_expressions.iter().flatten().next().is_none()
    }
}

impl Expression {
    fn operator(&self, path: &Path, problems: &mut Found) -> Result<Operator, Problem> {
        let values = self.values.clone().unwrap_or_default();
        let at = path.field("values");
        for (n, value) in values.iter().enumerate() {
            check_value(value, &at.item(n), problems);
        }
        let operator = self.operator.as_str();
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                Err(at.problem(format!("{operator} needs values"), "name one at least"))
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => Err(at.problem(
                format!("{operator} takes no values"),
                "leave them out, or write In or NotIn",
            )),
            "In" => Ok(Operator::In(values)),
            "NotIn" => Ok(Operator::NotIn(values)),
            "Exists" => Ok(Operator::Exists),
            "DoesNotExist" => Ok(Operator::DoesNotExist),
            _ => Err(path.field("operator").problem(
                format!("`{operator}` is no operator"),
                "write In, NotIn, Exists or DoesNotExist",
            )),
        }
    }
}

/// Names of labels are as Kubernetes has them: letters, digits, `-`, `_` and `.`, with a
/// letter or digit at both ends.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME && has_ends(text) && text.chars().all(is_letter)
}

fn has_ends(text: &str) -> bool {
    let is_end = |letter: Option<char>| letter.is_some_and(|c| c.is_ascii_alphanumeric());
    is_end(text.chars().next()) && is_end(text.chars().next_back())
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Whether a label may have this value: one that Kubernetes allows, or the name of a
/// unit (systemd.unit), which may be longer and have more letters.
#[must_use]
pub fn is_value(text: &str) -> bool {
    let has_letters = |c| is_letter(c) || matches!(c, '@' | ':' | '\\');
    text.is_empty() || text.len() <= MAX_VALUE && has_ends(text) && text.chars().all(has_letters)
}

fn check_value(value: &str, path: &Path, problems: &mut Found) {
    if !is_value(value) {
        problems.push(path.problem(
            format!("`{value}` is no value of a label"),
            "up to 255 letters, digits and `-_.@:\\`, with a letter or digit at both ends",
        ));
    }
}

fn check_key(key: &str, path: &Path, problems: &mut Found) {
    // A source that is empty leaves the colon to the name, which has none.
    let without_source = match key.split_once(':') {
        Some((source, key)) if !source.is_empty() => key,
        _ => key,
    };
    let name = match without_source.rsplit_once('/') {
        Some((prefix, name)) if !prefix.is_empty() && prefix.len() <= MAX_PREFIX => name,
        Some(_) => "",
        None => without_source,
    };
    if !is_name(name) {
        problems.push(path.problem(
            format!("`{key}` is no key of a label"),
            "write [SOURCE:][DOMAIN/]NAME",
        ));
    }
}
