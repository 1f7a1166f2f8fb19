//! Tokens of a label selector, as Kubernetes reads them.

/// A token of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

/// Splits a selector into tokens with their texts. The last one is `End`. A
/// NUL byte is swallowed after a token, and ends the input elsewhere.
pub(super) fn scan(selector: &str) -> Vec<(Token, &str)> {
    let mut tokens = Vec::new();
    let mut rest = selector;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let (token, text, after) = match rest.bytes().next() {
            None | Some(0) => {
                tokens.push((Token::End, ""));
                return tokens;
            }
            Some(byte) if is_special(byte) => scan_special(rest),
            Some(_) => scan_identifier(rest),
        };
        tokens.push((token, text));
        rest = after;
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

fn scan_special(text: &str) -> (Token, &str, &str) {
    let paired = text.starts_with("==") || text.starts_with("!=");
    let (symbol, rest) = text.split_at(if paired { 2 } else { 1 });
    let token = match symbol {
        "==" => Token::DoubleEquals,
        "!=" => Token::NotEquals,
        "=" => Token::Equals,
        "!" => Token::Not,
        "(" => Token::Open,
        ")" => Token::Close,
        "," => Token::Comma,
        ">" => Token::Greater,
        _ => Token::Less,
    };
    (token, symbol, rest.strip_prefix('\0').unwrap_or(rest))
}

fn scan_identifier(text: &str) -> (Token, &str, &str) {
    let ends = |b: u8| b == 0 || is_special(b) || matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let end = text.bytes().position(ends).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let token = match word {
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => Token::Identifier,
    };
    (token, word, rest.strip_prefix('\0').unwrap_or(rest))
}
