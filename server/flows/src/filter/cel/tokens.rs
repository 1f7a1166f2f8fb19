//! Words and signs of an expression, counted before it is parsed: parsing takes
//! some microseconds and kilobytes for each of them. Not a lexer: what is no
//! expression may be counted too high.

/// What each expression takes at least.
const EACH: usize = 20;

/// Macros that are loops.
const LOOPS: [&str; 6] = ["all", "exists", "exists_one", "existsOne", "filter", "map"];

/// Tokens and loops of an expression.
pub(in crate::filter) fn count(source: &str) -> (usize, usize) {
    let (mut tokens, mut loops) = (EACH, 0);
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '\'' | '"' => text_len(rest),
            c if c.is_whitespace() => {
                rest = &rest[c.len_utf8()..];
                continue;
            }
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(len);
        tokens += 1;
        loops += usize::from(LOOPS.contains(&token));
        rest = after;
    }
    (tokens, loops)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Length of a quoted text; of its quote alone where it does not end. A raw text
/// may end later here, at the cost of no token.
fn text_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let quote = bytes[0];
    let long = bytes.starts_with(&[quote; 3]);
    let end: &[u8] = if long { &bytes[..3] } else { &bytes[..1] };
    let mut at = end.len();
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\n' | b'\r' if !long => return 1,
            _ if bytes[at..].starts_with(end) => return at + end.len(),
            _ => at += 1,
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, tokens: usize, loops: usize) {
        assert_eq!(count(source), (EACH + tokens, loops), "{source}");
    }

    #[test]
    fn words_signs_and_texts_are_one_each() {
        check("_flow.source.pod_name == 'cart && x'", 8, 0);
        check(r#"["a\"b", """c"d""", 'e\\']"#, 7, 0);
        check("[1, 2].all(x, x.exists(y, y > x)) // é", 24, 2);
    }

    #[test]
    fn a_text_that_does_not_end_hides_nothing() {
        check("'a b c", 4, 0);
        check("\"a\n.map(", 5, 1);
        check("'\\", 2, 0);
    }
}
