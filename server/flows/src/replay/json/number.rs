//! Numbers and enumerations in JSON: bare, as text, by name.

use std::{collections::HashMap, fmt, marker::PhantomData, str::FromStr};

use serde::de::{Error, Visitor};

/// 2 to the power of 64.
const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// A number, also as text.
pub(super) struct Number<T>(PhantomData<T>);

impl<T> Number<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Visitor<'_> for Number<T>
where
    T: TryFrom<u64> + TryFrom<i64> + FromStr,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an integer ({}), bare or as text",
            std::any::type_name::<T>()
        )
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::custom(format!("{number} is out of range")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::custom(format!("{number} is out of range")))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        if number.fract() != 0.0 || number.abs() >= TWO_64 {
            Err(E::custom(format!("{number} is no integer that fits")))
        } else if number < 0.0 {
            self.visit_i64(number as i64)
        } else {
            self.visit_u64(number as u64)
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let number = text.parse();
        number.map_err(|_| E::custom(format!("{text:?} is no integer that fits")))
    }
}

/// A value of an enumeration by name or number; `None` for an unknown name.
pub(super) struct EnumNumber<'a>(pub(super) &'a HashMap<Box<str>, i32>);

impl Visitor<'_> for EnumNumber<'_> {
    type Value = Option<i32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or number of an enumeration")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(name).copied())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Number::<i32>::new().visit_i64(number).map(Some)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Number::<i32>::new().visit_u64(number).map(Some)
    }
}
