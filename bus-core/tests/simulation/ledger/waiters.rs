//! Receivers: what they may be given, and who of several is the next.

use bus_core::router::{Channel, ConsumeOptions};
use bus_core::{ErrorKind, MessageType, Selector, Time};

use super::queues::{Entry, Place};
use super::{At, Chan, Ledger};

/// A receive or consumer.
#[derive(Debug)]
pub(super) struct Waiter {
    pub at: At,
    pub queue: usize,
    pub options: ConsumeOptions,
    pub outstanding: u32,
    /// It has let a lease run out of what it had looked at: it gets suspects like all else.
    pub trusted: bool,
    /// When it is, if it stands aside until then, or its application keeps a suspect.
    pub cautious_until: Option<Time>,
    /// The same, counted from when it stood aside for the first time since it got something, also while it was
    /// away: the router need not see that for a moment it did not, between two suspects, and counts from when it was
    /// held back, connected or not. It may trust it as soon as this is over.
    pub perhaps_until: Option<Time>,
    /// In which turn it has gone to the back of the line.
    pub since: u64,
    pub alive: bool,
}

impl Ledger {
    /// A receiver begins, or changes its credit.
    pub(super) fn on_consume(
        &mut self,
        session: bus_core::router::SessionId,
        channel: Channel,
        queue: Channel,
        options: &ConsumeOptions,
    ) {
        let at = (session, channel);
        if let Some(Chan::Waiter(waiter)) = self.chan(at).cloned() {
            self.waiters[waiter].options.credit = options.credit;
            return;
        }
        let Some(Chan::Queue(queue, _)) = self.chan((session, queue)).cloned() else { return };
        if !self.queues[queue].alive {
            return;
        }
        let options = *options;
        let since = self.turn;
        let (outstanding, trusted, cautious_until, alive) = (0, false, None, true);
        self.waiters.push(Waiter {
            at,
            queue,
            options,
            outstanding,
            trusted,
            cautious_until,
            perhaps_until: None,
            since,
            alive,
        });
        self.open_channel(at, Chan::Waiter(self.waiters.len() - 1));
    }

    pub(super) fn drop_waiter(&mut self, waiter: usize) {
        self.waiters[waiter].alive = false;
    }

    /// A receive is over with its delivery; a consumer goes to the back of the line.
    pub(super) fn delivered_to(&mut self, at: At, waiter: usize) {
        let turn = self.turn;
        let book = &mut self.waiters[waiter];
        book.outstanding += 1;
        (book.cautious_until, book.perhaps_until) = (None, None);
        book.since = turn;
        if book.options.once {
            self.close_channel(at);
        }
    }

    /// Whether this receiver may have this message now; gives its entry.
    pub(super) fn check_delivery(&mut self, waiter: usize, number: u64) -> usize {
        let is_over = self.waiters[waiter].perhaps_until.is_some_and(|until| until <= self.now);
        let found = self.live(self.waiters[waiter].queue).find(|(_, it)| it.number == Some(number));
        if is_over && found.is_some_and(|(index, _)| self.must_wait(waiter, index)) {
            let book = &mut self.waiters[waiter];
            (book.trusted, book.cautious_until) = (true, None);
        }
        let book = &self.waiters[waiter];
        let (at, options) = (book.at, book.options);
        let found = self.live(book.queue).find(|(_, entry)| entry.number == Some(number));
        let Some((index, entry)) = found else {
            panic!("{at:?} gets {number}, which is not in its queue");
        };
        let ready = matches!(entry.place, Place::Queued | Place::Arrived);
        assert!(ready, "{at:?} gets {number}, which is {:?}", entry.place);
        assert!(self.is_connected(at.0), "{at:?} gets {number}, and is away");
        assert!(options.selector.matches(entry.kind), "{at:?} gets {number} of {}", entry.kind);
        assert!(entry.length <= options.bytes_max, "{at:?} gets {number}, which is too long");
        assert!(book.outstanding < options.credit, "{at:?} gets {number} beyond its credit");
        assert!(!self.has_suspect(waiter), "{at:?} gets {number} beside a suspect");
        assert!(
            !self.must_wait(waiter, index),
            "{at:?} gets {number}, a suspect, beside others: {book:?} at {:?}",
            self.now
        );
        self.check_choice(waiter, index);
        self.check_turn(waiter, index);
        index
    }

    /// Whether a receiver gets nothing more until it has settled the suspect that it has.
    pub(super) fn has_suspect(&self, waiter: usize) -> bool {
        let mine = self.leases.values().filter(|leased| leased.waiter == waiter);
        let mut mine = mine.map(|leased| &self.entries[leased.entry]);
        !self.waiters[waiter].trusted && mine.any(|entry| entry.suspect)
    }

    /// Whether a receiver gets this entry only when it has settled all that it has.
    fn must_wait(&self, waiter: usize, entry: usize) -> bool {
        let book = &self.waiters[waiter];
        self.entries[entry].suspect && !book.trusted && book.outstanding > 0
    }

    /// It is the first that matches: of what is queued, then of what waits for room.
    fn check_choice(&self, waiter: usize, chosen: usize) {
        let book = &self.waiters[waiter];
        let turn = self.turn;
        // Of what comes back at one moment the lowest type need not be the first to come.
        let late = |entry: &Entry| {
            matches!(book.options.selector, Selector::Upto(_)) && entry.returned == turn
        };
        let place = self.entries[chosen].place;
        let first = self.first(book.queue, book.options.selector, |entry| {
            entry.place == Place::Queued && !late(entry)
        });
        let best = match place {
            Place::Queued if late(&self.entries[chosen]) => return,
            Place::Queued => first,
            _ => {
                assert_eq!(first, None, "{:?}: what is queued comes first", book.at);
                self.first(book.queue, book.options.selector, |entry| entry.place == Place::Arrived)
            }
        };
        let (first, got) =
            (best.map(|best| self.entries[best].number), self.entries[chosen].number);
        assert_eq!(best, Some(chosen), "{:?}: the first is {first:?}, got {got:?}", book.at);
    }

    /// No receive has waited longer for it.
    fn check_turn(&self, waiter: usize, chosen: usize) {
        let entry = &self.entries[chosen];
        let since = self.waiters[waiter].since;
        for (index, other) in self.waiters.iter().enumerate() {
            let waits = index != waiter
                && other.alive
                && other.options.once
                && other.queue == entry.queue
                && other.since < since
                && other.options.selector.matches(entry.kind)
                && other.options.bytes_max >= entry.length
                && self.is_connected(other.at.0);
            let at = self.waiters[waiter].at;
            assert!(!waits, "{at:?} gets {:?}, {:?} has waited longer", entry.number, other.at);
        }
    }

    /// A receiver is ended by the router: is there a reason?
    pub(super) fn check_end(&self, waiter: usize, kind: ErrorKind) {
        let book = &self.waiters[waiter];
        let options = &book.options;
        let matches = |entry: &Entry| options.selector.matches(entry.kind);
        // How long its labels make a dead letter is not known here.
        let is_grave = self.queues[book.queue].name.as_str().ends_with(".dead");
        let labelled = |entry: &Entry| if is_grave { u64::MAX } else { entry.length };
        let good = match kind {
            ErrorKind::Removed => {
                let queue = &self.queues[book.queue];
                !queue.alive || queue.dying
            }
            ErrorKind::TooBig => self
                .live(book.queue)
                .any(|(_, entry)| matches(entry) && labelled(entry) > options.bytes_max),
            ErrorKind::Empty => {
                let here = |entry: &Entry| matches!(entry.place, Place::Queued | Place::Arrived);
                !options.wait && !self.live(book.queue).any(|(_, e)| matches(e) && here(e))
            }
            _ => false,
        };
        assert!(good, "{:?} is ended as {kind:?}", book.at);
    }

    /// No receiver waits for what is there.
    pub(super) fn check_nobody_starves(&self) {
        for (waiter, book) in self.waiters.iter().enumerate().filter(|(_, book)| book.alive) {
            if self.is_sated(waiter) || self.stands_aside(waiter) {
                continue;
            }
            let here = self.first_here(waiter, false);
            let number = here.map(|here| self.entries[here].number);
            assert_eq!(here, None, "{:?} waits, and {number:?} is there for it", book.at);
        }
    }

    /// Whether it can have nothing more now.
    fn is_sated(&self, waiter: usize) -> bool {
        let book = &self.waiters[waiter];
        let full = book.outstanding >= book.options.credit || self.has_suspect(waiter);
        full || !self.is_connected(book.at.0)
    }

    /// The first entry for it, or the first suspect.
    fn first_here(&self, waiter: usize, suspect: bool) -> Option<usize> {
        let book = &self.waiters[waiter];
        self.first(book.queue, book.options.selector, |entry| {
            let here = matches!(entry.place, Place::Queued | Place::Arrived);
            here && (entry.suspect || !suspect)
        })
    }

    /// Whether it waits for a suspect, and for what has come back before that since.
    fn stands_aside(&self, waiter: usize) -> bool {
        self.first_here(waiter, true).is_some_and(|suspect| self.must_wait(waiter, suspect))
    }

    /// Who stands aside does so for the time of a lease.
    pub(super) fn note_caution(&mut self) {
        for waiter in 0..self.waiters.len() {
            if !self.waiters[waiter].alive {
                continue;
            }
            if self.is_sated(waiter) {
                // One that is away may have been held back all the same.
                let away = !self.is_connected(self.waiters[waiter].at.0);
                if away && !self.has_suspect(waiter) && self.stands_aside(waiter) {
                    self.perhaps_begin_caution(waiter);
                }
                continue;
            }
            match self.stands_aside(waiter) {
                true => self.begin_caution(waiter),
                false => self.waiters[waiter].cautious_until = None,
            }
        }
    }

    /// It is trusted when the time of a lease is over, if not sooner.
    pub(super) fn begin_caution(&mut self, waiter: usize) {
        self.perhaps_begin_caution(waiter);
        let until = self.now.after(self.queues[self.waiters[waiter].queue].options.lease);
        let book = &mut self.waiters[waiter];
        if !book.trusted {
            book.cautious_until.get_or_insert(until);
        }
    }

    fn perhaps_begin_caution(&mut self, waiter: usize) {
        let until = self.now.after(self.queues[self.waiters[waiter].queue].options.lease);
        self.waiters[waiter].perhaps_until.get_or_insert(until);
    }

    /// Caution with these has lasted for long enough.
    pub(super) fn end_cautions(&mut self) {
        for book in &mut self.waiters {
            if book.cautious_until.is_some_and(|until| until <= self.now) {
                (book.trusted, book.cautious_until) = (true, None);
            }
        }
    }

    /// No receive waits for what a consumer had and has not looked at when it began to wait.
    /// Holds when all is quiet.
    pub fn check_nobody_hoards(&self) {
        for book in self.waiters.iter().filter(|book| book.alive && book.options.once) {
            let waits = self.is_connected(book.at.0);
            for ((session, lease), leased) in &self.leases {
                let holder = &self.waiters[leased.waiter];
                let entry = &self.entries[leased.entry];
                let hoards = holder.alive
                    && holder.queue == book.queue
                    && holder.at != book.at
                    && !leased.is_taken()
                    && leased.since < book.since
                    && book.options.selector.matches(entry.kind)
                    && self.is_connected(*session);
                assert!(!(waits && hoards), "{:?} waits, {session:?} has {lease}", book.at);
            }
        }
    }

    /// The first entry in the selector's order.
    pub(super) fn first(
        &self,
        queue: usize,
        selector: Selector,
        suits: impl Fn(&Entry) -> bool,
    ) -> Option<usize> {
        let by_type = matches!(selector, Selector::Upto(_));
        let rank = |entry: &Entry| {
            let kind: MessageType = if by_type { entry.kind } else { MessageType::ONE };
            (kind, entry.arrival)
        };
        self.live(queue)
            .filter(|(_, entry)| selector.matches(entry.kind) && suits(entry))
            .min_by_key(|(_, entry)| rank(entry))
            .map(|(index, _)| index)
    }

    pub(super) fn live(&self, queue: usize) -> impl Iterator<Item = (usize, &Entry)> {
        self.queues[queue].live.values().map(|index| (*index, &self.entries[*index]))
    }
}
