//! CEL's types as the checker sees them. Follows cel-go's `checker/types.go`.
//!
//! Not what may stand for what, which is `assign`. Bound: none here; `assign` keeps
//! small what the checker makes.

use std::fmt;

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

    pub(super) fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || *self == Self::Error
    }

    /// How many types it consists of, itself among them; counted up to `most` and one more.
    pub(super) fn parts(&self, most: usize) -> usize {
        let mut all = 1;
        for part in self.parameters() {
            if all > most {
                break;
            }
            all += part.parts(most - all);
        }
        all
    }

    /// Parameters: element, key and value, or the type of a type.
    pub(super) fn parameters(&self) -> Vec<&Self> {
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
    pub(super) fn accepts(&self, from: &Self) -> bool {
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

    /// Puts another variable in the place of the one of this name.
    pub(super) fn rename(&mut self, name: &str, variable: &Self) {
        match self {
            Self::Param(param) if param == name => *self = variable.clone(),
            Self::List(of) | Self::Wrapper(of) | Self::Type(Some(of)) => of.rename(name, variable),
            Self::Map(key, value) => {
                key.rename(name, variable);
                value.rename(name, variable);
            }
            _ => {}
        }
    }

    pub(super) fn is_nullable(&self) -> bool {
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
