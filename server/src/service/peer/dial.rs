//! The way to a peer: plaintext or TLS, with a token where there is one.

use std::{io, sync::Arc};

use hyper_util::rt::TokioIo;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{self, Channel, Endpoint, Uri},
};
use tower::service_fn;

use crate::tls::Way;

/// A connection on which each request says who asks.
pub(super) type Dialled = InterceptedService<Channel, Bearer>;

/// Adds `authorization: Bearer TOKEN` (RFC 6750), if there is a token.
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects to a peer: over TLS where the name is given that its certificate must have.
pub(super) async fn dial(
    address: &str,
    tls_server_name: Option<&str>,
    way: &Arc<Way>,
) -> Result<Dialled, transport::Error> {
    let channel = match tls_server_name {
        None if address.starts_with("unix:") => {
            Endpoint::from_shared(address.to_owned())?.connect().await
        }
        None => endpoint(address)?.connect().await,
        Some(name) => over_tls(address, name, way).await,
    };
    Ok(InterceptedService::new(
        channel?,
        Bearer(way.bearer.clone()),
    ))
}

async fn over_tls(address: &str, name: &str, way: &Arc<Way>) -> Result<Channel, transport::Error> {
    let host = match name.contains(':') {
        true => format!("[{name}]"),
        false => name.to_owned(),
    };
    let endpoint = endpoint(address)?;
    let endpoint = match Uri::try_from(format!("https://{host}")) {
        Ok(origin) => endpoint.origin(origin),
        Err(_) => endpoint,
    };
    let (way, address, name) = (Arc::clone(way), address.to_owned(), name.to_owned());
    let connector = service_fn(move |_: Uri| {
        let (way, address, name) = (Arc::clone(&way), address.clone(), name.clone());
        async move { io::Result::Ok(TokioIo::new(way.connect(&address, &name).await?)) }
    });
    endpoint.connect_with_connector(connector).await
}

fn endpoint(address: &str) -> Result<Endpoint, transport::Error> {
    Endpoint::from_shared(format!("http://{address}"))
}
