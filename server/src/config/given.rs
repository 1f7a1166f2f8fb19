//! What environment and flags say: the same settings in the same words, so
//! they are read by the same code and differ in the place they name.

use std::path::PathBuf;

use super::{
    Flags, Mistake,
    draft::{Draft, set},
    flags::variable,
    limits, names, socket,
    values::{self, Parsed},
};

/// Where words come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// `SEXTANT_...`
    Environment,
    /// `--...`
    Flags,
}

impl Source {
    /// The place of a setting, for people.
    pub(super) fn place(self, setting: &str) -> String {
        match self {
            Self::Environment => format!("environment {}", variable(setting)),
            Self::Flags => format!("flag --{setting}"),
        }
    }
}

/// The words of one source, as given.
#[derive(Default)]
pub(super) struct Given {
    listen: Vec<String>,
    interface: Vec<String>,
    no_datapath: Option<String>,
    plaintext: Option<String>,
    replay: Vec<PathBuf>,
    flow_capacity: Option<String>,
    metrics_listen: Option<String>,
    state_dir: Option<PathBuf>,
    node_name: Option<String>,
    cluster_name: Option<String>,
}

impl From<&Flags> for Given {
    fn from(flags: &Flags) -> Self {
        let flags = flags.clone();
        Self {
            listen: flags.listen,
            interface: flags.interface,
            no_datapath: flags.no_datapath.then(|| "true".to_owned()),
            plaintext: flags.plaintext.then(|| "true".to_owned()),
            replay: flags.replay,
            flow_capacity: flags.flow_capacity,
            metrics_listen: flags.metrics_listen,
            state_dir: flags.state_dir,
            node_name: flags.node_name,
            cluster_name: flags.cluster_name,
        }
    }
}

impl Given {
    /// What the environment says. A variable that is empty counts as not set.
    pub(super) fn from_environment(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let word = |setting| word(env, setting);
        let list = |setting| word(setting).map_or_else(Vec::new, |text| split(&text));
        Self {
            listen: list("listen"),
            interface: list("interface"),
            no_datapath: word("no-datapath"),
            plaintext: word("plaintext"),
            replay: list("replay").into_iter().map(PathBuf::from).collect(),
            flow_capacity: word("flow-capacity"),
            metrics_listen: word("metrics-listen"),
            state_dir: word("state-dir").map(PathBuf::from),
            node_name: word("node-name"),
            cluster_name: word("cluster-name"),
        }
    }

    /// Puts it into the draft.
    pub(super) fn apply(&self, source: Source, draft: &mut Draft) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut read = Reader {
            source,
            mistakes: &mut mistakes,
        };
        let config = &mut draft.config;
        let listen = read.list("listen", &self.listen, |word| socket::listen(word));
        set(&mut config.server.listen, listen);
        let globs = read.list("interface", &self.interface, |word| values::glob(word));
        set(&mut draft.datapath.interfaces, globs);
        let off = read.one("no-datapath", &self.no_datapath, |word| {
            values::switch(word)
        });
        set(&mut draft.enabled, off.map(|off| !off));
        let plaintext = read.one("plaintext", &self.plaintext, |word| values::switch(word));
        set(&mut config.server.plaintext, plaintext);
        let replay = read.list("replay", &self.replay, values::path);
        set(&mut config.replay, replay);
        let flows = read.one("flow-capacity", &self.flow_capacity, |word| {
            values::number(word, &limits::FLOW_CAPACITY)
        });
        set(&mut config.flow_capacity, flows);
        let listen = read.one("metrics-listen", &self.metrics_listen, |word| {
            socket::metrics_listen(word)
        });
        set(&mut config.metrics_listen, listen);
        let folder = read.one("state-dir", &self.state_dir, values::path);
        set(&mut config.state_dir, folder);
        let name = read.one("node-name", &self.node_name, |word| names::node(word));
        set(&mut config.node_name, name);
        let name = read.one("cluster-name", &self.cluster_name, |word| {
            names::group(word)
        });
        set(&mut config.cluster_name, name);
        mistakes
    }
}

/// Reads words and collects what is wrong with them.
struct Reader<'a> {
    source: Source,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn one<W, T>(
        &mut self,
        setting: &str,
        word: &Option<W>,
        parse: impl Fn(&W) -> Parsed<T>,
    ) -> Option<T> {
        parse(word.as_ref()?)
            .map_err(|message| {
                self.mistakes.push(Mistake {
                    place: self.source.place(setting),
                    message,
                });
            })
            .ok()
    }

    /// `None` if there are no words: then the source says nothing.
    fn list<W: Clone, T>(
        &mut self,
        setting: &str,
        words: &[W],
        parse: impl Fn(&W) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        if words.is_empty() {
            return None;
        }
        let one = |word: &W| self.one(setting, &Some(word.clone()), &parse);
        Some(words.iter().filter_map(one).collect())
    }
}

/// The variable of a setting, if it says anything.
pub(super) fn word(env: &dyn Fn(&str) -> Option<String>, setting: &str) -> Option<String> {
    env(&variable(setting)).filter(|text| !text.is_empty())
}

/// Words between commas, but for commas within the braces of a glob.
fn split(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(|word| word.trim().to_owned())
    .filter(|word| !word.is_empty())
    .collect()
}
