//! The handshake of TLS on a new connection, and who is at its other end then.
//!
//! A client whose certificate is refused has no connection, and so no call: it is
//! told to whoever wants to know of refusals. Bound: the time of a connection that
//! has not told what it speaks.

use std::{io, sync::Arc};

use futures::future::poll_immediate;
use rustls::server::Acceptor;
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{
    Caller, Certificate, Security, Share,
    connection::{Connection, Stream as Io},
    places::Place,
    silent::Opening,
};
use crate::tls::Tls;

/// Is told of clients that are refused, and why.
pub type Refusals = Arc<dyn Fn(&Caller, &rustls::Error) + Send + Sync>;

/// While its place is not needed.
pub(super) async fn handshake(
    tls: Tls,
    stream: TcpStream,
    share: Share,
    caller: impl FnOnce(Security) -> Caller,
    place: Place,
    refusals: Refusals,
) -> Option<Connection> {
    let shaken = tokio::select! {
        shaken = shake(&tls, stream) => shaken,
        () = Opening::of(&place) => return None,
    };
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(peer = %share, %error, "no TLS handshake");
            if let Some(refused) = refused(&error) {
                refusals(&caller(Security::Tls(None)), refused);
            }
            return None;
        }
    };
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.and_then(<[_]>::first).map(Certificate::read);
    let caller = caller(Security::Tls(certificate));
    let opening = Opening::of(&place);
    let stream = Io::Tls(Box::new(stream));
    Some(Connection::new(stream, caller, place, opening))
}

/// Whoever says hello has a key of ours used, which may take milliseconds: one after the
/// other, so that hundreds of them are not in the way of what else is served.
async fn shake(tls: &Tls, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    static TURN: Semaphore = Semaphore::const_new(1);
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let turn = TURN.acquire().await;
    let mut rest = hello.into_stream(tls.current());
    let answered = poll_immediate(&mut rest).await;
    drop(turn);
    match answered {
        Some(shaken) => shaken,
        None => rest.await,
    }
}

/// What is wrong with the client's certificate. What else breaks a handshake says
/// nothing of who it was: port scans and plaintext.
fn refused(error: &io::Error) -> Option<&rustls::Error> {
    let error: &rustls::Error = error.get_ref()?.downcast_ref()?;
    let is_refusal = matches!(
        error,
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
    );
    is_refusal.then_some(error)
}
