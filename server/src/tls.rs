//! TLS of both sides: listeners, and connections to other servers.
//!
//! 1.3 alone. Certificates, keys and authorities are PEM files that are read again
//! when they change: connections go on with what they began with, new ones have
//! what the files held last. Not who may do what. Bound: files of `MAX_BYTES`.

mod chains;
mod files;
mod listening;
mod outgoing;

pub use files::TlsError;
pub use listening::{Listening, Tls};
pub use outgoing::{Outgoing, Way, cause};
