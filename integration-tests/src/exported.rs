//! What exporters wrote, and what is shown of the same flows.

use std::collections::BTreeMap;

use serde_json::Value;
use sextant_proto::sextant::status::v1::Exporter;

use crate::{Daemon, Netns, Process, eventually, hubble::hubble, veth};

/// Flows of JSON lines, by uuid; each is there once.
pub fn flows(text: &str) -> BTreeMap<String, Value> {
    let mut flows = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("lines of JSON");
        let Some(uuid) = line["flow"]["uuid"].as_str() else {
            assert!(line.get("flow").is_none(), "{line}");
            continue;
        };
        let before = flows.insert(uuid.to_owned(), line.clone());
        assert!(before.is_none(), "twice: {line}");
    }
    flows
}

/// A web server in the second namespace that answers the first; some connections to it
/// have ended, for tests that wait for flows.
pub fn web(a: &Netns, b: &Netns) -> Process {
    let web = b.spawn("python3 -m http.server 80");
    eventually("a server", || {
        a.try_run("curl -s http://10.9.1.2/").0.then_some(())
    });
    a.run("for i in 1 2 3 4; do curl -s http://10.9.1.2/; done");
    web
}

/// Two namespaces.
pub fn network() -> (Netns, Netns) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    (a, b)
}

/// All flows of a daemon as the real client prints them, by uuid.
pub fn shown(daemon: &Daemon) -> BTreeMap<String, Value> {
    flows(&hubble(
        &daemon.server(),
        "observe --last 1000000 -o jsonpb",
    ))
}

/// The state of the exporter of this name.
///
/// # Panics
///
/// When there is none.
pub fn exporter(daemon: &Daemon, name: &str) -> Exporter {
    let exporters = daemon.own_status().expect("it is asked").exporters;
    let mut named = exporters.into_iter().filter(|one| one.name == name);
    named.next().expect("it is there")
}
