//! What `docker/` ships, on an engine of the test's own: the image, made by its Dockerfile of
//! programs that are built already, and the stack, by the real `docker compose`.
//!
//! No registry is asked: images of others are made of the same programs, under their names.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    Netns,
    daemon::{binary, client_binary},
    engine::{Engine, IMAGE},
    eventually,
    hubble::{tool, tools},
    netns::host,
};

/// What compose calls the image of sextantd.
pub const SEXTANT: &str = "sextant:0.1.0";
/// What the Dockerfile takes the programs from.
const PROGRAMS: &str = "localhost/programs:1";

/// What is said of the image and the stack.
pub const DOCS: &str = include_str!("../../docs/docker.md");
/// Serves a page, and asks for it again and again.
const SERVE: &str = "httpd -f -p 7777 -h /www";
const ASK: &str =
    "sh -c 'while true; do wget -q -O- http://127.0.0.1:7777/ >/dev/null; sleep 0.2; done'";

/// An engine and its network, with the image of sextantd.
pub struct Deployed {
    /// The engine.
    pub engine: Engine,
    /// Where it and sextantd are.
    pub host: Netns,
}

impl Deployed {
    /// Builds the image.
    ///
    /// # Panics
    ///
    /// When it cannot.
    #[must_use]
    pub fn new() -> Self {
        let host = Netns::new();
        let folder = tempfile::Builder::new()
            .prefix("sx-")
            .tempdir_in("/tmp")
            .unwrap();
        let deployed = Self {
            engine: Engine::docker_publishing(&host, folder, false),
            host,
        };
        deployed.import_programs();
        deployed.compose("build --quiet sextantd");
        deployed
    }

    /// The folder `docker/`.
    #[must_use]
    pub fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker")
    }

    /// `docker compose` with the stack's file.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn compose(&self, arguments: &str) -> String {
        let at = self.engine.folder.path().display().to_string();
        let socket = self.engine.socket().display().to_string();
        self.host.run(&format!(
            "HOME={at} DOCKER_HOST=unix://{socket} DOCKER_SOCKET={socket} PROGRAMS={PROGRAMS} {} -f {} {arguments}",
            tools().join("../docker-trixie/usr/libexec/docker/cli-plugins/docker-compose").display(),
            Self::shipped().join("compose.yml").display(),
        ))
    }

    /// The stack as compose understands it.
    #[must_use]
    pub fn stack(&self) -> Value {
        serde_json::from_str(&self.compose("config --format json")).unwrap()
    }

    /// The image of a service of the stack, made of a program here.
    pub fn image(&self, service: &str, program: &str, place: &str) {
        let stack = self.stack();
        let name = stack["services"][service]["image"].as_str().unwrap();
        let root = self.engine.folder.path().join(service);
        copy(&tool(program), &root, place);
        self.import(
            &root,
            name,
            &format!("--change 'ENTRYPOINT [\"/{place}\"]'"),
        );
    }

    /// Runs two containers, `api` and `client`, of which one asks the other again and again.
    pub fn traffic(&self) {
        for (name, command) in [("api", SERVE), ("client", ASK)] {
            self.engine.run(&format!(
                "run -d --network=host --name {name} --label team=red {IMAGE} {command}"
            ));
        }
    }

    /// Waits until the real client shows flows of a server in the engine's network.
    pub fn observed(&self, server: &str, filter: &str) {
        let hubble = tool("hubble").display().to_string();
        eventually(&format!("a flow of {filter} at {server}"), || {
            let observe =
                format!("HOME=/nonexistent {hubble} --server {server} observe --last 5 {filter}");
            let (ok, shown) = self.host.try_run(&observe);
            (ok && shown.lines().any(|line| line.contains("->"))).then_some(())
        });
    }

    fn import_programs(&self) {
        let at = self.engine.folder.path();
        let built = at.join("built");
        fs::create_dir(&built).unwrap();
        for (name, program) in [("sextantd", binary()), ("sextant", client_binary())] {
            std::os::unix::fs::symlink(fs::canonicalize(program).unwrap(), built.join(name))
                .unwrap();
        }
        let root = at.join("programs");
        host(&format!(
            "{} {} {}",
            Self::shipped().join("root.sh").display(),
            built.display(),
            root.join("image").display()
        ));
        self.import(&root, PROGRAMS, "");
    }

    fn import(&self, root: &Path, name: &str, changes: &str) {
        let archive = root.with_extension("tar").display().to_string();
        host(&format!("tar -C {} -cf {archive} .", root.display()));
        self.engine
            .run(&format!("import {changes} {archive} {name}"));
    }
}

impl Default for Deployed {
    fn default() -> Self {
        Self::new()
    }
}

/// The capabilities in the first table of the docs.
#[must_use]
pub fn stated() -> BTreeSet<String> {
    let (table, _) = DOCS.split_once("| beyond |").unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `CAP_"));
    rows.map(|row| row.split('`').next().unwrap().to_owned())
        .collect()
}

/// A program with the libraries that it needs.
fn copy(program: &Path, root: &Path, place: &str) {
    let place = root.join(place);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::copy(program, &place).unwrap();
    let needs = Command::new("ldd").arg(program).output().unwrap();
    let needs = String::from_utf8_lossy(&needs.stdout).into_owned();
    let libraries = needs
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    // Of a static program `ldd` names none.
    for library in libraries.filter(|path| Path::new(path).exists()) {
        let copied = root.join(&library[1..]);
        fs::create_dir_all(copied.parent().unwrap()).unwrap();
        fs::copy(library, copied).unwrap();
    }
}
