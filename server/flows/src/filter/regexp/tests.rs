use super::{Refusal, Regexp, RegexpError, Room, parser};
use crate::filter::meter::{FLOW_STEPS, Meter};

const ROOM: Room = Room {
    compiled: 1 << 20,
    remembered: 1 << 20,
};

fn compile(pattern: &str) -> Result<Regexp, RegexpError> {
    Regexp::compile(pattern, ROOM).map_err(|refusal| match refusal {
        Refusal::Wrong(error) => error,
        Refusal::Large => panic!("{pattern} is too large"),
    })
}

fn check(pattern: &str, text: &str, wanted: bool) {
    let regexp = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let matched = regexp.is_match(text, &Meter::default()).unwrap();
    assert_eq!(matched, wanted, "{pattern} on {text:?}");
}

fn check_refused(pattern: &str, reason: &str) {
    let error = compile(pattern).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("error parsing regexp: {reason}"));
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    for (pattern, text, wanted) in [
        ("", "", true),
        ("a$", "a\n", false),
        ("(?m)a$", "a\n", true),
        (".", "\n", false),
        ("(?s).", "\n", true),
        ("[^a]", "\n", true),
        (r"\w", "é", false),
        (r"(?i)\w", "\u{212a}", true),
        ("(?i)k", "\u{212a}", true),
        ("[^a-z&&b]", "&", false),
        ("[a&&b]", "&", true),
        ("[+--b]", ",", true),
        (r"\Qa*\E+", "a***", true),
        (r"\Q*", "*", true),
        (r"\101\x{42}\x43\07", "ABC\u{7}", true),
        (r"\p{^Lu}", "A", false),
        (r"\pLé", "aé", true),
        (r"[[:word:]]{2,}", "a_", true),
        (r"x{,3}", "x{,3}", true),
        (r"{", "{", true),
        ("(?P<n>a)(?<m>b)", "ab", true),
        ("(?i:a)b", "AB", false),
        (r"\B", "a", false),
        (r"\Bé", "aé", false),
        (r"[\x{d000}-\x{e000}]", "\u{e000}", true),
        (r"\x{d800}", "\u{fffd}", false),
        ("#a b", "#a b", true),
    ] {
        check(pattern, text, wanted);
    }
}

#[test]
fn mistakes_are_reported_in_the_words_of_go() {
    for (pattern, reason) in [
        ("(", "missing closing ): `(`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (
            r"\p{Old_Italic}",
            r"invalid character class range: `\p{Old_Italic}`",
        ),
        ("a**", "invalid nested repetition operator: `**`"),
        ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<n", "invalid named capture: `(?<n`"),
        ("(?P<n->a)", "invalid named capture: `(?P<n->`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\<", ""),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        ("\\", "trailing backslash at end of expression: ``"),
    ] {
        if reason.is_empty() {
            assert!(compile(pattern).is_ok(), "{pattern}");
        } else {
            check_refused(pattern, reason);
        }
    }
}

#[test]
fn what_may_be_empty_at_the_ends_changes_nothing() {
    for (pattern, text, wanted) in [
        (".*name.*", "a name b", true),
        (".*name.*", "nam", false),
        ("^.*name.*$", "a\nname", false),
        (".*^name", "a name", false),
        ("x*", "", true),
        ("(a*)(?:b?)", "c", true),
        ("(a*)b+(c{0,2})", "ac", false),
        ("(?i).*NAME.*", "name", true),
        (".*(?:a|b.*)", "c", false),
    ] {
        check(pattern, text, wanted);
    }
    let plain = |pattern| parser::parse(pattern).unwrap().without_optional_ends();
    assert_eq!(plain(".*name.*").to_pattern(), "name");
    assert_eq!(
        plain("http://a[.].*").to_pattern(),
        plain("http://a[.]").to_pattern()
    );
    assert_eq!(
        plain("a.*b").to_pattern(),
        parser::parse("a.*b").unwrap().to_pattern()
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let nested =
        |open: &str, n: usize, close: &str| format!("{}a{}", open.repeat(n), close.repeat(n));
    assert!(compile(&nested("(", 999, ")")).is_ok());
    let deep = nested("(", 1000, ")");
    check_refused(&deep, &format!("expression nests too deeply: `{deep}`"));
    let deep = nested("(?:a|b", 900, ")*");
    check_refused(&deep, &format!("expression nests too deeply: `{deep}`"));
    let large = Regexp::compile(r"\pL{1000}", ROOM);
    assert!(matches!(large, Err(Refusal::Large)));
}

#[test]
fn a_large_pattern_on_a_long_text_takes_too_many_steps() {
    let large = compile("[ab]*a[ab]{500}").unwrap();
    let meter = Meter::default();
    assert!(large.is_match(&"ab".repeat(50), &meter).is_ok());
    assert!(meter.spent() < FLOW_STEPS / 10, "{}", meter.spent());
    assert!(large.is_match(&"ab".repeat(50_000), &meter).is_err());
    let small = compile(".*/api/v[0-9]+/.*").unwrap();
    let meter = Meter::default();
    assert!(small.is_match(&"/".repeat(50_000), &meter).is_ok());
}
