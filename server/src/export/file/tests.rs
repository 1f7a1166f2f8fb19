use std::{
    fs,
    io::Read as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use super::*;
use crate::store::Ring;

fn sink(setting: &FileSetting) -> FileSink {
    let (ring, _) = Ring::new(1);
    let counts = Counts::new(setting.name.clone(), "file", ring, 0);
    FileSink::new(setting, counts)
}

fn setting(folder: &Path) -> FileSetting {
    FileSetting {
        max_bytes: 1000,
        ..FileSetting::new("flows".into(), folder.join("flows.log"))
    }
}

fn lines(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("{number:0>99}\n")).collect()
}

fn write(sink: &mut FileSink, lines: &[String]) {
    let (written, result) = sink.write(lines.iter().map(String::as_str));
    result.unwrap();
    assert_eq!(written, lines.len());
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
        let setting = FileSetting {
            compress,
            ..setting(folder.path())
        };
        let mut sink = sink(&setting);
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
    let setting = FileSetting {
        max_backups: 2,
        ..setting(folder.path())
    };
    let mut sink = sink(&setting);
    let all = lines(0..55);
    write(&mut sink, &all);
    sink.close().unwrap();
    let (text, files) = read(folder.path());
    assert_eq!((text, files), (all[30..].concat(), 3));
}

#[test]
fn links_folders_and_files_of_two_writers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let setting = setting(folder.path());
    fs::write(folder.path().join("other"), "as it was").unwrap();
    symlink("other", &setting.path).unwrap();
    let told = sink(&setting).prepare().unwrap_err().to_string();
    assert!(told.contains("is a link"), "{told}");
    fs::remove_file(&setting.path).unwrap();
    fs::create_dir(&setting.path).unwrap();
    assert!(sink(&setting).prepare().is_err());
    fs::remove_dir(&setting.path).unwrap();
    let mut first = sink(&setting);
    write(&mut first, &lines(0..1));
    let told = sink(&setting).prepare().unwrap_err().to_string();
    assert!(told.contains("written by another"), "{told}");
    let other = fs::read_to_string(folder.path().join("other")).unwrap();
    assert_eq!(other, "as it was");
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let setting = setting(folder.path());
    let mut sink = sink(&setting);
    let all = lines(0..2);
    write(&mut sink, &all[..1]);
    fs::rename(&setting.path, folder.path().join("moved")).unwrap();
    write(&mut sink, &all[1..]);
    assert_eq!(fs::read_to_string(&setting.path).unwrap(), all[1]);
}

#[test]
fn a_full_disk_takes_whole_lines_or_none() {
    let path = Path::new("/dev/full");
    let setting = FileSetting::new("full".into(), path.into());
    let (written, result) = sink(&setting).write(["x\n"].into_iter());
    assert_eq!(written, 0);
    assert!(result.is_err());
}
