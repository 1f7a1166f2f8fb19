//! The log as a whole: what is recorded is in memory and in the files, whatever
//! becomes of these.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    os::unix::net::UnixDatagram,
};

use tempfile::TempDir;
use tonic::Code;

use super::{file::AuditFile, journal::Journal, *};
use crate::{config::AuditTo, flow::Time};

fn record(who: &str, code: Code) -> Record {
    Record {
        time: Time::now(),
        who: who.into(),
        from: "unix, pid 1".into(),
        method: "a.B/C".into(),
        what: "what".into(),
        code,
        message: String::new(),
    }
}

fn config(max_bytes: u64, keep: u32) -> config::Audit {
    config::Audit {
        to: AuditTo::File("audit.jsonl".into()),
        max_bytes,
        keep,
    }
}

/// Opens a log, records calls of these, and closes it.
fn log_of(config: &config::Audit, folder: &TempDir, callers: &[&str]) -> Log {
    let log = Log::open(config, folder.path()).unwrap();
    for who in callers {
        log.record(record(who, Code::Ok));
    }
    log.close();
    log
}

fn text(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap_or_default()
}

fn callers(entries: &[Arc<Entry>]) -> Vec<&str> {
    let callers = entries.iter().map(|entry| &*entry.record.who);
    callers.collect()
}

#[test]
fn what_is_recorded_is_in_the_file_and_there_again_after_a_start() {
    let folder = TempDir::new().unwrap();
    let log = log_of(&config(1 << 20, 1), &folder, &["uid:0", "cn:relay"]);
    log.record(record("late", Code::Ok));
    let file = folder.path().join("audit.jsonl");
    assert_eq!(text(&folder, "audit.jsonl").lines().count(), 2);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!((log.counts().calls(), log.counts().lost()), (3, 1));
    drop(log);
    let log = log_of(&config(1 << 20, 1), &folder, &["uid:7"]);
    assert_eq!(callers(&log.entries()), ["uid:0", "cn:relay", "uid:7"]);
    let sequences: Vec<_> = log.entries().iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
}

#[test]
fn an_end_tells_what_was_folded() {
    let folder = TempDir::new().unwrap();
    let log = Log::open(&config(1 << 20, 1), folder.path()).unwrap();
    for _ in 0..100 {
        log.record(record("uid:1000", Code::PermissionDenied));
    }
    log.close();
    let lines = text(&folder, "audit.jsonl");
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("\"count\":99"), "{lines}");
    let counts = log.counts();
    assert_eq!((counts.refusals(), counts.folded()), (100, 99));
}

#[test]
fn files_are_rotated_by_size_and_the_oldest_goes() {
    let folder = TempDir::new().unwrap();
    let names: Vec<String> = (0..60).map(|n| format!("caller-{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    log_of(&config(1000, 2), &folder, &names);
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files.drain(..) {
        let metadata = file.unwrap().metadata().unwrap();
        assert!(metadata.len() <= 1000, "{metadata:?}");
        assert_eq!(metadata.mode() & 0o777, 0o600);
    }
    let all = text(&folder, "audit.jsonl.2") + &text(&folder, "audit.jsonl.1");
    let all = all + &text(&folder, "audit.jsonl");
    let last = names.len() - all.lines().count();
    assert!((20..55).contains(&last), "{last}");
    let in_order = names[last..].iter().zip(all.lines());
    for (name, line) in in_order {
        assert!(line.contains(name), "{name}: {line}");
    }
    // At the next start all of them are read.
    let log = log_of(&config(1000, 2), &folder, &[]);
    assert_eq!(callers(&log.entries()), &names[last..]);
}

#[test]
fn without_old_files_the_file_is_begun_anew() {
    let folder = TempDir::new().unwrap();
    let names = vec!["caller"; 30];
    log_of(&config(1000, 0), &folder, &names);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(text(&folder, "audit.jsonl").len() <= 1000);
}

#[test]
fn a_line_that_a_kill_cut_off_spoils_no_other() {
    let folder = TempDir::new().unwrap();
    log_of(&config(1 << 20, 1), &folder, &["a", "b"]);
    let whole = text(&folder, "audit.jsonl");
    for cut in 1..60 {
        let file = folder.path().join("audit.jsonl");
        fs::write(&file, &whole[..whole.len() - cut]).unwrap();
        let log = log_of(&config(1 << 20, 1), &folder, &["c"]);
        // Without its line break the last line is whole.
        let expect: &[_] = if cut == 1 {
            &["a", "b", "c"]
        } else {
            &["a", "c"]
        };
        assert_eq!(callers(&log.entries()), expect, "{cut}");
        let log = log_of(&config(1 << 20, 1), &folder, &[]);
        assert_eq!(callers(&log.entries()), expect, "{cut}");
    }
}

#[test]
fn a_file_of_anything_is_no_reason_not_to_start() {
    let folder = TempDir::new().unwrap();
    for bytes in [&b"\0\xff\n\n\x80{}\n[1]\nnull\n"[..], &[b'x'; 10_000], b""] {
        fs::write(folder.path().join("audit.jsonl"), bytes).unwrap();
        let log = log_of(&config(1 << 20, 1), &folder, &["a"]);
        assert_eq!(callers(&log.entries()), ["a"]);
        assert!(text_lossy(&folder).ends_with("\"code\":\"OK\"}\n"));
    }
}

fn text_lossy(folder: &TempDir) -> String {
    let bytes = fs::read(folder.path().join("audit.jsonl")).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn only_whole_lines_of_the_end_of_a_large_file_are_read() {
    let folder = TempDir::new().unwrap();
    let names = vec!["caller"; 30];
    log_of(&config(1 << 20, 0), &folder, &names);
    let lines = text(&folder, "audit.jsonl").repeat(2000);
    assert!(lines.len() > 6 << 20);
    fs::write(folder.path().join("audit.jsonl"), &lines).unwrap();
    let log = log_of(&config(1 << 30, 0), &folder, &["new"]);
    assert_eq!(log.entries().len(), KEPT);
    let last = text(&folder, "audit.jsonl");
    let last = last.lines().next_back().map(str::to_owned);
    assert!(last.is_some_and(|line| line.contains("\"new\"")));
}

/// What the file refuses at the path that was prepared.
fn refused(prepare: impl Fn(&Path)) -> String {
    let folder = TempDir::new().unwrap();
    prepare(folder.path());
    let mut file = AuditFile::new(folder.path().join("audit.jsonl"), 1 << 20, 1);
    let entry = Entry {
        sequence: 0,
        record: record("a", Code::Ok),
        count: 1,
        since: None,
    };
    let (written, result) = file.write(&[Arc::new(entry)]);
    assert_eq!(written, 0);
    result.unwrap_err().to_string()
}

#[test]
fn what_is_no_file_of_ours_is_not_written_and_told_with_a_remedy() {
    let link = refused(|folder| {
        fs::write(folder.join("target"), "").unwrap();
        symlink("target", folder.join("audit.jsonl")).unwrap();
    });
    assert!(link.contains("is a link"), "{link}");
    let directory = refused(|folder| fs::create_dir(folder.join("audit.jsonl")).unwrap());
    assert!(directory.contains("[audit] file"), "{directory}");
    let open = refused(|folder| {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    });
    assert!(open.contains("everybody may write"), "{open}");
    let fifo = refused(|folder| {
        let path = folder.join("audit.jsonl");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    });
    assert!(fifo.contains("no regular file"), "{fifo}");
}

#[test]
fn a_second_daemon_does_not_write_the_same_file() {
    let folder = TempDir::new().unwrap();
    let first = Log::open(&config(1 << 20, 1), folder.path()).unwrap();
    let second = log_of(&config(1 << 20, 1), &folder, &["second"]);
    assert_eq!(callers(&second.entries()), ["second"]);
    assert_eq!(second.counts().lost(), 1);
    first.record(record("first", Code::Ok));
    first.close();
    let lines = text(&folder, "audit.jsonl");
    assert!(
        lines.contains("first") && !lines.contains("second"),
        "{lines}"
    );
}

#[test]
fn what_could_not_be_written_is_written_when_there_is_room_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut file = AuditFile::new(path.clone(), 1 << 20, 1);
    let entry = |who| {
        Arc::new(Entry {
            sequence: 0,
            record: record(who, Code::Ok),
            count: 1,
            since: None,
        })
    };
    fs::create_dir(&path).unwrap();
    assert!(file.write(&[entry("a")]).1.is_err());
    fs::remove_dir(&path).unwrap();
    assert!(file.write(&[entry("a")]).1.is_ok());
    // Moved away by another, as logrotate does.
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    assert!(file.write(&[entry("b")]).1.is_ok());
    assert!(text(&folder, "elsewhere").contains("\"a\""));
    assert!(text(&folder, "audit.jsonl").contains("\"b\""));
}

#[test]
fn a_full_disk_holds_nobody_and_what_is_lost_is_counted() {
    let config = config::Audit {
        // Opens, is no regular file, and takes nothing.
        to: AuditTo::File("/dev/full".into()),
        ..config::Audit::default()
    };
    let log = Log::open(&config, Path::new("/")).unwrap();
    let total = QUEUED as u64 + 500;
    for n in 0..total {
        // Another caller each time: nothing is folded.
        log.record(record(&n.to_string(), Code::Ok));
    }
    assert_eq!(log.entries().len() as u64, total);
    assert!(log.counts().lost() >= 500, "{}", log.counts().lost());
    log.close();
    assert_eq!(log.counts().lost(), total);
}

#[test]
fn the_journal_gets_each_entry_as_fields() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("socket");
    let mut journal = Journal::at(path.clone());
    let entry = Arc::new(Entry {
        sequence: 0,
        record: Record {
            message: "no\nMESSAGE=forged".into(),
            ..record("uid:7", Code::PermissionDenied)
        },
        count: 3,
        since: Some(Time::from_nanos(0)),
    });
    let (written, failed) = journal.write(&[Arc::clone(&entry)]);
    assert_eq!(written, 0);
    assert!(failed.unwrap_err().to_string().contains("systemd-journald"));
    let server = UnixDatagram::bind(&path).unwrap();
    assert!(journal.write(&[entry]).1.is_ok());
    let mut buffer = [0; 4096];
    let length = server.recv(&mut buffer).unwrap();
    let text = str::from_utf8(&buffer[..length]).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "MESSAGE=uid:7 a.B/C from unix, pid 1: PERMISSION_DENIED (3 times): no\\nMESSAGE=forged"
    );
    assert_eq!(lines[1], "PRIORITY=4");
    assert!(lines.contains(&"SEXTANT_COUNT=3") && lines.contains(&"SEXTANT_WHO=uid:7"));
    assert!(
        lines.contains(&"SEXTANT_SINCE=1970-01-01T00:00:00Z"),
        "{text}"
    );
    assert!(lines.iter().all(|line| line.contains('=')), "{text}");
}
