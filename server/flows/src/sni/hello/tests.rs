use super::*;
use crate::sni::testing::{extension, message, server_name};

/// What a client sent, as hexadecimal digits, without the head of its record.
fn recorded(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit") as u8;
    let bytes = digits
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]));
    bytes.skip(5).collect()
}

fn named(name: &[u8]) -> Result<Option<String>, Malformed> {
    read(&message(&server_name(name)), false)
}

#[test]
fn names_of_hellos_that_clients_sent_are_read() {
    for (bytes, name) in [
        (
            include_str!("recorded/openssl.hex"),
            Some("openssl.sextant.test"),
        ),
        (
            include_str!("recorded/openssl_tls12.hex"),
            Some("openssl12.sextant.test"),
        ),
        (include_str!("recorded/openssl_no_name.hex"), None),
        (include_str!("recorded/curl.hex"), Some("curl.sextant.test")),
        (include_str!("recorded/curl_address.hex"), None),
        (
            include_str!("recorded/python.hex"),
            Some("python.sextant.test"),
        ),
        (include_str!("recorded/go.hex"), Some("go.sextant.test")),
        (
            include_str!("recorded/rustls.hex"),
            Some("rustls.sextant.test"),
        ),
        // What is asked for is inside; this is who can open it.
        (
            include_str!("recorded/go_ech.hex"),
            Some("outer.sextant.test"),
        ),
    ] {
        let bytes = recorded(bytes);
        assert_eq!(read(&bytes, false).expect("a hello").as_deref(), name);
        assert_eq!(length(&bytes), Some(bytes.len()));
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            assert_eq!(read(cut, false), Err(Malformed::Lengths), "{end}");
            match read(cut, true) {
                Ok(found) => assert_eq!(found.as_deref(), name, "{end}"),
                Err(malformed) => assert_eq!(malformed, Malformed::TooLong, "{end}"),
            }
        }
    }
}

#[test]
fn what_is_not_known_is_passed_over() {
    let extensions = [
        extension(0x2a2a, &[0]),
        extension(0xfe0d, &[0; 200]),
        server_name(b"a.test"),
        extension(0x3a3a, &[]),
    ];
    assert_eq!(
        read(&message(&extensions.concat()), false),
        Ok(Some("a.test".into()))
    );
    // A name of another kind, before the host's.
    let other = extension(
        0,
        &[
            0, 13, 1, 0, 1, b'x', 0, 0, 6, b'b', b'.', b't', b'e', b's', b't',
        ],
    );
    assert_eq!(read(&message(&other), false), Ok(Some("b.test".into())));
    assert_eq!(read(&message(&[]), false), Ok(None));
    // A server may leave the list empty, a client should not.
    assert_eq!(read(&message(&extension(0, &[0, 0])), false), Ok(None));
}

#[test]
fn names_are_as_dns_has_them() {
    let ok = |name: &str| named(name.as_bytes()).map(Option::unwrap_or_default);
    assert_eq!(ok("WWW.Example.TEST."), Ok("www.example.test".into()));
    assert_eq!(ok("xn--bcher-kva.test"), Ok("xn--bcher-kva.test".into()));
    assert_eq!(ok("_a.b-c"), Ok("_a.b-c".into()));
    assert_eq!(ok("localhost"), Ok("localhost".into()));
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(ok(&longest), Ok(longest.clone()));
    for address in ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "10.0.0.1."] {
        assert_eq!(ok(address), Err(Malformed::Address), "{address}");
    }
    for wrong in [
        "",
        ".",
        "a..test",
        ".a",
        "a.test..",
        "a\0.test",
        "a.test\n",
        "\u{1b}[2J",
        "a b",
        "bücher.test",
        "[fd00::1]",
        "*.a.test",
        "a/b",
        &format!("{label}a.test"),
        &format!("{longest}b"),
        &"x".repeat(255),
        &"x.".repeat(5000),
    ] {
        assert_eq!(ok(wrong), Err(Malformed::Name), "{wrong:?}");
    }
    assert_eq!(named(&[0xff, 0xfe]), Err(Malformed::Name));
}

#[test]
fn lengths_are_held_against_what_is_there() {
    let sound = message(&server_name(b"a.test"));
    for place in 0..sound.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = sound.clone();
            bytes[place] = value;
            let _ = read(&bytes, false);
            let _ = read(&bytes, true);
        }
    }
    let mut bytes = sound.clone();
    bytes[0] = 2;
    assert_eq!(read(&bytes, false), Err(Malformed::NotHello));
    // The list of names is longer than the extension.
    let list = extension(0, &[0, 50, 0, 0, 1, b'a']);
    assert_eq!(read(&message(&list), true), Err(Malformed::Lengths));
    assert_eq!(read(&[], false), Err(Malformed::Lengths));
}
