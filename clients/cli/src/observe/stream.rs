//! A stream of responses, shown as they come. What has come is written out before
//! more is waited for.

use std::io::{self, Write};

use futures::{FutureExt as _, StreamExt as _};
use tonic::{Status, Streaming};

use crate::call::CallError;

/// Shows responses of one kind.
pub(super) trait Show<M> {
    /// Writes one, or keeps it for the end.
    fn print(&mut self, message: &M, out: &mut impl Write) -> io::Result<()>;

    /// Writes what was kept.
    fn finish(&mut self, out: &mut impl Write) -> io::Result<()>;
}

/// Shows all that come. The end is left to the caller, unless it is an error.
pub(super) async fn drain<M>(
    mut stream: Streaming<M>,
    failed: impl Fn(Status) -> CallError,
    show: &mut impl Show<M>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    loop {
        let next = match stream.next().now_or_never() {
            Some(next) => next,
            None => {
                out.flush()?;
                stream.next().await
            }
        };
        match next.transpose() {
            Ok(Some(message)) => show.print(&message, out)?,
            Ok(None) => return Ok(()),
            Err(status) => {
                // What came before the error is shown before it.
                show.finish(out)?;
                out.flush()?;
                return Err(failed(status).into());
            }
        }
    }
}
