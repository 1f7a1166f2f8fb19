//! Equality of values, as in cel-go.

use std::cmp::Ordering;

use super::{
    making,
    value::{List, Message, Value},
};

impl List<'_> {
    /// Whether some element equals the value.
    pub(super) fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Strings(strings), Value::String(text)) => strings.iter().any(|s| s == text),
            _ => self.iter().any(|element| element.equals(value)),
        }
    }
}

impl<'a> Value<'a> {
    /// Equality; numbers of different types are compared by value, other
    /// values of different types are not equal.
    pub(super) fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::String(a), Value::String(b)) | (Self::Type(a), Value::Type(b)) => a == b,
            (Self::Bytes(a), Value::Bytes(b)) => a == b,
            (Self::Duration(a), Value::Duration(b)) => a == b,
            (Self::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Self::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(&b))
            }
            (Self::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| {
                        other.find(key).is_some_and(|found| value.equals(&found))
                    })
            }
            (Self::Message(a), Value::Message(b)) => a.equals(b),
            _ => self.compare_numbers(other) == Some(Ordering::Equal),
        }
    }

    /// The value of a map at `key`; a key of the same type comes before a
    /// number of another.
    pub(super) fn find(&self, key: &Value) -> Option<Value<'a>> {
        let Self::Map(entries) = self else {
            return None;
        };
        let equal = || entries.iter().filter(|(known, _)| known.equals(key));
        let same_type = |(known, _): &&(Value, Value)| known.type_name() == key.type_name();
        let found = equal().find(same_type).or_else(|| equal().next());
        found.map(|(_, value)| value.clone())
    }
}

impl Message<'_> {
    /// Whether both have the same type and the same fields.
    fn equals(&self, other: &Message) -> bool {
        self.name() == other.name() && making::of(self) == making::of(other)
    }
}
