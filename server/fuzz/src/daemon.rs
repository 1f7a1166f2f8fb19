//! The daemon as a client meets it: its services behind its listener, on a unix
//! socket, with a few flows and without eBPF.
//!
//! Daemon and client take turns on one thread, so what the process takes is what
//! the input took.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use sextantd::{
    app::{self, App},
    config::{Audit, AuditTo, Config, Listen, Server},
    spans::Spans,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::filters::FLOWS;

/// A client that has sent all is answered to the end, or told, within so long.
const HANG: Duration = Duration::from_secs(10);
/// With one thread, nothing comes any more after so long without work: streams that
/// follow are left then.
const SILENCE: Duration = Duration::from_millis(2);
/// Bytes of an answer that are read.
const ANSWER: usize = 1 << 20;

/// The running daemon.
pub struct Daemon {
    runtime: Runtime,
    socket: PathBuf,
    _app: App,
    _folder: TempDir,
}

impl Default for Daemon {
    /// # Panics
    /// When it cannot start.
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let config = config(folder.path(), &socket).expect("a replay file");
        let app = runtime.block_on(async {
            // Programs of Rust ignore it, but this one begins in libFuzzer.
            let _is_caught = signal(SignalKind::pipe()).expect("a signal");
            app::build(config, runtime.handle(), &Spans::default()).await
        });
        Self {
            socket,
            _app: app.expect("the daemon starts"),
            runtime,
            _folder: folder,
        }
    }
}

fn config(folder: &Path, socket: &Path) -> io::Result<Config> {
    let flows = folder.join("flows.jsonl");
    std::fs::write(&flows, FLOWS)?;
    Ok(Config {
        node_name: "n1".into(),
        state_dir: folder.join("state"),
        server: Server {
            listen: vec![Listen::Unix(socket.into())],
            message_timeout: HANG / 2,
            ..Server::default()
        },
        audit: Audit {
            to: AuditTo::Off,
            ..Audit::default()
        },
        metrics_listen: None,
        flow_capacity: 1023,
        replay: vec![flows],
        datapath: None,
        ..Config::default()
    })
}

impl Daemon {
    /// Sends these bytes on a new connection, reads to its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn send(&self, bytes: &[u8]) {
        let exchange = async {
            let (mut from, mut to) = self.connect().await.into_split();
            let write = async {
                // It may be closed before all is written.
                let _ = to.write_all(bytes).await;
                let _ = to.shutdown().await;
            };
            let read = async {
                let mut answer = vec![0; 64 << 10];
                while matches!(from.read(&mut answer).await, Ok(1..)) {}
            };
            let ((), ()) = tokio::join!(write, read);
        };
        let ended = self
            .runtime
            .block_on(async { timeout(HANG, exchange).await });
        assert!(ended.is_ok(), "the connection hangs");
    }

    /// Makes a call with this message, reads while there is an answer.
    ///
    /// # Panics
    /// When the connection is refused, or ends under the call.
    pub fn call(&self, path: &str, message: &[u8]) {
        self.call_until(path, message, SILENCE);
    }

    /// The same to the end of the answer, for what is worked out beside this thread.
    ///
    /// # Panics
    /// As `call`, and when there is no end.
    pub fn ask(&self, path: &str, message: &[u8]) {
        self.call_until(path, message, 2 * HANG);
    }

    fn call_until(&self, path: &str, message: &[u8], silence: Duration) {
        let mut body = BytesMut::with_capacity(5 + message.len());
        body.put_u8(0);
        body.put_u32(message.len() as u32);
        body.put(message);
        let call = self.answer(path, body.freeze(), silence);
        let ended = self.runtime.block_on(async { timeout(HANG, call).await });
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{path}: {error}"),
            Err(_) => panic!("{path}: the call hangs"),
        }
    }

    async fn answer(&self, path: &str, body: Bytes, silence: Duration) -> Result<(), h2::Error> {
        let (requests, connection) = h2::client::handshake(self.connect().await).await?;
        let connection = tokio::spawn(connection);
        let mut requests = requests.ready().await?;
        let request = http::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(());
        let request = request.expect("paths of services are paths of HTTP");
        let (response, mut sender) = requests.send_request(request, false)?;
        sender.send_data(body, true)?;
        if let Ok(response) = timeout(silence, response).await {
            let mut answer = response?.into_body();
            let mut read = 0;
            while let Ok(Some(data)) = timeout(silence, answer.data()).await {
                let bytes = data?.len();
                answer.flow_control().release_capacity(bytes)?;
                read += bytes;
                if read > ANSWER {
                    break;
                }
            }
        }
        connection.abort();
        Ok(())
    }

    async fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).await;
        stream.expect("the daemon listens")
    }
}
