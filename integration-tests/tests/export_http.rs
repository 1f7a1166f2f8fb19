//! Flows posted to a real web server, whatever it answers.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use sextant_integration_tests::{
    Daemon, Netns,
    daemon::QUICK,
    eventually,
    exported::{exporter, flows, network, shown, web},
    netns::quiet,
    root,
    sink::{Reply, Sink},
};

/// What was taken, by uuid; each once.
fn posted(sink: &Sink) -> BTreeMap<String, Value> {
    let bodies = sink.taken().into_iter().map(|taken| match &taken.body[..] {
        [b'[', ..] => {
            let events: Vec<Value> = serde_json::from_slice(&taken.body).unwrap();
            events.iter().map(|event| format!("{event}\n")).collect()
        }
        _ => String::from_utf8(taken.body).unwrap(),
    });
    flows(&bodies.collect::<String>())
}

fn config(sink: &Sink, keys: &str) -> String {
    let address = sink.address;
    format!(
        "{QUICK}[[export.http]]\nname = 'web'\nurl = 'http://{address}/flows'\ninterval = '50ms'\n{keys}\n"
    )
}

fn traffic(a: &Netns) {
    a.run("for i in $(seq 20); do curl -s -o /dev/null http://10.9.1.2/; done");
}

#[test]
fn a_server_gets_each_flow_once_whatever_it_answers_meanwhile() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let sink = Sink::start(&a);
    sink.will([
        Reply::Status(500),
        Reply::Later(1),
        Reply::Close,
        Reply::Status(503),
    ]);
    let keys = "compression = 'gzip'\nheaders = ['X-Tenant: hoth']\nmax_events = 7";
    let daemon = Daemon::start(&a, &config(&sink, keys), &["--interface", "va"]);
    let _web = web(&a, &b);
    traffic(&a);
    quiet(&a, "va");
    let shown = eventually("as many as are shown", || {
        let shown = shown(&daemon);
        let posted = posted(&sink);
        eprintln!(
            "{} {} {:?}",
            posted.len(),
            shown.len(),
            exporter(&daemon, "web")
        );
        (posted == shown && shown.len() > 20).then_some(shown)
    });
    assert!(sink.is_done());
    let state = exporter(&daemon, "web");
    assert!(
        state.sent >= shown.len() as u64 && state.retries == 4,
        "{state:?}"
    );
    assert!(state.up && state.kind == "http", "{state:?}");
    let taken = sink.taken();
    assert!(taken.len() >= shown.len() / 7, "seven at most in each");
    for one in taken {
        assert_eq!(one.path, "/flows");
        assert_eq!(one.headers["x-tenant"], "hoth");
        assert_eq!(one.headers["content-type"], "application/x-ndjson");
    }
}

#[test]
fn what_is_too_large_is_cut_and_what_is_refused_is_counted() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let sink = Sink::start(&a);
    sink.will([Reply::Status(400)]);
    sink.takes_at_most(10_000);
    let keys = "compression = 'zstd'\nformat = 'array'\n";
    let daemon = Daemon::start(&a, &config(&sink, keys), &["--interface", "va"]);
    let refused = eventually("the first is refused", || {
        let state = exporter(&daemon, "web");
        let refused = state.dropped.iter().find(|cause| cause.cause == "refused");
        refused
            .filter(|cause| cause.events > 0)
            .map(|cause| cause.events)
    });
    assert!(
        exporter(&daemon, "web")
            .last_error
            .contains("400 Bad Request: as it was told")
    );
    let _web = web(&a, &b);
    traffic(&a);
    quiet(&a, "va");
    eventually("all others", || {
        let (shown, posted) = (shown(&daemon), posted(&sink));
        let missing = shown
            .keys()
            .filter(|uuid| !posted.contains_key(*uuid))
            .count() as u64;
        (missing <= refused && posted.len() > 20).then_some(())
    });
    assert!(sink.taken().iter().all(|taken| taken.body.len() <= 10_000));
}

/// One that hangs holds its exporter alone, and what it did not take comes later.
#[test]
fn a_server_that_hangs_or_is_away_changes_nothing_for_others() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let sink = Sink::start(&a);
    sink.will([Reply::Slow(Duration::from_secs(60))]);
    let second = "[[export.http]]\nname = 'away'\nurl = 'http://127.0.0.1:1/'";
    let keys = format!("timeout = '1s'\n{second}");
    let daemon = Daemon::start(&a, &config(&sink, &keys), &["--interface", "va"]);
    let _web = web(&a, &b);
    traffic(&a);
    quiet(&a, "va");
    assert!(
        shown(&daemon).len() > 20,
        "it observes and serves meanwhile"
    );
    eventually("all that is shown", || {
        (posted(&sink) == shown(&daemon)).then_some(())
    });
    let (web, away) = (exporter(&daemon, "web"), exporter(&daemon, "away"));
    assert!(web.retries == 1 && web.up, "{web:?}");
    assert!(!away.up && away.sent == 0 && away.lag > 0, "{away:?}");
    assert!(
        away.last_error.contains("cannot reach http://127.0.0.1:1/"),
        "{away:?}"
    );
}

/// Files that cannot be read end nothing and change nothing; the same name may become
/// another kind.
#[test]
fn a_reload_that_cannot_be_followed_changes_nothing_and_the_next_one_all() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let sink = Sink::start(&a);
    let good = config(&sink, "");
    let daemon = Daemon::start(&a, &good, &["--interface", "va"]);
    let bad =
        "[[export.http]]\nname = 'new'\nurl = 'https://127.0.0.1:1/'\nca = ['/nowhere/ca.pem']\n";
    daemon.configure(&format!("{QUICK}{bad}"));
    daemon.signal("HUP");
    eventually("it is told", || {
        daemon.log().contains("/nowhere/ca.pem").then_some(())
    });
    let _web = web(&a, &b);
    traffic(&a);
    quiet(&a, "va");
    eventually("all, as before", || {
        (posted(&sink) == shown(&daemon)).then_some(())
    });
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("flows.log");
    daemon.configure(&format!(
        "{QUICK}[[export.file]]\nname = 'web'\npath = '{}'\n",
        path.display()
    ));
    daemon.signal("HUP");
    eventually("a file under the same name", || {
        (exporter(&daemon, "web").kind == "file").then_some(())
    });
    let before = posted(&sink).len();
    traffic(&a);
    eventually("more in the file", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        (flows(&text).len() > 20).then_some(())
    });
    assert_eq!(posted(&sink).len(), before, "and no more to the server");
}

/// What waits for its interval is taken out of the store meanwhile.
#[test]
fn a_long_interval_loses_nothing_of_a_small_store() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let sink = Sink::start(&a);
    let keys = "interval = '3s'".to_owned();
    let config = config(&sink, &keys).replace("interval = '50ms'\n", "");
    let daemon = Daemon::start(&a, &config, &["--interface", "va", "--flow-capacity", "31"]);
    let _web = web(&a, &b);
    traffic(&a);
    quiet(&a, "va");
    eventually("all of them", || {
        let state = exporter(&daemon, "web");
        let has_all = state.lag == 0 && state.sent == posted(&sink).len() as u64 + others(&sink);
        (has_all && state.sent > 60).then_some(())
    });
    let state = exporter(&daemon, "web");
    assert!(
        state.dropped.iter().all(|cause| cause.events == 0),
        "{state:?}"
    );
}

/// Events that are no flows.
fn others(sink: &Sink) -> u64 {
    let bodies = sink.taken().into_iter().map(|taken| taken.body);
    let lines = bodies.flat_map(|body| {
        String::from_utf8(body)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    lines.filter(|line| !line.contains("\"uuid\"")).count() as u64
}

/// Other settings do not wait for a server that does not answer.
#[test]
fn what_a_server_cannot_take_at_the_end_is_tried_again() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let sink = Sink::start(&a);
    let config = config(&sink, "").replace("50ms", "1m");
    let mut daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let _web = web(&a, &b);
    traffic(&a);
    quiet(&a, "va");
    let shown = eventually("all ended", || {
        let shown = shown(&daemon);
        (shown.len() >= 80).then_some(shown)
    });
    sink.will([Reply::Status(503), Reply::Close, Reply::Status(503)]);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let posted = posted(&sink);
    let missing = shown.keys().filter(|uuid| !posted.contains_key(*uuid));
    assert_eq!(missing.count(), 0, "{}", daemon.log());
    assert!(!daemon.log().contains("the end of an export is lost"));
}

#[test]
fn a_reload_does_not_wait_for_a_request_that_hangs() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let folder = tempfile::tempdir().unwrap();
    for spool in [
        String::new(),
        format!(
            "spool = {{ directory = '{}/s' }}\n",
            folder.path().display()
        ),
    ] {
        let (hangs, other) = (Sink::start(&a), Sink::start(&a));
        hangs.is(Some(Reply::Slow(Duration::from_secs(300))));
        let keys = format!("timeout = '300s'\n{spool}");
        let daemon = Daemon::start(&a, &config(&hangs, &keys), &["--interface", "va"]);
        let _web = web(&a, &b);
        eventually("a request is out", || {
            (exporter(&daemon, "web").lag > 0 && hangs.asked() > 0).then_some(())
        });
        daemon.configure(&config(&other, &keys));
        daemon.signal("HUP");
        quiet(&a, "va");
        eventually("all at the other", || {
            (posted(&other) == shown(&daemon)).then_some(())
        });
    }
}
