//! The functions of the standard library.

use std::{cmp::Ordering, sync::Arc};

use super::{
    convert,
    declare::Function,
    time,
    value::{Failure, List, Outcome, Value},
};
use crate::filter::regexp::Regexp;

/// A function of one argument.
pub(super) fn unary<'a>(function: Function, value: Value<'a>) -> Outcome<'a> {
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
pub(super) fn binary<'a>(function: Function, left: Value<'a>, right: Value<'a>) -> Outcome<'a> {
    let truth = |truth: bool| Ok(Value::Bool(truth));
    match function {
        Function::Equals => truth(left.equals(&right)),
        Function::NotEquals => truth(!left.equals(&right)),
        Function::Less => truth(left.compare(&right)? == Ordering::Less),
        Function::LessEquals => truth(left.compare(&right)? != Ordering::Greater),
        Function::Greater => truth(left.compare(&right)? == Ordering::Greater),
        Function::GreaterEquals => truth(left.compare(&right)? != Ordering::Less),
        Function::Add => add(left, right),
        Function::Subtract => subtract(&left, &right),
        Function::Multiply => multiply(&left, &right),
        Function::Divide => divide(&left, &right),
        Function::Modulo => modulo(&left, &right),
        Function::Index => index(&left, &right),
        Function::In => match &right {
            Value::List(list) => truth(list.contains(&left)),
            Value::Map(_) => truth(right.find(&left).is_some()),
            _ => Err(Failure),
        },
        Function::Contains | Function::StartsWith | Function::EndsWith | Function::Matches => {
            match (&left, &right) {
                (Value::String(text), Value::String(part)) => on_texts(function, text, part),
                _ => Err(Failure),
            }
        }
        _ => time::part(function, &left, Some(&right)),
    }
}

fn on_texts<'a>(function: Function, text: &str, part: &str) -> Outcome<'a> {
    Ok(Value::Bool(match function {
        Function::Contains => text.contains(part),
        Function::StartsWith => text.starts_with(part),
        Function::EndsWith => text.ends_with(part),
        _ => Regexp::compile(part).map_err(|_| Failure)?.is_match(text),
    }))
}

fn add<'a>(left: Value<'a>, right: Value<'a>) -> Outcome<'a> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(b).map(Value::Int).ok_or(Failure),
        (Value::Uint(a), Value::Uint(b)) => a.checked_add(b).map(Value::Uint).ok_or(Failure),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => Ok(Value::String(a + b)),
        (Value::Bytes(a), Value::Bytes(b)) => {
            Ok(Value::Bytes([a.as_ref(), b.as_ref()].concat().into()))
        }
        (Value::List(a), Value::List(b)) => Ok(concat(a, &b)),
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(b).map(Value::Duration).ok_or(Failure)
        }
        (Value::Timestamp(at), Value::Duration(by))
        | (Value::Duration(by), Value::Timestamp(at)) => time::shift(at, by.into()),
        _ => Err(Failure),
    }
}

fn concat<'a>(left: List<'a>, right: &List<'a>) -> Value<'a> {
    let mut values = match left {
        List::Values(values) => Arc::unwrap_or_clone(values),
        other => other.iter().collect(),
    };
    values.extend(right.iter());
    Value::list(values)
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
fn index<'a>(of: &Value<'a>, at: &Value) -> Outcome<'a> {
    match of {
        Value::Map(_) => of.find(at).ok_or(Failure),
        Value::List(list) => {
            let at = match *at {
                Value::Int(at) => usize::try_from(at).ok(),
                Value::Uint(at) => usize::try_from(at).ok(),
                Value::Double(at) if at.fract() == 0.0 && at >= 0.0 => Some(at as usize),
                _ => None,
            };
            at.and_then(|at| list.get(at)).ok_or(Failure)
        }
        _ => Err(Failure),
    }
}
