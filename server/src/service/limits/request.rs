//! The body of a request: the bytes of a message that is not complete, or not worked
//! out yet, are counted, and it has to come in time.
//!
//! Follows the frames of gRPC (a flag, a length of four bytes, the message); what
//! they hold is not looked at. Bound: what `Limits` gives out of pending bytes,
//! and `FREE` for each call beside.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tower::BoxError;

use super::{Limits, Method, Place};
use crate::listener::Caller;

/// Bytes of a call that are not counted: the requests of most clients are
/// smaller, so these get in however many bytes others hold.
const FREE: usize = 16 << 10;
/// Flag and length.
const HEADER: usize = 5;

/// What a call holds of the bytes of all: of a stream of messages the one that comes; of a
/// single one all, until it is dropped here and with the call.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<Option<Place>>>);

/// A body within limits.
pub(super) struct Request<B> {
    body: B,
    limits: Limits,
    caller: Caller,
    method: Method,
    message: Message,
    /// Bytes that came in all.
    all: usize,
    held: Held,
    /// Runs while a message is awaited.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl<B> Request<B> {
    pub(super) fn new(body: B, limits: Limits, caller: Caller, method: Method, held: Held) -> Self {
        let timeout = Some(Box::pin(sleep(limits.message_timeout)));
        Self {
            body,
            limits,
            caller,
            method,
            message: Message::default(),
            all: 0,
            held,
            timeout,
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Status> {
        let counted = bytes.saturating_sub(FREE);
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.limits.hold(&self.caller, &mut held, counted)
    }

    /// Takes note of what came.
    fn see(&mut self, data: &Bytes) -> Result<(), Status> {
        self.all = self.all.saturating_add(data.len());
        self.hold(match self.method.is_client_stream {
            true => self.message.read + data.len(),
            false => self.all,
        })?;
        let before = self.message.complete;
        self.message.follow(data.clone());
        // Between messages a client may be silent, if more than one can come.
        if self.method.is_client_stream && self.message.complete > before {
            self.timeout = None;
        }
        if self.message.read > 0 && self.timeout.is_none() {
            self.timeout = Some(Box::pin(sleep(self.limits.message_timeout)));
        }
        Ok(())
    }
}

impl<B> Body for Request<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        // Whoever asks for more of a stream is done with all messages that were complete.
        if this.method.is_client_stream {
            this.hold(this.message.read)?;
        }
        if let Some(timeout) = &mut this.timeout
            && timeout.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(this.limits.late())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        let seen = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(Ok(()), |data| this.see(data)),
            Some(Err(_)) | None => {
                this.timeout = None;
                Ok(())
            }
        };
        Poll::Ready(match seen {
            Ok(()) => frame.map(|frame| frame.map_err(|error| Status::from_error(error.into()))),
            Err(status) => Some(Err(status)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where in a message a body is.
#[derive(Debug, Default)]
struct Message {
    /// What came of it.
    read: usize,
    /// Its length as far as it is known.
    length: usize,
    /// Messages before it.
    complete: u64,
}

impl Message {
    fn follow(&mut self, mut data: Bytes) {
        while data.has_remaining() {
            if self.read < HEADER {
                let byte = data.get_u8();
                if self.read > 0 {
                    self.length = self.length << 8 | usize::from(byte);
                }
                self.read += 1;
            } else {
                let rest = (HEADER + self.length - self.read).min(data.len());
                data.advance(rest);
                self.read += rest;
            }
            if self.read >= HEADER && self.read == HEADER + self.length {
                *self = Self {
                    complete: self.complete + 1,
                    ..Self::default()
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let mut bytes = Vec::new();
        for length in [0_u32, 1, 300, 70_000, 0] {
            bytes.push(0);
            bytes.extend(length.to_be_bytes());
            bytes.resize(bytes.len() + length as usize, 7);
        }
        for part in [1, 2, 5, 7, 1000, bytes.len()] {
            let mut message = Message::default();
            for chunk in bytes.chunks(part) {
                message.follow(Bytes::copy_from_slice(chunk));
            }
            assert_eq!((message.complete, message.read), (5, 0), "{part}");
        }
        let mut message = Message::default();
        message.follow(Bytes::copy_from_slice(&bytes[..bytes.len() - 6]));
        assert_eq!((message.complete, message.read), (3, 70_004));
    }
}
