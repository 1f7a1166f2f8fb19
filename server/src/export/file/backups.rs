//! Old files beside the one that is written: their names, which of them are kept, and
//! their compression, by a thread of its own.
//!
//! A compressed file has its name only when it is whole: a reader of `*.gz` never meets a
//! part, and what a kill left of one is begun anew. Bound: a look at the folder at a time.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use nix::{
    fcntl::{OFlag, renameat},
    unistd::{UnlinkatFlags, unlinkat},
};

use super::super::{counts::Counts, setting::FileTarget};
use crate::appended::{folder_of, open_in};

/// Of a compressed file.
const COMPRESSED: &str = ".gz";
/// Of one that is not whole.
const PART: &str = ".gz.part";

/// The time in a name, and its shape with 0 for each digit.
const FORMAT: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const SHAPE: &str = "0000-00-00T00-00-00.000";

/// Names of old files, as Hubble gives them: `<base>-<time><extension>`.
#[derive(Clone, Debug)]
pub(super) struct Names {
    base: String,
    extension: String,
}

impl Names {
    pub(super) fn of(path: &Path) -> Self {
        let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let extension = text(path.extension());
        Self {
            base: text(path.file_stem()),
            extension: match extension.as_str() {
                "" => String::new(),
                extension => format!(".{extension}"),
            },
        }
    }

    /// The name for a file that ends now: later than all that there are, even where several
    /// end in a millisecond or the clock was set back, since the oldest names go first.
    pub(super) fn next(&self, folder: &Path) -> io::Result<String> {
        let mut newest = None;
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            newest = newest.max(name.to_str().and_then(|name| self.time(name)));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis() as i64;
        Ok(self.at(newest.map_or(now, |newest| now.max(newest + 1))))
    }

    /// The time in the name of an old file, in milliseconds.
    fn time(&self, name: &str) -> Option<i64> {
        let time = self.old(name)?.strip_prefix(&self.base)?;
        let time = time.get(1..1 + SHAPE.len())?;
        let time = jiff::civil::DateTime::strptime(FORMAT, time).ok()?;
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(time.timestamp().as_millisecond())
    }

    fn at(&self, millis: i64) -> String {
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        let time = time.to_zoned(jiff::tz::TimeZone::UTC);
        let time = time.strftime(FORMAT);
        format!("{}-{time}{}", self.base, self.extension)
    }

    /// The name without what compression adds, if it is one of an old file.
    fn old<'a>(&self, name: &'a str) -> Option<&'a str> {
        // The extension may be what compression adds.
        let plain = match self.is_old(name) {
            true => name,
            false => name.strip_suffix(COMPRESSED)?,
        };
        self.is_old(plain).then_some(plain)
    }

    fn is_old(&self, name: &str) -> bool {
        let time = name.strip_prefix(&self.base);
        let time = time.and_then(|time| time.strip_prefix('-'));
        let time = time.and_then(|time| time.strip_suffix(&self.extension));
        time.is_some_and(|time| {
            let digits = time.chars();
            let shape = digits.map(|c| if c.is_ascii_digit() { '0' } else { c });
            shape.eq(SHAPE.chars())
        })
    }
}

/// The thread that keeps old files in order. Dropped, it ends with what it is at.
#[derive(Debug)]
pub(super) struct Keeper {
    news: Option<SyncSender<()>>,
    kept: Arc<Mutex<Kept>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What is kept of them.
#[derive(Clone, Copy, Debug)]
struct Kept {
    most: usize,
    compress: bool,
}

impl Kept {
    fn of(target: &FileTarget) -> Self {
        Self {
            most: target.max_backups,
            compress: target.compress,
        }
    }
}

impl Keeper {
    /// Begins with what is there.
    pub(super) fn start(target: &FileTarget, counts: Counts) -> Self {
        let (news, looks) = sync_channel(1);
        let folder = Backups {
            names: Names::of(&target.path),
            path: target.path.clone(),
        };
        let kept = Arc::new(Mutex::new(Kept::of(target)));
        let now = Arc::clone(&kept);
        let run = move || {
            for () in looks {
                let kept = *now.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = folder.tidy(kept) {
                    let path = &folder.path;
                    let error = format!(
                        "cannot keep the old files of {path:?} in order: {error}; make its folder writable and make room"
                    );
                    tracing::warn!("{error}");
                    counts.complain(error);
                }
            }
        };
        let thread = thread::Builder::new()
            .name("export-backups".into())
            .spawn(run);
        if let Err(error) = &thread {
            tracing::warn!("old files of exported flows are not kept in order: {error}");
        }
        let keeper = Self {
            news: Some(news),
            kept,
            thread: thread.ok(),
        };
        keeper.look();
        keeper
    }

    /// Keeps them as this says from now on.
    pub(super) fn keep(&self, target: &FileTarget) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::of(target);
        self.look();
    }

    /// It ends with what it is at; nobody waits for that.
    pub(super) fn leave(mut self) {
        self.thread = None;
    }

    /// There is another old file. One look at all of them is as good as several.
    pub(super) fn look(&self) {
        if let Some(news) = &self.news {
            let _ = news.try_send(());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.news = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Backups {
    names: Names,
    path: PathBuf,
}

impl Backups {
    /// Removes the oldest beyond what is kept, and compresses the others.
    fn tidy(&self, kept: Kept) -> io::Result<()> {
        let folder =
            folder_of(&self.path).map_err(|refused| io::Error::other(format!("{refused:?}")))?;
        let mut files: BTreeMap<String, [bool; 2]> = BTreeMap::new();
        for entry in fs::read_dir(self.path.parent().unwrap_or(Path::new("/")))? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(old) = name
                .strip_suffix(PART)
                .and_then(|name| self.names.old(name))
            {
                remove(&folder, &format!("{old}{PART}"))?;
            } else if let Some(old) = self.names.old(name) {
                let is_compressed = name.len() > old.len();
                files.entry(old.to_owned()).or_default()[usize::from(is_compressed)] = true;
            }
        }
        let excess = files.len().saturating_sub(kept.most);
        for (place, (name, [is_plain, is_compressed])) in files.into_iter().enumerate() {
            if place < excess {
                if is_plain {
                    remove(&folder, &name)?;
                }
                if is_compressed {
                    remove(&folder, &format!("{name}{COMPRESSED}"))?;
                }
            } else if is_plain && is_compressed {
                // It was whole, and the daemon was killed before the other went.
                remove(&folder, &name)?;
            } else if is_plain && kept.compress {
                compress(&folder, &name)?;
            }
        }
        Ok(())
    }
}

fn remove(folder: &File, name: &str) -> io::Result<()> {
    Ok(unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?)
}

fn compress(folder: &File, name: &str) -> io::Result<()> {
    let part = format!("{name}{PART}");
    let plain = open_in(folder, OsStr::new(name), OFlag::O_RDONLY)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let file = open_in(folder, OsStr::new(&part), flags)?;
    let written = || -> io::Result<()> {
        let mut encoder = GzEncoder::new(file, Compression::default());
        io::copy(&mut BufReader::with_capacity(64 << 10, plain), &mut encoder)?;
        let mut file = encoder.finish()?;
        file.flush()?;
        file.sync_all()?;
        renameat(
            folder,
            part.as_str(),
            folder,
            format!("{name}{COMPRESSED}").as_str(),
        )?;
        Ok(())
    }();
    if let Err(error) = written {
        let _ = remove(folder, &part);
        return Err(error);
    }
    remove(folder, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_later_than_all_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of(Path::new("/x/flows.log"));
        let first = names.next(folder.path()).unwrap();
        // In a year's time, compressed: the clock was set back since.
        let later = names.at(names.time(&first).unwrap() + 365 * 86_400_000);
        fs::write(folder.path().join(format!("{later}.gz")), "").unwrap();
        fs::write(folder.path().join("flows-9999-99-99T00-00-00.000.log"), "").unwrap();
        let mut last = later;
        for _ in 0..20 {
            let next = names.next(folder.path()).unwrap();
            assert!(next > last, "{next} after {last}");
            fs::write(folder.path().join(&next), "").unwrap();
            last = next;
        }
        assert_eq!(
            names.time("flows-2026-11-28T08-00-00.123.log"),
            Some(1_795_852_800_123)
        );
    }

    #[test]
    fn only_old_files_of_this_file_are_taken_for_such() {
        let names = Names::of(Path::new("/x/flows.log"));
        let name = names.at(1_795_852_800_123);
        assert_eq!(name, "flows-2026-11-28T08-00-00.123.log");
        assert_eq!(names.old(&name), Some(name.as_str()));
        assert_eq!(names.old(&format!("{name}.gz")), Some(name.as_str()));
        for other in [
            "flows.log",
            "flows-old.log",
            "flows-2026-11-28T08-00-00.123.json",
            "other-2026-11-28T08-00-00.123.log",
            "flows-2026-11-28T08-00-00.123.log.gz.part",
        ] {
            assert_eq!(names.old(other), None, "{other}");
        }
        let names = Names::of(Path::new("/x/flows.json.gz"));
        let name = names.at(1_795_852_800_123);
        assert_eq!(names.old(&name), Some(name.as_str()), "{name}");
        assert_eq!(names.old(&format!("{name}.gz")), Some(name.as_str()));
        assert_eq!(names.time(&name), Some(1_795_852_800_123));
        let names = Names::of(Path::new("/x/flows"));
        assert!(names.old("flows-2026-11-28T08-00-00.123").is_some());
    }
}
