//! Sessions come, go and are lost; queues are opened at home, then hosted at the guest.
//!
//! What was under way when a session was lost is settled on the other side: deliveries of a lost
//! guest go home as those of a lost client do, and its sends are taken back; a lost home is told
//! to the guest.

use crate::error::{ErrorKind, Failure};
use crate::limits::{
    HOSTED_LEASES_TOLD_MAX, HOSTED_RETRY, HOSTED_RETRY_FIRST, HOSTED_WORDS_BYTES_MAX,
};
use crate::router::{Answer, BridgeCommand, Command, Fault, Forsaken, HostedTell, RequestId};
use crate::runs::Run;
use crate::session::{ChannelKind, ClientSession};
use crate::time::Time;
use crate::words::cut;

use super::{Asked, Carried, Ends, QueueCarrier, Side};

impl QueueCarrier {
    /// There is a session at home, new or gone on with.
    pub fn home_up(&mut self, ends: &mut Ends<'_>) {
        self.home_is_up = true;
        self.away = None;
        for index in 0..self.queues.len() {
            match self.queues[index].home {
                Side::Closed => self.open(index, ends),
                Side::Open(_) => {
                    let tell = HostedTell::Reach { up: true, hops: Vec::new() };
                    self.tell(index, ends.guest, tell);
                }
                Side::Opening(_) => {}
            }
        }
    }

    /// The connection with home is cut; its session may yet go on.
    pub fn home_down(&mut self, guest: &mut ClientSession) {
        self.home_is_up = false;
        for index in 0..self.queues.len() {
            self.queues[index].denied = None;
            self.tell(index, guest, HostedTell::Reach { up: false, hops: Vec::new() });
        }
    }

    /// Why there is no connection with home: words for people.
    pub fn home_away(&mut self, reason: &str, guest: &mut ClientSession) {
        if self.away.as_deref() == Some(reason) {
            return;
        }
        self.away = Some(reason.to_owned());
        for index in 0..self.queues.len() {
            self.tell(index, guest, HostedTell::Away { reason: reason.to_owned() });
        }
    }

    /// What people call the home, or where one is looked for, and the bridge.
    pub fn home_called(&mut self, broker: &str, bridge: &str, guest: &mut ClientSession) {
        self.called = (broker.to_owned(), bridge.to_owned());
        for index in 0..self.queues.len() {
            self.tell_called(index, guest);
        }
    }

    fn tell_called(&self, index: usize, guest: &mut ClientSession) {
        let (broker, bridge) = self.called.clone();
        self.tell(index, guest, HostedTell::Called { broker, bridge });
    }

    /// The session at home is lost. The next one begins with nothing.
    pub fn home_lost(&mut self, guest: &mut ClientSession) {
        self.home_is_up = false;
        for index in 0..self.queues.len() {
            let waiting = std::mem::take(&mut self.queues[index].waiting);
            for ticket in waiting.iter().flat_map(|send| send.ticket..send.ticket + send.count()) {
                let text = "the session with the queue's home was lost before the message was sent";
                let failure = Failure::new(ErrorKind::Disconnected, text);
                self.tell(index, guest, HostedTell::Failed { ticket, failure });
            }
            self.tell(index, guest, HostedTell::Lost);
            let queue = &mut self.queues[index];
            queue.losses += u32::from(matches!(queue.guest, Side::Open(_)));
            (queue.home, queue.denied) = (Side::Closed, None);
            (queue.retry_at, queue.refusals) = (None, 0);
            queue.receivers.clear();
            queue.sends.clear();
            (queue.sends_open, queue.leases_out) = (0, 0);
        }
        self.receivers.clear();
        self.tickets.clear();
        self.requests.clear();
        self.leases.clear();
        self.acks.clear();
    }

    /// There is a new session at the guest.
    pub fn guest_up(&mut self, ends: &mut Ends<'_>) {
        self.guest_is_up = true;
        for index in 0..self.queues.len() {
            self.host(index, ends);
        }
    }

    /// The session at the guest is lost. The next one begins with nothing.
    pub fn guest_lost(&mut self, home: &mut ClientSession) {
        self.guest_is_up = false;
        self.hosting.clear();
        for index in 0..self.queues.len() {
            self.queues[index].guest = Side::Closed;
            self.queues[index].losses = 0;
            self.let_go(index, home);
        }
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time, ends: &mut Ends<'_>) {
        for index in 0..self.queues.len() {
            let queue = &mut self.queues[index];
            if queue.retry_at.is_some_and(|at| at <= now) {
                queue.retry_at = None;
                self.open(index, ends);
                self.host(index, ends);
            }
        }
    }

    /// Opens a queue at home.
    fn open(&mut self, index: usize, ends: &mut Ends<'_>) {
        let queue = &mut self.queues[index];
        if !self.home_is_up || queue.home != Side::Closed {
            return;
        }
        let (name, open) = (queue.config.home.clone(), queue.config.open);
        let opened = ends.home.open(ChannelKind::Queue, |request, channel| {
            Command::Bridge(BridgeCommand::OpenHome { request, channel, name, open })
        });
        match opened {
            Ok((channel, request)) => {
                queue.home = Side::Opening(channel);
                self.requests.insert(request, Asked::Open(index));
            }
            Err(failure) => queue.last_error = Some(failure),
        }
    }

    /// Has a queue hosted, also before it is open at home: so nobody makes one of its name meanwhile.
    fn host(&mut self, index: usize, ends: &mut Ends<'_>) {
        let queue = &mut self.queues[index];
        if !self.guest_is_up || queue.guest != Side::Closed {
            return;
        }
        let (name, mode) = (queue.config.guest.clone(), queue.config.mode);
        let hops = queue.way();
        let opened = ends.guest.open(ChannelKind::Host, |request, channel| {
            Command::Bridge(BridgeCommand::HostQueue { request, channel, name, mode, hops })
        });
        match opened {
            Ok((channel, request)) => {
                queue.guest = Side::Opening(channel);
                self.hosting.insert(request, index);
            }
            Err(failure) => queue.last_error = Some(failure),
        }
    }

    /// Home has opened the queue, or has not.
    pub(super) fn opened(
        &mut self,
        now: Time,
        index: usize,
        result: Result<Answer, Failure>,
        ends: &mut Ends<'_>,
    ) {
        let queue = &mut self.queues[index];
        let Side::Opening(channel) = queue.home else { return };
        match result {
            Ok(answer) => {
                queue.home = Side::Open(channel);
                (queue.last_error, queue.denied) = (None, None);
                if let Side::Open(_) = queue.guest {
                    queue.refusals = 0;
                }
                if let Answer::Home { hops } = answer {
                    queue.hops = hops;
                }
                let hops = queue.hops.clone();
                self.tell(index, ends.guest, HostedTell::Reach { up: true, hops });
                self.host(index, ends);
            }
            Err(failure) => {
                // What it says must fit where it is told.
                let said = cut(failure.text(), HOSTED_WORDS_BYTES_MAX);
                let failure = Failure::new(failure.kind(), said);
                queue.home = Side::Closed;
                queue.last_error = Some(failure.clone());
                queue.ask_again(now);
                if queue.is_denied(&failure) {
                    queue.denied = Some(failure.clone());
                    self.tell(index, ends.guest, HostedTell::Denied { failure });
                }
            }
        }
    }

    /// The guest hosts the queue, or does not. Whether the request was of this carrier.
    pub(super) fn hosted(
        &mut self,
        now: Time,
        request: RequestId,
        result: &Result<Answer, Failure>,
        guest: &mut ClientSession,
    ) -> bool {
        let Some(index) = self.hosting.remove(&request) else { return false };
        let queue = &mut self.queues[index];
        let Side::Opening(channel) = queue.guest else { return true };
        match result {
            Ok(_) => {
                queue.guest = Side::Open(channel);
                if let Side::Open(_) = queue.home {
                    (queue.last_error, queue.refusals) = (None, 0);
                }
                self.tell_standing(index, guest);
            }
            Err(failure) => {
                queue.guest = Side::Closed;
                queue.last_error = Some(failure.clone());
                queue.ask_again(now);
            }
        }
        true
    }

    /// Tells a guest that has just begun to host a queue how it stands at home: that may be otherwise
    /// than when it was asked.
    fn tell_standing(&self, index: usize, guest: &mut ClientSession) {
        self.tell_called(index, guest);
        let queue = &self.queues[index];
        let tell = match (&queue.home, &queue.denied, &self.away) {
            (Side::Open(_), ..) => HostedTell::Reach { up: true, hops: queue.way() },
            (_, Some(failure), _) => HostedTell::Denied { failure: failure.clone() },
            (_, None, Some(reason)) => HostedTell::Away { reason: reason.clone() },
            (_, None, None) => return,
        };
        self.tell(index, guest, tell);
    }

    /// The queue was removed at home: so it is at the guest, until there is one again.
    pub(super) fn removed(&mut self, now: Time, index: usize, ends: &mut Ends<'_>) {
        let queue = &mut self.queues[index];
        if let Side::Open(channel) | Side::Opening(channel) = queue.guest {
            ends.guest.close(channel);
            (queue.guest, queue.losses) = (Side::Closed, 0);
        }
        if let Side::Open(channel) | Side::Opening(channel) = queue.home {
            ends.home.close(channel);
            (queue.home, queue.denied) = (Side::Closed, None);
        }
        queue.ask_again(now);
        self.let_go(index, ends.home);
    }

    /// The queues are not carried any more: their guest has them no longer.
    pub fn end(&mut self, ends: &mut Ends<'_>) {
        for index in 0..self.queues.len() {
            self.removed(Time::ZERO, index, ends);
            self.queues[index].retry_at = None;
        }
    }

    /// Lets go at home of all that a queue had there for its guest.
    fn let_go(&mut self, index: usize, home: &mut ClientSession) {
        let queue = &mut self.queues[index];
        queue.waiting.clear();
        for receiver in std::mem::take(&mut queue.receivers).into_values() {
            self.receivers.remove(&receiver.channel);
            home.close(receiver.channel);
        }
        (queue.sends_open, queue.leases_out) = (0, 0);
        for run in std::mem::take(&mut queue.sends).iter() {
            self.tickets.take((), run.at, run.count);
            (run.at..run.at + run.count).for_each(|ticket| home.withdraw(ticket));
        }
        self.acks.retain(|of| *of != index);
        self.requests.retain(|_, asked| !asked.is_of(index));
        let mine: Vec<_> = self.leases.iter().filter(|run| run.to.queue == index).collect();
        self.leases.retain(|held| held.queue != index);
        let mut back = Vec::new();
        for Run { first, to: held, count, .. } in mine {
            for lease in first..first + count {
                back.push((lease, held.taken));
                home.note_settled(held.channel, held.serial);
            }
        }
        if self.fault == Some(Fault::HostedKeepsLeases) && cfg!(feature = "faults") {
            return;
        }
        for leases in back.chunks(HOSTED_LEASES_TOLD_MAX) {
            home.forsake(Forsaken::of(leases, true));
        }
    }
}

impl Asked {
    /// Whether somebody at the guest of this queue waits for the answer.
    fn is_of(self, index: usize) -> bool {
        match self {
            Asked::Open(_) => false,
            Asked::Consume(of, _) | Asked::Credit(of, _) | Asked::Close(of, _) => of == index,
            Asked::Lease(of, _) => of == index,
        }
    }
}

/// So often a home that has had the queue, and lost it with its memory, is asked for it before it counts as
/// one that has none: for one and a half seconds, in which whoever makes it there may begin too.
const RESTART_REFUSALS: u32 = 5;

impl Carried {
    /// Whether this answer of home's is to be told. There is none at home, for instance, each time that
    /// it has been asked, for those who wait since the last time.
    fn is_denied(&self, failure: &Failure) -> bool {
        let is_missing = failure.kind() == ErrorKind::NotFound;
        let may_begin = !self.hops.is_empty() && self.refusals < RESTART_REFUSALS;
        match is_missing {
            true => self.denied.is_some() || !may_begin,
            false => self.denied.as_ref() != Some(failure),
        }
    }

    /// It was refused, or taken away: it is asked for again, and more rarely each time.
    fn ask_again(&mut self, now: Time) {
        let doubled = HOSTED_RETRY_FIRST.saturating_mul(1 << self.refusals.min(16));
        self.refusals = self.refusals.saturating_add(1);
        self.retry_at = Some(now.after(doubled.min(HOSTED_RETRY)));
    }
}
