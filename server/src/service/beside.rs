//! Work that takes milliseconds of a thread, on a thread of its own.
//!
//! Threads that serve look for what comes after some tens of tasks: where each takes
//! milliseconds, others would wait for seconds. Not a bound of how much of it there is:
//! who does it has a turn.

use tonic::Status;

/// Does what takes long beside what serves other calls. It goes on when its caller is
/// gone, so it holds its turn itself.
///
/// # Errors
///
/// Those of the work.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
}
