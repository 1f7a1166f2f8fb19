//! A web server that takes what is posted to it, and answers as it is told.

use std::{
    collections::VecDeque,
    fs::File,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use crate::Netns;

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this status; one that is no success took nothing.
    Status(u16),
    /// 429, and how long to wait.
    Later(u64),
    /// Not at all: the connection is closed.
    Close,
    /// Not for this long, and then as taken.
    Slow(Duration),
}

/// A request that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Path of its address.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, no more compressed.
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Told {
    replies: VecDeque<Reply>,
    /// How all others are answered.
    otherwise: Option<Reply>,
    /// Bodies of more bytes are too large.
    most: Option<usize>,
    taken: Vec<Taken>,
    asked: usize,
}

/// The server; it ends with this.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens, on the loopback of its namespace.
    pub address: SocketAddr,
    told: Arc<Mutex<Told>>,
    _end: oneshot::Sender<()>,
}

impl Sink {
    /// Listens in this namespace, on a port that is free.
    ///
    /// # Panics
    ///
    /// Where there is no such port.
    #[must_use]
    pub fn start(namespace: &Netns) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let (end, ended) = oneshot::channel::<()>();
        let (found, address) = mpsc::channel();
        let path = format!("/run/netns/{}", namespace.name);
        let state = Arc::clone(&told);
        thread::spawn(move || {
            let namespace = File::open(path).expect("the namespace is there");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("tests run as root");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("a port");
                found
                    .send(listener.local_addr().expect("it listens"))
                    .expect("somebody waits");
                let router = Router::new()
                    .fallback(answer)
                    .layer(DefaultBodyLimit::disable())
                    .with_state(state);
                tokio::select! {
                    _ = axum::serve(listener, router).into_future() => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            address: address.recv().expect("it listens"),
            told,
            _end: end,
        }
    }

    /// Answers the next requests so; those after them are taken.
    pub fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        self.lock().replies.extend(replies);
    }

    /// Answers all requests so that come after those of `will`, until it is told another;
    /// without one they are taken.
    pub fn is(&self, reply: Option<Reply>) {
        self.lock().otherwise = reply;
    }

    /// Bodies of more bytes are answered with 413.
    pub fn takes_at_most(&self, bytes: usize) {
        self.lock().most = Some(bytes);
    }

    /// Whether all of `will` came.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lock().replies.is_empty()
    }

    /// Requests that came.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.lock().asked
    }

    /// What was taken.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.lock().taken.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().expect("nobody panics with it")
    }
}

async fn answer(
    State(told): State<Arc<Mutex<Told>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let taken = Taken {
        path: uri.path().to_owned(),
        body: plain(&headers, &body),
        headers,
    };
    let (reply, most) = {
        let mut told = told.lock().expect("nobody panics with it");
        told.asked += 1;
        let reply = told.replies.pop_front();
        (reply.or_else(|| told.otherwise.clone()), told.most)
    };
    if most.is_some_and(|most| taken.body.len() > most) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let take = || {
        told.lock()
            .expect("nobody panics with it")
            .taken
            .push(taken)
    };
    match reply {
        None => {
            take();
            StatusCode::OK.into_response()
        }
        Some(Reply::Status(status)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            if status.is_success() {
                take();
            }
            (status, "as it was told").into_response()
        }
        Some(Reply::Later(seconds)) => {
            let after = [("retry-after", seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, after).into_response()
        }
        // What panics closes its connection.
        Some(Reply::Close) => std::panic::resume_unwind(Box::new(())),
        Some(Reply::Slow(pause)) => {
            tokio::time::sleep(pause).await;
            take();
            StatusCode::OK.into_response()
        }
    }
}

fn plain(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let encoding = headers
        .get("content-encoding")
        .map(|value| value.as_bytes());
    let read = match encoding {
        None => return body.to_vec(),
        Some(b"gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        Some(b"zstd") => zstd::stream::copy_decode(body, &mut plain).map(|()| 0),
        Some(other) => panic!("compressed by {other:?}"),
    };
    read.expect("it is compressed as it says");
    plain
}
