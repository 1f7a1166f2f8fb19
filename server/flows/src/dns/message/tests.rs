use super::*;
use crate::dns::testing::{answer, header, name, query, record};

const A: u16 = 1;
const CNAME: u16 = 5;

fn addresses(message: &Message) -> Vec<(String, u32, bool)> {
    let of = |found: &Address| (found.ip.to_string(), found.ttl, found.is_asked);
    message.addresses.iter().map(of).collect()
}

#[test]
fn a_query_is_read() {
    let message = read(&query(7, "Www.Example.ORG", 28), false).expect("sound");
    assert_eq!((message.id, message.kind), (7, Kind::Query));
    let question = message.question.expect("one");
    assert_eq!(
        (question.name.as_str(), &question.types[..]),
        ("www.example.org.", &[28][..])
    );
}

#[test]
fn an_alias_leads_to_the_name_that_was_asked_for_in_any_order() {
    let alias = record("a.test", CNAME, 30, &name("B.test"));
    let other = record("b.TEST", CNAME, 20, &name("c.test"));
    let found = record("c.test", A, 40, &[192, 0, 2, 1]);
    for records in [
        [alias.clone(), other.clone(), found.clone()],
        [found, other, alias],
    ] {
        let message = read(&answer(1, 0, "a.test", A, &records), false).expect("sound");
        assert_eq!(addresses(&message), [("192.0.2.1".into(), 20, true)]);
        assert_eq!(message.ttl, Some(20));
        assert_eq!(message.record_types.len(), 3);
        assert!(message.aliases.contains(&"B.test.".to_owned()));
    }
}

#[test]
fn an_address_of_another_name_was_not_asked_for() {
    let records = [
        record("a.test", A, 30, &[192, 0, 2, 1]),
        record("bank.test", A, 30, &[192, 0, 2, 66]),
        // A circle ends.
        record("x.test", CNAME, 30, &name("y.test")),
        record("y.test", CNAME, 30, &name("x.test")),
    ];
    let message = read(&answer(1, 0, "a.test", A, &records), false).expect("sound");
    let expect = [
        ("192.0.2.1".into(), 30, true),
        ("192.0.2.66".into(), 30, false),
    ];
    assert_eq!(addresses(&message), expect);
}

#[test]
fn a_circle_of_aliases_ends() {
    let records = [
        record("a.test", CNAME, 30, &name("b.test")),
        record("b.test", CNAME, 30, &name("a.test")),
    ];
    let message = read(&answer(1, 0, "a.test", A, &records), false).expect("sound");
    assert!(message.addresses.is_empty());
    assert_eq!(message.aliases, ["b.test.", "a.test."]);
}

#[test]
fn of_a_cut_message_what_is_there_is_read() {
    let records: Vec<_> = (0..10)
        .map(|n| record("a.test", A, 30, &[192, 0, 2, n]))
        .collect();
    let bytes = answer(1, 0, "a.test", A, &records);
    let cut = &bytes[..bytes.len() - 30];
    assert_eq!(read(cut, false), Err(Malformed::Records));
    assert_eq!(
        read(cut, true).expect("as far as it goes").addresses.len(),
        8
    );
}

#[test]
fn what_is_no_message_has_a_cause() {
    let long = [vec![0x3f; 1], vec![b'x'; 63]].concat().repeat(5);
    let circle = [header(1, 0x0100, 1, 0), vec![0xc0, 12, 0, 1, 0, 1]].concat();
    let ahead = [header(1, 0x0100, 1, 0), vec![0xc0, 14, 0, 0, 1, 0, 1]].concat();
    let many: Vec<_> = (0..300).map(|_| record("a", A, 1, &[1, 2, 3, 4])).collect();
    for (bytes, cause) in [
        (vec![], Malformed::Short),
        (vec![0; 11], Malformed::Short),
        (header(1, 0x0100, 0, 0), Malformed::NoQuestion),
        (header(1, 0x0100, 1, 0), Malformed::Question),
        (
            [header(1, 0x0100, 1, 0), long].concat(),
            Malformed::Question,
        ),
        (circle, Malformed::Question),
        (ahead, Malformed::Question),
        (
            answer(1, 0, "a", A, &[record("a", A, 1, &[1, 2])]),
            Malformed::Records,
        ),
        (answer(1, 0, "a", A, &many), Malformed::TooManyRecords),
        (
            [header(1, 0x8180, 1, 9), name("a"), vec![0, 1, 0, 1]].concat(),
            Malformed::Records,
        ),
    ] {
        assert_eq!(read(&bytes, false).map(|_| ()), Err(cause), "{bytes:?}");
    }
}

#[test]
fn odd_bytes_of_a_name_are_escaped() {
    let question = [vec![5], b"a.b\x07c".to_vec(), vec![0, 0, 1, 0, 1]].concat();
    let bytes = [header(1, 0x0100, 1, 0), question].concat();
    let message = read(&bytes, false).expect("sound");
    assert_eq!(message.question.expect("one").name, "a\\.b\\007c.");
}

#[test]
fn the_response_code_has_the_bits_of_edns() {
    let mut bytes = answer(1, 0, "a.test", A, &[]);
    bytes[11] = 1;
    // OPT: root, type 41, size, extended code 1, version, flags, no data.
    bytes.extend([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
    assert_eq!(read(&bytes, false).expect("sound").rcode, 16);
}
