//! CEL's types as the checker sees them, and what may stand for what.
//! Follows cel-go's `checker/types.go`.

use std::{collections::HashMap, fmt};

/// A type.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::enum_variant_names,
    reason = "the type of types is called `type` in CEL"
)]
pub(super) enum Type {
    Dyn,
    /// Of an expression with a mistake in it; agrees with everything.
    Error,
    Null,
    Any,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    /// A primitive type or null.
    Wrapper(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    /// A message by its full name.
    Message(String),
    /// A free type variable.
    Param(String),
    /// The type of types; of this type, where known.
    Type(Option<Box<Type>>),
}

impl Type {
    /// A list of `element`.
    pub(super) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A map from `key` to `value`.
    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    /// The type whose values are `of`.
    pub(super) fn of(of: Self) -> Self {
        Self::Type(Some(Box::new(of)))
    }

    /// Whether anything may stand here.
    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || *self == Self::Error
    }

    /// Parameters: element, key and value, or the type of a type.
    fn parameters(&self) -> Vec<&Self> {
        match self {
            Self::List(element) => vec![element],
            Self::Map(key, value) => vec![key, value],
            Self::Type(Some(of)) => vec![of],
            _ => Vec::new(),
        }
    }

    /// The primitive behind a wrapper.
    fn unwrapped(&self) -> &Self {
        match self {
            Self::Wrapper(of) => of,
            other => other,
        }
    }

    /// Same kind, name and parameters; a wrapper is exactly what it wraps.
    pub(super) fn is_exact(&self, other: &Self) -> bool {
        let (a, b) = (self.unwrapped(), other.unwrapped());
        match (a, b) {
            (Self::List(_) | Self::Map(..) | Self::Type(_), _) => {
                let (left, right) = (a.parameters(), b.parameters());
                std::mem::discriminant(a) == std::mem::discriminant(b)
                    && left.len() == right.len()
                    && left.iter().zip(&right).all(|(l, r)| l.is_exact(r))
            }
            _ => a == b,
        }
    }

    /// Whether a value of type `from` may be used as this type.
    fn accepts(&self, from: &Self) -> bool {
        match self {
            Self::Dyn => true,
            Self::Wrapper(of) => *from == Self::Null || of.accepts(from),
            Self::List(_) | Self::Map(..) | Self::Type(_) => {
                let (left, right) = (self.parameters(), from.parameters());
                std::mem::discriminant(self) == std::mem::discriminant(from)
                    && left.len() == right.len()
                    && left.iter().zip(&right).all(|(l, r)| l.accepts(r))
            }
            _ => self == from.unwrapped(),
        }
    }

    /// Whether the variable of this name occurs in it.
    pub(super) fn mentions(&self, name: &str) -> bool {
        matches!(self, Self::Param(param) if param == name)
            || self.parameters().iter().any(|part| part.mentions(name))
    }

    fn is_nullable(&self) -> bool {
        matches!(
            self,
            Self::Message(_) | Self::Any | Self::Duration | Self::Timestamp
        ) || self.accepts(&Self::Null)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Error => f.write_str("!error!"),
            Self::Null => f.write_str("null"),
            Self::Any => f.write_str("any"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Wrapper(of) => write!(f, "wrapper({of})"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Message(name) | Self::Param(name) => f.write_str(name),
            Self::Type(None) => f.write_str("type"),
            Self::Type(Some(of)) => write!(f, "type({of})"),
        }
    }
}

/// The name of a type as a value, and in the report of a wrong result.
pub(super) fn declared_name(ty: &Type) -> String {
    match ty {
        Type::Null => "null_type".into(),
        Type::Any => "google.protobuf.Any".into(),
        Type::Duration => "google.protobuf.Duration".into(),
        Type::Timestamp => "google.protobuf.Timestamp".into(),
        Type::List(element) => format!("list({})", declared_name(element)),
        Type::Map(key, value) => {
            format!("map({}, {})", declared_name(key), declared_name(value))
        }
        Type::Type(Some(of)) => format!("type({})", declared_name(of)),
        Type::Param(name) => format!("<{name}>"),
        other => other.to_string(),
    }
}

/// The name of a type as `type(x)` gives it.
pub(super) fn runtime_name(ty: &Type) -> String {
    match ty.unwrapped() {
        Type::List(_) => "list".into(),
        Type::Map(..) => "map".into(),
        Type::Type(_) => "type".into(),
        other => declared_name(other),
    }
}

/// What the free variables stand for, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping(HashMap<String, Type>);

impl Mapping {
    fn find(&self, ty: &Type) -> Option<&Type> {
        match ty {
            Type::Param(name) => self.0.get(name),
            _ => None,
        }
    }

    /// Lets the variable of this name stand for `ty`.
    pub(super) fn set(&mut self, name: &str, ty: Type) {
        self.0.insert(name.into(), ty);
    }

    fn add(&mut self, param: &Type, ty: Type) {
        if let Type::Param(name) = param {
            self.0.insert(name.clone(), ty);
        }
    }

    /// Whether each type may stand for the one beside it; learns from it.
    pub(super) fn assign_all(&mut self, left: &[Type], right: &[Type]) -> bool {
        let mut learnt = self.clone();
        let ok = left.len() == right.len()
            && left.iter().zip(right).all(|(l, r)| learnt.assignable(l, r));
        if ok {
            *self = learnt;
        }
        ok
    }

    /// Whether one type may stand for the other; learns from it.
    pub(super) fn assign(&mut self, left: &Type, right: &Type) -> bool {
        let mut learnt = self.clone();
        let ok = learnt.assignable(left, right);
        if ok {
            *self = learnt;
        }
        ok
    }

    fn assignable(&mut self, t1: &Type, t2: &Type) -> bool {
        if matches!(t2, Type::Param(_)) {
            match self.stands_for(t1, t2) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if matches!(t1, Type::Param(_)) {
            return self.stands_for(t2, t1).0;
        }
        if t1.is_dyn_or_error() || t2.is_dyn_or_error() {
            return true;
        }
        if *t1 == Type::Null {
            return t2.is_nullable();
        }
        if *t2 == Type::Null {
            return t1.is_nullable();
        }
        match (t1, t2) {
            (Type::Type(_), _) => matches!(t2, Type::Type(_)),
            (Type::List(a), Type::List(b)) => self.assignable(a, b),
            (Type::Map(k1, v1), Type::Map(k2, v2)) => {
                self.assignable(k1, k2) && self.assignable(v1, v2)
            }
            (Type::List(_) | Type::Map(..), _) => false,
            _ => t2.accepts(t1),
        }
    }

    /// Whether `ty` may stand for the variable, and whether something did.
    fn stands_for(&mut self, ty: &Type, variable: &Type) -> (bool, bool) {
        if ty == variable {
            return (true, true);
        }
        if let Some(known) = self.find(variable).cloned() {
            if ty.is_exact(&known) {
                return (true, true);
            }
            if self.assignable(ty, &known) {
                let general = most_general(ty, &known).clone();
                if self.is_free_of(variable, &general) {
                    self.add(variable, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.is_free_of(variable, ty) {
            self.add(variable, ty.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether the variable does not occur within the type.
    fn is_free_of(&self, variable: &Type, within: &Type) -> bool {
        if variable.is_exact(within) {
            return false;
        }
        match within {
            Type::Param(_) => match self.find(within) {
                Some(known) => self.is_free_of(variable, known),
                None => true,
            },
            _ => within
                .parameters()
                .iter()
                .all(|part| self.is_free_of(variable, part)),
        }
    }

    /// The type with known variables put in; others become `dyn` if asked.
    pub(super) fn substitute(&self, ty: &Type, to_dyn: bool) -> Type {
        if let Some(known) = self.find(ty) {
            return self.substitute(known, to_dyn);
        }
        match ty {
            Type::Param(_) if to_dyn => Type::Dyn,
            Type::List(element) => Type::list(self.substitute(element, to_dyn)),
            Type::Map(key, value) => {
                Type::map(self.substitute(key, to_dyn), self.substitute(value, to_dyn))
            }
            Type::Type(Some(of)) => Type::of(self.substitute(of, to_dyn)),
            other => other.clone(),
        }
    }
}

/// The less specific of two types.
pub(super) fn most_general<'a>(t1: &'a Type, t2: &'a Type) -> &'a Type {
    if is_equal_or_less_specific(t1, t2) {
        t1
    } else {
        t2
    }
}

fn is_equal_or_less_specific(t1: &Type, t2: &Type) -> bool {
    if t1.is_dyn() || matches!(t1, Type::Param(_)) {
        return true;
    }
    if t2.is_dyn() || matches!(t2, Type::Param(_)) {
        return false;
    }
    match (t1, t2) {
        (Type::List(a), Type::List(b)) => is_equal_or_less_specific(a, b),
        (Type::Map(k1, v1), Type::Map(k2, v2)) => {
            is_equal_or_less_specific(k1, k2) && is_equal_or_less_specific(v1, v2)
        }
        (Type::Type(_), Type::Type(_)) => true,
        _ => t1.is_exact(t2),
    }
}
