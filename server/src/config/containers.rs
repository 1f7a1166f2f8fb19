//! Where engines of containers are.

use std::{fmt, path::PathBuf};

use super::values::Parsed;

/// What speaks at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Docker's API.
    Docker,
    /// The same, of podman.
    Podman,
    /// The Container Runtime Interface, such as CRI-O's.
    Cri,
    /// containerd's own API.
    Containerd,
}

/// The socket of an engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineSocket {
    /// What speaks there.
    pub engine: Engine,
    /// Its path, of which one part may be `*`.
    pub path: PathBuf,
}

/// Of `sun_path`, with its final zero.
const LONGEST_PATH: usize = 107;
const ENGINES: [(&str, Engine); 4] = [
    ("docker", Engine::Docker),
    ("podman", Engine::Podman),
    ("containerd", Engine::Containerd),
    ("cri", Engine::Cri),
];

impl Engine {
    /// As it is written before a path.
    #[must_use]
    pub fn name(self) -> &'static str {
        let is_it = |(_, engine): &&(&str, Self)| *engine == self;
        ENGINES.iter().find(is_it).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for EngineSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.engine.name(), self.path.display())
    }
}

/// Where they are unless somebody moved them.
pub(super) fn usual() -> Vec<EngineSocket> {
    let at = |engine, path: &str| EngineSocket {
        engine,
        path: path.into(),
    };
    vec![
        at(Engine::Docker, "/run/docker.sock"),
        at(Engine::Docker, "/run/user/*/docker.sock"),
        at(Engine::Podman, "/run/podman/podman.sock"),
        at(Engine::Podman, "/run/user/*/podman/podman.sock"),
        at(Engine::Containerd, "/run/containerd/containerd.sock"),
        at(Engine::Containerd, "/run/k3s/containerd/containerd.sock"),
        at(Engine::Cri, "/run/crio/crio.sock"),
    ]
}

/// `ENGINE:PATH`.
pub(super) fn socket(text: &str) -> Parsed<EngineSocket> {
    let wrong = |why: &str| {
        Err(format!(
            "`{text}` {why}; write for example `docker:/run/docker.sock` (docker, podman, containerd or cri)"
        ))
    };
    let Some((name, path)) = text.split_once(':') else {
        return wrong("names no engine");
    };
    let Some((_, engine)) = ENGINES.iter().find(|(known, _)| *known == name) else {
        return wrong("names no engine that is known");
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return wrong("names no absolute path of a socket");
    }
    if path.len() > LONGEST_PATH {
        return wrong("has a path that is too long for a socket");
    }
    let (whole, stars) = (path.matches("/*/").count(), path.matches('*').count());
    if stars > 1 || whole != stars {
        return wrong("may have one `*`, for a whole part of the path");
    }
    Ok(EngineSocket {
        engine: *engine,
        path: path.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_an_engine_and_a_path() {
        for good in usual() {
            assert_eq!(socket(&good.to_string()), Ok(good));
        }
        let podman = socket("podman:///run/podman/podman.sock").unwrap();
        assert_eq!(podman.to_string(), "podman:/run/podman/podman.sock");
        for (bad, why) in [
            ("", "names no engine"),
            ("/run/docker.sock", "names no engine"),
            ("rkt:/x", "that is known"),
            ("docker:run/x", "absolute"),
            ("docker:/run/", "absolute"),
            ("docker:", "absolute"),
            ("docker:/run/*", "one `*`"),
            ("docker:/run/user-*/x", "one `*`"),
            ("docker:/*/*/x", "one `*`"),
        ] {
            let error = socket(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert!(socket(&format!("cri:/{}", "x".repeat(107))).is_err());
    }
}
