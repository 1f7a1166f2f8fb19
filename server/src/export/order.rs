//! What an exporter is to do.

use std::sync::Arc;

use tokio::sync::watch;

use super::setting::Setting;

/// As this says, or to end.
pub(super) type Order = Option<Arc<Setting>>;

/// Waits for other orders, which are still to be taken then.
pub(super) async fn changed(orders: &mut watch::Receiver<Order>) {
    if orders.changed().await.is_ok() {
        orders.mark_changed();
    }
}
