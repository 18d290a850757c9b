//! One session as the router sees it: who it is, and what it holds.
//!
//! Everything that must be let go when the session ends can be reached from here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{CHANNELS_MAX, LEASED_BYTES_MAX, LEASES_MAX};
use crate::message::SharedSender;
use crate::message_type::MessageType;
use crate::runs::Runs;
use crate::time::Time;

use super::blocked::{BlockedTickets, Content};
use super::command::{Channel, Lease, Ticket};
use super::effect::Source;
use super::leases::Leases;
use super::permit::Permit;
use super::policy::Deeds;
use super::queue::Queue;
use super::relays::Relayed;
use super::rights::Identity;
use super::service::{Server, Service, Serving};
use super::shelf::Place;
use super::topic::{Subscription, Topic};
use super::untaken::Untaken;
use super::waiter::Waiter;

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Its client has said goodbye: it has told all that it wanted to tell.
    Goodbye,
    /// Its client is gone, or stayed away for too long.
    Lost,
}

/// A session.
pub struct Session {
    pub(crate) identity: Identity,
    pub(crate) sender: SharedSender,
    pub(crate) connected: bool,
    pub(crate) grace: Duration,
    /// While it is away: when it ends.
    pub(crate) away_until: Option<Time>,
    handles: Vec<Option<Handle>>,
    open: u32,
    pub(crate) leases: Leases,
    /// Deliveries of consumers that are gone, which the application has not been handed yet.
    pub(crate) untaken: BTreeMap<(Id<Queue>, Id<Waiter>), Untaken>,
    /// When its leases are looked at next.
    pub(crate) lease_check: Option<Time>,
    /// Its sends and offers that wait for room.
    pub(crate) blocked: BlockedTickets,
    /// Its offers that were granted and have not arrived.
    pub(crate) granted: BTreeMap<Ticket, GrantedOffer>,
    /// Its calls that are not answered.
    pub(crate) calls: BTreeMap<Ticket, u64>,
    /// Calls that it is serving.
    pub(crate) serving: BTreeMap<u64, Serving>,
    /// What its unsettled deliveries count.
    pub(crate) leased_bytes: u64,
    /// Channels of receivers that were passed over, since it has too many unsettled deliveries.
    pub(crate) starved: BTreeSet<Channel>,
    /// Bytes of its messages that the broker keeps until there is room for them.
    pub(crate) parked_bytes: u64,
    /// Offers of it that wait for room.
    pub(crate) blocked_offers: u32,
    /// Its sends that are on their way to the home of a hosted queue: by ticket, and the numbers
    /// that the queue gave them.
    pub(crate) going_home: Runs<(), Id<Queue>>,
    /// The queue that it hosts and from which a message is on its way that is longer than the
    /// window.
    pub(crate) long_home: Option<Id<Queue>>,
    /// Bytes of messages handed to its connection that are not known to be written.
    pub(crate) unwritten_bytes: u64,
    /// It has too many of them, and is given none until they are fewer.
    pub(crate) congested: bool,
}

/// An offer that was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantedOffer {
    pub queue: Id<Queue>,
    pub place: Place,
    pub length: u64,
    /// Whether room is kept for it; else it was granted because somebody waits.
    pub reserved: bool,
    /// For whom it was granted.
    pub waiter: Option<Id<Waiter>>,
    /// It would not wait for room at the home of a hosted queue.
    pub no_wait: bool,
}

/// What a channel is.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    Queue {
        queue: Id<Queue>,
        /// What the policy lets it do.
        may: Deeds,
        /// A bridge has it hosted elsewhere.
        carried: bool,
    },
    Publisher(Publisher),
    Subscription(Id<Subscription>),
    Waiter {
        queue: Id<Queue>,
        waiter: Id<Waiter>,
    },
    /// Calls go to whatever bears the name when they are made.
    Caller {
        name: crate::name::Name,
        /// What the policy lets it do.
        may: Deeds,
        /// If the caller is elsewhere: who.
        relayed: Option<Arc<Source>>,
    },
    Server {
        service: Id<Service>,
        server: Id<Server>,
    },
    /// A queue that lives elsewhere, and that this session hosts.
    Host {
        queue: Id<Queue>,
    },
    /// A bridge is told what is wanted.
    Interest,
    /// A bridge is told when it may not carry this any more.
    Permit(Permit),
}

/// A topic opened for publishing.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    pub topic: Id<Topic>,
    /// What its deliveries are labelled with.
    pub source: Arc<Source>,
    /// Number of the last message that came, whatever became of it; of a relay, as its origin counts.
    pub published: u64,
    /// Bytes accepted so far.
    pub accepted: u64,
    /// Bytes of which the client has been told.
    pub reported: u64,
    /// Messages of it that wait behind a slow subscriber.
    pub held: u64,
    /// Flushes of it that wait there too.
    pub flushes: u32,
    /// If it is a relay: of which source.
    pub relayed: Option<Id<Relayed>>,
    /// Whether the policy lets it publish.
    pub may: bool,
}

impl Session {
    pub(crate) fn new(identity: Identity, grace: Duration) -> Session {
        Session {
            sender: Arc::new(identity.sender.clone()),
            identity,
            connected: true,
            grace,
            away_until: None,
            handles: Vec::new(),
            open: 0,
            leases: Leases::default(),
            untaken: BTreeMap::new(),
            lease_check: None,
            blocked: BlockedTickets::default(),
            granted: BTreeMap::new(),
            calls: BTreeMap::new(),
            serving: BTreeMap::new(),
            leased_bytes: 0,
            starved: BTreeSet::new(),
            parked_bytes: 0,
            blocked_offers: 0,
            going_home: Runs::default(),
            long_home: None,
            unwritten_bytes: 0,
            congested: false,
        }
    }

    /// Puts a handle on a channel that must be free.
    pub(crate) fn open(&mut self, channel: Channel, handle: Handle) -> Result<(), Failure> {
        self.check_free(channel)?;
        let index = channel as usize;
        if self.handles.len() <= index {
            self.handles.resize_with(index + 1, || None);
        }
        self.handles[index] = Some(handle);
        self.open += 1;
        Ok(())
    }

    /// Whether a channel can be opened.
    pub(crate) fn check_free(&self, channel: Channel) -> Result<(), Failure> {
        if channel >= CHANNELS_MAX {
            return Err(Failure::new(
                ErrorKind::QuotaExceeded,
                format!("channel {channel}: a session has at most {CHANNELS_MAX} open handles"),
            ));
        }
        match self.handle(channel) {
            Some(_) => {
                Err(Failure::new(ErrorKind::Protocol, format!("channel {channel} is open already")))
            }
            None => Ok(()),
        }
    }

    /// Whether it may be handed deliveries, beside those that it has not settled.
    pub(crate) fn check_leases(&self) -> Result<(), Failure> {
        if !self.is_sated() {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::QuotaExceeded,
            format!(
                "this session has {} deliveries with {} bytes that it has not settled (at most {LEASES_MAX}, and {LEASED_BYTES_MAX} bytes): settle some first",
                self.leases.len(),
                self.leased_bytes
            ),
        ))
    }

    /// Counts what waits for room, or waits no longer.
    pub(crate) fn count_blocked(&mut self, content: &Content, begins: bool) {
        let (cost, offers) = (content.parked_cost(), u32::from(content.is_offer()));
        if begins {
            self.parked_bytes += cost;
            self.blocked_offers += offers;
        } else {
            self.parked_bytes -= cost;
            self.blocked_offers -= offers;
        }
    }

    /// Takes leases off the list of what a consumer that is gone has borne and nobody has said to
    /// be taken.
    pub(crate) fn forget_untaken(&mut self, of: (Id<Queue>, Id<Waiter>), first: Lease, count: u64) {
        if self.untaken.is_empty() {
            return;
        }
        if let Entry::Occupied(mut untaken) = self.untaken.entry(of) {
            untaken.get_mut().forget(first, count);
            if untaken.get().is_empty() {
                untaken.remove();
            }
        }
    }

    /// Whether it has as many unsettled deliveries as it may have.
    pub(crate) fn is_sated(&self) -> bool {
        self.leases.len() >= LEASES_MAX || self.leased_bytes >= LEASED_BYTES_MAX
    }

    /// Frees a channel.
    pub(crate) fn close(&mut self, channel: Channel) -> Option<Handle> {
        let handle = self.handles.get_mut(channel as usize)?.take()?;
        self.open -= 1;
        while let Some(None) = self.handles.last() {
            self.handles.pop();
        }
        Some(handle)
    }

    /// What a channel is.
    #[inline]
    pub(crate) fn handle(&self, channel: Channel) -> Option<&Handle> {
        self.handles.get(channel as usize)?.as_ref()
    }

    /// The queue on a channel, which one it is, is opened for being hosted elsewhere.
    pub(crate) fn note_carried(&mut self, channel: Channel) -> Option<Id<Queue>> {
        match self.handles.get_mut(channel as usize)? {
            Some(Handle::Queue { queue, carried, .. }) => {
                *carried = true;
                Some(*queue)
            }
            _ => None,
        }
    }

    /// The publisher on a channel, for changing.
    #[inline]
    pub(crate) fn publisher(&mut self, channel: Channel) -> Option<&mut Publisher> {
        match self.handles.get_mut(channel as usize)? {
            Some(Handle::Publisher(publisher)) => Some(publisher),
            _ => None,
        }
    }

    /// What is open, for changing.
    pub(crate) fn handles_mut(&mut self) -> impl Iterator<Item = &mut Handle> {
        self.handles.iter_mut().flatten()
    }

    /// What is open.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.handles.iter().flatten()
    }

    /// All open channels.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        (0u32..)
            .zip(&self.handles)
            .filter(|(_, handle)| handle.is_some())
            .map(|(channel, _)| channel)
            .collect()
    }

    /// How many channels are open.
    pub(crate) fn open_count(&self) -> u32 {
        self.open
    }
}

/// Says that a message of this type is too long for its queue.
pub(crate) fn too_big(what: &str, kind: MessageType, length: u64, limit: u64) -> Failure {
    Failure::new(
        ErrorKind::TooBig,
        format!(
            "a message of type {kind} with {length} bytes, headers included, is longer than {what} allows ({limit} bytes)"
        ),
    )
}
