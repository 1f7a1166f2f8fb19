//! Keys that are given twice in one object: of two values one would be lost. Go's
//! protobuf refuses them, the library here takes the last.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Any JSON whose objects have each key once, in whichever of its two spellings.
pub(super) struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

/// Numbers, texts and the like have no keys.
macro_rules! plain {
    ($($visit:ident($kind:ty)),*) => {
        $(fn $visit<E: Error>(self, _: $kind) -> Result<Once, E> {
            Ok(Once)
        })*
    };
}

impl<'de> Visitor<'de> for Walk {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    plain!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64),
        visit_str(&str)
    );

    fn visit_unit<E: Error>(self) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Once, A::Error> {
        while values.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Once, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            // `source_ip` is `sourceIp`.
            if !keys.insert(key.replace('_', "").to_lowercase()) {
                entries.next_value::<IgnoredAny>()?;
                return Err(Error::custom(format_args!("duplicate field `{key}`")));
            }
            entries.next_value::<Once>()?;
        }
        Ok(Once)
    }
}
