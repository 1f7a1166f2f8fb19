//! Connections of unix sockets as the server reads them: see `authority`.
//!
//! Bound: one HEADERS frame of a connection is held until it is whole.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tonic::transport::server::Connected;

use super::authority::Scan;

/// Read at once while a frame is incomplete.
const PIECE: usize = 4096;

/// A connection; what is written passes untouched.
#[derive(Debug)]
pub(super) struct UnixConnection<S = UnixStream> {
    stream: S,
    scan: Scan,
    /// Read and not passed on: `passed` bytes that may be, then those of an
    /// incomplete frame.
    held: Vec<u8>,
    passed: usize,
    is_over: bool,
}

impl<S> UnixConnection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            scan: Scan::Begin,
            held: Vec::new(),
            passed: 0,
            is_over: false,
        }
    }

    /// Hands out what may pass of what is held.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.passed.min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.drain(..count);
        self.passed -= count;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for UnixConnection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passed > 0 || this.is_over || buf.remaining() == 0 {
                this.hand_out(buf);
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() {
                // Most of what comes passes as it is, without a copy.
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
                let read = &mut buf.filled_mut()[before..];
                if read.is_empty() {
                    this.is_over = true;
                    continue;
                }
                let passed = this.scan.pass(read);
                this.held.extend_from_slice(&read[passed..]);
                buf.set_filled(before + passed);
                if passed > 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let mut piece = [0; PIECE];
            let mut more = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut more))?;
            this.held.extend_from_slice(more.filled());
            if more.filled().is_empty() {
                // It ends within a frame: as it came.
                this.is_over = true;
                this.passed = this.held.len();
            } else {
                this.passed = this.scan.pass(&mut this.held);
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for UnixConnection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Who is at the other end, for `Access`.
impl<S: Connected> Connected for UnixConnection<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Gives its pieces one at a time.
    struct Pieces(Vec<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.0.pop() {
                let count = piece.len().min(buf.remaining());
                buf.put_slice(&piece[..count]);
                piece.drain(..count);
                if !piece.is_empty() {
                    self.0.push(piece);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    /// What comes out of `bytes` that come in pieces of such lengths, read
    /// into buffers of `room` bytes.
    fn through(bytes: &[u8], lengths: &[usize], room: usize) -> Vec<u8> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        for length in lengths.iter().cycle() {
            let (piece, behind) =
                rest.split_at((*length).clamp(1, rest.len().max(1)).min(rest.len()));
            if piece.is_empty() {
                break;
            }
            pieces.push(piece.to_vec());
            rest = behind;
        }
        pieces.reverse();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut connection = UnixConnection::new(Pieces(pieces));
            let (mut out, mut buffer) = (Vec::new(), vec![0; room]);
            loop {
                match connection.read(&mut buffer).await.unwrap() {
                    0 => return out,
                    count => out.extend_from_slice(&buffer[..count]),
                }
            }
        })
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let head = [length[1], length[2], length[3], kind, 4, 0, 0, 0, 1];
        [&head, payload].concat()
    }

    proptest! {
        #[test]
        fn in_whatever_pieces_it_comes_only_the_name_changes(
            lengths in prop::collection::vec(1_usize..200, 1..20),
            room in 1_usize..300,
            data in prop::collection::vec(any::<u8>(), 0..500),
        ) {
            let name = |text: &[u8]| [&[0x41, text.len() as u8], text].concat();
            let stream = |text: &[u8]| [
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                frame(4, &[]),
                frame(1, &[&[0x83], &name(text)[..], &[0x86]].concat()),
                frame(0, &data),
                frame(1, &name(text)),
            ].concat();
            let (sent, wanted) = (stream(b"run%2Fsock"), stream(b"run-2Fsock"));
            prop_assert_eq!(through(&sent, &lengths, room), wanted);
        }

        #[test]
        fn other_bytes_pass_as_they_are(
            lengths in prop::collection::vec(1_usize..50, 1..20),
            room in 1_usize..100,
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            prop_assert_eq!(&through(&bytes, &lengths, room), &bytes);
        }
    }

    #[test]
    fn what_ends_within_a_frame_passes_as_it_came() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for cut in [&preface[..7], &[&preface[..], &[0, 0, 9, 1]].concat()] {
            assert_eq!(through(cut, &[3], 64), cut);
        }
        let cut = [&preface[..], &frame(1, b"\x41\x0arun%2F")[..14]].concat();
        assert_eq!(through(&cut, &[1000], 1000), cut);
    }
}
