//! Why flags make no filter.

use crate::json::JsonError;

/// Why flags make no filter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    /// A value that the flag does not take.
    #[error("--{flag} does not take `{value}`; it takes {takes}")]
    Value {
        flag: &'static str,
        value: String,
        takes: String,
    },
    /// Flags that exclude each other.
    #[error("--{one} and --{other} cannot be combined; give one of them, or make two requests")]
    Combined {
        one: &'static str,
        other: &'static str,
    },
    /// A name outside of the namespace.
    #[error("namespace `{namespace}` does not contain `{name}`; leave one of the two out")]
    Namespace { namespace: String, name: String },
    /// Endpoint and service in two namespaces.
    #[error("service `{service}` is not in the namespace of `{pod}`; name it NAMESPACE/NAME")]
    Service { service: String, pod: String },
    /// Twice `--not`.
    #[error("--not --not: give one --not before each filter that is to be turned round")]
    NotTwice,
    /// `--not` before nothing.
    #[error("--not at the end: it turns the filter after it round, and there is none")]
    NotLast,
    /// A raw filter that is none.
    #[error("--{flag} does not take `{value}`: {cause}; it takes FlowFilters as JSON")]
    Raw {
        flag: &'static str,
        value: String,
        cause: JsonError,
    },
}
