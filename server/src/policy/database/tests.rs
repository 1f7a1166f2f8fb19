use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::policy::{
    change::Plan,
    entry::{ChangeKind, Entries},
    state::after,
    testing::written,
};

/// A change that applies policies of these names and ports.
fn apply(entries: &Entries, number: u64, given: &[(&str, u16)], prune: bool) -> Revision {
    let now = Time::from_nanos(1_000 * number as i64);
    let mut plan = Plan::new(entries, number, now);
    let given: Vec<_> = given
        .iter()
        .map(|(name, port)| written(name, *port))
        .collect();
    plan.apply(&given, None, prune);
    Revision {
        number,
        time: now,
        who: "uid:0".into(),
        kind: ChangeKind::Apply,
        steps: plan.steps(),
        confirm_by: None,
    }
}

#[test]
fn what_was_written_is_read_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (database, stored) = Database::open(folder.path()).unwrap();
    assert_eq!(stored, Stored::default());
    let one = apply(&Entries::new(), 1, &[("a", 1), ("b", 2)], false);
    database.commit(&one).unwrap();
    let entries = after(&Entries::new(), &one);
    let mut two = apply(&entries, 2, &[("b", 3)], true);
    two.confirm_by = Some(Time::from_nanos(99));
    database.commit(&two).unwrap();
    drop(database);
    let (database, stored) = Database::open(folder.path()).unwrap();
    assert_eq!(stored.entries, after(&entries, &two));
    assert_eq!(stored.revision, 2);
    let (revision, deadline) = (2, Time::from_nanos(99));
    assert_eq!(stored.pending, Some(Pending { revision, deadline }));
    database.confirm(2).unwrap();
    assert_eq!(database.load().unwrap().pending, None);
    let kept = database.revisions(u64::MAX, 10).unwrap();
    let numbers: Vec<_> = kept.iter().map(|revision| revision.number).collect();
    assert_eq!(numbers, [2, 1]);
    // What was before is known, so that it can be gone back to.
    let before = |step: &crate::policy::entry::Step| step.before.clone();
    let expect: Vec<_> = two.steps.iter().map(before).collect();
    assert_eq!(kept[0].steps.iter().map(before).collect::<Vec<_>>(), expect);
    let mode = std::fs::metadata(folder.path().join(FILE)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_change_that_is_taken_back_was_never_there() {
    let database = Database::in_memory().unwrap();
    let one = apply(&Entries::new(), 1, &[("a", 1), ("b", 2)], false);
    database.commit(&one).unwrap();
    let before = database.load().unwrap();
    let two = apply(&before.entries, 2, &[("b", 3), ("c", 4)], true);
    database.commit(&two).unwrap();
    database.revert(&two, before.pending).unwrap();
    assert_eq!(database.load().unwrap(), before);
    assert_eq!(database.revisions(u64::MAX, 10).unwrap().len(), 1);
}

#[test]
fn old_changes_are_forgotten() {
    let database = Database::in_memory().unwrap();
    let mut entries = Entries::new();
    for number in 1..=MAX_REVISIONS + 7 {
        let change = apply(&entries, number, &[("a", number as u16)], false);
        database.commit(&change).unwrap();
        entries = after(&entries, &change);
    }
    assert_eq!(database.oldest().unwrap(), Some(8));
    assert_eq!(database.load().unwrap().revision, MAX_REVISIONS + 7);
    assert_eq!(database.load().unwrap().entries, entries);
}

#[test]
fn a_damaged_file_is_set_aside_and_no_reason_not_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let (database, _) = Database::open(folder.path()).unwrap();
    let change = apply(&Entries::new(), 1, &[("a", 1)], false);
    database.commit(&change).unwrap();
    drop(database);
    let good = std::fs::read(&file).unwrap();
    // Cut, overwritten in the middle, no database at all, and one byte of a document.
    let text = b"CiliumNetworkPolicy";
    let at = good
        .windows(text.len())
        .rposition(|part| part == text)
        .unwrap();
    let mut damaged = vec![
        good[..good.len() / 2].to_vec(),
        Vec::new(),
        b"no database".to_vec(),
        vec![0xff; 4096 * 3],
    ];
    for place in [0, 20, 64, 100, 4096, 8192, at] {
        let mut bytes = good.clone();
        for byte in &mut bytes[place..place + 8] {
            *byte = !*byte;
        }
        damaged.push(bytes);
    }
    for (number, bytes) in damaged.iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        let (database, stored) = Database::open(folder.path()).unwrap();
        // Repaired, or begun anew; never something else.
        let is_whole = stored.entries == after(&Entries::new(), &change);
        assert!(
            is_whole || stored == Stored::default(),
            "{number}: {stored:?}"
        );
        let next = apply(&stored.entries, stored.revision + 1, &[("b", 2)], false);
        database.commit(&next).unwrap();
    }
    let aside = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.unwrap().file_name();
        name.to_str().unwrap().starts_with("policies.redb.damaged")
    };
    assert!(std::fs::read_dir(folder.path()).unwrap().any(aside));
}

#[test]
fn a_second_daemon_gets_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let (_first, _) = Database::open(folder.path()).unwrap();
    let second = Database::open(folder.path());
    let is_taken = |error| matches!(error, DatabaseError::State(StateError::Taken { .. }));
    assert!(second.is_err_and(is_taken));
}

#[test]
fn what_is_no_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&target, folder.path().join(FILE)).unwrap();
    let (_, stored) = Database::open(folder.path()).unwrap();
    assert_eq!(stored, Stored::default());
    assert!(!target.exists());
}

#[test]
fn nothing_is_written_that_would_not_be_found_again_and_that_is_told() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("removed", |folder| {
            std::fs::remove_file(folder.join(FILE)).unwrap()
        }),
        ("emptied", |folder| {
            std::fs::write(folder.join(FILE), "").unwrap()
        }),
        ("replaced", |folder| {
            std::fs::copy(folder.join(FILE), folder.join("copy")).unwrap();
            std::fs::rename(folder.join("copy"), folder.join(FILE)).unwrap();
        }),
        ("moved with its folder", |folder| {
            std::fs::rename(folder, folder.with_extension("moved")).unwrap();
        }),
    ];
    for (name, harm) in harms {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("state");
        let (database, _) = Database::open(&folder).unwrap();
        let one = apply(&Entries::new(), 1, &[("a", 1)], false);
        database.commit(&one).unwrap();
        assert_eq!(database.trouble(), None);
        harm(&folder);
        let two = apply(&after(&Entries::new(), &one), 2, &[("b", 2)], false);
        let error = database.commit(&two).unwrap_err();
        assert!(
            matches!(error, DatabaseError::Gone { .. }),
            "{name}: {error}"
        );
        assert!(
            database
                .trouble()
                .is_some_and(|why| why.contains("put it back")),
            "{name}"
        );
    }
}

#[test]
fn a_damaged_file_is_told_until_there_are_policies_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), "no database").unwrap();
    let (database, stored) = Database::open(folder.path()).unwrap();
    assert_eq!(stored, Stored::default());
    let why = database.trouble().unwrap();
    assert!(
        why.contains("set aside as") && why.contains("damaged-1"),
        "{why}"
    );
    let one = apply(&Entries::new(), 1, &[("a", 1)], false);
    database.commit(&one).unwrap();
    assert_eq!(database.trouble(), None);
}
