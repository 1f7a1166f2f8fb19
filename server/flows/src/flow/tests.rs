use super::{Address, Ethernet, Uuid};

#[test]
fn texts_that_are_not_canonical_survive() {
    for text in [
        "",
        "10.0.0.1",
        "2001:db8::1",
        "2001:DB8::1",
        "::ffff:1.2.3.4",
        "010.0.0.1",
        "x",
    ] {
        assert_eq!(Address::from_text(text).to_text(), text);
    }
    for text in [
        "",
        "00000000-0000-4000-8000-00000000000a",
        "00000000-0000-4000-8000-00000000000A",
        "u1",
    ] {
        assert_eq!(Uuid::from_text(text).to_text(), text);
    }
    for (a, b) in [
        ("00:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"),
        ("0:0:0:0:0:1", "FF:ff:ff:ff:ff:ff"),
        ("", ""),
    ] {
        assert_eq!(
            Ethernet::from_text(a.into(), b.into()).to_text(),
            (a.into(), b.into())
        );
    }
}

#[test]
fn canonical_texts_are_kept_in_binary() {
    assert!(matches!(Address::from_text("10.0.0.1"), Address::V4(_)));
    assert!(matches!(Address::from_text("2001:db8::1"), Address::V6(_)));
    assert!(matches!(
        Address::from_text("2001:DB8::1"),
        Address::Text(_)
    ));
}
