//! Leases: a delivered message is settled once, or comes back once, and nothing else.

use std::time::Duration;

use bus_core::router::{Channel, Lease, QueueOptions, SessionEnd, SessionId};
use bus_core::{CHANNELS_MAX, Name, Time};

use super::queues::{Entry, Place};
use super::{At, Chan, Ledger, whole};

/// A message that is out.
#[derive(Clone, Debug)]
pub(super) struct Leased {
    pub entry: usize,
    pub waiter: usize,
    /// In which turn it was delivered.
    pub since: u64,
    auto_ack: bool,
    taken: bool,
    /// When it ends, if it does.
    deadline: Option<Time>,
}

impl Leased {
    pub fn is_taken(&self) -> bool {
        self.taken
    }
}

/// How a lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Settled,
    Returned,
    Expired,
    QueueRemoved,
}

/// What becomes of a message whose lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Unmarked,
    Marked(Duration),
    /// Marked or not, and suspected: its session was lost.
    Lost(bool),
}

impl Ledger {
    pub(super) fn on_lease(
        &mut self,
        at: At,
        lease: Lease,
        attempt: u32,
        auto_ack: bool,
        number: u64,
    ) {
        let Some(Chan::Waiter(waiter)) = self.chan(at).cloned() else {
            panic!("{at:?} gets {number}, and does not receive");
        };
        let entry = self.check_delivery(waiter, number);
        let book = self.session(at.0);
        assert_eq!(lease, book.last_lease + 1, "{at:?}: leases count on");
        book.last_lease = lease;
        assert_eq!(attempt, self.entries[entry].attempt, "{number}: attempts");
        assert_eq!(auto_ack, self.waiters[waiter].options.auto_ack, "{number}: auto-ack");
        self.note_first_delivery(entry);
        self.entries[entry].place = Place::Leased;
        let leased =
            Leased { entry, waiter, since: self.turn, auto_ack, taken: false, deadline: None };
        self.leases.insert((at.0, lease), leased);
        if self.waiters[waiter].options.once {
            self.limit(at.0, lease);
        }
        self.delivered_to(at, waiter);
    }

    /// First deliveries keep the order of each sender and type.
    fn note_first_delivery(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        if std::mem::replace(&mut entry.delivered, true) {
            return;
        }
        let (arrival, key) = (entry.arrival, (entry.handle, entry.kind));
        let book = &mut self.queues[entry.queue];
        let last = book.first_deliveries.insert(key, arrival).unwrap_or(0);
        assert!(arrival > last, "{}: {key:?} is overtaken by itself", book.name);
    }

    /// The session that sent what is out on this lease.
    pub(super) fn sent_by(&self, session: SessionId, lease: Lease) -> u64 {
        let leased = &self.leases[&(session, lease)];
        self.entries[leased.entry].sender.serial()
    }

    pub(super) fn on_taken(&mut self, session: SessionId, channel: Channel, lease: Lease) {
        let waiter = match (self.leases.get(&(session, lease)), self.chan((session, channel))) {
            (Some(leased), _) => leased.waiter,
            (None, Some(Chan::Waiter(waiter))) => *waiter,
            _ => return,
        };
        // The last channel stands for a single receive, which is over.
        let all = self.waiters[waiter].alive || channel != CHANNELS_MAX - 1;
        let mine = self.leases.range((session, 0)..=(session, lease));
        let starts = mine.filter(|((_, number), leased)| match all {
            true => leased.waiter == waiter && !leased.is_taken(),
            false => *number == lease,
        });
        let starts: Vec<Lease> = starts.map(|((_, number), _)| *number).collect();
        for lease in starts {
            self.start(session, lease);
        }
    }

    fn start(&mut self, session: SessionId, lease: Lease) {
        self.started.push(lease);
        let Some(leased) = self.leases.get_mut(&(session, lease)) else { return };
        if leased.auto_ack {
            self.settle(session, lease);
            return;
        }
        (leased.taken, leased.deadline) = (true, None);
        let waiter = leased.waiter;
        self.limit(session, lease);
        if self.has_suspect(waiter) {
            self.begin_caution(waiter);
        }
    }

    /// A lease without an end gets one.
    fn limit(&mut self, session: SessionId, lease: Lease) {
        let Some(leased) = self.leases.get_mut(&(session, lease)) else { return };
        let queue = self.entries[leased.entry].queue;
        let until = self.now.after(self.queues[queue].options.lease);
        if !leased.auto_ack {
            leased.deadline.get_or_insert(until);
        }
    }

    /// It is asked back, since another receiver waits for it.
    pub(super) fn on_recall(&mut self, session: SessionId, lease: Lease) {
        let known = self.leases.get(&(session, lease));
        // One of several that are acknowledged just now may be asked for still.
        let settled = self.answers.iter().any(|(answered, _)| *answered == lease);
        let untaken = known.is_some_and(|leased| !leased.is_taken());
        assert!(untaken || settled, "{session:?}: {lease} is recalled");
        self.limit(session, lease);
    }

    pub(super) fn on_ack(&mut self, session: SessionId, first: Lease, count: u32) {
        for lease in first..first + u64::from(count) {
            let good = self.settle(session, lease);
            self.answers.push((lease, good));
        }
    }

    /// The next acknowledgement is answered.
    pub(super) fn on_answer(&mut self, session: SessionId, lease: Lease, good: bool) {
        assert!(!self.answers.is_empty(), "{session:?}: {lease} was not acknowledged just now");
        assert_eq!(self.answers.remove(0), (lease, good), "{session:?}: answer to an ack");
    }

    /// The message is done with. `false` if its lease had ended before.
    fn settle(&mut self, session: SessionId, lease: Lease) -> bool {
        let Some(entry) = self.end(session, lease, Why::Settled) else {
            self.check_late(session, lease);
            return false;
        };
        self.leave_queue(entry);
        self.queues[self.entries[entry].queue].acked += 1;
        true
    }

    pub(super) fn on_nack(&mut self, session: SessionId, lease: Lease, delay: Duration) {
        match self.end(session, lease, Why::Settled) {
            Some(entry) => {
                self.entries[entry].suspect = false;
                self.put_back(entry, Back::Marked(whole(delay)));
            }
            None => self.check_late(session, lease),
        }
    }

    pub(super) fn on_reject(&mut self, session: SessionId, lease: Lease) {
        match self.end(session, lease, Why::Settled) {
            Some(entry) => self.bury(entry),
            None => self.check_late(session, lease),
        }
    }

    pub(super) fn on_extend(&mut self, session: SessionId, lease: Lease, by: Duration) {
        let until = self.now.after(whole(by));
        match self.leases.get_mut(&(session, lease)) {
            Some(leased) => leased.deadline = Some(until),
            None => self.check_late(session, lease),
        }
    }

    pub(super) fn on_return(&mut self, session: SessionId, leases: &[Lease]) {
        let mut back = Vec::new();
        for lease in leases {
            match self.end(session, *lease, Why::Returned) {
                Some(entry) => back.push((entry, Back::Unmarked)),
                None => {
                    let why = self.ended.get(&(session, *lease));
                    let over = matches!(why, Some(Why::QueueRemoved | Why::Expired));
                    assert!(over, "{session:?}: {lease} is returned, and was {why:?}");
                }
            }
        }
        self.put_all_back(back);
    }

    /// Nothing is settled twice: a settlement comes late only after the lease was over.
    fn check_late(&self, session: SessionId, lease: Lease) {
        let why = self.ended.get(&(session, lease));
        let late = matches!(why, Some(Why::Expired | Why::QueueRemoved));
        assert!(late, "{session:?}: {lease} is settled, and was {why:?}");
    }

    /// The session is over: what its application had is marked, the rest is not. If it was
    /// lost, all is suspected, and what a receiver had alone is marked as well.
    pub(super) fn return_all(&mut self, session: SessionId, end: SessionEnd) {
        let mine = self.leases.range((session, 0)..=(session, Lease::MAX));
        let all: Vec<_> = mine.map(|((_, lease), leased)| (*lease, leased.clone())).collect();
        let mut back = Vec::new();
        for (lease, leased) in &all {
            let same = all.iter().filter(|(_, other)| other.waiter == leased.waiter);
            let alone = same.count() == 1;
            let how = match end {
                SessionEnd::Lost => Back::Lost(leased.taken || alone),
                _ if leased.taken => Back::Marked(Duration::ZERO),
                _ => Back::Unmarked,
            };
            back.extend(self.end(session, *lease, Why::Expired).map(|entry| (entry, how)));
        }
        self.put_all_back(back);
    }

    pub(super) fn expire_leases(&mut self) {
        let due = |leased: &Leased| leased.deadline.is_some_and(|until| until <= self.now);
        let over: Vec<_> =
            self.leases.iter().filter(|(_, leased)| due(leased)).map(|(key, _)| *key).collect();
        self.expired = over.clone();
        let mut back = Vec::new();
        for (session, lease) in over {
            let leased = &self.leases[&(session, lease)];
            self.waiters[leased.waiter].trusted |= leased.taken;
            let entry = self.end(session, lease, Why::Expired);
            back.extend(entry.map(|entry| (entry, Back::Marked(Duration::ZERO))));
        }
        self.put_all_back(back);
    }

    /// What was out comes back in the order of arrival.
    fn put_all_back(&mut self, mut back: Vec<(usize, Back)>) {
        back.sort_by_key(|(entry, _)| (self.entries[*entry].queue, self.entries[*entry].arrival));
        for (entry, how) in back {
            self.put_back(entry, how);
        }
    }

    fn put_back(&mut self, index: usize, how: Back) {
        let deliveries_max = self.queues[self.entries[index].queue].options.deliveries_max;
        let (until, turn) = (self.now, self.turn);
        let entry = &mut self.entries[index];
        entry.returned = turn;
        entry.place = Place::Queued;
        entry.suspect |= matches!(how, Back::Lost(_));
        let marked = match how {
            Back::Marked(delay) => Some(delay),
            Back::Lost(true) => Some(Duration::ZERO),
            Back::Lost(false) | Back::Unmarked => None,
        };
        if let Some(delay) = marked {
            entry.attempt += 1;
            if entry.attempt >= deliveries_max {
                return self.bury(index);
            }
            if !delay.is_zero() {
                entry.place = Place::Delayed(until.after(delay));
            }
        }
    }

    /// A message goes to the dead letters, if its queue has any.
    fn bury(&mut self, index: usize) {
        self.leave_queue(index);
        let entry = self.entries[index].clone();
        let book = &mut self.queues[entry.queue];
        book.dead += 1;
        if book.name.as_str().ends_with(".dead") {
            book.dropped += 1;
            return;
        }
        let name = Name::new(&format!("{}.dead", book.name)).expect("a longer name");
        let options = QueueOptions { deliveries_max: u32::MAX, ..QueueOptions::default() };
        let grave = match self.names.get(&name) {
            Some(grave) => *grave,
            None => self.new_queue(name, None, options),
        };
        self.queues[grave].accepted += 1;
        self.enter(Entry {
            queue: grave,
            place: Place::Queued,
            attempt: 0,
            suspect: false,
            delivered: false,
            returned: self.turn,
            ..entry
        });
    }

    /// Ends a lease, and gives its credit back.
    fn end(&mut self, session: SessionId, lease: Lease, why: Why) -> Option<usize> {
        let leased = self.leases.remove(&(session, lease))?;
        self.ended.insert((session, lease), why);
        let clock = self.turn;
        let waiter = &mut self.waiters[leased.waiter];
        waiter.outstanding -= 1;
        if waiter.outstanding == 0 {
            (waiter.cautious_until, waiter.perhaps_until) = (None, None);
        }
        if why == Why::Returned {
            waiter.since = clock;
        }
        Some(leased.entry)
    }

    pub(super) fn forget_leases_of(&mut self, queue: usize) {
        let entries = &self.entries;
        let gone = self.leases.iter().filter(|(_, leased)| entries[leased.entry].queue == queue);
        let gone: Vec<_> = gone.map(|(key, _)| *key).collect();
        for (session, lease) in gone {
            self.end(session, lease, Why::QueueRemoved);
        }
    }
}
