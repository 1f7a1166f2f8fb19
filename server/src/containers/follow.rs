//! Looks for engines, and keeps one session with each that is there.
//!
//! A look is a connection to each socket that has no session; one that failed is left
//! alone for longer each time. Bound: `MOST` sockets.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    containerd, cri,
    directory::{Containers, Part},
    docker,
    error::EngineError,
};
use crate::config::{Engine, EngineSocket};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// After failures: twice as long each time.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// A session of this length was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// Sockets that are followed: of those with users in their paths there may be many.
const MOST: usize = 64;

/// Follows all engines, for ever.
pub async fn follow(sockets: Vec<EngineSocket>, containers: Containers) {
    let mut all = Sockets {
        containers,
        known: BTreeMap::new(),
        running: HashMap::new(),
        sessions: JoinSet::new(),
    };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => all.look(&sockets),
            Some(ended) = all.sessions.join_next_with_id() => all.ended(ended),
        }
    }
}

struct Sockets {
    containers: Containers,
    known: BTreeMap<EngineSocket, Tries>,
    running: HashMap<Id, (EngineSocket, Instant)>,
    sessions: JoinSet<Result<Infallible, EngineError>>,
}

#[derive(Default)]
struct Tries {
    is_running: bool,
    /// One after the other.
    failures: u32,
    /// What was told of it last.
    told: Option<String>,
    /// Not before.
    next: Option<Instant>,
}

impl Sockets {
    fn look(&mut self, patterns: &[EngineSocket]) {
        let now = Instant::now();
        for socket in patterns.iter().flat_map(places) {
            if !self.known.contains_key(&socket) && self.known.len() >= MOST {
                self.forget();
            }
            let has_room = self.known.len() < MOST;
            let tries = match self.known.get_mut(&socket) {
                Some(tries) => tries,
                None if has_room => self.known.entry(socket.clone()).or_default(),
                None => continue,
            };
            if !tries.is_running && tries.next.is_none_or(|next| next <= now) {
                tries.is_running = true;
                let part = self.containers.of(socket.clone());
                let session = self.sessions.spawn(session(part));
                self.running.insert(session.id(), (socket, now));
            }
        }
    }

    /// Sockets of users that are gone make room.
    fn forget(&mut self) {
        self.known
            .retain(|socket, tries| tries.is_running || socket.path.exists());
    }

    fn ended(&mut self, ended: Result<(Id, Result<Infallible, EngineError>), JoinError>) {
        let (id, error) = match ended {
            Ok((id, Err(error))) => (id, Ok(error)),
            Err(panic) => (panic.id(), Err(panic.to_string())),
        };
        let Some((socket, since)) = self.running.remove(&id) else {
            return;
        };
        let tries = self.known.entry(socket.clone()).or_default();
        tries.is_running = false;
        let part = self.containers.of(socket);
        let reason = match error {
            Ok(EngineError::Absent) => {
                part.absent();
                tries.failures = 0;
                return;
            }
            Ok(error) => error.to_string(),
            Err(panic) => panic,
        };
        part.failed(&reason);
        let was_good = since.elapsed() >= GOOD;
        tries.failures = if was_good {
            1
        } else {
            tries.failures.saturating_add(1)
        };
        tries.next = Some(Instant::now() + pause(tries.failures));
        // Not again and again.
        if tries.told.as_deref() != Some(&reason) {
            tracing::warn!(socket = %part.socket(), reason, "an engine of containers failed; names that it told stay");
            tries.told = Some(reason);
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (SHORTEST * (1 << doublings)).min(LONGEST)
}

async fn session(part: Part) -> Result<Infallible, EngineError> {
    match part.socket().engine {
        Engine::Docker => docker::session("docker", &part).await,
        Engine::Podman => docker::session("podman", &part).await,
        Engine::Containerd => containerd::session(&part).await,
        Engine::Cri => cri::session(&part).await,
    }
}

/// The socket itself, or those where a part of the path is `*`.
pub(super) fn places(pattern: &EngineSocket) -> Vec<EngineSocket> {
    let text = pattern.path.to_string_lossy();
    let Some((before, after)) = text.split_once("/*/") else {
        return vec![pattern.clone()];
    };
    let entries = fs::read_dir(Path::new(before)).into_iter().flatten();
    let path = |entry: fs::DirEntry| -> PathBuf { entry.path().join(after) };
    let paths = entries.flatten().take(4 * MOST).map(path);
    let there = paths.filter(|path| fs::symlink_metadata(path).is_ok());
    let engine = pattern.engine;
    there.map(|path| EngineSocket { engine, path }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let seconds = [1, 2, 5, 6, u32::MAX].map(|failures| pause(failures).as_secs());
        assert_eq!(seconds, [1, 2, 16, 30, 30]);
    }

    #[test]
    fn a_star_stands_for_each_user_that_has_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        for user in ["1000", "1001"] {
            fs::create_dir(folder.path().join(user)).unwrap();
        }
        fs::write(folder.path().join("1000/docker.sock"), "").unwrap();
        let of = |path: &str| {
            let path = folder.path().join(path);
            let engine = Engine::Docker;
            let found = places(&EngineSocket { engine, path });
            found
                .into_iter()
                .map(|socket| socket.path)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("*/docker.sock"),
            [folder.path().join("1000/docker.sock")]
        );
        assert_eq!(of("nothing"), [folder.path().join("nothing")]);
    }
}
