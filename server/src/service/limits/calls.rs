//! The layer around all gRPC routes that keeps calls within limits.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, Response, header};
use tonic::service::Routes;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::{
    sensitive_headers::SetSensitiveRequestHeadersLayer,
    trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer},
};
use tracing::Level;

use super::{
    Limits,
    answer::Answer,
    methods::Methods,
    request::{self, Held},
};
use crate::listener::Caller;

/// Routes whose calls are within limits. At debug level each call is told, without
/// what its headers keep secret.
#[must_use]
pub fn limited(routes: Routes, limits: Limits) -> Routes {
    let told = TraceLayer::new_for_grpc()
        .make_span_with(DefaultMakeSpan::new().level(Level::DEBUG))
        .on_response(DefaultOnResponse::new().level(Level::DEBUG))
        .on_failure(());
    let layers = ServiceBuilder::new()
        .layer(SetSensitiveRequestHeadersLayer::new([
            header::AUTHORIZATION,
        ]))
        .layer(told)
        .layer(CallLayer {
            limits,
            methods: Arc::new(Methods::new()),
        });
    routes.into_axum_router().layer(layers).into()
}

#[derive(Clone)]
struct CallLayer {
    limits: Limits,
    methods: Arc<Methods>,
}

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls {
            inner,
            limits: self.limits.clone(),
            methods: Arc::clone(&self.methods),
        }
    }
}

/// A service whose calls are within limits.
#[derive(Clone)]
struct Calls<S> {
    inner: S,
    limits: Limits,
    methods: Arc<Methods>,
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let caller = Caller::of(request.extensions());
        let method = self.methods.of(request.uri().path());
        let place = match self.limits.admit(&caller, method) {
            Ok(place) => place,
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        };
        let (limits, held) = (self.limits.clone(), Held::default());
        let request = request.map(|body| {
            let (limits, caller, held) = (limits.clone(), caller.clone(), held.clone());
            Body::new(request::Request::new(body, limits, caller, method, held))
        });
        let call = self.inner.call(request);
        Box::pin(async move {
            let response = call.await?;
            // What was asked is answered, or what answers it keeps what it needs.
            drop(held);
            Ok(response.map(|body| Body::new(Answer::new(body, limits, caller, place))))
        })
    }
}
