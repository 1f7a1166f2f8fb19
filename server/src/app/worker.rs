//! A thread whose end can be waited for, so that one that ends too soon is told; and
//! what is told of a task that does.

use std::{any::Any, io, thread};

use tokio::{sync::oneshot, task::JoinError};

/// A thread of the daemon.
pub(super) struct Worker {
    name: &'static str,
    /// None once it was joined.
    thread: Option<thread::JoinHandle<()>>,
    /// Its sender is dropped when the thread ends, also by a panic.
    ended: oneshot::Receiver<()>,
}

impl Worker {
    /// Runs `work` on a thread of this name, of 15 characters at most.
    pub(super) fn start(
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (alive, ended) = oneshot::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let _alive: oneshot::Sender<()> = alive;
            work();
        })?;
        Ok(Self {
            name,
            thread: Some(thread),
            ended,
        })
    }

    /// Waits until it ends, which it does not unless it is told to.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let _ = (&mut self.ended).await;
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Err(panic)) => anyhow::anyhow!("{} panicked: {}", self.name, text(&*panic)),
            _ => anyhow::anyhow!("{} ended", self.name),
        }
    }

    /// Waits until it ended as it was told.
    pub(super) async fn join(self) {
        let Some(thread) = self.thread else {
            return;
        };
        let _ = self.ended.await;
        if let Err(panic) = thread.join() {
            tracing::error!(part = self.name, "panicked: {}", text(&*panic));
        }
    }
}

/// A task that ended; with the error if it panicked.
pub(super) fn unexpected(part: &str, panic: Option<JoinError>) -> anyhow::Error {
    match panic {
        Some(panic) => anyhow::anyhow!("{part} failed: {panic}"),
        None => anyhow::anyhow!("{part} ended"),
    }
}

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_ends_or_panics_is_told_by_name() {
        let mut ends = Worker::start("reader", || {}).unwrap();
        assert_eq!(ends.failed().await.to_string(), "reader ended");
        let mut panics = Worker::start("sweeper", || panic!("no {}", "room")).unwrap();
        let told = panics.failed().await.to_string();
        assert_eq!(told, "sweeper panicked: no room");
        // Afterwards there is nothing to wait for.
        panics.join().await;
    }

    #[tokio::test]
    async fn a_thread_that_goes_on_has_not_failed() {
        let (stop, stopped) = std::sync::mpsc::channel();
        let mut worker = Worker::start("reader", move || {
            let _ = stopped.recv();
        })
        .unwrap();
        let soon = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, worker.failed()).await.is_err());
        drop::<std::sync::mpsc::Sender<()>>(stop);
        worker.join().await;
    }
}
