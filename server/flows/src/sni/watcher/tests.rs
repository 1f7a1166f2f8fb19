use super::*;
use crate::sni::testing::hello;

fn connection(port: u16) -> Connection {
    Connection {
        zone: 0,
        client: ([10, 0, 0, 1], port).into(),
        server: ([10, 0, 0, 2], 443).into(),
    }
}

fn take(watcher: &mut Watcher, port: u16, began: u64, offset: u32, bytes: &[u8]) -> Option<String> {
    let seen = watcher.take(Packet {
        connection: connection(port),
        began,
        offset,
        bytes,
    });
    seen.map(|seen| seen.name.to_string())
}

fn name(watcher: &mut Watcher, port: u16, began: u64) -> Option<String> {
    match watcher.asked(&connection(port), began, &mut Interner::default()) {
        Asked::Unknown => None,
        Asked::Nothing => Some(String::new()),
        Asked::Name(names) => Some(names.join(" ")),
    }
}

#[test]
fn a_connection_has_the_name_that_its_client_asked_for_first() {
    let mut watcher = Watcher::default();
    let (one, two) = (hello("one.test"), hello("two.test"));
    assert_eq!(take(&mut watcher, 1, 7, 20, &one[20..]), None);
    assert_eq!(name(&mut watcher, 1, 7), None);
    assert_eq!(
        take(&mut watcher, 1, 7, 0, &one[..20]).as_deref(),
        Some("one.test")
    );
    assert_eq!(take(&mut watcher, 1, 7, 0, &one), None, "sent again");
    assert_eq!(take(&mut watcher, 1, 7, 0, &two), None, "a second one");
    assert_eq!(name(&mut watcher, 1, 7).as_deref(), Some("one.test"));
    assert_eq!(name(&mut watcher, 2, 7), None, "another connection");
    assert_eq!(name(&mut watcher, 1, 8), None, "the next with these ends");
    assert_eq!(
        take(&mut watcher, 1, 8, 0, &two).as_deref(),
        Some("two.test")
    );
    assert_eq!(name(&mut watcher, 1, 8).as_deref(), Some("two.test"));
    let counts = watcher.counts();
    assert_eq!(
        (counts.hellos, counts.nameless, counts.forgotten),
        (2, 0, 0)
    );
    assert_eq!(counts.malformed, [0; Malformed::ALL.len()]);
}

#[test]
fn the_beginning_of_an_earlier_connection_is_no_part_of_the_next() {
    let mut watcher = Watcher::default();
    let (one, two) = (hello("one.test"), hello("two.test"));
    assert_eq!(take(&mut watcher, 1, 7, 0, &one[..30]), None);
    assert_eq!(take(&mut watcher, 1, 8, 30, &two[30..]), None);
    assert_eq!(
        take(&mut watcher, 1, 8, 0, &two[..30]).as_deref(),
        Some("two.test")
    );
}

#[test]
fn what_cannot_be_read_is_counted_by_cause() {
    let mut watcher = Watcher::default();
    assert_eq!(take(&mut watcher, 1, 7, 0, b"GET /"), None);
    assert_eq!(take(&mut watcher, 2, 7, 0, &hello("10.0.0.1")), None);
    assert_eq!(take(&mut watcher, 3, 7, 0, &hello("a b")), None);
    for port in 0..=OPEN as u16 * 2 {
        assert_eq!(take(&mut watcher, 100 + port, 7, 0, &[22]), None);
    }
    assert_eq!(name(&mut watcher, 2, 7).as_deref(), Some(""));
    let counts = watcher.counts();
    let count = |cause: Malformed| counts.malformed[cause as usize];
    assert_eq!(count(Malformed::NotHello), 1);
    assert_eq!(count(Malformed::Address), 1);
    assert_eq!(count(Malformed::Name), 1);
    assert!(count(Malformed::Incomplete) as usize > OPEN);
}
