//! The functions of the standard library.

use std::{cmp::Ordering, sync::Arc};

use super::{
    convert,
    declare::Function,
    time,
    value::{BYTES_A_STEP, Failure, List, Outcome, Value},
};
use crate::filter::{
    meter::Meter,
    regexp::{Refusal, Regexp, Room},
};

/// What a pattern may take that is made while an expression is evaluated.
const MADE_PATTERN: Room = Room {
    compiled: 64 << 10,
    remembered: 64 << 10,
};
/// What compiling it takes: at least, for each byte, and for what comes out.
const PATTERN_STEPS: usize = 500;
const PATTERN_BYTE_STEPS: usize = 10;
const PATTERN_SIZE_A_STEP: usize = 16;
/// A look into the database of time zones.
const ZONE_STEPS: usize = 100;

/// A function of one argument.
pub(super) fn unary<'a>(function: Function, value: Value<'a>, meter: &Meter) -> Outcome<'a> {
    meter.spend(value.looking())?;
    match function {
        Function::Not => match value {
            Value::Bool(truth) => Ok(Value::Bool(!truth)),
            _ => Err(Failure),
        },
        Function::Negate => match value {
            Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(Failure),
            Value::Double(value) => Ok(Value::Double(-value)),
            Value::Duration(value) => value.checked_neg().map(Value::Duration).ok_or(Failure),
            _ => Err(Failure),
        },
        Function::Size => size(&value).map(|size| Value::Int(size as i64)),
        Function::TypeOf => Ok(Value::Type(value.type_name())),
        Function::ToDyn => Ok(value),
        Function::ToBool
        | Function::ToBytes
        | Function::ToDouble
        | Function::ToDuration
        | Function::ToInt
        | Function::ToString
        | Function::ToTimestamp
        | Function::ToUint => convert::convert(function, value),
        _ => time::part(function, &value, None),
    }
}

fn size(value: &Value) -> Result<usize, Failure> {
    match value {
        Value::String(text) => Ok(text.chars().count()),
        Value::Bytes(bytes) => Ok(bytes.len()),
        Value::List(list) => Ok(list.len()),
        Value::Map(entries) => Ok(entries.len()),
        _ => Err(Failure),
    }
}

/// A function of two arguments.
pub(super) fn binary<'a>(
    function: Function,
    left: Value<'a>,
    right: Value<'a>,
    meter: &Meter,
) -> Outcome<'a> {
    let truth = |truth: bool| Ok(Value::Bool(truth));
    match function {
        Function::Equals => truth(left.equals(&right, meter)),
        Function::NotEquals => truth(!left.equals(&right, meter)),
        Function::Less | Function::LessEquals | Function::Greater | Function::GreaterEquals => {
            meter.spend(left.looking().min(right.looking()))?;
            truth(ordered(function, left.compare(&right)?))
        }
        Function::Add => add(left, right, meter),
        Function::Subtract => subtract(&left, &right),
        Function::Multiply => multiply(&left, &right),
        Function::Divide => divide(&left, &right),
        Function::Modulo => modulo(&left, &right),
        Function::Index => index(&left, &right, meter),
        Function::In => match &right {
            Value::List(list) => truth(list.contains(&left, meter)),
            Value::Map(_) => truth(right.find(&left, meter).is_some()),
            _ => Err(Failure),
        },
        Function::Contains | Function::StartsWith | Function::EndsWith | Function::Matches => {
            match (&left, &right) {
                (Value::String(text), Value::String(part)) => on_texts(function, text, part, meter),
                _ => Err(Failure),
            }
        }
        _ => {
            meter.spend(ZONE_STEPS + right.looking())?;
            time::part(function, &left, Some(&right))
        }
    }
}

fn on_texts<'a>(function: Function, text: &str, part: &str, meter: &Meter) -> Outcome<'a> {
    meter.spend((text.len() + part.len()) / BYTES_A_STEP)?;
    Ok(Value::Bool(match function {
        Function::Contains => text.contains(part),
        Function::StartsWith => text.starts_with(part),
        Function::EndsWith => text.ends_with(part),
        _ => made_pattern(part, meter)?.is_match(text, meter)?,
    }))
}

/// A pattern that is not known before: it is compiled each time, so it must be
/// small. One that is not ends the request, since it is no mistake.
fn made_pattern(pattern: &str, meter: &Meter) -> Result<Regexp, Failure> {
    meter.spend(PATTERN_STEPS + pattern.len().saturating_mul(PATTERN_BYTE_STEPS))?;
    let compiled = Regexp::compile(pattern, MADE_PATTERN).map_err(|refusal| {
        if matches!(refusal, Refusal::Large) {
            meter.exhaust();
        }
        Failure
    })?;
    meter.spend(compiled.size() / PATTERN_SIZE_A_STEP)?;
    Ok(compiled)
}

fn ordered(function: Function, order: Ordering) -> bool {
    match function {
        Function::Less => order == Ordering::Less,
        Function::LessEquals => order != Ordering::Greater,
        Function::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }
}

fn add<'a>(left: Value<'a>, right: Value<'a>, meter: &Meter) -> Outcome<'a> {
    meter.spend(left.looking() + right.looking())?;
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(b).map(Value::Int).ok_or(Failure),
        (Value::Uint(a), Value::Uint(b)) => a.checked_add(b).map(Value::Uint).ok_or(Failure),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => Ok(Value::String(a + b)),
        (Value::Bytes(a), Value::Bytes(b)) => {
            Ok(Value::Bytes([a.as_ref(), b.as_ref()].concat().into()))
        }
        (Value::List(a), Value::List(b)) => concat(a, &b, meter),
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(b).map(Value::Duration).ok_or(Failure)
        }
        (Value::Timestamp(at), Value::Duration(by))
        | (Value::Duration(by), Value::Timestamp(at)) => time::shift(at, by.into()),
        _ => Err(Failure),
    }
}

/// The list on the left is added to if nobody else has it, else copied.
fn concat<'a>(left: List<'a>, right: &List<'a>, meter: &Meter) -> Outcome<'a> {
    let copying = |list: &List| list.iter().map(|value| 1 + value.copying()).sum::<usize>();
    meter.spend(right.len())?;
    meter.spend(copying(right))?;
    let left = match left {
        List::Values(values) => Arc::try_unwrap(values).map_err(List::Values),
        other => Err(other),
    };
    let mut values = match left {
        Ok(values) => values,
        Err(shared) => {
            meter.spend(shared.len())?;
            meter.spend(copying(&shared))?;
            shared.iter().collect()
        }
    };
    values.extend(right.iter());
    Ok(Value::list(values))
}

fn subtract<'a>(left: &Value, right: &Value) -> Outcome<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_sub(*b).map(Value::Int).ok_or(Failure),
        (Value::Uint(a), Value::Uint(b)) => a.checked_sub(*b).map(Value::Uint).ok_or(Failure),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or(Failure)
        }
        (Value::Timestamp(at), Value::Duration(by)) => time::shift(*at, -i128::from(*by)),
        (Value::Timestamp(a), Value::Timestamp(b)) => time::difference(*a, *b),
        _ => Err(Failure),
    }
}

fn multiply<'a>(left: &Value, right: &Value) -> Outcome<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_mul(*b).map(Value::Int).ok_or(Failure),
        (Value::Uint(a), Value::Uint(b)) => a.checked_mul(*b).map(Value::Uint).ok_or(Failure),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        _ => Err(Failure),
    }
}

fn divide<'a>(left: &Value, right: &Value) -> Outcome<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_div(*b).map(Value::Int).ok_or(Failure),
        (Value::Uint(a), Value::Uint(b)) => a.checked_div(*b).map(Value::Uint).ok_or(Failure),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        _ => Err(Failure),
    }
}

fn modulo<'a>(left: &Value, right: &Value) -> Outcome<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_rem(*b).map(Value::Int).ok_or(Failure),
        (Value::Uint(a), Value::Uint(b)) => a.checked_rem(*b).map(Value::Uint).ok_or(Failure),
        _ => Err(Failure),
    }
}

/// An element of a list, or the value of a map. Numbers without fraction are
/// indices whatever their type.
fn index<'a>(of: &Value<'a>, at: &Value, meter: &Meter) -> Outcome<'a> {
    match of {
        Value::Map(_) => of.find(at, meter).ok_or(Failure),
        Value::List(list) => {
            let at = match *at {
                Value::Int(at) => usize::try_from(at).ok(),
                Value::Uint(at) => usize::try_from(at).ok(),
                Value::Double(at) if at.fract() == 0.0 && at >= 0.0 => Some(at as usize),
                _ => None,
            };
            let value = at.and_then(|at| list.get(at)).ok_or(Failure)?;
            meter.spend(value.copying())?;
            Ok(value)
        }
        _ => Err(Failure),
    }
}
