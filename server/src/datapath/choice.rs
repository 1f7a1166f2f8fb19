//! Which interfaces are observed: by globs of their names.

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::{DatapathError, Layer, Link, Links};

/// Which interfaces are observed.
#[derive(Clone, Debug)]
pub struct InterfaceChoice {
    include: Option<GlobSet>,
    exclude: GlobSet,
    /// Included names without a wildcard.
    exact: Vec<String>,
}

impl InterfaceChoice {
    /// Interfaces that match a glob of `include` (all, if there is none) and
    /// no glob of `exclude`.
    ///
    /// # Errors
    ///
    /// When a glob cannot be parsed.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, DatapathError> {
        Ok(Self {
            include: (!include.is_empty()).then(|| globs(include)).transpose()?,
            exclude: globs(exclude)?,
            exact: include
                .iter()
                .filter(|pattern| !pattern.contains(['*', '?', '[', '{']))
                .cloned()
                .collect(),
        })
    }

    /// Whether this interface is observed. Interfaces that are down are left
    /// alone unless they are named.
    #[must_use]
    pub fn takes(&self, link: &Link) -> bool {
        let included = match &self.include {
            Some(include) => include.is_match(&link.name),
            None => link.up,
        };
        included && !self.exclude.is_match(&link.name) && link.layer != Layer::Other
    }

    /// Included names without a wildcard that no interface has.
    ///
    /// # Errors
    ///
    /// The first such name.
    pub fn check(&self, links: &Links) -> Result<(), DatapathError> {
        let missing = self
            .exact
            .iter()
            .find(|name| !links.by_index.values().any(|link| link.name == **name));
        match missing {
            Some(name) => Err(DatapathError::NoInterface { name: name.clone() }),
            None => Ok(()),
        }
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, DatapathError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern).map_err(|source| DatapathError::Pattern {
            pattern: pattern.clone(),
            source,
        })?;
        set.add(glob);
    }
    set.build().map_err(|source| DatapathError::Pattern {
        pattern: patterns.join(" "),
        source,
    })
}
