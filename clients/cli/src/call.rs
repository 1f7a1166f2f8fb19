//! What a failed call means to the user: what was wanted, of which server, why
//! not, and what to try.

use std::error::Error as _;

use tonic::{Code, Status, TimeoutExpired};

use crate::{
    connect::Server,
    refusal::{Shown, root_cause},
    text::harmless_lines,
};

const GONE: &str =
    "; is it a server of flows, and still running? Try again, or name another with --server";

const WANTS_TLS: &str = "; if it wants TLS, say --tls";

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {server}: {cause}{remedy}")]
pub(crate) struct CallError {
    action: &'static str,
    server: String,
    pub(crate) cause: String,
    remedy: String,
    /// The code, for those who go on without the answer.
    pub(crate) code: Code,
    /// The server is gone, or going: it may come back.
    pub(crate) is_lost: bool,
}

/// Names what was wanted, to complete "cannot ACTION SERVER".
pub(crate) fn failed(
    action: &'static str,
    server: &Server,
) -> impl Fn(Status) -> CallError + use<> {
    let server = server.clone();
    move |status| {
        let is_broken = is_broken(&status);
        let trouble = server.trouble().filter(|_| is_broken);
        CallError {
            action,
            server: server.name.clone(),
            code: status.code(),
            is_lost: trouble.is_none() && (is_broken || status.code() == Code::Unavailable),
            cause: trouble
                .as_ref()
                .map_or_else(|| cause(&status), |trouble| trouble.cause.clone()),
            remedy: match trouble {
                Some(trouble) => format!("; {}", trouble.remedy),
                None if is_broken && server.may_want_tls() => format!("{WANTS_TLS}{GONE}"),
                None => remedy(&status, &server.shown),
            },
        }
    }
}

/// The connection broke: a status that a server sent has no source.
fn is_broken(status: &Status) -> bool {
    status.source().is_some() && !is_late(status)
}

/// No answer came in the time that is given for one.
fn is_late(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(inner) = cause {
        if inner.is::<TimeoutExpired>() {
            return true;
        }
        cause = inner.source();
    }
    status.code() == Code::DeadlineExceeded
}

fn cause(status: &Status) -> String {
    if is_broken(status) {
        return format!(
            "the connection broke: {}",
            harmless_lines(&root_cause(status))
        );
    }
    // Errors of CEL point at a place of the expression, in lines of their own.
    let message = harmless_lines(status.message());
    match status.code() {
        // Hubble's servers give bare errors, without a code.
        Code::Unknown | Code::InvalidArgument if !message.is_empty() => message,
        Code::Unimplemented => "it does not have this service".into(),
        code if message.is_empty() => code.description().into(),
        code => format!("{message} ({code:?})"),
    }
}

fn remedy(status: &Status, shown: &Shown) -> String {
    let remedy = match status.code() {
        _ if is_broken(status) => GONE,
        Code::Unavailable => GONE,
        Code::Unimplemented => "; it is no sextantd, or an older one: name another with --server",
        Code::PermissionDenied => return shown.denied(),
        Code::Unauthenticated => return shown.unknown(),
        Code::ResourceExhausted => "; close other clients, or raise the server's limits",
        Code::OutOfRange => {
            "; if it is a message that is too large, raise server.max_request_bytes there"
        }
        _ if is_late(status) => "; raise --request-timeout",
        Code::Cancelled => "; the server ended the call: try again",
        Code::InvalidArgument | Code::Unknown => "; see --help for what it takes",
        _ => "",
    };
    remedy.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_fits_what_went_wrong() {
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        let late = Status::from_error(Box::new(TimeoutExpired(())));
        for (status, part) in [
            (broken, "still running"),
            (late, "--request-timeout"),
            (Status::deadline_exceeded("x"), "--request-timeout"),
            (Status::unavailable("x"), "still running"),
            (Status::cancelled("x"), "try again"),
            (Status::unknown("x"), "--help"),
            (Status::invalid_argument("x"), "--help"),
            (
                Status::permission_denied("x"),
                "plaintext TCP does not tell",
            ),
            (Status::unauthenticated("x"), "plaintext TCP does not tell"),
        ] {
            let remedy = remedy(&status, &Shown::Plaintext);
            assert!(remedy.contains(part), "{status:?}");
        }
    }

    #[test]
    fn a_message_of_a_server_does_not_steer_the_terminal() {
        for (code, shown) in [
            (Code::InvalidArgument, "a^[[2J\n ^ \\u{9b}"),
            (Code::Internal, "a^[[2J\n ^ \\u{9b} (Internal)"),
        ] {
            assert_eq!(cause(&Status::new(code, "a\x1b[2J\n ^ \u{9b}")), shown);
        }
    }
}
