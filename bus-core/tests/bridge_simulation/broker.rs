//! A broker: its router, and who its sessions are.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{Fault, Identity, Router, RouterConfig, SessionId};
use bus_core::{Sender, Time};

/// How long sessions outlive their connections.
pub const GRACE: Duration = Duration::from_secs(10);

/// Whose session it is: by number among all of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Publisher(usize),
    Subscriber(usize),
    /// The near or far side of a wire.
    Near(usize),
    Far(usize),
}

/// A broker that runs.
pub struct Broker {
    pub epoch: u64,
    pub router: Router,
    pub who: BTreeMap<SessionId, Who>,
}

impl Broker {
    pub fn new(epoch: u64, fault: Option<Fault>) -> Broker {
        let mut router = Router::new(RouterConfig { epoch, ..RouterConfig::default() });
        if let Some(fault) = fault {
            router.plant(fault);
        }
        Broker { epoch, router, who: BTreeMap::new() }
    }

    /// Begins a session. Clients end with their connections, bridges come back.
    pub fn open(&mut self, now: Time, who: Who) -> SessionId {
        let bridge = matches!(who, Who::Near(_) | Who::Far(_));
        let sender = Sender { uid: Some(1), ..Sender::default() };
        let identity = Identity { sender, admin: bridge, ..Identity::default() };
        let grace = if matches!(who, Who::Far(_)) { GRACE } else { Duration::ZERO };
        let session = self.router.open_session(now, identity, grace).expect("room for a session");
        self.who.insert(session, who);
        session
    }
}
