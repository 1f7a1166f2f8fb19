//! Conversions between types, as Go's `strconv` and `time` do them.

use super::{
    declare::Function,
    time,
    value::{Failure, Instant, Outcome, Value},
};

/// Converts a value to the type that the function is named after.
pub(super) fn convert<'a>(function: Function, value: Value<'a>) -> Outcome<'a> {
    match (function, &value) {
        (Function::ToBool, Value::Bool(_))
        | (Function::ToBytes, Value::Bytes(_))
        | (Function::ToDouble, Value::Double(_))
        | (Function::ToDuration, Value::Duration(_))
        | (Function::ToInt, Value::Int(_))
        | (Function::ToString, Value::String(_))
        | (Function::ToTimestamp, Value::Timestamp(_))
        | (Function::ToUint, Value::Uint(_)) => Ok(value),
        (Function::ToBool, Value::String(text)) => to_bool(text).map(Value::Bool),
        (Function::ToBytes, Value::String(text)) => {
            Ok(Value::Bytes(text.as_bytes().to_vec().into()))
        }
        (Function::ToDouble, value) => to_double(value).map(Value::Double),
        (Function::ToInt, value) => to_int(value).map(Value::Int),
        (Function::ToUint, value) => to_uint(value).map(Value::Uint),
        (Function::ToString, value) => to_text(value).map(Value::owned),
        (Function::ToDuration, Value::String(text)) => time::parse_duration(text)
            .map(Value::Duration)
            .ok_or(Failure),
        (Function::ToTimestamp, Value::String(text)) => time::parse_instant(text)
            .map(Value::Timestamp)
            .ok_or(Failure),
        (Function::ToTimestamp, Value::Int(seconds)) => {
            time::checked(Instant::new(*seconds, 0)).map(Value::Timestamp)
        }
        _ => Err(Failure),
    }
}

fn to_bool(text: &str) -> Result<bool, Failure> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Failure),
    }
}

fn to_double(value: &Value) -> Result<f64, Failure> {
    match value {
        Value::Int(value) => Ok(*value as f64),
        Value::Uint(value) => Ok(*value as f64),
        Value::String(text) => {
            let number: f64 = text.parse().map_err(|_| Failure)?;
            // Go reports an overflow; only a written infinity is one.
            let written = text.bytes().any(|b| matches!(b, b'i' | b'I'));
            if number.is_infinite() && !written {
                return Err(Failure);
            }
            Ok(number)
        }
        _ => Err(Failure),
    }
}

fn to_int(value: &Value) -> Result<i64, Failure> {
    match value {
        Value::Uint(value) => i64::try_from(*value).map_err(|_| Failure),
        Value::Double(value) => {
            let inside = *value > i64::MIN as f64 && *value < i64::MAX as f64;
            inside.then_some(*value as i64).ok_or(Failure)
        }
        Value::String(text) => text.parse().map_err(|_| Failure),
        Value::Timestamp(time) => Ok(time.seconds),
        Value::Duration(nanos) => Ok(*nanos),
        _ => Err(Failure),
    }
}

fn to_uint(value: &Value) -> Result<u64, Failure> {
    match value {
        Value::Int(value) => u64::try_from(*value).map_err(|_| Failure),
        Value::Double(value) => {
            let inside = *value >= 0.0 && *value < u64::MAX as f64;
            inside.then_some(*value as u64).ok_or(Failure)
        }
        Value::String(text) if !text.starts_with('+') => text.parse().map_err(|_| Failure),
        _ => Err(Failure),
    }
}

fn to_text(value: &Value) -> Result<String, Failure> {
    match value {
        Value::Bool(value) => Ok(value.to_string()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Uint(value) => Ok(value.to_string()),
        Value::Double(value) => Ok(double_text(*value)),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).map_err(|_| Failure),
        Value::Duration(nanos) => Ok(time::duration_text(*nanos)),
        Value::Timestamp(time) => Ok(time::instant_text(*time)),
        _ => Err(Failure),
    }
}

/// Go's `strconv.FormatFloat(value, 'g', -1, 64)`.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
