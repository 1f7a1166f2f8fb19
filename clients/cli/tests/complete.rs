//! Completion as the shells ask for it, with the values of a server's flows. Skipped, with
//! the reason, where `sextantd` is not built.

mod common;

use std::process::Command;

use common::{Daemon, SEXTANT, data};

/// What is offered for the last of the words.
fn offered(words: &[&str]) -> Vec<String> {
    let output = Command::new(SEXTANT)
        .env_clear()
        .env("COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .arg("--")
        .args(words)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("it is text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn values_of_filters_are_those_of_the_servers_flows() {
    let Some(daemon) = Daemon::start(&data("flows.jsonl")) else {
        return;
    };
    let server = daemon.server();
    let of = |words: &[&str]| {
        let line = ["sextant", "--server", &server, "observe"];
        offered(&[&line[..], words].concat())
    };
    assert_eq!(of(&["--pod", "demo/"]), ["demo/client", "demo/web"]);
    assert_eq!(of(&["--from-pod", "demo/"]), ["demo/client"]);
    assert_eq!(of(&["--not", "--namespace", ""]), ["demo"]);
    assert_eq!(of(&["--node-name", "n"]), ["n1"]);
    assert_eq!(of(&["--to-port", "8"]), ["80"]);
    assert_eq!(of(&["--verdict", "DROP"]), ["DROPPED"]);
    assert_eq!(of(&["--interface", ""]), ["eth0"]);
    assert!(of(&["--pod", "nothing"]).is_empty());
    assert!(of(&["--verd"]).contains(&"--verdict".to_owned()));
}

#[test]
fn without_a_server_there_are_no_values_and_no_message() {
    let words = ["sextant", "--server", "unix:///nowhere/s", "observe"];
    assert!(offered(&[&words[..], &["--pod", ""]].concat()).is_empty());
    assert_eq!(offered(&["sextant", "obs"]), ["observe"]);
}

#[test]
fn scripts_ask_this_program() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(SEXTANT)
            .args(["completion", shell])
            .output()
            .expect("the program starts");
        let text = String::from_utf8(output.stdout).expect("it is text");
        assert!(
            text.contains("COMPLETE") && text.contains("sextant"),
            "{text}"
        );
    }
}
