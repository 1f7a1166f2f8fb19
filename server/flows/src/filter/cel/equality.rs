//! Equality of values, as in cel-go.

use std::cmp::Ordering;

use super::{
    super::meter::Meter,
    making,
    value::{List, Message, Value},
};

impl List<'_> {
    /// Whether some element equals the value.
    pub(super) fn contains(&self, value: &Value, meter: &Meter) -> bool {
        match (self, value) {
            (Self::Strings(strings), Value::String(text)) => {
                let steps = strings.len() * (1 + value.looking());
                meter.spend(steps).is_ok() && strings.iter().any(|s| s == text)
            }
            _ => self
                .iter()
                .take_while(|element| meter.spend(element.copying()).is_ok())
                .any(|element| element.equals(value, meter)),
        }
    }
}

impl<'a> Value<'a> {
    /// Equality; numbers of different types are compared by value, other
    /// values of different types are not equal. Takes the steps of all that is
    /// compared; nothing is equal where they are spent.
    pub(super) fn equals(&self, other: &Value, meter: &Meter) -> bool {
        if meter
            .spend(1 + self.looking().min(other.looking()))
            .is_err()
        {
            return false;
        }
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::String(a), Value::String(b)) | (Self::Type(a), Value::Type(b)) => a == b,
            (Self::Bytes(a), Value::Bytes(b)) => a == b,
            (Self::Duration(a), Value::Duration(b)) => a == b,
            (Self::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Self::List(a), Value::List(b)) => {
                let mut pairs = a.iter().zip(b.iter());
                a.len() == b.len()
                    && pairs.all(|(a, b)| {
                        meter.spend(a.copying() + b.copying()).is_ok() && a.equals(&b, meter)
                    })
            }
            (Self::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| {
                        let found = other.find(key, meter);
                        found.is_some_and(|found| value.equals(&found, meter))
                    })
            }
            (Self::Message(a), Value::Message(b)) => a.equals(b, meter),
            _ => self.compare_numbers(other) == Some(Ordering::Equal),
        }
    }

    /// The value of a map at `key`; a key of the same type comes before a
    /// number of another.
    pub(super) fn find(&self, key: &Value, meter: &Meter) -> Option<Value<'a>> {
        let Self::Map(entries) = self else {
            return None;
        };
        let equal = || entries.iter().filter(|(known, _)| known.equals(key, meter));
        let same_type = |(known, _): &&(Value, Value)| known.type_name() == key.type_name();
        let found = equal().find(same_type).or_else(|| equal().next());
        let (_, value) = found?;
        meter.spend(value.copying()).ok()?;
        Some(value.clone())
    }
}

impl Message<'_> {
    /// Whether both have the same type and the same fields.
    fn equals(&self, other: &Message, meter: &Meter) -> bool {
        if self.name() != other.name() {
            return false;
        }
        let (one, other) = (making::of(self, meter), making::of(other, meter));
        !meter.is_over() && one == other
    }
}
