//! The body of an answer: the call's place until its end, and the bytes of a
//! large part that the client does not read.
//!
//! The transport asks for the next part when there is room for it, so a part is
//! held until then. Bound: what `Limits` gives out of pending bytes; parts up to
//! `FREE` are bound by the places of calls.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::{Limits, Place};
use crate::listener::Caller;

/// A chunk of a stream of flows is smaller.
const FREE: usize = 128 << 10;

/// A body within limits.
pub(super) struct Answer<B> {
    body: Option<B>,
    limits: Limits,
    caller: Caller,
    held: Option<Place>,
    _place: Place,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, limits: Limits, caller: Caller, place: Place) -> Self {
        Self {
            body: Some(body),
            limits,
            caller,
            held: None,
            _place: place,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        this.held = None;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        if length > FREE
            && let Err(status) = this.limits.hold(&this.caller, &mut this.held, length)
        {
            this.body = None;
            return Poll::Ready(Some(Ok(trailers(&status))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, B::size_hint)
    }
}

/// The end of a call, in place of the answer.
fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = http::HeaderMap::new();
    // Its text is ours, which headers can hold.
    let _ = status.add_header(&mut headers);
    Frame::trailers(headers)
}
