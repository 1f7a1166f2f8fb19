use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    export::{FileTarget, Setting, queue::Queue},
    store::Ring,
};

fn counts() -> Counts {
    let (ring, _) = Ring::new(1);
    let target = FileTarget::new("/unused".into());
    Counts::new(&Setting::file("spooled".into(), target), ring, 0)
}

fn setting(folder: &Path) -> SpoolSetting {
    SpoolSetting {
        directory: folder.join("spool"),
        max_bytes: 8 << 20,
    }
}

fn open(folder: &Path) -> Spool {
    Spool::open(&setting(folder), 1, &counts()).unwrap()
}

/// Events are the numbers, each in so many bytes.
fn push(spool: &mut Spool, numbers: std::ops::Range<u64>, bytes: usize) {
    let mut batch = Batch::default();
    for number in numbers {
        let added = batch.add(|out| {
            out.extend_from_slice(&number.to_le_bytes());
            out.resize(out.len() + bytes - 8, b'x');
            Ok::<_, ()>(())
        });
        added.unwrap();
    }
    spool.push(&batch).unwrap();
}

/// The numbers of the next events, of so many bytes at least.
fn load(spool: &mut Spool, bytes: usize) -> Vec<u64> {
    let mut batch = Batch::default();
    spool.load(&mut batch, bytes);
    let numbers = batch.events().map(|event| segment::u64_at(event, 0));
    numbers.collect()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("spool")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths
        .filter(|path| path.to_str().unwrap().contains("events-"))
        .collect();
    segments.sort();
    segments
}

fn dropped(spool: &Spool, why: Dropped) -> u64 {
    spool.counts.state().dropped[why as usize]
}

fn damaged(spool: &Spool) -> [u64; 3] {
    // The counters of the state of one that has a spool.
    Damage::ALL.map(|what| spool.counts.damaged(what))
}

#[test]
fn what_is_not_acknowledged_is_there_again_and_the_rest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..10, 20);
    push(&mut spool, 10..15, 20);
    assert_eq!(load(&mut spool, 1000), (0..15).collect::<Vec<_>>());
    assert!(load(&mut spool, 1000).is_empty(), "each is loaded once");
    // In the middle of a frame.
    spool.acknowledge(7);
    assert_eq!(spool.len(), 8);
    drop(spool);
    let mut spool = open(folder.path());
    assert_eq!(spool.len(), 8);
    push(&mut spool, 15..17, 20);
    assert_eq!(load(&mut spool, 1000), (7..17).collect::<Vec<_>>());
    spool.acknowledge(10);
    assert_eq!(spool.len(), 0);
    drop(spool);
    let mut spool = open(folder.path());
    assert_eq!((spool.len(), load(&mut spool, 1000)), (0, vec![]));
    push(&mut spool, 17..18, 20);
    assert_eq!(load(&mut spool, 1000), [17]);
    assert_eq!(damaged(&spool), [0; 3]);
    for path in segments(folder.path()) {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Cut at every byte, all whole frames before are there and all is counted.
#[test]
fn a_tail_that_is_cut_off_at_any_byte_takes_its_frame_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..2, 8);
    push(&mut spool, 2..4, 8);
    drop(spool);
    let [path] = &segments(folder.path())[..] else {
        panic!("one segment");
    };
    let whole = fs::read(path).unwrap();
    let frame = (whole.len() - HEADER as usize) / 2;
    for cut in HEADER as usize..whole.len() {
        for left in segments(folder.path()) {
            fs::remove_file(left).unwrap();
        }
        fs::write(path, &whole[..cut]).unwrap();
        let mut spool = open(folder.path());
        let frames = (cut - HEADER as usize) / frame;
        let is_torn = !(cut - HEADER as usize).is_multiple_of(frame);
        assert_eq!(damaged(&spool), [0, u64::from(is_torn), 0], "at {cut}");
        let before: Vec<_> = (0..2 * frames as u64).collect();
        // What comes then is in order behind it.
        push(&mut spool, 100..101, 8);
        let all = [&before[..], &[100]].concat();
        assert_eq!(load(&mut spool, 1000), all, "at {cut}");
    }
}

#[test]
fn a_flipped_bit_anywhere_loses_what_is_behind_it_in_its_segment_and_counts_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..2, 8);
    push(&mut spool, 2..4, 8);
    drop(spool);
    // A second one.
    let mut spool = open(folder.path());
    push(&mut spool, 4..6, 8);
    drop(spool);
    let (first, second) = (
        segments(folder.path())[0].clone(),
        segments(folder.path())[1].clone(),
    );
    let (one, two) = (fs::read(&first).unwrap(), fs::read(&second).unwrap());
    for at in 0..one.len() {
        let left = fs::read_dir(folder.path().join("spool")).unwrap();
        left.for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
        let mut bad = one.clone();
        bad[at] ^= 4;
        fs::write(&first, &bad).unwrap();
        fs::write(&second, &two).unwrap();
        let mut spool = open(folder.path());
        let loaded = load(&mut spool, 1000);
        let lost = 6 - loaded.len() as u64;
        assert!(
            lost >= 2 && loaded.ends_with(&[4, 5]),
            "at {at}: {loaded:?}"
        );
        assert_eq!(dropped(&spool, Dropped::Damaged), lost, "at {at}");
        assert_eq!(damaged(&spool), [0, 0, 1], "at {at}");
        spool.acknowledge(loaded.len());
        assert_eq!(spool.len(), 0);
    }
}

#[test]
fn a_full_one_drops_its_oldest_events_and_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    for batch in 0..40 {
        push(&mut spool, 10 * batch..10 * batch + 10, 50_000);
        assert!(spool.bytes() <= 8 << 20, "{}", spool.bytes());
    }
    let lost = dropped(&spool, Dropped::Spool);
    assert!(lost > 200 && lost < 400, "{lost}");
    assert_eq!(spool.len(), 400 - lost);
    let loaded = load(&mut spool, 100 << 20);
    assert_eq!(loaded, (lost..400).collect::<Vec<_>>());
    spool.acknowledge(loaded.len());
    assert!(spool.bytes() < 1 << 20, "what is acknowledged is removed");
    assert_eq!(segments(folder.path()).len(), spool.segments.len());
}

#[test]
fn events_of_another_kind_are_set_aside_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..3, 8);
    drop(spool);
    let mut spool = Spool::open(&setting(folder.path()), 2, &counts()).unwrap();
    assert!(load(&mut spool, 1000).is_empty());
    assert_eq!(damaged(&spool), [0, 0, 1]);
    assert!(folder.path().join("spool/damaged-1").exists());
    push(&mut spool, 7..8, 8);
    assert_eq!(load(&mut spool, 1000), [7]);
}

#[test]
fn one_daemon_has_it_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let told = Spool::open(&setting(folder.path()), 1, &counts()).unwrap_err();
    assert!(told.to_string().contains("another sextantd"), "{told}");
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("spool")).unwrap();
    let aim = other.path().join("aim");
    fs::write(&aim, "as it was").unwrap();
    for name in ["lock", "acknowledged"] {
        let link = other.path().join("spool").join(name);
        symlink(&aim, &link).unwrap();
        assert!(Spool::open(&setting(other.path()), 1, &counts()).is_err());
        fs::remove_file(link).unwrap();
    }
    let link = other.path().join("spool").join(segment_name(0));
    symlink(&aim, &link).unwrap();
    let mut spool = open(other.path());
    let mut batch = Batch::default();
    batch.add(|_| Ok::<_, ()>(())).unwrap();
    assert!(spool.push(&batch).is_err());
    assert_eq!(fs::read_to_string(&aim).unwrap(), "as it was");
}

/// What a kill in the middle of its write leaves, and worse.
#[test]
fn a_damaged_acknowledgement_sends_again_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..9, 8);
    load(&mut spool, 1000);
    spool.acknowledge(3);
    spool.acknowledge(1);
    drop(spool);
    let path = folder.path().join("spool/acknowledged");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let mut spool = open(folder.path());
        let loaded = load(&mut spool, 1000);
        assert!(
            loaded.len() >= 5 && loaded.ends_with(&[8]),
            "at {at}: {loaded:?}"
        );
    }
    fs::write(&path, "").unwrap();
    assert_eq!(load(&mut open(folder.path()), 1000).len(), 9);
}

#[test]
fn a_segment_that_no_event_begins_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..3, 20);
    drop(spool);
    for number in [u64::MAX, 1 << 62] {
        fs::write(folder.path().join("spool").join(segment_name(number)), "").unwrap();
    }
    let mut spool = open(folder.path());
    assert_eq!(damaged(&spool).iter().sum::<u64>(), 2);
    push(&mut spool, 3..5, 20);
    assert_eq!(load(&mut spool, 1000), [0, 1, 2, 3, 4]);
}

#[test]
fn a_spool_that_somebody_removed_is_told_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let counts = counts();
    let mut queue = Queue::new(setting(folder.path()), 1, counts.clone());
    queue.settle();
    let add = |queue: &mut Queue, events: u64| {
        for number in 0..events {
            let added = queue.fresh.add(|out| {
                out.extend_from_slice(&number.to_le_bytes());
                Ok::<_, ()>(())
            });
            added.unwrap();
        }
        queue.settle();
    };
    add(&mut queue, 5);
    queue.sync();
    assert_eq!(queue.on_disk(), 5);
    // One that moved and left a link is where it was.
    fs::rename(folder.path().join("spool"), folder.path().join("other")).unwrap();
    symlink("other", folder.path().join("spool")).unwrap();
    queue.sync();
    assert_eq!(queue.on_disk(), 5);
    assert_eq!(counts.state().dropped[Dropped::Damaged as usize], 0);
    fs::rename(folder.path().join("spool"), folder.path().join("moved")).unwrap();
    queue.sync();
    assert_eq!(counts.state().dropped[Dropped::Damaged as usize], 5);
    assert_eq!(queue.in_memory(), 0);
    add(&mut queue, 2);
    assert_eq!(queue.on_disk(), 2);
    assert_eq!(segments(folder.path()).len(), 1);
    // One that is removed alone: what comes goes into another.
    fs::remove_file(&segments(folder.path())[0]).unwrap();
    add(&mut queue, 1);
    assert_eq!(queue.fresh.len(), 1, "it is tried again");
}
