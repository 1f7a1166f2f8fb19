//! Groups of this system, by name or number.

use nix::unistd::{Gid, Group};

/// No such group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Neither a number nor a known name.
    #[error("there is no group `{0}`; make it by `groupadd --system {0}`, or name another")]
    Unknown(String),
    /// The system's list of groups cannot be read.
    #[error("cannot look up group `{name}`: {source}; give its number instead")]
    Lookup {
        /// As configured.
        name: String,
        /// Why.
        source: nix::Error,
    },
}

/// The group whose members may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteGroup {
    /// As configured, for people.
    pub name: String,
    /// Its number.
    pub gid: u32,
}

impl WriteGroup {
    /// The group of this name or number. A number need not have a name.
    ///
    /// # Errors
    ///
    /// When there is no group of this name.
    pub fn find(name: &str) -> Result<Self, GroupError> {
        let gid = match name.parse() {
            Ok(gid) => Gid::from_raw(gid),
            Err(_) => match Group::from_name(name) {
                Ok(Some(group)) => group.gid,
                Ok(None) => return Err(GroupError::Unknown(name.to_owned())),
                Err(source) => {
                    return Err(GroupError::Lookup {
                        name: name.to_owned(),
                        source,
                    });
                }
            },
        };
        Ok(Self {
            name: name.to_owned(),
            gid: gid.as_raw(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_name_or_number() {
        assert_eq!(WriteGroup::find("root").unwrap().gid, 0);
        assert_eq!(WriteGroup::find("54321").unwrap().gid, 54321);
        let unknown = WriteGroup::find("no-such-group-here").unwrap_err();
        assert!(unknown.to_string().contains("groupadd"), "{unknown}");
    }
}
