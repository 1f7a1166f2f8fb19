//! A command line fit to be shown: without what may be a secret, in one line, bounded.
//!
//! Rather too much is hidden than too little: what follows a word such as `password` or
//! `token`, users' passwords in URLs, tokens by their looks. More is hidden by patterns
//! of the configuration. It is no promise: a program that takes a secret as an argument
//! without a name shows it to every user of the host (`ps`), and here too.
//!
//! Bound: what the kernel tells (`COMMAND_LINE` bytes); of an argument that was cut
//! nothing is told.

use regex_automata::meta::Regex;
use sextant_flows::printable::printable;

use crate::flow::redaction::REDACTED;

/// Memory of a compiled pattern.
const LARGEST: usize = 1 << 20;
/// In the place of what was cut.
const CUT: char = '…';

/// Parts of names after which a secret comes.
const SECRET: &str = "(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key\
                      |credentials?|authorization|auth[_-]?key|cookie|session[_-]?id|signature)";
/// Names that end so are of where it is, not of itself.
const PLACE: &str = "(?i)(?:file|path|dir|stdin|env|url|uri|host|policy|type)$";
/// What looks like a secret by itself.
const TOKENS: &str = "AKIA[0-9A-Z]{8,}|gh[pousr]_[0-9A-Za-z]{8,}|github_pat_[0-9A-Za-z_]{8,}|glpat-[0-9A-Za-z_-]{8,}\
                      |xox[abeprs]-[0-9A-Za-z-]{8,}|eyJ[0-9A-Za-z_-]{8,}[0-9A-Za-z_.-]*|sk[-_][0-9A-Za-z_-]{16,}\
                      |(?i:bearer|basic)\\s+[^\\s]+|-----BEGIN[\\s\\S]*";
/// Clients that take a password behind `-p`, without a space.
const MYSQL: [&str; 5] = [
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mariadb",
    "mariadb-dump",
];
/// Options whose value is a secret, or has one behind a colon.
const SHORT: [(&str, &str); 6] = [
    ("sshpass", "-p"),
    ("redis-cli", "-a"),
    ("curl", "-u"),
    ("curl", "-U"),
    ("ldapsearch", "-w"),
    ("smbclient", "-U"),
];

/// What is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is no regular expression, or too large a one: {cause}")]
pub struct PatternError {
    pattern: String,
    cause: Box<regex_automata::meta::BuildError>,
}

/// Makes command lines fit to be shown.
#[derive(Debug)]
pub struct CommandLines {
    /// Everything behind a name and its sign: `password=`, `"token": `.
    assigned: Regex,
    /// An option whose value is the next word.
    option: Regex,
    /// The same within one argument, such as that of `sh -c`.
    within: Regex,
    place: Regex,
    url: Regex,
    tokens: Regex,
    own: Vec<Regex>,
}

impl CommandLines {
    /// With patterns of one's own: what they match, or their first group, is hidden.
    ///
    /// # Errors
    /// A pattern that is none, or too large.
    pub fn new<T: AsRef<str>>(patterns: &[T]) -> Result<Self, PatternError> {
        let own = patterns.iter().map(|pattern| compile(pattern.as_ref()));
        Ok(Self {
            assigned: compile(&format!(r#"(?i)([\w.-]*{SECRET}[\w.-]*)["']?\s*[=:]\s*"#))?,
            option: compile(&format!(r"(?i)^(--?[\w.-]*{SECRET}[\w.-]*)$"))?,
            within: compile(&format!(
                r#"(?i)(--?[\w.-]*{SECRET}[\w.-]*)\s+("[^"]*"|'[^']*'|[^\s]+)"#
            ))?,
            place: compile(PLACE)?,
            url: compile(r"://[^\s:/@]*:([^\s]*)@")?,
            tokens: compile(TOKENS)?,
            own: own.collect::<Result<_, _>>()?,
        })
    }

    /// Of arguments with a zero behind each, of which `length` bytes there are.
    #[must_use]
    pub fn line(&self, known: &[u8], length: usize) -> String {
        let is_cut = length > known.len();
        let end = known.iter().rposition(|byte| *byte != 0);
        let known = &known[..end.map_or(0, |end| end + 1)];
        let text = String::from_utf8_lossy(known);
        let mut arguments: Vec<&str> = text.split('\0').collect();
        if is_cut && let Some(last) = arguments.last_mut() {
            // What is cut may be a secret that does not look like one any more.
            *last = last
                .rfind(char::is_whitespace)
                .map_or("", |end| &last[..end]);
        }
        if (is_cut || known.is_empty()) && arguments.last() == Some(&"") {
            arguments.pop();
        }
        let shown = self.arguments(&arguments).join(" ");
        let mut line = self.own.iter().fold(shown, |line, own| hide(own, &line));
        if is_cut {
            line.extend([' ', CUT]);
        }
        printable(&line).into_owned()
    }

    fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let mut is_secret = false;
        let mut shown = Vec::with_capacity(arguments.len());
        for (place, argument) in arguments.iter().enumerate() {
            // Also behind `sudo`, `env` and their like.
            let programs = &arguments[..place];
            let is_value = std::mem::take(&mut is_secret) && !argument.starts_with("--");
            if is_value {
                shown.push(REDACTED.to_owned());
                continue;
            }
            is_secret = self.takes_secret(programs, argument);
            let argument = match attached(programs, argument) {
                Some(option) => format!("{option}{REDACTED}"),
                None => self.argument(argument),
            };
            let is_plain = !argument.is_empty() && !argument.contains(char::is_whitespace);
            shown.push(match is_plain {
                true => argument,
                false => format!("'{argument}'"),
            });
        }
        shown
    }

    fn takes_secret(&self, programs: &[&str], argument: &str) -> bool {
        let is_short =
            |(program, option): &(&str, &str)| *option == argument && runs(programs, program);
        self.option.is_match(argument) && !self.place.is_match(argument)
            || SHORT.iter().any(is_short)
            || runs(programs, "curl") && matches!(argument, "--user" | "--proxy-user")
    }

    fn argument(&self, argument: &str) -> String {
        let mut shown = hide(&self.url, argument);
        shown = hide(&self.tokens, &shown);
        let found = self.within.captures_iter(shown.as_str()).find_map(|found| {
            let (name, value) = (found.get_group(1)?, found.get_group(2)?);
            let is_place = self.place.is_match(&shown[name.range()]);
            (!is_place).then_some(value.start)
        });
        if let Some(start) = found {
            shown.replace_range(start.., REDACTED);
        }
        let found = self
            .assigned
            .captures_iter(shown.as_str())
            .find_map(|found| {
                let name = found.get_group(1)?;
                let is_place = self.place.is_match(&shown[name.range()]);
                found
                    .get_match()
                    .filter(|_| !is_place)
                    .map(|found| found.end())
            });
        if let Some(end) = found.filter(|end| *end < shown.len()) {
            shown.replace_range(end.., REDACTED);
        }
        shown
    }
}

/// Whether one of these words is the program.
fn runs(words: &[&str], program: &str) -> bool {
    words
        .iter()
        .any(|word| word.rsplit('/').next() == Some(program))
}

/// The option, where its value is in the same word.
fn attached<'a>(programs: &[&str], argument: &'a str) -> Option<&'a str> {
    let is_one = |option: &str| {
        argument.len() > option.len() && argument.starts_with(option) && !argument.starts_with("--")
    };
    if is_one("-p") && MYSQL.iter().any(|mysql| runs(programs, mysql)) {
        return Some(&argument[..2]);
    }
    let mut short = SHORT.iter().filter(|(program, _)| runs(programs, program));
    let found = short.find(|(_, option)| is_one(option));
    found.map(|(_, option)| &argument[..option.len()])
}

/// Compiles one within bounds.
///
/// # Errors
/// It is none, or too large.
pub(crate) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let bounds = Regex::config()
        .nfa_size_limit(Some(LARGEST))
        .onepass_size_limit(Some(LARGEST))
        .hybrid_cache_capacity(LARGEST);
    let built = Regex::builder().configure(bounds).build(pattern);
    built.map_err(|cause| PatternError {
        pattern: pattern.to_owned(),
        cause: Box::new(cause),
    })
}

/// All that it matches, or its first group, is hidden.
fn hide(pattern: &Regex, text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut last = 0;
    for found in pattern.captures_iter(text) {
        let span = found
            .get_group(1)
            .or_else(|| Some(found.get_match()?.span()));
        if let Some(span) = span.filter(|span| !span.is_empty() && span.start >= last) {
            shown.push_str(&text[last..span.start]);
            shown.push_str(REDACTED);
            last = span.end;
        }
    }
    shown.push_str(&text[last..]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &[&str]) -> String {
        let known: Vec<u8> = arguments
            .iter()
            .flat_map(|one| [one.as_bytes(), b"\0"].concat())
            .collect();
        let lines = CommandLines::new::<&str>(&[]).unwrap();
        lines.line(&known, known.len())
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_is() {
        for arguments in [
            &["/usr/sbin/nginx", "-g", "daemon off;"][..],
            &["java", "-Xmx4g", "-jar", "app.jar", "--server.port=8080"],
            &["curl", "https://example.org:8080/a?b=c"],
            &["ssh", "-p", "2222", "host"],
            &["x", "--password-file", "/etc/pass", "--token-path=/run/t"],
            &["postgres", "-D", "/var/lib/postgresql"],
        ] {
            let plain = arguments.join(" ").replace("daemon off;", "'daemon off;'");
            assert_eq!(shown(arguments), plain);
        }
        assert_eq!(shown(&["a", "", "b c"]), "a '' 'b c'");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn secrets_are_hidden_however_they_are_given() {
        for arguments in [
            &["x", "--password", "S3CRET"][..],
            &["x", "--password=S3CRET"],
            &["x", "--db-passwd=S3CRET"],
            &["x", "-Dspring.datasource.password=S3CRET"],
            &["x", "-token", "S3CRET"],
            &["env", "PGPASSWORD=S3CRET", "psql"],
            &["env", "AWS_SECRET_ACCESS_KEY=S3CRET", "x"],
            &["x", "--api-key", "S3CRET"],
            &["x", "--apikey=S3CRET"],
            &["mysql", "-uroot", "-pS3CRET"],
            &["/usr/bin/mysqldump", "-pS3CRET", "db"],
            &["sudo", "/usr/bin/mysql", "-pS3CRET"],
            &["sh", "-c", "x --password-file f --password S3CRET"],
            &["sshpass", "-p", "S3CRET", "ssh", "host"],
            &["sshpass", "-pS3CRET", "ssh", "host"],
            &["redis-cli", "-a", "S3CRET"],
            &["curl", "-u", "user:S3CRET", "http://x"],
            &["curl", "-uuser:S3CRET", "http://x"],
            &["curl", "--user", "user:S3CRET", "http://x"],
            &["curl", "-H", "Authorization: Bearer S3CRET"],
            &["curl", "--header=X-Api-Key: S3CRET"],
            &["curl", "-H", "Cookie: a=S3CRET"],
            &["curl", "-d", r#"{"user": "x", "password": "S3CRET"}"#],
            &["curl", "https://user:S3CRET@example.org/"],
            &["curl", "https://user:S3@CRET@example.org/"],
            &["curl", "https://example.org/?token=S3CRET"],
            &["x", "postgresql://u:S3CRET@h/db"],
            &["x", "host=a;Password=S3CRET;port=1"],
            &["sh", "-c", "mysql --password S3CRET -e x"],
            &["sh", "-c", "PASSWORD='S3CRET' run"],
            &["openssl", "rsa", "-passin", "pass:S3CRET"],
            &["x", "Bearer S3CRETS3CRET"],
            &["worker: --token S3CRET"],
        ] {
            let line = shown(arguments);
            assert!(!line.contains("S3") && !line.contains("CRET@"), "{line}");
            assert!(line.contains(REDACTED), "{line}");
        }
        for token in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_0123456789abcdefghij",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
            "xoxb-123456789012-abc",
        ] {
            assert_eq!(shown(&["x", token]), format!("x {REDACTED}"));
        }
    }

    #[test]
    fn patterns_of_ones_own_hide_a_match_or_its_group() {
        let lines = CommandLines::new(&["--pin (\\d+)", "hunter\\d"]).unwrap();
        let line = lines.line(b"x\0--pin\x001234\0hunter2\0", 21);
        assert_eq!(line, format!("x --pin {REDACTED} {REDACTED}"));
        assert!(CommandLines::new(&["("]).is_err());
        assert!(CommandLines::new(&["\\pL{10000}"]).is_err());
    }

    #[test]
    fn of_what_was_cut_the_last_word_is_not_told() {
        let lines = CommandLines::new::<&str>(&[]).unwrap();
        assert_eq!(lines.line(b"curl\0https://user:S3CR", 99), "curl …");
        assert_eq!(lines.line(b"sh\0-c\0echo AKIA12", 99), "sh -c echo …");
        assert_eq!(lines.line(b"nginx: worker\0\0\0\0", 17), "'nginx: worker'");
        assert!(!lines.line(b"a\x1b[2J\0", 7).contains('\x1b'));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_make_a_line(bytes: Vec<u8>, more in 0..9_usize) {
            let lines = CommandLines::new(&["a(b)?"]).unwrap();
            let line = lines.line(&bytes, bytes.len() + more);
            proptest::prop_assert!(!line.contains(char::is_control));
        }
    }
}
