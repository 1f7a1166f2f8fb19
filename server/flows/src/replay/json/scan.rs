//! Where a JSON object ends, found as its bytes come in; and as soon as they can
//! be none any more, that. Values are not looked at. Bound: `MAX_DEPTH`.

/// As deep as serde_json goes.
const MAX_DEPTH: usize = 128;

/// What is known of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// It has so many bytes.
    Complete(usize),
    /// It goes on.
    Open,
    /// It is no JSON.
    Broken,
}

/// What may come next outside of strings and scalars.
#[derive(Clone, Copy)]
enum Want {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// Where in a token the scan is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    Text,
    Escape,
    Scalar,
}

/// The state of a scan, which goes on where it stopped.
pub(super) struct Scan {
    at: usize,
    /// Whether each open bracket is that of an object.
    open: Vec<bool>,
    want: Want,
    token: Token,
}

impl Scan {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            open: Vec::new(),
            want: Want::Value,
            token: Token::None,
        }
    }

    /// Goes on in `bytes`, which begin with the object and are at least those of
    /// the call before.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            let sound = match self.token {
                Token::Text => self.text(*byte),
                Token::Escape => {
                    self.token = Token::Text;
                    *byte >= 0x20
                }
                Token::Scalar if byte.is_ascii_alphanumeric() || b"+-.".contains(byte) => true,
                Token::Scalar | Token::None => {
                    self.token = Token::None;
                    byte.is_ascii_whitespace() || self.structure(*byte)
                }
            };
            if !sound {
                return Scanned::Broken;
            }
            if self.open.is_empty() {
                return Scanned::Complete(self.at);
            }
        }
        Scanned::Open
    }

    fn text(&mut self, byte: u8) -> bool {
        match byte {
            b'\\' => self.token = Token::Escape,
            b'"' => {
                self.token = Token::None;
                self.want = match self.want {
                    Want::Key | Want::KeyOrEnd => Want::Colon,
                    _ => Want::CommaOrEnd,
                };
            }
            0..0x20 => return false,
            _ => {}
        }
        true
    }

    /// Takes a byte between values; whether it may be there.
    fn structure(&mut self, byte: u8) -> bool {
        let in_object = self.open.last().copied().unwrap_or_default();
        match (self.want, byte) {
            (Want::Key | Want::KeyOrEnd, b'"') => self.token = Token::Text,
            (Want::Value | Want::ValueOrEnd, b'"') => self.token = Token::Text,
            (Want::Value | Want::ValueOrEnd, b'{' | b'[') => {
                let is_object = byte == b'{';
                self.open.push(is_object);
                self.want = if is_object {
                    Want::KeyOrEnd
                } else {
                    Want::ValueOrEnd
                };
                return self.open.len() <= MAX_DEPTH;
            }
            (Want::KeyOrEnd, b'}') | (Want::ValueOrEnd, b']') => self.close(),
            (Want::CommaOrEnd, b'}') if in_object => self.close(),
            (Want::CommaOrEnd, b']') if !in_object => self.close(),
            (Want::CommaOrEnd, b',') => {
                self.want = if in_object { Want::Key } else { Want::Value };
            }
            (Want::Colon, b':') => self.want = Want::Value,
            (Want::Value | Want::ValueOrEnd, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.token = Token::Scalar;
                self.want = Want::CommaOrEnd;
            }
            _ => return false,
        }
        true
    }

    fn close(&mut self) {
        self.open.pop();
        self.want = Want::CommaOrEnd;
    }
}

/// The length of the object that `bytes` begin with.
pub(super) fn object(bytes: &[u8]) -> Scanned {
    match bytes.first() {
        Some(b'{') => Scan::new().scan(bytes),
        _ => Scanned::Broken,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_ends_with_its_bracket_whatever_is_in_it() {
        for text in [
            "{}",
            "{ }",
            r#"{"a":1}"#,
            r#"{"a":"}\"]","b":[{},[],[1,-2.5e+3,null,true],"x"],"c":{"d":{}}}"#,
            "{\n  \"a\" : \"\u{fffd}\\u1234\\\\\"\n}",
        ] {
            let behind = format!("{text} {{");
            assert_eq!(
                object(behind.as_bytes()),
                Scanned::Complete(text.len()),
                "{text}"
            );
            for cut in 1..text.len() {
                assert_eq!(object(&text.as_bytes()[..cut]), Scanned::Open, "{text}");
            }
        }
    }

    #[test]
    fn what_can_be_no_object_is_told_at_once() {
        for text in [
            "",
            "[]",
            "x",
            "{x",
            "{1",
            "{,",
            "{]",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1]"#,
            r#"{"a":[1}"#,
            r#"{"a":[,"#,
            r#"{"a":1{"#,
            "{\"a\":\"\n",
            "{{",
            r#"{"flow":{ {"#,
            "{\"a\":\n{\"b\":1}\n{",
        ] {
            assert_eq!(object(text.as_bytes()), Scanned::Broken, "{text}");
        }
        let deep = "{\"a\":".repeat(MAX_DEPTH + 1);
        assert_eq!(object(deep.as_bytes()), Scanned::Broken);
    }

    proptest! {
        #[test]
        fn a_scan_in_parts_is_that_of_the_whole(cut in any::<prop::sample::Index>(), text in r#"\{("[ab\\"{}]{0,3}"|[:,{}\[\]1a ]){0,12}"#) {
            let bytes = text.as_bytes();
            let mut scan = Scan::new();
            let first = scan.scan(&bytes[..cut.index(bytes.len())]);
            let whole = match first {
                Scanned::Open => scan.scan(bytes),
                done => done,
            };
            prop_assert_eq!(whole, Scan::new().scan(bytes));
        }

        #[test]
        fn what_serde_reads_is_complete(value in any_object()) {
            let text = value.to_string();
            prop_assert_eq!(object(text.as_bytes()), Scanned::Complete(text.len()));
        }
    }

    fn any_object() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            any::<Option<bool>>().prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        });
        prop::collection::btree_map(any::<String>(), value, 0..4)
            .prop_map(|map| map.into_iter().collect())
    }
}
