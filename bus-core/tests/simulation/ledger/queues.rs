//! Messages in queues: where each one is, from its arrival to its end.

use std::collections::BTreeMap;

use bus_core::router::{AdminAction, Channel, Lifetime, QueueOptions, SessionId, Ticket};
use bus_core::{ErrorKind, MESSAGE_OVERHEAD_BYTES, MessageType, Name, Time, WINDOW_BYTES_DEFAULT};

use super::{Chan, Ledger, Open};

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its client has it, and waits for a grant.
    Offered,
    /// Its client has it, and may send it.
    Granted,
    /// It has come, and is not accepted yet.
    Arrived,
    Queued,
    Delayed(Time),
    Leased,
    Gone,
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub queue: usize,
    /// Its place in the order of arrival.
    pub arrival: u64,
    pub kind: MessageType,
    /// Payload and headers.
    pub length: u64,
    /// None while only its offer has come.
    pub number: Option<u64>,
    pub sender: SessionId,
    /// The handle that it was sent on.
    pub handle: u64,
    pub no_wait: bool,
    pub place: Place,
    pub attempt: u32,
    /// It was out when a session was lost, and nobody has answered for it since.
    pub suspect: bool,
    /// Whether it was granted: then its place counts, not the room.
    pub granted: bool,
    pub delivered: bool,
    /// In which turn it was put back last.
    pub returned: u64,
}

impl Entry {
    pub fn cost(&self) -> u64 {
        self.length + MESSAGE_OVERHEAD_BYTES as u64
    }
}

/// A queue.
#[derive(Debug)]
pub(super) struct QueueBook {
    pub name: Name,
    /// Not known of a queue for dead letters before it is listed.
    pub id: Option<u64>,
    pub options: QueueOptions,
    /// All that is not gone, by arrival.
    pub live: BTreeMap<u64, usize>,
    pub next_arrival: u64,
    pub alive: bool,
    pub retired: bool,
    /// The session that it lives with, if it does.
    pub lives_with: Option<SessionId>,
    /// That session has ended just now.
    pub dying: bool,
    /// Open handles, without waiters.
    pub handles: u64,
    pub accepted: u64,
    pub acked: u64,
    pub dead: u64,
    pub dropped: u64,
    /// Arrival of the last first delivery, for each handle that sends, and each type.
    pub first_deliveries: BTreeMap<(u64, MessageType), u64>,
}

impl QueueBook {
    /// Whether it goes with its last holder.
    pub fn ends_alone(&self) -> bool {
        self.retired || self.options.lifetime == Lifetime::LastHolder
    }
}

impl Ledger {
    pub(super) fn opened_queue(
        &mut self,
        name: Name,
        id: u64,
        created: bool,
        creator: SessionId,
        options: QueueOptions,
    ) -> usize {
        if created {
            assert!(!self.names.contains_key(&name), "{name} is created, and was there");
            let bound = options.lifetime == Lifetime::Session;
            let queue = self.new_queue(name, Some(id), options);
            self.queues[queue].lives_with = bound.then_some(creator);
            self.queues[queue].handles += 1;
            return queue;
        }
        let queue = *self.names.get(&name).unwrap_or_else(|| panic!("{name} is not there"));
        let book = &mut self.queues[queue];
        assert_eq!(*book.id.get_or_insert(id), id, "another queue has the name {name}");
        book.handles += 1;
        queue
    }

    pub(super) fn new_queue(
        &mut self,
        name: Name,
        id: Option<u64>,
        options: QueueOptions,
    ) -> usize {
        self.names.insert(name.clone(), self.queues.len());
        self.queues.push(QueueBook {
            name,
            id,
            options,
            live: BTreeMap::new(),
            next_arrival: 0,
            alive: true,
            retired: false,
            lives_with: None,
            dying: false,
            handles: 0,
            accepted: 0,
            acked: 0,
            dead: 0,
            dropped: 0,
            first_deliveries: BTreeMap::new(),
        });
        self.queues.len() - 1
    }

    pub(super) fn on_send(
        &mut self,
        session: SessionId,
        channel: Channel,
        ticket: Ticket,
        number: u64,
        no_wait: bool,
    ) {
        let message = self.post.original(number);
        let what = (message.kind(), message.len() as u64);
        let entry = self.arrive(session, channel, what, no_wait);
        if let Some(entry) = entry {
            self.entries[entry].number = Some(number);
            self.entries[entry].place = Place::Arrived;
            self.check_send_window(entry);
        }
        self.open_ticket(session, ticket, Open::Send(entry));
    }

    pub(super) fn on_offer(
        &mut self,
        session: SessionId,
        channel: Channel,
        ticket: Ticket,
        what: (MessageType, u64),
        no_wait: bool,
    ) {
        let entry = self.arrive(session, channel, what, no_wait);
        self.open_ticket(session, ticket, Open::Send(entry));
    }

    /// A client has no more under way on a handle than its window allows.
    fn check_send_window(&self, entry: usize) {
        let entry = &self.entries[entry];
        let live = self.live(entry.queue).map(|(_, other)| other);
        let waits = live.filter(|other| other.handle == entry.handle && !other.granted);
        let parked: u64 =
            waits.filter(|other| other.place == Place::Arrived).map(Entry::cost).sum();
        assert!(parked <= WINDOW_BYTES_DEFAULT, "{:?} sends beyond its window", entry.sender);
    }

    fn arrive(
        &mut self,
        session: SessionId,
        channel: Channel,
        (kind, length): (MessageType, u64),
        no_wait: bool,
    ) -> Option<usize> {
        let Some(Chan::Queue(queue, handle)) = self.chan((session, channel)).cloned() else {
            return None;
        };
        if !self.queues[queue].alive {
            return None;
        }
        Some(self.enter(Entry {
            queue,
            arrival: 0,
            kind,
            length,
            number: None,
            sender: session,
            handle,
            no_wait,
            place: Place::Offered,
            attempt: 0,
            suspect: false,
            granted: false,
            delivered: false,
            returned: 0,
        }))
    }

    /// Puts an entry at the end of its queue.
    pub(super) fn enter(&mut self, mut entry: Entry) -> usize {
        let book = &mut self.queues[entry.queue];
        book.next_arrival += 1;
        entry.arrival = book.next_arrival;
        book.live.insert(entry.arrival, self.entries.len());
        self.entries.push(entry);
        self.entries.len() - 1
    }

    pub(super) fn on_grant(&mut self, session: SessionId, ticket: Ticket) {
        let Some(Open::Send(Some(entry))) = self.tickets.get(&(session, ticket)) else {
            panic!("{session:?}: ticket {ticket} is granted, and not open");
        };
        let entry = &mut self.entries[*entry];
        assert_eq!(entry.place, Place::Offered, "{session:?}: {ticket} is granted");
        (entry.place, entry.granted) = (Place::Granted, true);
    }

    pub(super) fn on_granted(&mut self, session: SessionId, ticket: Ticket, number: u64) {
        // It may have been withdrawn, or its queue may have gone.
        let Some(Open::Send(Some(entry))) = self.tickets.get(&(session, ticket)) else { return };
        let entry = &mut self.entries[*entry];
        if self.queues[entry.queue].alive {
            assert_eq!(entry.place, Place::Granted, "{session:?}: {ticket} comes ungranted");
            (entry.place, entry.number) = (Place::Arrived, Some(number));
        }
    }

    /// A message is accepted: it stays until somebody settles it.
    pub(super) fn accept(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        let was = entry.place;
        if was == Place::Arrived {
            entry.place = Place::Queued;
        }
        let queue = entry.queue;
        // It may be out on a lease already, and even come back.
        let ready = matches!(was, Place::Arrived | Place::Leased | Place::Queued);
        assert!(ready, "what is {was:?} was accepted");
        self.queues[queue].accepted += 1;
        self.accepted.push(index);
    }

    /// What was accepted just now and goes to nobody has found room.
    pub(super) fn check_accepted(&self) {
        for index in &self.accepted {
            let entry = &self.entries[*index];
            let (count, bytes) = self.load(entry.queue);
            let options = &self.queues[entry.queue].options;
            let fits = count <= options.count_max && bytes <= options.bytes_max;
            // What was granted has a place, and what came back has one again.
            let stays = entry.place == Place::Queued && entry.returned != self.turn;
            let name = &self.queues[entry.queue].name;
            assert!(
                !stays || entry.granted || fits,
                "{name} takes {count} messages with {bytes} bytes"
            );
        }
    }

    /// A message is refused, or taken back.
    pub(super) fn refuse(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        entry: Option<usize>,
        kind: ErrorKind,
    ) {
        let Some(index) = entry else { return };
        let entry = &self.entries[index];
        let place = entry.place;
        let unaccepted = matches!(place, Place::Offered | Place::Granted | Place::Arrived);
        let gone = place == Place::Gone && !self.queues[entry.queue].alive;
        assert!(unaccepted || gone, "{ticket} has failed, its message is {place:?}");
        let limit = self.queues[entry.queue].options.bytes_max;
        let allowed = match kind {
            ErrorKind::QueueFull => entry.no_wait,
            ErrorKind::TooBig => entry.cost() > limit,
            ErrorKind::Withdrawn => {
                self.withdrawn.contains(&(session, ticket)) || !self.sessions.contains_key(&session)
            }
            ErrorKind::Removed => true,
            ErrorKind::QuotaExceeded => {
                self.parked_bytes(session) + entry.cost() > self.parked_bytes_max
            }
            _ => false,
        };
        assert!(allowed, "{session:?}: ticket {ticket} has failed as {kind:?}");
        if entry.place == Place::Gone {
            return;
        }
        if kind == ErrorKind::Removed {
            let book = &self.queues[entry.queue];
            assert!(!book.alive || book.ends_alone() || book.dying, "{} is there", book.name);
        }
        self.leave_queue(index);
    }

    /// A message is gone for good.
    pub(super) fn leave_queue(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        entry.place = Place::Gone;
        self.queues[entry.queue].live.remove(&entry.arrival);
    }

    /// What stands on the shelf, or is set aside: how many, and what they cost.
    pub(super) fn load(&self, queue: usize) -> (u64, u64) {
        let live = self.queues[queue].live.values().map(|entry| &self.entries[*entry]);
        let here = live.filter(|entry| matches!(entry.place, Place::Queued | Place::Delayed(_)));
        here.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.cost()))
    }

    /// What the broker keeps for a session until there is room for it.
    pub(super) fn parked_bytes(&self, session: SessionId) -> u64 {
        let open = self.tickets.range((session, 0)..=(session, Ticket::MAX));
        let sends = open.filter_map(|(_, open)| match open {
            Open::Send(Some(entry)) => Some(&self.entries[*entry]),
            _ => None,
        });
        let parked = sends.filter(|entry| entry.place == Place::Arrived);
        parked.map(Entry::cost).sum::<u64>() + self.held_bytes(session)
    }

    pub(super) fn end_delays(&mut self) {
        let (now, turn) = (self.now, self.turn);
        for entry in &mut self.entries {
            if matches!(entry.place, Place::Delayed(until) if until <= now) {
                (entry.place, entry.returned) = (Place::Queued, turn);
            }
        }
    }

    pub(super) fn on_admin(&mut self, name: &Name, action: AdminAction) {
        let Some(queue) = self.names.get(name).copied() else { return };
        match action {
            AdminAction::Remove => self.remove_queue(queue),
            AdminAction::Purge => {
                let live: Vec<_> = self.queues[queue].live.values().copied().collect();
                for entry in live {
                    if matches!(self.entries[entry].place, Place::Queued | Place::Delayed(_)) {
                        self.leave_queue(entry);
                        self.queues[queue].dropped += 1;
                    }
                }
            }
            AdminAction::Retire => {
                self.names.remove(name);
                self.queues[queue].retired = true;
            }
        }
    }

    /// A queue is gone with all that is in it; who waits there is told by the router.
    pub(super) fn remove_queue(&mut self, queue: usize) {
        let name = self.queues[queue].name.clone();
        if self.names.get(&name) == Some(&queue) {
            self.names.remove(&name);
        }
        (self.queues[queue].alive, self.queues[queue].dying) = (false, false);
        let live: Vec<_> = self.queues[queue].live.values().copied().collect();
        for entry in live {
            // Who waits for a grant has the message still.
            if self.entries[entry].place != Place::Granted {
                self.leave_queue(entry);
            }
        }
        self.forget_leases_of(queue);
    }
}
