//! Selectors of endpoints by their labels: all requirements must hold.

use std::fmt;

use crate::label::{ANY, Labels, RESERVED, split_source};

/// What is asked of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector(Vec<Requirement>);

/// What is asked of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Whose label; `any` for anybody's.
    pub source: String,
    /// Key of the label.
    pub key: String,
    /// What must be.
    pub operator: Operator,
}

/// What must be of a label; values as in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// It is there with one of these values.
    In(Vec<String>),
    /// It is not there, or with another value.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Requirement {
    /// Of a key that may have its source in front: `k8s:app`; without one it is anybody's.
    #[must_use]
    pub fn new(key: &str, operator: Operator) -> Self {
        let (source, key) = split_source(key).unwrap_or((ANY, key));
        Self {
            source: source.to_owned(),
            key: key.to_owned(),
            operator,
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        let mut found = labels.with(&self.source, &self.key);
        match &self.operator {
            Operator::In(values) => found.any(|label| values.contains(&label.value)),
            Operator::NotIn(values) => !found.any(|label| values.contains(&label.value)),
            Operator::Exists => found.next().is_some(),
            Operator::DoesNotExist => found.next().is_none(),
        }
    }
}

impl Selector {
    /// All requirements must hold; with none it selects everything.
    #[must_use]
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self(requirements)
    }

    /// One more.
    pub fn require(&mut self, requirement: Requirement) {
        self.0.push(requirement);
    }

    /// Leaves out what is asked of this key.
    pub fn forget(&mut self, key: &str) {
        self.0.retain(|requirement| requirement.key != key);
    }

    /// Whether it asks for a key, whoever gave it.
    #[must_use]
    pub fn asks_for(&self, key: &str) -> bool {
        self.0.iter().any(|requirement| requirement.key == key)
    }

    /// Whether it asks for a label that is reserved.
    #[must_use]
    pub fn asks_for_reserved(&self) -> bool {
        self.0.iter().any(|one| one.source == RESERVED)
    }

    /// What it asks for.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Steps to look at all that it asks for.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let values = |one: &Requirement| match &one.operator {
            Operator::In(values) | Operator::NotIn(values) => values.len() as u64,
            Operator::Exists | Operator::DoesNotExist => 0,
        };
        self.0.iter().map(|one| 1 + values(one)).sum()
    }

    /// Whether it selects an endpoint with these labels.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

impl fmt::Display for Selector {
    /// As `kubectl` writes them: `any:app in (api,web),k8s:tier`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, requirement) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            let Requirement { source, key, .. } = requirement;
            match &requirement.operator {
                Operator::In(values) if values.len() == 1 => {
                    write!(f, "{source}:{key}={}", values[0])?;
                }
                Operator::In(values) => write!(f, "{source}:{key} in ({})", values.join(","))?,
                Operator::NotIn(values) => {
                    write!(f, "{source}:{key} notin ({})", values.join(","))?;
                }
                Operator::Exists => write!(f, "{source}:{key}")?,
                Operator::DoesNotExist => write!(f, "!{source}:{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_label_is_not_in_and_does_not_exist() {
        let labels: Labels = ["k8s:app=web", "sextant:unit=a.service"]
            .into_iter()
            .collect();
        let holds = |key, operator| Requirement::new(key, operator).matches(&labels);
        let web = || vec!["web".to_owned()];
        assert!(holds("app", Operator::In(web())));
        assert!(holds("k8s:app", Operator::In(web())));
        assert!(!holds("sextant:app", Operator::In(web())));
        assert!(!holds("app", Operator::NotIn(web())));
        assert!(holds("tier", Operator::NotIn(web())));
        assert!(!holds("tier", Operator::In(web())));
        assert!(holds("unit", Operator::Exists));
        assert!(holds("tier", Operator::DoesNotExist));
        assert!(Selector::default().matches(&labels));
    }
}
