//! What is wrong with a document, and where.
//!
//! Bound: `MAX_PROBLEMS` of a text; the others are counted.

use std::fmt;

/// Problems that are told: whoever has more mends the same one again and again.
const MAX_PROBLEMS: usize = 1000;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The document's number in its text, from 1; 0 where the text is no documents.
    pub document: usize,
    /// Its kind and name.
    pub title: String,
    /// Where in it: `spec.ingress[0].toPorts[1].rules`.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.document > 0 {
            write!(f, "document {} ({}): ", self.document, self.title)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// All that is wrong with a text; a line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// Problems, as they are found.
#[derive(Debug, Default)]
pub(super) struct Found {
    told: Vec<Problem>,
    more: usize,
}

impl Found {
    pub(super) fn push(&mut self, problem: Problem) {
        match self.told.len() < MAX_PROBLEMS {
            true => self.told.push(problem),
            false => self.more += 1,
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.more += other.more;
        other
            .told
            .into_iter()
            .for_each(|problem| self.push(problem));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// The same, of this document.
    pub(super) fn of_document(mut self, number: usize, title: &str) -> Self {
        for problem in &mut self.told {
            problem.document = number;
            problem.title = title.to_owned();
        }
        self
    }

    pub(super) fn into_problems(mut self) -> Problems {
        if self.more > 0 {
            let what = format!("{} problems more were found", self.more);
            let problem = Path::default().problem(what, "mend those before it first");
            self.told.push(problem);
        }
        Problems(self.told)
    }
}

impl From<Problem> for Found {
    fn from(problem: Problem) -> Self {
        Self {
            told: vec![problem],
            more: 0,
        }
    }
}

/// Where in a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Path(String);

impl Path {
    pub(super) fn field(&self, name: &str) -> Self {
        self.joined(name)
    }

    pub(super) fn item(&self, number: usize) -> Self {
        Self(format!("{}[{number}]", self.0))
    }

    /// With what the reader of documents calls a path.
    pub(super) fn joined(&self, path: &str) -> Self {
        if path == "." {
            self.clone()
        } else if self.0.is_empty() {
            Self(path.to_owned())
        } else {
            Self(format!("{}.{path}", self.0))
        }
    }

    pub(super) fn problem(&self, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem {
            document: 0,
            title: String::new(),
            path: self.0.clone(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// What the format has, but not yet we.
    pub(super) fn not_supported(&self) -> Problem {
        self.problem(
            "is not supported yet",
            "leave it out: a policy that promised more than it does would be worse",
        )
    }
}
