//! Entries to systemd's journal, in its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
//!
//! The crates that speak it do so for `tracing` or `log` and say nothing of what
//! was not sent, which is to be known here. The journal rotates by itself. Bound:
//! a datagram for each entry, of some kilobytes.

use std::{io, os::unix::net::UnixDatagram, path::PathBuf, sync::Arc, time::Duration};

use sextant_flows::printable::printable;
use tonic::Code;

use super::{AuditError, code::code_name, line::text, record::Entry};

const SOCKET: &str = "/run/systemd/journal/socket";
/// For `journalctl --identifier`.
const IDENTIFIER: &str = "sextantd-audit";
/// One that takes nothing for so long counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// The journal; its socket is opened when there is something to send.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Default for Journal {
    fn default() -> Self {
        Self::at(SOCKET.into())
    }
}

impl Journal {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    /// Sends entries; how many were, and why no more.
    pub(super) fn write(&mut self, entries: &[Arc<Entry>]) -> (usize, Result<(), AuditError>) {
        for (index, entry) in entries.iter().enumerate() {
            if let Err(source) = self.send(&message(entry)) {
                // The journal may have been started anew.
                self.socket = None;
                let path = self.path.clone();
                return (index, Err(AuditError::Journal { path, source }));
            }
        }
        (entries.len(), Ok(()))
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.connect(&self.path)?;
                self.socket.insert(socket)
            }
        };
        socket.send(message).map(drop)
    }
}

/// Priorities of syslog: notice, or warning for what was refused.
fn priority(code: Code) -> &'static str {
    match code {
        Code::Ok => "5",
        _ => "4",
    }
}

fn message(entry: &Entry) -> Vec<u8> {
    let record = &entry.record;
    let code = code_name(record.code);
    let mut summary = format!(
        "{} {} from {}: {code}",
        record.who, record.method, record.from
    );
    if entry.count > 1 {
        summary += &format!(" ({} times)", entry.count);
    }
    if !record.message.is_empty() {
        summary += &format!(": {}", record.message);
    }
    let (time, count) = (text(record.time), entry.count.to_string());
    let since = entry.since.map(text).unwrap_or_default();
    let fields = [
        ("MESSAGE", &*summary),
        ("PRIORITY", priority(record.code)),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("SEXTANT_TIME", &time),
        ("SEXTANT_WHO", &record.who),
        ("SEXTANT_FROM", &record.from),
        ("SEXTANT_METHOD", &record.method),
        ("SEXTANT_WHAT", &record.what),
        ("SEXTANT_CODE", code),
        ("SEXTANT_STATUS", &record.message),
        ("SEXTANT_COUNT", &count),
        ("SEXTANT_SINCE", &since),
    ];
    let mut bytes = Vec::with_capacity(512);
    for (name, value) in fields {
        if !value.is_empty() {
            // Printable text has no line breaks, so each field is one line.
            bytes.extend(format!("{name}={}\n", printable(value)).into_bytes());
        }
    }
    bytes
}
