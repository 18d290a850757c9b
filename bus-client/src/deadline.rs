//! Deadlines that the client keeps itself, beside those that the broker keeps.
//!
//! The broker decides whether something was in time, since only it knows what became of it.
//! When it does not answer, the client must not wait for ever: it gives up a little later.

use std::time::Duration;

use tokio::time::Instant;

/// How long the broker's word may come after a deadline.
pub(crate) const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Stands for never; far enough for anybody, and not beyond what the clock can express.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The moment so long from now.
pub(crate) fn after(limit: Duration) -> Instant {
    Instant::now() + limit.min(FAR)
}
