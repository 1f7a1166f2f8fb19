//! What a caller sees of flows, on its way from the gate to the services.

use crate::selection::View;
use http::Extensions;

/// What the gate has put into a request; nothing is seen where it has not.
pub(in crate::service) fn view_of(extensions: &Extensions) -> View {
    let view = extensions.get::<View>().cloned();
    view.unwrap_or_else(|| View::of(Vec::new()))
}
