//! The limit of open files: each interface, connection and follower takes some.
//!
//! The usual limit of 1,024 is for programs that use select(2). No more than the
//! administrator's limit.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// With fewer, 1,000 interfaces or connections may not find room.
const FEW: u64 = 8_192;

/// Raises the limit to the hard one; told where that is low. Called once, before
/// anything is opened.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(limit) if limit < FEW => tracing::info!(
            limit,
            "few files may be open at once; raise it by LimitNOFILE= of the unit or `ulimit -Hn`"
        ),
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files is not raised"),
    }
}
