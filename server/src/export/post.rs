//! Requests to a server: HTTP/1.1, or gRPC on HTTP/2, in plaintext or TLS.
//!
//! One connection or few, made anew when the certificates' files change. Not what is
//! sent, nor what is made of answers. Bound: a request at a time, `MAX_ANSWER` bytes of
//! its answer.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioTimer,
};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};
use tonic::body::Body;

use super::setting::{Remote, shown};
use crate::tls::{Outgoing, TlsError, Way, cause};

/// Who asks.
const AGENT: &str = concat!("sextantd/", env!("CARGO_PKG_VERSION"));
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;
/// So long the body of an answer is waited for: its status is there already.
const BODY: Duration = Duration::from_secs(1);
/// Characters of an answer that are told.
const MAX_TOLD: usize = 200;
/// A connection that is not used is closed.
const IDLE: Duration = Duration::from_secs(90);
/// How often it is asked whether a connection is alive, and how long the answer may take.
const ALIVE: Duration = Duration::from_secs(20);
/// A server may ask to be left alone for as long.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A client over which requests are made.
pub(super) type Http = Client<HttpsConnector<HttpConnector>, Body>;

/// Why something is not with the server yet: it is tried again.
#[derive(Debug, Error)]
pub(super) enum PostError {
    /// There is no connection, or it broke off.
    #[error("cannot reach {url}: {cause}")]
    Unreached {
        /// Where.
        url: String,
        /// Why, and what may mend it.
        cause: String,
    },
    /// There was no answer in time.
    #[error(
        "{url} did not answer within {after:?}; give it a longer `timeout`, or smaller requests"
    )]
    Late {
        /// Where.
        url: String,
        /// The time that it had.
        after: Duration,
    },
    /// There is no memory for what is sent.
    #[error("cannot compress what is exported: {0}; leave out `compression`")]
    Compress(io::Error),
    /// It cannot take it now.
    #[error("{url} cannot take more now: {told}")]
    Busy {
        /// Where.
        url: String,
        /// What it says.
        told: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl PostError {
    /// How long the server asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => retry_after.map(|after| after.min(MAX_RETRY_AFTER)),
            _ => None,
        }
    }
}

/// The HTTP versions of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, in plaintext too.
    Http2,
}

/// The connections of a client. Clones are the same.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            task.await;
        });
    }
}

impl Tasks {
    /// Closes all of them.
    fn abort(&self) {
        self.lock().abort_all();
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server, and the way to it.
pub(super) struct Server {
    remote: Remote,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    ways: watch::Receiver<Arc<Way>>,
    http: Http,
    /// Its connections.
    tasks: Tasks,
    /// Events of a request: fewer after one was too large.
    most: usize,
    /// Looks at the files.
    _watch: JoinSet<()>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.remote.shown())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// The files of certificates are read.
    pub(super) fn new(remote: &Remote, version: Version) -> Result<Self, TlsError> {
        let outgoing = Outgoing::of(&remote.outgoing, remote.is_tls())?;
        let ways = outgoing.subscribe();
        let tasks = Tasks::default();
        let http = client(remote, version, &outgoing.current(), &tasks)?;
        let mut watch = JoinSet::new();
        watch.spawn(outgoing.watch());
        let headers = remote.headers.iter().filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        Ok(Self {
            headers: headers.collect(),
            remote: remote.clone(),
            version,
            ways,
            http,
            tasks,
            most: remote.max_events,
            _watch: watch,
        })
    }

    pub(super) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Events of a request, at most.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// A request was taken: the next may be larger again.
    pub(super) fn grow(&mut self) {
        self.most = (2 * self.most).min(self.remote.max_events);
    }

    /// One of so many events was too large.
    pub(super) fn shrink(&mut self, events: usize) {
        self.most = (events / 2).max(1);
    }

    /// The headers of each request.
    pub(super) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let bearer = self.ways.borrow().bearer.as_ref().map(|bearer| {
            let mut value = HeaderValue::from_bytes(bearer.as_encoded_bytes());
            if let Ok(value) = &mut value {
                value.set_sensitive(true);
            }
            value
        });
        let bearer = bearer.and_then(Result::ok);
        let bearer = bearer.map(|value| (header::AUTHORIZATION, value));
        self.headers.iter().cloned().chain(bearer)
    }

    /// The client, by the newest certificates.
    pub(super) fn http(&mut self) -> Http {
        if self.ways.has_changed().unwrap_or(false) {
            self.connect_anew();
        }
        self.http.clone()
    }

    /// After a request that was not answered in time: nobody knows what became of its
    /// connection, and nothing of it is kept.
    pub(super) fn give_up(&mut self) {
        self.connect_anew();
    }

    fn connect_anew(&mut self) {
        let way = self.ways.borrow_and_update().clone();
        match client(&self.remote, self.version, &way, &self.tasks) {
            Ok(http) => {
                self.tasks.abort();
                self.http = http;
            }
            Err(error) => {
                let url = self.remote.shown();
                tracing::warn!(url, "a client as before: {error}");
            }
        }
    }

    /// Posts a body.
    pub(super) async fn post(
        &mut self,
        url: &str,
        about: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, PostError> {
        let shown = shown(url);
        let unreached = |cause: String| PostError::Unreached {
            url: shown.clone(),
            cause,
        };
        let body = Body::new(Full::new(body));
        let request = Request::builder().method(Method::POST).uri(url).body(body);
        let mut request = request.map_err(|error| unreached(error.to_string()))?;
        let headers = request.headers_mut();
        headers.extend(about.iter().cloned());
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        headers.extend(self.headers());
        let http = self.http();
        let after = self.remote.timeout;
        if let Ok(response) = tokio::time::timeout(after, http.request(request)).await {
            let response = response.map_err(|error| unreached(cause(&error)))?;
            return Ok(answer(response).await);
        }
        self.give_up();
        Err(PostError::Late { url: shown, after })
    }
}

impl Answer {
    /// What it says, for people.
    pub(super) fn told(&self) -> String {
        let text = cut(&String::from_utf8_lossy(&self.body));
        match text.is_empty() {
            true => self.status.to_string(),
            false => format!("{}: {text}", self.status),
        }
    }
}

/// What others say, as much of it as is told.
pub(super) fn cut(text: &str) -> String {
    text.trim().chars().take(MAX_TOLD).collect()
}

async fn answer(response: Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let retry_after = parts.headers.get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| retry_after_of(value.to_str().ok()?));
    // One that breaks off, does not end or is long was an answer all the same.
    let body = Limited::new(body, MAX_ANSWER).collect();
    let body = tokio::time::timeout(BODY, body).await.ok();
    Answer {
        status: parts.status,
        retry_after,
        body: body
            .and_then(Result::ok)
            .map(|body| body.to_bytes())
            .unwrap_or_default(),
    }
}

/// Seconds, or a date in one of its three forms (RFC 9110, sections 5.6.7 and 10.2.3).
fn retry_after_of(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn client(remote: &Remote, version: Version, way: &Way, tasks: &Tasks) -> Result<Http, TlsError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(remote.timeout));
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(way.client_config()?)
        .https_or_http();
    let builder = match &remote.tls_server_name {
        Some(name) => {
            let name =
                ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    let connector = match version {
        Version::Http1 => builder.enable_http1().wrap_connector(tcp),
        Version::Http2 => builder.enable_http2().wrap_connector(tcp),
    };
    Ok(Client::builder(tasks.clone())
        .timer(TokioTimer::new())
        .http2_only(version == Version::Http2)
        .http2_keep_alive_interval(ALIVE)
        .http2_keep_alive_timeout(ALIVE)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_in_two_ways_how_long_it_wants_to_be_left_alone() {
        assert_eq!(retry_after_of("7"), Some(Duration::from_secs(7)));
        let past = retry_after_of("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        assert!(retry_after_of("Sat, 06 Nov 2094 08:49:37 GMT") > past);
        for form in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(retry_after_of(form), Some(Duration::ZERO), "{form}");
        }
        assert_eq!(retry_after_of("soon"), None);
    }
}
