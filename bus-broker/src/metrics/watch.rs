//! Looks, taken when somebody wants one: many who want one at a time share it.
//!
//! Invariant: at most one look is under way, and nobody is looked at when nobody asks.

use std::rc::Rc;
use std::time::Duration;

use bus_client::Client;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::warn;

use super::counted::{Counted, Past, Rates};
use super::look::Look;

/// Those who wait for a look.
const WAITING_MAX: usize = 64;
/// A look is new enough for whoever wants a picture.
const NEW: Duration = Duration::from_millis(400);

/// A look, and what there was in a second.
pub(super) struct Seen {
    pub look: Look,
    pub rates: Rates,
}

/// Somebody who wants one, and whether it has to be later than the wish.
pub(super) type Wish = (bool, oneshot::Sender<Option<Rc<Seen>>>);

/// Where wishes go in, and where they come out.
pub(super) fn wishes() -> (mpsc::Sender<Wish>, mpsc::Receiver<Wish>) {
    mpsc::channel(WAITING_MAX)
}

/// Looks for all who wait, once for all of them.
pub(super) async fn watch(client: Client, mut wishes: mpsc::Receiver<Wish>) {
    let (mut past, mut last) = (Past::default(), None::<Rc<Seen>>);
    while let Some(first) = wishes.recv().await {
        // Those who come from here on have not been waiting, and get a newer one.
        let mut all = vec![first];
        while let Ok(more) = wishes.try_recv() {
            all.push(more);
        }
        last = last.filter(|seen| Instant::now().duration_since(seen.look.at) < NEW);
        let mut fresh = None;
        for (later, tell) in all {
            if fresh.is_none() && (later || last.is_none()) {
                fresh = Some(look(&client, &mut past).await);
            }
            let seen = fresh.as_ref().unwrap_or(&last);
            // It may have gone.
            let _ = tell.send(seen.clone());
        }
        last = fresh.unwrap_or(last);
    }
}

async fn look(client: &Client, past: &mut Past) -> Option<Rc<Seen>> {
    match Look::gather(client).await {
        Ok(look) => {
            let rates = past.compare(Counted::of(&look));
            Some(Rc::new(Seen { look, rates }))
        }
        Err(error) => {
            warn!(%error, "no figures can be gathered");
            None
        }
    }
}
