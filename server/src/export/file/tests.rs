use std::{
    fs,
    io::Read as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use super::*;
use crate::{export::Setting, store::Ring};

fn sink(target: &FileTarget) -> FileSink {
    let (ring, _) = Ring::new(1);
    let setting = Setting::file("flows".into(), target.clone());
    FileSink::new(target, Counts::new(&setting, ring, 0))
}

fn target(folder: &Path) -> FileTarget {
    FileTarget {
        max_bytes: 1000,
        ..FileTarget::new(folder.join("flows.log"))
    }
}

fn lines(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("{number:0>99}\n")).collect()
}

fn batch(lines: &[String]) -> Batch {
    let mut batch = Batch::default();
    for line in lines {
        let added = batch.add(|bytes| {
            bytes.extend_from_slice(line.as_bytes());
            Ok::<_, ()>(())
        });
        added.unwrap();
    }
    batch
}

fn write(sink: &mut FileSink, lines: &[String]) {
    let written = sink.write(&batch(lines));
    written.result.unwrap();
    assert_eq!(written.events, lines.len());
}

/// All that is in the files, the oldest first, and how many there are.
fn read(folder: &Path) -> (String, usize) {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // `-` is before `.`: the one that is written is the last.
    names.sort();
    let mut text = String::new();
    for path in &names {
        let file = fs::File::open(path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        match path.extension().unwrap().to_str().unwrap() {
            "gz" => flate2::read::GzDecoder::new(file).read_to_string(&mut text),
            _ => (&file).read_to_string(&mut text),
        }
        .unwrap();
    }
    (text, names.len())
}

#[test]
fn files_are_begun_anew_between_lines_and_nothing_is_lost_or_twice() {
    for compress in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let target = FileTarget {
            compress,
            ..target(folder.path())
        };
        let mut sink = sink(&target);
        let all = lines(0..45);
        // More than one file at once, then one by one.
        write(&mut sink, &all[..25]);
        all[25..]
            .iter()
            .for_each(|line| write(&mut sink, std::slice::from_ref(line)));
        sink.close().unwrap();
        let (text, files) = read(folder.path());
        assert_eq!((text, files), (all.concat(), 5));
        let names = fs::read_dir(folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name());
        let compressed = names.filter(|name| name.to_str().unwrap().ends_with(".gz"));
        assert_eq!(compressed.count(), if compress { 4 } else { 0 });
    }
}

#[test]
fn only_the_latest_old_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let target = FileTarget {
        max_backups: 2,
        ..target(folder.path())
    };
    let mut sink = sink(&target);
    let all = lines(0..55);
    write(&mut sink, &all);
    sink.close().unwrap();
    let (text, files) = read(folder.path());
    assert_eq!((text, files), (all[30..].concat(), 3));
}

#[test]
fn links_folders_and_files_of_two_writers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    fs::write(folder.path().join("other"), "as it was").unwrap();
    symlink("other", &target.path).unwrap();
    let told = sink(&target).prepare().unwrap_err().to_string();
    assert!(told.contains("is a link"), "{told}");
    fs::remove_file(&target.path).unwrap();
    fs::create_dir(&target.path).unwrap();
    assert!(sink(&target).prepare().is_err());
    fs::remove_dir(&target.path).unwrap();
    let mut first = sink(&target);
    write(&mut first, &lines(0..1));
    let told = sink(&target).prepare().unwrap_err().to_string();
    assert!(told.contains("written by another"), "{told}");
    let other = fs::read_to_string(folder.path().join("other")).unwrap();
    assert_eq!(other, "as it was");
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let mut sink = sink(&target);
    let all = lines(0..2);
    write(&mut sink, &all[..1]);
    fs::rename(&target.path, folder.path().join("moved")).unwrap();
    write(&mut sink, &all[1..]);
    assert_eq!(fs::read_to_string(&target.path).unwrap(), all[1]);
}

#[test]
fn a_full_disk_takes_whole_lines_or_none() {
    let path = Path::new("/dev/full");
    let target = FileTarget::new(path.into());
    let written = sink(&target).write(&batch(&["x\n".into()]));
    assert_eq!(written.events, 0);
    assert!(written.result.is_err());
}
