//! Lists and tables of an engine's answers, as far as they are kept: what a few megabytes
//! of text would become takes many times as much. The rest is read and forgotten.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// The first of a list, which may be missing.
pub(super) fn list<'de, D, T, const MOST: usize>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_option(List::<T, MOST>(PhantomData))
}

/// The first of a table, which may be missing.
pub(super) fn table<'de, D, T, const MOST: usize>(
    from: D,
) -> Result<Option<BTreeMap<String, T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_option(Table::<T, MOST>(PhantomData))
}

struct List<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() < MOST {
            match all.next_element()? {
                Some(one) => first.push(one),
                None => return Ok(Some(first)),
            }
        }
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(first))
    }
}

struct Table<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Table<T, MOST> {
    type Value = Option<BTreeMap<String, T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut first = BTreeMap::new();
        while first.len() < MOST {
            match all.next_entry()? {
                Some((key, one)) => first.insert(key, one),
                None => return Ok(Some(first)),
            };
        }
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Answer {
        #[serde(default, deserialize_with = "list::<_, _, 2>")]
        list: Option<Vec<u32>>,
        #[serde(default, deserialize_with = "table::<_, _, 1>")]
        table: Option<BTreeMap<String, u32>>,
    }

    #[test]
    fn the_first_ones_are_kept_and_the_rest_is_no_mistake() {
        let read = |text| serde_json::from_str::<Answer>(text).unwrap();
        let answer = read(r#"{"list": [1, 2, 3, "x"], "table": {"a": 1, "b": [2]}}"#);
        assert_eq!(answer.list, Some(vec![1, 2]));
        assert_eq!(answer.table.unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
        let answer = read(r#"{"list": null}"#);
        assert!(answer.list.is_none() && answer.table.is_none());
        assert!(serde_json::from_str::<Answer>(r#"{"list": [1, "x"]}"#).is_err());
    }
}
