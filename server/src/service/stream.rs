//! What streams of stored events are made of: where one begins, what it lost,
//! its buffers, what it shares with others, how long it works at a stretch.
//!
//! No service is here, and no request: those are in `observer` and `flow`.

pub(super) mod chunks;
pub(super) mod lapped;
pub(super) mod position;
pub(super) mod runs;
pub(super) mod scan;
pub(super) mod turn;
