//! What the router says that it holds, against what the books say that it must hold.

use bus_core::Name;
use bus_core::router::{BrokerInfo, ClientStat, QueueStat, TopicStat};

use super::leases::Why;
use super::queues::{Entry, Place, QueueBook};
use super::{Ledger, Open};

/// What the router lists.
#[derive(Debug, Default)]
pub struct Listed {
    pub queues: Vec<QueueStat>,
    pub topics: Vec<TopicStat>,
    pub clients: Vec<ClientStat>,
    pub info: BrokerInfo,
}

impl Ledger {
    /// After each command, all its effects and all that was due.
    pub fn compare(&mut self, listed: &Listed, looks: bool) {
        assert!(self.answers.is_empty(), "no answer to acknowledgements {:?}", self.answers);
        self.settle_topics(&listed.topics);
        self.end_queues();
        self.check_accepted();
        self.check_nobody_starves();
        self.check_calls();
        for queue in self.names.values() {
            self.check_room(*queue);
        }
        if looks {
            self.check_listed(listed);
        }
    }

    /// What the router lists is what it must hold.
    fn check_listed(&mut self, listed: &Listed) {
        let alive = self.queues.iter().filter(|book| book.alive).count() as u64;
        assert_eq!(listed.info.queues, alive, "queues");
        assert_eq!(listed.queues.len() as u64, alive, "queues in the listing");
        let (retired, named): (Vec<_>, Vec<_>) =
            listed.queues.iter().partition(|stat| stat.retired);
        assert_eq!(named.len(), self.names.len(), "queues with names");
        for stat in named {
            let queue = *self.names.get(&stat.name).unwrap_or_else(|| panic!("{}", stat.name));
            self.check_queue(queue, stat);
        }
        for stat in retired {
            let known = |book: &QueueBook| book.id == Some(stat.id);
            // One that was not looked at while it had its name has no number in the books.
            if let Some(queue) = self.queues.iter().position(known) {
                assert!(self.queues[queue].retired, "{}: it has its name", stat.name);
                self.check_queue(queue, stat);
            }
        }
        self.check_sessions(&listed.clients);
    }

    /// A queue goes with the session that it lives with; a retired one with its last holder,
    /// when nothing of it is out.
    fn end_queues(&mut self) {
        for queue in 0..self.queues.len() {
            let book = &self.queues[queue];
            let out = |entry: &Entry| entry.place == Place::Leased;
            let left = book.alive
                && book.ends_alone()
                && self.holders(queue) == 0
                && !self.live(queue).any(|(_, entry)| out(entry));
            if book.dying || left {
                self.remove_queue(queue);
            }
        }
    }

    fn holders(&self, queue: usize) -> u64 {
        let waiters = self.waiters.iter().filter(|book| book.alive && book.queue == queue);
        self.queues[queue].handles + waiters.count() as u64
    }

    /// Each message is in exactly one place.
    fn check_queue(&mut self, queue: usize, stat: &QueueStat) {
        let holders = self.holders(queue);
        let (count, bytes) = self.load(queue);
        let book = &mut self.queues[queue];
        let name = book.name.clone();
        assert_eq!(*book.id.get_or_insert(stat.id), stat.id, "{name}: another queue");
        let counters = (stat.accepted, stat.acked, stat.dead, stat.dropped);
        let counted = (book.accepted, book.acked, book.dead, book.dropped);
        assert_eq!(counters, counted, "{name}: accepted, acked, dead, dropped");
        let places = |suits: fn(&Place) -> bool| {
            self.live(queue).filter(|(_, entry)| suits(&entry.place)).count() as u64
        };
        let leased = places(|place| *place == Place::Leased);
        let blocked = places(|place| matches!(place, Place::Offered | Place::Arrived));
        let held = (stat.messages, stat.leased, stat.blocked);
        assert_eq!(held, (count, leased, blocked), "{name}: messages, leased, blocked");
        assert_eq!(stat.handles, holders, "{name}: holders");
        // Labels make dead letters longer.
        if !name.as_str().ends_with(".dead") {
            assert_eq!(stat.bytes, bytes, "{name}: bytes");
        }
    }

    /// Nobody waits for room that there is.
    fn check_room(&self, queue: usize) {
        let waits = |entry: &Entry| matches!(entry.place, Place::Offered | Place::Arrived);
        let promised = self.live(queue).any(|(_, entry)| entry.place == Place::Granted);
        let Some((_, first)) = self.live(queue).find(|(_, entry)| waits(entry)) else { return };
        let (count, bytes) = self.load(queue);
        let options = &self.queues[queue].options;
        let fits = count < options.count_max && bytes + first.cost() <= options.bytes_max;
        let name = &self.queues[queue].name;
        assert!(promised || !fits, "{name}: {:?} waits, and there is room", first.number);
    }

    fn check_sessions(&self, clients: &[ClientStat]) {
        assert_eq!(clients.len(), self.sessions.len(), "sessions");
        for (id, book) in &self.sessions {
            let serial = id.serial();
            let stat = clients.iter().find(|stat| stat.sender.session == serial);
            let stat = stat.unwrap_or_else(|| panic!("{id:?} is not there"));
            assert_eq!(stat.connected, book.connected, "{id:?}: connected");
            assert_eq!(stat.channels, book.channels.len() as u64, "{id:?}: channels");
            assert_eq!(stat.parked_bytes, self.parked_bytes(*id), "{id:?}: parked bytes");
            let leases = self.leases.range((*id, 0)..=(*id, u64::MAX)).count() as u64;
            let mut ended = self.ended.range((*id, 0)..=(*id, u64::MAX));
            if !ended.any(|(_, why)| *why == Why::QueueRemoved) {
                assert_eq!(stat.leases, leases, "{id:?}: leases");
            }
        }
    }

    /// When all is quiet: everything that can finish has finished.
    pub fn check_quiet(&self) {
        self.check_all_heard();
        for ((session, ticket), open) in &self.tickets {
            match open {
                Open::Send(Some(entry)) => {
                    let entry = &self.entries[*entry];
                    let waits = matches!(entry.place, Place::Offered | Place::Arrived);
                    assert!(
                        waits,
                        "{session:?}: {ticket} has no verdict, and is {:?}",
                        entry.place
                    );
                }
                other => panic!("{session:?}: {other:?} {ticket} has no verdict"),
            }
        }
    }

    /// Everybody has said goodbye: nothing is left of them.
    pub fn check_deserted(&self) {
        assert!(self.sessions.is_empty(), "sessions are left: {:?}", self.sessions.keys());
        assert!(self.tickets.is_empty(), "tickets are left: {:?}", self.tickets);
        assert!(self.leases.is_empty(), "leases are left: {:?}", self.leases);
        assert!(self.waiters.iter().all(|book| !book.alive), "receivers are left");
        for (queue, book) in self.queues.iter().enumerate().filter(|(_, book)| book.alive) {
            assert_eq!(self.holders(queue), 0, "{}: holders are left", book.name);
            let here = |entry: &Entry| matches!(entry.place, Place::Queued | Place::Delayed(_));
            assert!(
                self.live(queue).all(|(_, entry)| here(entry)),
                "{}: {:?}",
                book.name,
                book.live
            );
        }
    }

    /// The name of a queue with something in it.
    pub fn some_queue_with_messages(&self) -> Option<Name> {
        let left = |queue: &usize| !self.queues[*queue].live.is_empty();
        self.names.iter().find(|(_, queue)| left(queue)).map(|(name, _)| name.clone())
    }
}
