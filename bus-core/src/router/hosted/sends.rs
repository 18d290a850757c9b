//! Sends to hosted queues: they go home one after the other, within a window for each queue.
//!
//! What is on its way is charged to its sender, as what waits for room is. Beyond the window sends
//! stand in the queue's own line, and none overtakes another. An offer is granted when the window
//! has room for it, and its message goes home as any when it has come; so it takes its place among
//! the messages of others when it has come, and not when it was offered. A message longer than the
//! window goes when nothing else of its queue is on its way, one at a time over each bridge.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{HOSTED_WINDOW_BYTES, MESSAGE_OVERHEAD_BYTES};
use crate::message::Message;
use crate::router::Router;
use crate::router::blocked::Content;
use crate::router::command::Ticket;
use crate::router::fault::Fault;
use crate::router::ground::Ground;
use crate::router::lease::Stored;
use crate::router::queue::Queue;
use crate::router::sending::Arriving;
use crate::router::session::Session;
use crate::router::shelf::Place;
use crate::runs::Run;

use super::HostedAsk;
use super::sent::{Costs, Sent};

impl Router {
    /// Sends a message home, or has it wait for room on the way. It has no verdict yet.
    pub(in crate::router) fn send_home(
        &mut self,
        id: Id<Queue>,
        arriving: &Arriving,
        message: Message,
    ) -> Result<(), Failure> {
        let parked_max = self.config.parked_bytes_max;
        let (Some(queue), Some(entry)) =
            (self.queues.get_mut(id), self.ground.sessions.get(arriving.session))
        else {
            return Ok(());
        };
        queue.check_way()?;
        let (length, sender) = (message.len() as u64, entry.sender.clone());
        let ground = &mut self.ground;
        if queue.blocked.is_empty() && queue.may_go_home(ground, length) {
            queue.go_home(ground, arriving, message);
            return Ok(());
        }
        queue.check_way_home(ground, arriving.no_wait)?;
        let place = queue.new_place(message.kind());
        let stored = Stored::new(message, sender, place.arrival);
        queue.wait_for_room(ground, arriving, stored, parked_max)
    }

    /// Takes a send back that is on its way: its home says whether it still waited.
    pub(in crate::router) fn withdraw_from_home(&mut self, session: Id<Session>, ticket: Ticket) {
        let entry = self.ground.sessions.get(session);
        let Some((id, number)) = entry.and_then(|entry| entry.going_home.get((), ticket)) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(id) {
            queue.withdraw_from_home(&mut self.ground, number);
        }
    }

    /// Lets in who waits for the slot of long messages at one of these sessions' queues.
    pub(in crate::router) fn admit_hosted(&mut self) {
        while let Some(host) = self.ground.freed_hosts.pop() {
            for id in self.hosted_by(host) {
                if let Some(queue) = self.queues.get_mut(id) {
                    queue.admit(&mut self.ground);
                }
            }
        }
    }
}

impl Queue {
    /// Whether a message of this length may go home now.
    pub(in crate::router) fn may_go_home(&self, ground: &Ground, length: u64) -> bool {
        let Some(hosting) = &self.hosted else { return false };
        let (cost, used) = (length + MESSAGE_OVERHEAD_BYTES as u64, self.used());
        let fits = cost <= self.free_way_home();
        let slot = hosting.host().and_then(|host| ground.sessions.get(host));
        let slot_is_free = || used == 0 && slot.is_some_and(|entry| entry.long_home.is_none());
        hosting.is_reachable(ground) && (fits || slot_is_free())
    }

    /// Bytes that are on their way home, or were granted.
    fn used(&self) -> u64 {
        self.hosted.as_ref().map_or(0, |hosting| hosting.sends.bytes()) + self.reserved_bytes
    }

    /// Bytes that there is room for beside them.
    pub(super) fn free_way_home(&self) -> u64 {
        HOSTED_WINDOW_BYTES.saturating_sub(self.used())
    }

    /// Takes the slot of long messages, if what is on its way is one now; gives it up if not.
    pub(in crate::router) fn note_way_home(&mut self, ground: &mut Ground) {
        let Some(host) = self.hosted.as_ref().and_then(|hosting| hosting.host()) else { return };
        let long = self.used() > HOSTED_WINDOW_BYTES;
        let Some(entry) = ground.sessions.get_mut(host) else { return };
        if long && entry.long_home.is_none() {
            entry.long_home = Some(self.id);
        } else if !long && entry.long_home == Some(self.id) {
            entry.long_home = None;
            ground.freed_hosts.push(host);
        }
    }

    /// Sends a message home.
    pub(in crate::router) fn go_home(
        &mut self,
        ground: &mut Ground,
        arriving: &Arriving,
        mut message: Message,
    ) {
        message.compact();
        let Arriving { session, ticket, no_wait } = *arriving;
        let Some(hosting) = &mut self.hosted else { return };
        let cost = message.cost();
        let costs = Costs::Even(1, cost);
        let number = hosting.sends.push(Sent { session, ticket, costs, no_wait, withdrawn: false });
        if let Some(entry) = ground.sessions.get_mut(session) {
            entry.parked_bytes += cost;
            let run = Run { of: (), first: ticket, to: self.id, at: number, count: 1 };
            entry.going_home.insert(run);
        }
        hosting.ask(ground, HostedAsk::Send { ticket: number, no_wait, message });
        self.note_way_home(ground);
    }

    /// Grants an offer if there is room on the way home; else it waits for that.
    pub(in crate::router) fn offer_home(
        &mut self,
        ground: &mut Ground,
        arriving: &Arriving,
        place: Place,
        length: u64,
    ) -> Result<(), Failure> {
        self.check_way()?;
        let Arriving { session, ticket, no_wait } = *arriving;
        if !self.blocked.is_empty() || !self.may_go_home(ground, length) {
            self.check_way_home(ground, no_wait)?;
            self.block(ground, arriving, place, Content::Offered(length));
            return Ok(());
        }
        self.grant(ground, session, ticket, place, length, None);
        let entry = ground.sessions.get_mut(session);
        if let Some(offer) = entry.and_then(|entry| entry.granted.get_mut(&ticket)) {
            offer.no_wait = no_wait;
        }
        self.note_way_home(ground);
        Ok(())
    }

    /// A message that was granted has come, and goes home. If its way was lost meanwhile, it waits
    /// at its place, before all that were offered later.
    pub(in crate::router) fn send_granted_home(
        &mut self,
        ground: &mut Ground,
        arriving: &Arriving,
        place: Place,
        message: Message,
    ) {
        if let Err(failure) = self.check_way() {
            return ground.verdict(arriving.session, arriving.ticket, Err(failure));
        }
        let goes = self.hosted.as_ref().is_some_and(|hosting| hosting.is_reachable(ground));
        match goes {
            true => self.go_home(ground, arriving, message),
            false if arriving.no_wait => {
                let failure = self.unreachable(ground);
                ground.verdict(arriving.session, arriving.ticket, Err(failure));
            }
            false => self.block(ground, arriving, place, Content::Parked(message)),
        }
    }

    /// Lets those go on who wait for room on the way home, in order.
    pub(in crate::router) fn admit_home(&mut self, ground: &mut Ground) {
        while let Some(place) = self.blocked.first() {
            let Some(blocked) = self.blocked.get(place) else { return };
            if !self.may_go_home(ground, blocked.content.length()) {
                return;
            }
            if self.admit_home_together(ground, place) {
                continue;
            }
            let Some(blocked) = self.unblock(ground, place) else { return };
            let (session, ticket) = (blocked.session, blocked.ticket);
            match blocked.content {
                Content::Parked(message) => {
                    let arriving = Arriving { session, ticket, no_wait: false };
                    self.go_home(ground, &arriving, message);
                }
                // What is taken out by itself is no batch.
                Content::Batch(_) => {}
                Content::Offered(length) => {
                    self.grant(ground, session, ticket, place, length, None);
                    self.note_way_home(ground);
                }
            }
        }
    }

    /// Whether one that finds no room on the way may wait for it.
    pub(in crate::router) fn check_way_home(
        &self,
        ground: &Ground,
        no_wait: bool,
    ) -> Result<(), Failure> {
        let reachable = self.hosted.as_ref().is_none_or(|hosting| hosting.is_reachable(ground));
        match (no_wait, reachable) {
            (true, false) => Err(self.unreachable(ground)),
            (true, true) => {
                let text = format!(
                    "queue `{}` lives at another broker, and the way there is full: {} bytes wait for its answer, {} sends wait before this one",
                    self.name,
                    self.used(),
                    self.blocked.len()
                );
                Err(Failure::new(ErrorKind::QueueFull, text))
            }
            (false, _) => Ok(()),
        }
    }

    /// Takes a send back that is on its way: home says whether it still waited.
    fn withdraw_from_home(&mut self, ground: &mut Ground, number: Ticket) {
        let Some(hosting) = &mut self.hosted else { return };
        let Some(sent) = hosting.sends.alone(number) else { return };
        if !std::mem::replace(&mut sent.withdrawn, true) {
            hosting.ask(ground, HostedAsk::Withdraw { ticket: number });
        }
    }

    /// Home says what became of sends, as many as are there of so many from this one on: the count
    /// is a peer's word.
    pub(super) fn home_verdict(
        &mut self,
        ground: &mut Ground,
        (first, count): (Ticket, u64),
        result: &Result<(), Failure>,
    ) {
        let Some(hosting) = &mut self.hosted else { return };
        let ended = hosting.sends.take(first, count);
        for sent in &ended {
            self.end_sent(ground, sent, result);
        }
        if !ended.is_empty() {
            self.note_way_home(ground);
            self.admit(ground);
        }
    }

    /// What was on its way is so no more.
    fn end_sent(&mut self, ground: &mut Ground, sent: &Sent, result: &Result<(), Failure>) {
        let (session, first, mut count) = (sent.session, sent.ticket, sent.costs.count());
        let Some(entry) = ground.sessions.get_mut(session) else { return };
        entry.parked_bytes -= sent.costs.total();
        entry.going_home.take((), first, count);
        let sender = entry.sender.clone();
        if ground.planted(Fault::HostedBatchVerdictLost) {
            count = 1;
        }
        match result {
            _ if ground.planted(Fault::HostedVerdictLost) => {}
            Ok(()) => {
                self.accepted_all(ground, &sender, count);
                ground.accept(session, first, count);
            }
            Err(failure) => {
                for ticket in first..first + count {
                    ground.verdict(session, ticket, Err(failure.clone()));
                }
            }
        }
    }

    /// Ends sends whose answer may not come: all, or those only that would not wait.
    pub(super) fn end_sends_home(&mut self, ground: &mut Ground, all: bool) {
        let Some(hosting) = &self.hosted else { return };
        let ended = hosting.sends.iter().filter(|(_, sent)| all || sent.no_wait);
        let tickets: Vec<_> = ended.map(|(first, sent)| (first, sent.costs.count())).collect();
        for (first, count) in tickets {
            let text = format!(
                "queue `{}` lives at another broker, and the way there was lost; whether it took the message is not known",
                self.name
            );
            if !all && let Some(hosting) = &self.hosted {
                // Those that would not wait go one by one.
                hosting.ask(ground, HostedAsk::Withdraw { ticket: first });
            }
            let failure = Failure::new(ErrorKind::OutcomeUnknown, text);
            self.home_verdict(ground, (first, count), &Err(failure));
        }
    }
}
