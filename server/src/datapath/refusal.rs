//! What the kernel says when it takes no program or map, in words for people.

use super::{DatapathError, kernel, rights};

/// Tells missing rights from everything else; without some the verifier says
/// EINVAL or EACCES.
pub(super) fn refused(
    action: &'static str,
    error: &(dyn std::error::Error + 'static),
) -> DatapathError {
    let missing = rights::missing();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && let Some(number) = io.raw_os_error()
            && (number == libc::EPERM || missing.is_some())
        {
            return DatapathError::Permission {
                action,
                missing: match missing {
                    Some(missing) => format!("sextantd lacks {missing}"),
                    None => "it has them, but in a user namespace of its own, or something else (seccomp, a security module) forbids it".into(),
                },
                source: std::io::Error::from_raw_os_error(number),
            };
        }
        cause = inner.source();
    }
    DatapathError::Load {
        detail: format!("{action}: {}", chain(error)),
        remedy: kernel::remedy(),
    }
}

/// Of a longer text (the verifier's log) the beginning and the end are kept.
const MAX_TEXT: usize = 1200;

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    // Without a log there is nothing behind it.
    let text = text
        .trim_end()
        .trim_end_matches(". Verifier output:")
        .to_owned();
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= MAX_TEXT {
        return text;
    }
    let head: String = chars[..MAX_TEXT / 4].iter().collect();
    let tail: String = chars[chars.len() - MAX_TEXT * 3 / 4..].iter().collect();
    format!("{head} [...] {tail}")
}
