//! The functions of CEL's standard library and their signatures.

use super::types::Type;

/// A function that an expression can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Conditional,
    And,
    Or,
    Not,
    NotStrictlyFalse,
    Equals,
    NotEquals,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Negate,
    Less,
    LessEquals,
    Greater,
    GreaterEquals,
    Index,
    In,
    Size,
    TypeOf,
    ToBool,
    ToBytes,
    ToDouble,
    ToDuration,
    ToDyn,
    ToInt,
    ToString,
    ToTimestamp,
    ToUint,
    Contains,
    EndsWith,
    StartsWith,
    Matches,
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// One way to call a function.
#[derive(Clone, Debug)]
pub(super) struct Overload {
    /// Called on its first argument.
    pub(super) member: bool,
    pub(super) arguments: Vec<Type>,
    pub(super) result: Type,
}

/// Name, function and signatures. A signature is arguments, a colon and the
/// result; a dot in front makes the first argument the target. Letters: b bool,
/// i int, u uint, d double, s string, y bytes, D duration, T timestamp, A and B
/// any type, L list of A, M map of A to B, t type of A, * dyn.
const FUNCTIONS: &[(&str, Function, &str)] = &[
    ("_?_:_", Function::Conditional, "bAA:A"),
    ("_&&_", Function::And, "bb:b"),
    ("_||_", Function::Or, "bb:b"),
    ("!_", Function::Not, "b:b"),
    ("@not_strictly_false", Function::NotStrictlyFalse, "b:b"),
    ("_==_", Function::Equals, "AA:b"),
    ("_!=_", Function::NotEquals, "AA:b"),
    (
        "_+_",
        Function::Add,
        "yy:y dd:d DD:D DT:T TD:T ii:i LL:L ss:s uu:u",
    ),
    ("_-_", Function::Subtract, "dd:d DD:D ii:i TD:T TT:D uu:u"),
    ("_*_", Function::Multiply, "dd:d ii:i uu:u"),
    ("_/_", Function::Divide, "dd:d ii:i uu:u"),
    ("_%_", Function::Modulo, "ii:i uu:u"),
    ("-_", Function::Negate, "d:d i:i"),
    ("_<_", Function::Less, ORDER),
    ("_<=_", Function::LessEquals, ORDER),
    ("_>_", Function::Greater, ORDER),
    ("_>=_", Function::GreaterEquals, ORDER),
    ("_[_]", Function::Index, "Li:A MA:B"),
    ("@in", Function::In, "AL:b AM:b"),
    (
        "size",
        Function::Size,
        "y:i .y:i L:i .L:i M:i .M:i s:i .s:i",
    ),
    ("type", Function::TypeOf, "A:t"),
    ("bool", Function::ToBool, "b:b s:b"),
    ("bytes", Function::ToBytes, "y:y s:y"),
    ("double", Function::ToDouble, "d:d i:d s:d u:d"),
    ("duration", Function::ToDuration, "D:D s:D"),
    ("dyn", Function::ToDyn, "A:*"),
    ("int", Function::ToInt, "i:i d:i D:i s:i T:i u:i"),
    (
        "string",
        Function::ToString,
        "s:s b:s y:s d:s D:s i:s T:s u:s",
    ),
    ("timestamp", Function::ToTimestamp, "T:T i:T s:T"),
    ("uint", Function::ToUint, "u:u d:u i:u s:u"),
    ("contains", Function::Contains, ".ss:b"),
    ("endsWith", Function::EndsWith, ".ss:b"),
    ("startsWith", Function::StartsWith, ".ss:b"),
    ("matches", Function::Matches, "ss:b .ss:b"),
    ("getFullYear", Function::FullYear, ".T:i .Ts:i"),
    ("getMonth", Function::Month, ".T:i .Ts:i"),
    ("getDayOfYear", Function::DayOfYear, ".T:i .Ts:i"),
    ("getDayOfMonth", Function::DayOfMonth, ".T:i .Ts:i"),
    ("getDate", Function::Date, ".T:i .Ts:i"),
    ("getDayOfWeek", Function::DayOfWeek, ".T:i .Ts:i"),
    ("getHours", Function::Hours, ".T:i .Ts:i .D:i"),
    ("getMinutes", Function::Minutes, ".T:i .Ts:i .D:i"),
    ("getSeconds", Function::Seconds, ".T:i .Ts:i .D:i"),
    ("getMilliseconds", Function::Milliseconds, ".T:i .Ts:i .D:i"),
];

/// Numbers of different types are compared by way of `dyn` only.
const ORDER: &str = "bb:b ii:b uu:b dd:b ss:b yy:b TT:b DD:b";

/// The function of this name and its signatures.
pub(super) fn function(name: &str) -> Option<(Function, Vec<Overload>)> {
    let (_, function, signatures) = FUNCTIONS.iter().find(|(known, ..)| *known == name)?;
    Some((*function, signatures.split(' ').map(overload).collect()))
}

fn overload(signature: &str) -> Overload {
    let member = signature.starts_with('.');
    let signature = signature.trim_start_matches('.');
    let (arguments, result) = signature.split_once(':').unwrap_or((signature, "*"));
    Overload {
        member,
        arguments: arguments.chars().map(letter).collect(),
        result: result.chars().next().map_or(Type::Dyn, letter),
    }
}

fn letter(letter: char) -> Type {
    let a = || Type::Param("A".into());
    let b = || Type::Param("B".into());
    match letter {
        'b' => Type::Bool,
        'i' => Type::Int,
        'u' => Type::Uint,
        'd' => Type::Double,
        's' => Type::String,
        'y' => Type::Bytes,
        'D' => Type::Duration,
        'T' => Type::Timestamp,
        'A' => a(),
        'B' => b(),
        'L' => Type::list(a()),
        'M' => Type::map(a(), b()),
        't' => Type::of(a()),
        _ => Type::Dyn,
    }
}
