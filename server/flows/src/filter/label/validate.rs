//! What Kubernetes allows in label keys and values, and how it says no.

/// A value that is not allowed.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) field: String,
    pub(super) value: String,
    pub(super) detail: String,
}

impl Invalid {
    /// `field` holds `value`, which is wrong for the reason in `detail`.
    pub(super) fn new(field: &str, value: &str, detail: &str) -> Self {
        Self {
            field: field.into(),
            value: value.into(),
            detail: detail.into(),
        }
    }
}

/// One error as it is, several in brackets.
pub(super) fn join(errors: &[Invalid]) -> String {
    let texts: Vec<String> = errors.iter().map(Invalid::to_string).collect();
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

const MAX_LEN: usize = 63;
const MAX_PREFIX_LEN: usize = 253;

const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and \
    end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used \
    for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const PREFIX: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
    '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
    'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Why `key` cannot be a label key.
pub(super) fn key(key: &str) -> Option<String> {
    let mut reasons = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            check_prefix(prefix, &mut reasons);
            *name
        }
        _ => {
            return Some(format!(
                "a valid label key {NAME} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            ));
        }
    };
    if name.is_empty() {
        reasons.push("name part must be non-empty".into());
    } else if name.len() > MAX_LEN {
        reasons.push(format!("name part must be no more than {MAX_LEN} bytes"));
    }
    if !is_name(name) {
        reasons.push(format!("name part {NAME}"));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn check_prefix(prefix: &str, reasons: &mut Vec<String>) {
    if prefix.is_empty() {
        reasons.push("prefix part must be non-empty".into());
        return;
    }
    if prefix.len() > MAX_PREFIX_LEN {
        reasons.push(format!(
            "prefix part must be no more than {MAX_PREFIX_LEN} bytes"
        ));
    }
    if !prefix.split('.').all(is_dns_label) {
        reasons.push(format!("prefix part {PREFIX}"));
    }
}

/// Why `value` cannot be a label value.
pub(super) fn value(value: &str) -> Option<String> {
    let mut reasons = Vec::new();
    if value.len() > MAX_LEN {
        reasons.push(format!("must be no more than {MAX_LEN} bytes"));
    }
    if !value.is_empty() && !is_name(value) {
        reasons.push(VALUE.into());
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    bounded_by(text, |b| b.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn is_dns_label(text: &str) -> bool {
    let outer = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bounded_by(text, outer) && text.bytes().all(|b| outer(b) || b == b'-')
}

/// Whether the first and the last byte are as wanted.
fn bounded_by(text: &str, wanted: impl Fn(u8) -> bool) -> bool {
    let ends = (text.bytes().next(), text.bytes().next_back());
    matches!(ends, (Some(first), Some(last)) if wanted(first) && wanted(last))
}
