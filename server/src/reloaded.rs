//! What is made of files that people write, and is made anew when they change.
//!
//! Who asks gets what was made last. Files that are not good change nothing and
//! are told. Bound: the files of a source, which `small_file` bounds, looked at
//! each `INTERVAL`.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::spans;

/// Between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(5);

/// Files, and how something is made of them.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// The files as they were read.
    type Contents: PartialEq + Send;
    /// What is made of them.
    type Made: Send + Sync;
    /// Which of them is wrong, and how.
    type Error: std::error::Error + Send + Sync + 'static;

    /// For people: what is made, in the plural.
    const WHAT: &'static str;

    /// Reads all files.
    ///
    /// # Errors
    ///
    /// The first that cannot be read.
    fn read(&self) -> Result<Self::Contents, Self::Error>;

    /// Makes it.
    ///
    /// # Errors
    ///
    /// What does not fit.
    fn make(&self, contents: &Self::Contents) -> Result<Self::Made, Self::Error>;
}

/// The latest good state of a source; clones are the same.
pub struct Reloaded<S: Source>(Arc<Inner<S>>);

struct Inner<S: Source> {
    made: watch::Sender<Arc<S::Made>>,
    /// The source, and what was last seen of it, good or not.
    state: Mutex<(S, S::Contents)>,
}

/// Why all stays as it was.
enum Trouble<E> {
    Unread(E),
    Wrong(E),
}

impl<S: Source> Reloaded<S> {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which of them is wrong, and how.
    pub fn load(source: S) -> Result<Self, S::Error> {
        let contents = source.read()?;
        let made = watch::Sender::new(Arc::new(source.make(&contents)?));
        let state = Mutex::new((source, contents));
        Ok(Self(Arc::new(Inner { made, state })))
    }

    /// What was made last.
    #[must_use]
    pub fn current(&self) -> Arc<S::Made> {
        Arc::clone(&self.0.made.borrow())
    }

    /// The same, and what tells when it is another.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<S::Made>> {
        self.0.made.subscribe()
    }

    /// Looks at the files again; whether there is something new now.
    ///
    /// # Errors
    ///
    /// Which of them is wrong, and how; all stays as it was.
    pub fn reload(&self) -> Result<bool, S::Error> {
        self.look().map_err(|trouble| match trouble {
            Trouble::Unread(error) => {
                spans::reloaded(&spans::reload(S::WHAT), false);
                error
            }
            Trouble::Wrong(error) => error,
        })
    }

    /// The same, told in the log.
    pub fn reload_and_tell(&self) {
        let what = S::WHAT;
        match self.reload() {
            Ok(true) => tracing::info!("{what} read again"),
            Ok(false) => {}
            Err(error) => tracing::warn!("{what} not read again, as before: {error}"),
        }
    }

    /// Takes another source, which is made from this one.
    ///
    /// # Errors
    ///
    /// What is wrong with its files; all stays as it was.
    pub fn replace(&self, other: impl FnOnce(&S) -> S) -> Result<(), S::Error> {
        let span = spans::reload(S::WHAT);
        let mut state = self.lock();
        let source = other(&state.0);
        let made = source.read().and_then(|contents| {
            let made = source.make(&contents)?;
            Ok((made, contents))
        });
        spans::reloaded(&span, made.is_ok());
        let (made, contents) = made?;
        *state = (source, contents);
        self.0.made.send_replace(Arc::new(made));
        Ok(())
    }

    /// Looks at the files for ever. A file that is away for a moment, as while
    /// another takes its place, is not told.
    pub async fn watch(self) {
        let what = S::WHAT;
        let mut unread = 0_u32;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let trouble = match self.look() {
                Ok(is_new) => {
                    if is_new {
                        tracing::info!("{what} read again");
                    }
                    unread = 0;
                    continue;
                }
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Wrong(error) => {
                    tracing::warn!("{what} not read again, as before: {error}");
                }
                Trouble::Unread(error) => {
                    unread = unread.saturating_add(1);
                    if unread == 2 {
                        spans::reloaded(&spans::reload(S::WHAT), false);
                        tracing::warn!("{what} not read again, as before: {error}");
                    }
                }
            }
        }
    }

    fn look(&self) -> Result<bool, Trouble<S::Error>> {
        let mut state = self.lock();
        let (source, seen) = &mut *state;
        let contents = source.read().map_err(Trouble::Unread)?;
        if *seen == contents {
            return Ok(false);
        }
        let span = spans::reload(S::WHAT);
        let made = span.in_scope(|| source.make(&contents));
        spans::reloaded(&span, made.is_ok());
        // What is wrong is told once.
        *seen = contents;
        let made = made.map_err(Trouble::Wrong)?;
        self.0.made.send_replace(Arc::new(made));
        Ok(true)
    }

    /// Whoever died with the lock had changed nothing.
    fn lock(&self) -> MutexGuard<'_, (S, S::Contents)> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Clone for Reloaded<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Contents may be secret.
impl<S: Source> fmt::Debug for Reloaded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloaded").field(&self.lock().0).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A number in a file.
    #[derive(Debug)]
    struct Number(PathBuf);

    impl Source for Number {
        type Contents = String;
        type Made = u32;
        type Error = std::io::Error;

        const WHAT: &'static str = "numbers";

        fn read(&self) -> Result<String, Self::Error> {
            std::fs::read_to_string(&self.0)
        }

        fn make(&self, contents: &String) -> Result<u32, Self::Error> {
            contents.parse().map_err(Self::Error::other)
        }
    }

    #[test]
    fn what_is_not_good_changes_nothing_and_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "1").unwrap();
        std::fs::write(path("b"), "2").unwrap();
        let number = Reloaded::load(Number(path("a"))).unwrap();
        let mut news = number.subscribe();
        assert!(!number.reload().unwrap());
        std::fs::write(path("a"), "x").unwrap();
        assert!(number.reload().is_err());
        assert!(!number.reload().unwrap());
        std::fs::remove_file(path("a")).unwrap();
        assert!(number.reload().is_err());
        assert!(number.replace(|_| Number(path("none"))).is_err());
        assert_eq!(*number.current(), 1);
        assert!(!news.has_changed().unwrap());
        // Also the same as before.
        std::fs::write(path("a"), "1").unwrap();
        assert!(number.reload().unwrap());
        number.replace(|_| Number(path("b"))).unwrap();
        assert_eq!(**news.borrow_and_update(), 2);
    }
}
