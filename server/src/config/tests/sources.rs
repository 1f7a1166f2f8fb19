//! Defaults < file < environment < flags.

use std::{collections::HashMap, path::Path};

use clap::{CommandFactory as _, Parser as _};

use super::{bare, load_file};
use crate::config::{Command, Config, ConfigError, Flags, Listen, check, load, load::load_with};

/// Loads with this file, these variables and these arguments.
fn with(text: &str, env: &[(&str, &str)], arguments: &[&str]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sextant.toml");
    std::fs::write(&file, text).expect("written");
    let env: HashMap<_, _> = env.iter().copied().collect();
    let env = |name: &str| env.get(name).map(|&value| value.to_owned());
    let flags = Flags::try_parse_from([&["sextantd"], arguments].concat()).expect("flags");
    load_with(&flags, &env, &file).map(|(config, _)| config)
}

fn right(text: &str, env: &[(&str, &str)], arguments: &[&str]) -> Config {
    with(text, env, arguments).expect("no mistakes")
}

#[test]
fn nothing_said_is_the_defaults() {
    assert_eq!(right("", &[], &[]), Config::default());
    let absent = load_with(&Flags::default(), &bare, Path::new("/nowhere/sextant.toml"));
    assert_eq!(absent.expect("no mistakes"), (Config::default(), None));
}

#[test]
fn the_later_source_wins() {
    let file = "flow_capacity = 1\nnode_name = \"file\"";
    let env = [
        ("SEXTANT_FLOW_CAPACITY", "2"),
        ("SEXTANT_CLUSTER_NAME", "env"),
    ];
    let check = |env: &[_], arguments: &[_], expect: (u64, &str, &str)| {
        let is = right(file, env, arguments);
        assert_eq!(
            (is.flow_capacity, &*is.node_name, &*is.cluster_name),
            expect
        );
    };
    check(&[], &[], (1, "file", "default"));
    check(&env, &[], (2, "file", "env"));
    check(&env, &["--flow-capacity", "3"], (3, "file", "env"));
    check(&env, &["--node-name=flag"], (2, "flag", "env"));
}

#[test]
fn every_flag_has_its_variable() {
    let flags = right(
        "",
        &[],
        &[
            "--listen=tcp://[::1]:1",
            "--listen=unix:///x",
            "--interface={a,b}*",
            "--interface=c",
            "--replay=a.json",
            "--replay=b.pcap",
            "--flow-capacity=7",
            "--metrics-listen=off",
            "--state-dir=/s",
            "--node-name=n",
            "--cluster-name=c",
        ],
    );
    let env = right(
        "",
        &[
            ("SEXTANT_LISTEN", "tcp://[::1]:1,unix:///x"),
            ("SEXTANT_INTERFACE", "{a,b}*, c,"),
            ("SEXTANT_REPLAY", "a.json,b.pcap"),
            ("SEXTANT_FLOW_CAPACITY", "7"),
            ("SEXTANT_METRICS_LISTEN", "off"),
            ("SEXTANT_STATE_DIR", "/s"),
            ("SEXTANT_NODE_NAME", "n"),
            ("SEXTANT_CLUSTER_NAME", "c"),
        ],
        &[],
    );
    assert_eq!(flags, env);
    let listen = [Listen::Tcp("[::1]:1".into()), Listen::Unix("/x".into())];
    assert_eq!(flags.server.listen, listen);
    assert_eq!(flags.datapath.expect("on").interfaces, ["{a,b}*", "c"]);
    assert_eq!(flags.replay, [Path::new("a.json"), Path::new("b.pcap")]);
    assert_eq!((flags.flow_capacity, flags.metrics_listen), (7, None));
    assert_eq!(flags.state_dir, Path::new("/s"));
    assert_eq!((&*flags.node_name, &*flags.cluster_name), ("n", "c"));
}

#[test]
fn an_empty_variable_says_nothing() {
    let empty = [
        "LISTEN",
        "FLOW_CAPACITY",
        "NO_DATAPATH",
        "NODE_NAME",
        "CONFIG",
    ]
    .map(|name| format!("SEXTANT_{name}"));
    let env: Vec<_> = empty.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(right("", &env, &[]), Config::default());
}

#[test]
fn the_datapath_keeps_its_settings_while_it_is_off() {
    let file = "[datapath]\nenabled = false\nflows_ipv4 = 7";
    let check = |text: &str, env: &[_], arguments: &[_], expect: Option<u32>| {
        let flows = right(text, env, arguments).datapath.map(|on| on.flows_ipv4);
        assert_eq!(flows, expect, "{text} {env:?} {arguments:?}");
    };
    check(file, &[], &[], None);
    check(file, &[("SEXTANT_NO_DATAPATH", "false")], &[], Some(7));
    check(
        file,
        &[("SEXTANT_NO_DATAPATH", "false")],
        &["--no-datapath"],
        None,
    );
    check("", &[("SEXTANT_NO_DATAPATH", "1")], &[], None);
    check("", &[], &["--no-datapath"], None);
}

#[test]
fn mistakes_of_all_sources_are_told_together() {
    let error = with(
        "flow_capacity = 0\nnodename = \"x\"",
        &[
            ("SEXTANT_LISTEN", "here,tcp://a:1"),
            ("SEXTANT_NO_DATAPATH", "perhaps"),
        ],
        &[
            "--node-name",
            "a/b",
            "--flow-capacity",
            "many",
            "--interface",
            "",
            "--replay",
            "",
        ],
    )
    .expect_err("mistakes");
    let places: Vec<_> = error
        .mistakes
        .iter()
        .map(|mistake| mistake.place.rsplit('/').next().unwrap_or_default())
        .collect();
    assert_eq!(
        places,
        [
            "sextant.toml:1",
            "sextant.toml:2",
            "environment SEXTANT_LISTEN",
            "environment SEXTANT_NO_DATAPATH",
            "flag --interface",
            "flag --replay",
            "flag --flow-capacity",
            "flag --node-name",
        ]
    );
    assert_eq!(error.to_string().lines().count(), error.mistakes.len());
}

#[test]
fn a_file_that_was_named_must_be_readable() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = load_file(&folder.path().join("none.toml")).expect_err("no such file");
    assert!(
        error.to_string().starts_with("flag --config: cannot read "),
        "{error}"
    );
    let env = |name: &str| (name == "SEXTANT_CONFIG").then(|| "/nowhere/x.toml".to_owned());
    let error = load(&Flags::default(), env).expect_err("no such file");
    assert!(
        error
            .to_string()
            .starts_with("environment SEXTANT_CONFIG: cannot"),
        "{error}"
    );
    let error = load_with(&Flags::default(), &bare, folder.path()).expect_err("a folder");
    assert_eq!(error.mistakes[0].place, folder.path().display().to_string());
    let file = folder.path().join("latin1.toml");
    std::fs::write(&file, b"# fine\nnode_name = \"b\xfcro\"").expect("written");
    let error = load_file(&file).expect_err("not UTF-8");
    assert!(
        error
            .to_string()
            .ends_with("latin1.toml:2: is not text in UTF-8; save it as UTF-8")
    );
}

#[test]
fn check_names_the_file_that_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.toml");
    std::fs::write(&file, "").expect("written");
    let path = file.to_str().expect("UTF-8");
    let flags = Flags::try_parse_from(["sextantd", "check", "--config", path]).expect("flags");
    assert_eq!(flags.command, Some(Command::Check));
    assert_eq!(check(&flags, bare).expect("right"), format!("ok: {path}"));
}

#[test]
fn help_shows_every_default_and_variable() {
    Flags::command().debug_assert();
    let help = Flags::command()
        .term_width(1000)
        .render_long_help()
        .to_string();
    let config = Config::default();
    let capacity = format!("[default: {}]", config.flow_capacity);
    let node = format!("[default: the host name, here {}]", config.node_name);
    for part in [
        &*capacity,
        &node,
        "tcp://127.0.0.1:4245 and unix:///run/sextant/sextant.sock",
        "127.0.0.1:9965",
        "/var/lib/sextant",
        "/etc/sextant/sextant.toml",
        "tcp_idle = \"10m\"",
    ] {
        assert!(help.contains(part), "{part} is not in\n{help}");
    }
    for argument in Flags::command().get_arguments() {
        let Some(flag) = argument
            .get_long()
            .filter(|flag| !matches!(*flag, "help" | "version"))
        else {
            continue;
        };
        let variable = format!("[env: SEXTANT_{}]", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "{variable} is not in\n{help}");
    }
}
