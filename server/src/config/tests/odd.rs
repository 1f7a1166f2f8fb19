//! Files that are none, have no end or steer a terminal.

use std::{fs, os::unix::fs::symlink, path::Path, time::Instant};

use proptest::prelude::*;

use nix::{sys::stat::Mode, unistd::mkfifo};
use sextant_flows::printable::is_odd;

use super::bare;
use crate::config::{Config, ConfigError, Flags, load, parse};

fn load_path(path: &Path) -> Result<Config, ConfigError> {
    let flags = Flags {
        config: Some(path.to_owned()),
        ..Flags::default()
    };
    load(&flags, bare)
}

#[test]
fn what_is_no_file_or_has_no_end_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", path("zero")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    fs::File::create(path("huge"))
        .and_then(|file| file.set_len(1 << 40))
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for name in ["fifo", "zero", "folder", "huge", "socket", "none"] {
        let error = load_path(&path(name)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_link_to_a_file_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("real"), "node_name = \"n\"").unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    let config = load_path(&folder.path().join("link")).unwrap();
    assert_eq!(config.node_name, "n");
}

#[test]
fn mistakes_steer_no_terminal() {
    let odd = r"\u001B[2J\u009B\u202E\u2028\n\r";
    let text = format!(
        "node_name = \"{odd}\"\nstate_dir = \"{odd}\"\n\"{odd}\" = 1\n[server]\nlisten = [\"{odd}\"]\n\
         write_group = \"{odd}\"\n[datapath]\ninterfaces = [\"[{odd}\"]\nactive_interval = \"{odd}\"\n\
         [[endpoint]]\nname = \"{odd}\"\nlabels = [\"{odd}\"]\naddresses = [\"{odd}\"]\n"
    );
    let error = parse(&text).unwrap_err();
    assert!(error.mistakes.len() > 8);
    let told = error.to_string();
    assert_eq!(told.lines().count(), error.mistakes.len());
    assert!(!told.lines().any(|line| line.contains(is_odd)), "{told:?}");
}

#[test]
fn many_and_long_mistakes_are_told_in_few_words() {
    let many: String = (0..20_000).map(|n| format!("x{n} = 1\n")).collect();
    let told = parse(&many).unwrap_err().to_string();
    assert_eq!(told.lines().count(), 1001);
    assert!(told.ends_with("and 19000 more mistakes"));
    let long = format!("node_name = \"{}\"", "é".repeat(1 << 20));
    assert!(parse(&long).unwrap_err().to_string().len() < 5000);
}

/// In a build without optimization; each was quadratic or could be.
#[test]
fn time_grows_with_the_text() {
    let n = 30_000;
    for text in [
        "]".repeat(n),
        "= ".repeat(n),
        format!("node_name = {}", "[".repeat(n)),
        format!("{} = 1", vec!["a"; n].join(".")),
        (0..n).map(|i| format!("[a.b{i}]\n")).collect(),
        (0..n).map(|i| format!("[a]\nx{i} = 1\n")).collect(),
        format!("node_labels = [{}]", "\"a=b\",".repeat(n)),
        format!(
            "node_labels = {{ {} }}",
            (0..n)
                .map(|i| format!("l{i} = \"x\""))
                .collect::<Vec<_>>()
                .join(",")
        ),
        format!("replay = [{}]", "5,".repeat(n)),
    ] {
        let begin = Instant::now();
        let _ = parse(&text).map_err(|error| error.to_string());
        let took = begin.elapsed();
        assert!(took.as_secs() < 5, "{took:?}: {}", &text[..60]);
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_by_its_lines(
        text in "([a-z_]{0,12}|\\[|\\]|=|\"|\n| |\\.|,|\\{|\\}|#|[0-9]{1,4}|\\[\\[endpoint\\]\\]\n|\\[server\\]\n|listen = |name = \"x\"|\\PC){0,40}",
    ) {
        if let Err(error) = parse(&text) {
            let lines = text.matches('\n').count() + 1;
            for mistake in &error.mistakes {
                let line: usize = mistake.place.rsplit(':').next().unwrap().parse().unwrap();
                prop_assert!((1..=lines).contains(&line), "{mistake}");
            }
            let told = error.to_string();
            prop_assert!(!told.lines().any(|line| line.contains(is_odd)));
        }
    }
}
