//! What a failed call means to the user: what was wanted, of which server, why
//! not, and what to try.

use tonic::{Code, Status};

use crate::{connect::Server, text::harmless_lines};

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {server}: {cause}{remedy}")]
pub(crate) struct CallError {
    action: &'static str,
    server: String,
    cause: String,
    remedy: &'static str,
    /// The code, for those who go on without the answer.
    pub(crate) code: Code,
}

/// Names what was wanted, to complete "cannot ACTION SERVER".
pub(crate) fn failed(action: &'static str, server: &Server) -> impl Fn(Status) -> CallError {
    let server = server.name.clone();
    move |status| CallError {
        action,
        server: server.clone(),
        cause: cause(&status),
        remedy: remedy(status.code()),
        code: status.code(),
    }
}

fn cause(status: &Status) -> String {
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

fn remedy(code: Code) -> &'static str {
    match code {
        Code::Unavailable => "; is it still running? Try again, or name another with --server",
        Code::Unimplemented => "; it is no sextantd, or an older one: name another with --server",
        Code::PermissionDenied | Code::Unauthenticated => {
            "; writing needs --server unix:///run/sextant/sextant.sock, as root or as a member of the configured group"
        }
        Code::ResourceExhausted => "; close other clients, or raise the server's limits",
        Code::OutOfRange => {
            "; if it is a message that is too large, raise server.max_request_bytes there"
        }
        Code::DeadlineExceeded | Code::Cancelled => "; raise --request-timeout",
        Code::InvalidArgument | Code::Unknown => "; see --help for what it takes",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
