//! How long a scan of the store goes on before other tasks get a turn.

use std::time::{Duration, Instant};

/// Long beside the cost of a change of tasks, short beside what users notice.
const LENGTH: Duration = Duration::from_micros(200);

/// The turn of one scan.
#[derive(Debug)]
pub(in crate::service) struct Turn(Instant);

impl Turn {
    pub(in crate::service) fn begin() -> Self {
        Self(Instant::now() + LENGTH)
    }

    /// Lets others run, if the turn is over, and begins another.
    pub(in crate::service) async fn pass_on(&mut self) {
        if Instant::now() >= self.0 {
            tokio::task::yield_now().await;
            *self = Self::begin();
        }
    }
}
