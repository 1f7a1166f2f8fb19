//! The file of the numbers: a JSON object from label sets to numbers.
//!
//! Pure. Checked while it is read, so that no file takes more memory than the
//! numbers may.

use std::{collections::HashSet, fmt};

use serde::{
    Deserializer as _,
    de::{Error as _, MapAccess, Visitor},
};

use super::{LAST, MAX_LABELS, MAX_SETS};
use crate::identity::reserved;

/// The file is not what we wrote.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Damage(#[from] serde_json::Error);

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<(String, u32)>, Damage> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let given = json.deserialize_map(Given)?;
    json.end()?;
    Ok(given)
}

/// Sorted by label set, a line for each.
pub(super) fn to_bytes<'a>(given: impl Iterator<Item = (&'a str, u32)>) -> Vec<u8> {
    let given: std::collections::BTreeMap<_, _> = given.collect();
    serde_json::to_vec_pretty(&given).expect("texts and numbers have a JSON form")
}

struct Given;

impl<'de> Visitor<'de> for Given {
    type Value = Vec<(String, u32)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object from label sets to numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut given, mut bytes) = (Vec::new(), 0);
        let (mut sets, mut numbers) = (HashSet::new(), HashSet::new());
        while let Some((labels, number)) = map.next_entry::<String, u32>()? {
            bytes += labels.len();
            if given.len() == MAX_SETS || bytes > MAX_LABELS {
                return Err(A::Error::custom("too many label sets"));
            }
            if !(reserved::FIRST_CLUSTER..=LAST).contains(&number) {
                return Err(A::Error::custom(format!(
                    "{number} is no number of a label set"
                )));
            }
            if !numbers.insert(number) {
                return Err(A::Error::custom(format!(
                    "two label sets have number {number}"
                )));
            }
            if !sets.insert(labels.clone()) {
                return Err(A::Error::custom("a label set is there twice"));
            }
            given.push((labels, number));
        }
        Ok(given)
    }
}
