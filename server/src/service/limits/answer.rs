//! The body of an answer: the call's place until its end, and the bytes that the
//! client does not read.
//!
//! Bound: how far an answer is `Ahead`; a large part also takes of the pending bytes
//! that `Limits` gives out.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::{Limits, Place, ahead::Ahead};
use crate::listener::Caller;

/// A chunk of a stream of flows is smaller.
const FREE: usize = 128 << 10;

/// A body within limits.
pub(super) struct Answer<B> {
    body: Option<B>,
    limits: Limits,
    caller: Caller,
    ahead: Ahead,
    _place: Place,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, limits: Limits, caller: Caller, place: Place) -> Self {
        Self {
            body: Some(body),
            ahead: Ahead::new(limits.ahead.clone()),
            limits,
            caller,
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
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        ready!(this.ahead.poll_room(context));
        let frame = match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) if frame.is_data() => frame,
            other => return Poll::Ready(other),
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let mut place = None;
        if length > FREE
            && let Err(status) = this.limits.hold(&this.caller, &mut place, length)
        {
            this.body = None;
            return Poll::Ready(Some(Ok(trailers(&status))));
        }
        let frame = frame.map_data(|bytes| this.ahead.hand_over(bytes, place));
        Poll::Ready(Some(Ok(frame)))
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
