use super::*;
use crate::dns::testing::{answer, header, query, record};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 53);

fn see(
    watcher: &mut Watcher,
    at_ns: u64,
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    bytes: &[u8],
) -> Vec<Seen> {
    let mut all = Vec::new();
    let packet = Packet {
        at_ns,
        zone: 0,
        sequence: None,
        source: from.into(),
        destination: to.into(),
        length: bytes.len() as u32,
        bytes,
    };
    watcher.take(packet, &mut |seen| all.push(seen));
    all
}

fn latency(watcher: &mut Watcher, at_ns: u64, bytes: &[u8]) -> Option<u64> {
    let seen = see(watcher, at_ns, SERVER, CLIENT, bytes);
    seen.first().expect("a message").latency_ns
}

fn a(id: u16, name: &str) -> Vec<u8> {
    answer(id, 0, name, 1, &[record(name, 1, 60, &[192, 0, 2, 1])])
}

#[test]
fn an_answer_is_joined_to_its_query_in_whatever_case() {
    let mut watcher = Watcher::default();
    see(&mut watcher, 100, CLIENT, SERVER, &query(7, "A.tEst", 1));
    see(&mut watcher, 150, CLIENT, SERVER, &query(7, "b.test", 1));
    assert_eq!(latency(&mut watcher, 400, &a(7, "a.TesT")), Some(300));
    assert_eq!(latency(&mut watcher, 500, &a(7, "b.test")), Some(350));
    assert_eq!(latency(&mut watcher, 600, &a(7, "b.test")), None, "once");
    assert_eq!(watcher.counts().unasked, 1);
}

#[test]
fn an_answer_that_nobody_asked_for_has_no_latency() {
    let mut watcher = Watcher::default();
    see(&mut watcher, 100, CLIENT, SERVER, &query(7, "a.test", 1));
    for wrong in [
        a(8, "a.test"),
        a(7, "b.test"),
        answer(7, 0, "a.test", 28, &[]),
    ] {
        assert_eq!(latency(&mut watcher, 200, &wrong), None);
    }
    let other = ([10, 0, 0, 9], 53);
    let spoofed = see(&mut watcher, 200, other, CLIENT, &a(7, "a.test"));
    assert_eq!(spoofed[0].latency_ns, None, "from another server");
    assert_eq!(latency(&mut watcher, 300, &a(7, "a.test")), Some(200));
}

#[test]
fn a_query_that_is_sent_again_is_the_same() {
    let mut watcher = Watcher::default();
    for at in [100, 5000] {
        see(&mut watcher, at, CLIENT, SERVER, &query(7, "a.test", 1));
    }
    assert_eq!(latency(&mut watcher, 6000, &a(7, "a.test")), Some(5900));
    assert_eq!(latency(&mut watcher, 6100, &a(7, "a.test")), Some(6000));
    assert_eq!(latency(&mut watcher, 6200, &a(7, "a.test")), None);
}

#[test]
fn an_answer_without_a_question_is_to_the_only_query() {
    let mut watcher = Watcher::default();
    see(&mut watcher, 100, CLIENT, SERVER, &query(7, "a.test", 1));
    let refused = header(7, 0x8185, 0, 0);
    let seen = see(&mut watcher, 300, SERVER, CLIENT, &refused);
    assert_eq!(seen[0].question.name, "a.test.");
    assert_eq!((seen[0].latency_ns, seen[0].message.rcode), (Some(200), 5));
    assert!(see(&mut watcher, 400, SERVER, CLIENT, &refused).is_empty());
    assert_eq!(
        watcher.counts().malformed[Malformed::NoQuestion as usize],
        1
    );
}

#[test]
fn what_goes_the_wrong_way_is_counted() {
    let mut watcher = Watcher::default();
    assert!(see(&mut watcher, 1, CLIENT, SERVER, &a(1, "a.test")).is_empty());
    assert!(see(&mut watcher, 1, SERVER, CLIENT, &query(1, "a.test", 1)).is_empty());
    assert_eq!(watcher.counts().malformed[Malformed::WrongWay as usize], 2);
}

#[test]
fn malformed_causes_are_in_the_order_of_their_counters() {
    for (index, malformed) in Malformed::ALL.into_iter().enumerate() {
        assert_eq!(malformed as usize, index);
        assert!(!malformed.name().is_empty() && !malformed.to_string().is_empty());
    }
}

#[test]
fn queries_without_answers_are_forgotten_and_counted() {
    let mut watcher = Watcher::default();
    for n in 0..40_000_u32 {
        let bytes = query(n as u16, &format!("n{n}.test"), 1);
        see(&mut watcher, 1, CLIENT, SERVER, &bytes);
    }
    assert!(watcher.counts().forgotten_queries > 10_000);
}
