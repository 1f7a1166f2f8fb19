use super::*;

/// A block with one field before the name.
fn allowed(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut block = [&[0x83][..], name, value].concat();
    headers(0, &mut block);
    block.split_off(1 + name.len())
}

fn plain(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

#[test]
fn a_path_becomes_a_name_of_the_same_length() {
    let check = |path: &str, name: &str| {
        let value = allowed(&[0x41], &plain(path.as_bytes()));
        assert_eq!(String::from_utf8_lossy(&value[1..]), name);
        assert!(Authority::try_from(name).is_ok(), "{name}");
    };
    check(
        "run%2Fsextant%2Fsextant.sock",
        "run-2Fsextant-2Fsextant.sock",
    );
    check("/run/sextant.sock", "-run-sextant.sock");
    check("%00abstract", "-00abstract");
    check(
        "/tmp/a b:c:d[1]@x#?\"<>\\^`{|}é",
        "-tmp-a-b-c-d-1--x-------------",
    );
    check("./relative_~", ".-relative_~");
}

#[test]
fn a_name_that_is_allowed_stays() {
    for name in [
        "localhost",
        "localhost:4245",
        "[::1]:4245",
        "node.example",
        "a%2f@h",
    ] {
        let value = plain(name.as_bytes());
        assert_eq!(allowed(&[0x41], &value), value, "{name}");
    }
}

#[test]
fn the_name_is_found_however_it_is_written() {
    let literal = [&[0x40][..], &plain(b":authority")].concat();
    // `:authority`, Huffman coded.
    let coded = [0x40, 0x88, 0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];
    let never_indexed = [0x11];
    let not_indexed = [0x01];
    for name in [&[0x41][..], &literal, &coded, &never_indexed, &not_indexed] {
        let value = allowed(name, &plain(b"a%2Fb"));
        assert_eq!(value, plain(b"a-2Fb"), "{name:x?}");
    }
    let other = [&[0x40][..], &plain(b"authority")].concat();
    assert_eq!(allowed(&other, &plain(b"a%2Fb")), plain(b"a%2Fb"));
}

#[test]
fn a_coded_value_keeps_its_bytes_and_its_length() {
    // `run%2Fsock`: r 101100, u 101101, n 101010, % 010101, 2 00010, F 1100001,
    // s 01000, o 00111, c 00100, k 1110101.
    let coded = [0xb2, 0xda, 0x95, 0x16, 0x14, 0x1c, 0x9d, 0x7f];
    let value = allowed(&[0x41], &[&[0x80 | coded.len() as u8][..], &coded].concat());
    assert_eq!(value.len(), coded.len() + 1);
    let text: Vec<u8> = symbols(&value[1..])
        .unwrap()
        .iter()
        .map(|symbol| symbol.byte)
        .collect();
    assert_eq!(String::from_utf8_lossy(&text), "run-2Fsock");
}

#[test]
fn padding_and_priority_are_no_part_of_the_block() {
    let field = [&[0x41][..], &plain(b"a%2Fb")].concat();
    let mut payload = [&[3][..], &[0, 0, 0, 0, 9], &field, &[0; 3]].concat();
    headers(PADDED | PRIORITY, &mut payload);
    assert_eq!(payload[8..13], *b"a-2Fb");
    let mut malformed = vec![9, 0x41];
    assert_eq!(headers(PADDED, &mut malformed), None);
    assert_eq!(malformed, [9, 0x41]);
}

#[test]
fn long_numbers_do_not_overflow() {
    for bytes in [
        &mut [0xff; 12][..],
        &mut [0x7f; 12],
        &mut [0x1f, 0xff, 0xff],
    ] {
        headers(0, bytes);
    }
}
