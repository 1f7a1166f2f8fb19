//! The rules as they are now: made anew when the configuration is read again or
//! the file of a token changes.

use super::{Access, AccessError, Tokens, WriteGroup};
use crate::{
    config,
    listener::Bound,
    reloaded::{Reloaded, Source},
};

/// The rules with the latest good configuration and files; clones are the same.
pub type Rules = Reloaded<Configured>;

/// What the rules are made from.
#[derive(Clone, Debug)]
pub struct Configured {
    access: config::Access,
    group: Option<WriteGroup>,
    bound: Vec<Bound>,
}

impl Rules {
    /// The rules for a server at these addresses.
    ///
    /// # Errors
    ///
    /// A group that does not exist, a token that cannot be read.
    pub fn of(
        access: &config::Access,
        group: Option<WriteGroup>,
        bound: &[Bound],
    ) -> Result<Self, AccessError> {
        Self::load(Configured {
            access: access.clone(),
            group,
            bound: bound.to_vec(),
        })
    }

    /// Takes other grants and tokens.
    ///
    /// # Errors
    ///
    /// As `of`; all stays as it was.
    pub fn change(&self, access: &config::Access) -> Result<(), AccessError> {
        self.replace(|configured| Configured {
            access: access.clone(),
            ..configured.clone()
        })
    }
}

impl Source for Configured {
    type Contents = Vec<Vec<u8>>;
    type Made = Access;
    type Error = AccessError;

    const WHAT: &'static str = "tokens";

    fn read(&self) -> Result<Vec<Vec<u8>>, AccessError> {
        Ok(Tokens::read(&self.access.tokens)?)
    }

    fn make(&self, contents: &Vec<Vec<u8>>) -> Result<Access, AccessError> {
        let tokens = Tokens::new(&self.access.tokens, contents)?;
        Access::new(&self.access.grants, tokens, self.group.clone(), &self.bound)
    }
}
