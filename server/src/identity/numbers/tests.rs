use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use proptest::prelude::*;

use super::{FILE, LAST, MAX_LABELS, MAX_SETS, Numbers};

fn set(label: &str) -> Vec<String> {
    vec![label.to_owned()]
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), text).unwrap();
    folder
}

/// What `a` and then `b` get after opening.
fn first_two(folder: &Path) -> (u32, u32) {
    let mut numbers = Numbers::open(folder);
    let two = (numbers.of(&set("a")), numbers.of(&set("b")));
    numbers.save();
    two
}

fn aside(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".damaged-")).count()
}

#[test]
fn numbers_are_kept_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("a/state");
    assert_eq!(first_two(&state), (256, 257));
    assert_eq!(first_two(&state), (256, 257));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&state), 0o700);
    for entry in fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_numbers_begin_anew() {
    for text in [
        "",
        "{",
        "\0\0\0",
        "\u{feff}{}",
        "[]",
        "{}{}",
        r#"{"a":"256"}"#,
        r#"{"a":-1}"#,
        r#"{"a":256.5}"#,
        r#"{"a":255}"#,
        r#"{"a":2}"#,
        r#"{"a":0}"#,
        r#"{"a":4294967295}"#,
        r#"{"a":18446744073709551616}"#,
        r#"{"a":300,"b":300}"#,
        r#"{"a":300,"a":301}"#,
        r#"{"a":{"b":{}}}"#,
    ] {
        let folder = folder_with(text);
        assert_eq!(first_two(folder.path()), (256, 257), "{text:?}");
        let kept = fs::read_to_string(folder.path().join(format!("{FILE}.damaged-1"))).unwrap();
        assert_eq!(kept, text);
        assert_eq!(first_two(folder.path()), (256, 257), "{text:?}");
        assert_eq!(aside(folder.path()), 1);
    }
}

#[test]
fn deep_long_and_many_are_damage_and_bounded() {
    let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
    let long = format!("{{\"{}\":300}}", "a".repeat(MAX_LABELS + 1));
    let many: Vec<_> = (0..=MAX_SETS)
        .map(|n| format!("\"{n}\":{}", n + 256))
        .collect();
    let many = format!("{{{}}}", many.join(","));
    let huge = "{}".to_owned() + &" ".repeat(crate::state::MAX_FILE);
    for text in [deep, long, many, huge] {
        let folder = folder_with(&text);
        assert_eq!(first_two(folder.path()), (256, 257));
        assert_eq!(aside(folder.path()), 1);
    }
}

#[test]
fn a_full_file_is_read_again() {
    let mut numbers = Numbers::in_memory();
    for n in 0..MAX_SETS {
        assert_eq!(numbers.of(&set(&n.to_string())), 256 + n as u32);
    }
    let read = Numbers::parse(&numbers.to_bytes()).unwrap();
    assert_eq!(read.given.len(), MAX_SETS);
    assert_eq!(read.counts().kept(), MAX_SETS as u64);
}

#[test]
fn links_devices_and_folders_in_place_of_the_file_are_set_aside() {
    let other = tempfile::tempdir().unwrap();
    let secret = other.path().join("secret");
    fs::write(&secret, r#"{"a":300}"#).unwrap();
    for target in [
        secret.as_path(),
        Path::new("/dev/zero"),
        &other.path().join("none"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        symlink(target, folder.path().join(FILE)).unwrap();
        // Also where the file is made.
        symlink(&secret, folder.path().join(format!("{FILE}.new"))).unwrap();
        assert_eq!(first_two(folder.path()), (256, 257), "{target:?}");
        assert_eq!(first_two(folder.path()), (256, 257), "{target:?}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), r#"{"a":300}"#);
    assert!(!other.path().join("none").exists());
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(FILE).join("full")).unwrap();
    assert_eq!(first_two(folder.path()), (256, 257));
    let fifo = tempfile::tempdir().unwrap();
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&fifo.path().join(FILE), mode).unwrap();
    assert_eq!(first_two(fifo.path()), (256, 257));
}

#[test]
fn damaged_files_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..15 {
        fs::write(folder.path().join(FILE), "damaged").unwrap();
        assert_eq!(first_two(folder.path()), (256, 257));
    }
    assert_eq!(aside(folder.path()), 9);
}

#[test]
fn a_second_daemon_reads_the_numbers_and_leaves_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Numbers::open(folder.path());
    assert_eq!(first.of(&set("b")), 256);
    first.save();
    let before = fs::read(folder.path().join(FILE)).unwrap();
    assert_eq!(first_two(folder.path()), (257, 256));
    assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), before);
    fs::write(folder.path().join(FILE), "damaged").unwrap();
    assert_eq!(first_two(folder.path()), (256, 257));
    assert_eq!(aside(folder.path()), 0);
    drop(first);
    assert_eq!(first_two(folder.path()), (256, 257));
    assert_eq!(aside(folder.path()), 1);
}

#[test]
fn the_last_number_is_not_passed() {
    let text = format!(r#"{{"x":{LAST},"y":257}}"#);
    let mut numbers = Numbers::parse(text.as_bytes()).unwrap();
    assert_eq!(numbers.of(&set("a")), 256);
    assert_eq!(numbers.of(&set("b")), 258);
    assert_eq!(numbers.of(&set("x")), LAST);
}

#[test]
fn ever_new_label_sets_push_out_what_nobody_has() {
    let mut numbers = Numbers::in_memory();
    for n in 0..MAX_SETS {
        numbers.of(&set(&format!("old-{n}")));
    }
    let mut numbers = Numbers::parse(&numbers.to_bytes()).unwrap();
    let kept = numbers.of(&set("old-7"));
    let last = 256 + MAX_SETS as u32;
    assert_eq!(numbers.of(&set("new")), last);
    let counts = numbers.counts();
    assert_eq!(
        (counts.kept(), counts.forgotten()),
        (2, MAX_SETS as u64 - 1)
    );
    assert_eq!((numbers.of(&set("old-7")), kept), (263, 263));
}

#[test]
fn who_makes_ever_new_label_sets_pushes_out_its_own() {
    let mut numbers = Numbers::in_memory();
    let used = numbers.of(&set("at work"));
    numbers.of(&set("long ago"));
    for n in 0..3 * MAX_SETS {
        assert!(numbers.of(&set(&format!("new-{n}"))) > used);
        if n % 1000 == 0 {
            assert_eq!(numbers.of(&set("at work")), used);
        }
    }
    let counts = numbers.counts();
    assert!(counts.kept() <= MAX_SETS as u64 && counts.refused() == 0);
    assert!(numbers.of(&set("new service")) > 3 * MAX_SETS as u32);
    // Its number is nobody else's.
    assert!(numbers.of(&set("long ago")) > 3 * MAX_SETS as u32);
    // What has no room at all has none.
    let huge = "x".repeat(MAX_LABELS + 1);
    assert_eq!((numbers.of(&set(&huge)), counts.refused()), (0, 1));
}

proptest! {
    #[test]
    fn any_file_is_refused_or_kept_as_it_is(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        sets in prop::collection::btree_map(".{0,20}", 250_u32..300, 0..6),
    ) {
        for bytes in [bytes, serde_json::to_vec(&sets).unwrap()] {
            if let Ok(numbers) = Numbers::parse(&bytes) {
                let written = numbers.to_bytes();
                prop_assert_eq!(Numbers::parse(&written).unwrap().to_bytes(), written);
            }
        }
    }
}
