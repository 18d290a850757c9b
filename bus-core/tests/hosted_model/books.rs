//! What became of each message, by what clients were told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bus_core::router::{Lease, Output, Ticket};
use bus_core::{ErrorKind, MessageType};

use crate::events::number_of;

/// What a client has.
#[derive(Default)]
pub struct Client {
    /// Channels of receivers, and whether they take one message only.
    pub receivers: Vec<(u32, bool)>,
    /// Offers that may be sent now.
    pub granted: VecDeque<(Ticket, MessageType)>,
    /// Deliveries that it holds.
    leases: BTreeMap<Lease, (u64, u32)>,
    /// Deliveries that it has acknowledged, and of which it has not heard.
    acked: BTreeMap<Lease, u64>,
    /// Sends without a verdict, and whether they were taken back.
    open: BTreeMap<Ticket, bool>,
    /// Offers that are not granted.
    offered: BTreeMap<Ticket, MessageType>,
}

/// A message; its number is its ticket.
struct Sent {
    from: (usize, u64),
    kind: MessageType,
    verdict: Option<Result<(), ErrorKind>>,
}

/// The books.
pub struct Books {
    pub clients: Vec<Client>,
    sent: BTreeMap<u64, Sent>,
    done: BTreeSet<u64>,
    /// Settled, perhaps: who has done it was gone before the answer.
    maybe: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    /// Whether a session of the bridge was lost, or a lease may have run out: what was on its way to
    /// the guest then comes there although home has given it to others meanwhile. It cannot be
    /// settled there.
    pub may_be_late: bool,
    /// How many lives each client has had.
    lives: Vec<u64>,
}

impl Books {
    pub fn new(clients: usize) -> Books {
        Books {
            clients: (0..clients).map(|_| Client::default()).collect(),
            sent: BTreeMap::new(),
            done: BTreeSet::new(),
            maybe: BTreeSet::new(),
            delivered: BTreeSet::new(),
            may_be_late: false,
            lives: vec![0; clients],
        }
    }

    /// A client sends or offers a message: its ticket.
    pub fn sent(&mut self, who: usize, kind: MessageType, offers: bool) -> Ticket {
        let ticket = self.sent.len() as u64 + 1;
        let from = (who, self.lives[who]);
        self.sent.insert(ticket, Sent { from, kind, verdict: None });
        self.clients[who].open.insert(ticket, false);
        if offers {
            self.clients[who].offered.insert(ticket, kind);
        }
        ticket
    }

    /// Whether what it sends of this type must be offered.
    pub fn offers(&self, who: usize, kind: MessageType) -> bool {
        let client = &self.clients[who];
        let granted = client.granted.iter().any(|(_, other)| *other == kind);
        granted || client.offered.values().any(|other| *other == kind)
    }

    pub fn open_ticket(&self, who: usize, nth: u64) -> Option<Ticket> {
        let open = &self.clients[who].open;
        open.keys().nth(nth as usize % open.len().max(1)).copied()
    }

    pub fn withdraw(&mut self, who: usize, ticket: Ticket) {
        let client = &mut self.clients[who];
        client.granted.retain(|(other, _)| *other != ticket);
        client.offered.remove(&ticket);
        client.open.insert(ticket, true);
    }

    pub fn receiver(&self, who: usize, nth: u64) -> Option<(u32, bool)> {
        let receivers = &self.clients[who].receivers;
        receivers.get(nth as usize % receivers.len().max(1)).copied()
    }

    pub fn lease(&self, who: usize, nth: u64) -> Option<(Lease, u32)> {
        let leases = &self.clients[who].leases;
        let (lease, (_, channel)) = leases.iter().nth(nth as usize % leases.len().max(1))?;
        Some((*lease, *channel))
    }

    /// Whether a client holds a delivery.
    pub fn holds(&self, who: usize, lease: Lease) -> bool {
        self.clients[who].leases.contains_key(&lease)
    }

    /// A client settles a delivery; an acknowledgement is answered.
    pub fn settling(&mut self, who: usize, lease: Lease, acks: bool) {
        let client = &mut self.clients[who];
        if let Some((number, _)) = client.leases.remove(&lease)
            && acks
        {
            client.acked.insert(lease, number);
        }
    }

    /// A client's session is over.
    pub fn ended(&mut self, who: usize) {
        let client = std::mem::take(&mut self.clients[who]);
        self.maybe.extend(client.acked.into_values());
        self.lives[who] += 1;
    }

    /// A client is told something.
    pub fn told(&mut self, who: usize, output: Output) -> Result<(), String> {
        let client = &mut self.clients[who];
        match output {
            Output::Lease { channel, lease, message, .. } => {
                let number = number_of(message.payload());
                client.leases.insert(lease, (number, channel));
                client.receivers.retain(|(other, once)| *other != channel || !once);
                self.note_delivered(who, number)?;
            }
            Output::LeaseParcel { channel, first, mut parcel, .. } => {
                for lease in first.. {
                    let Some(message) = parcel.pop_front() else { break };
                    let number = number_of(message.payload());
                    self.clients[who].leases.insert(lease, (number, channel));
                    self.note_delivered(who, number)?;
                }
            }
            Output::Settled { first, count } => {
                for lease in first..first + u64::from(count) {
                    let Some(number) = client.acked.remove(&lease) else {
                        return Err(format!("lease {lease} of {who} is settled out of the blue"));
                    };
                    if !self.done.insert(number) {
                        return Err(format!("message {number} was settled twice"));
                    }
                }
            }
            Output::Unsettled { lease, .. } => {
                if let Some(number) = client.acked.remove(&lease) {
                    self.maybe.insert(number);
                }
            }
            Output::Accepted { first, count } => {
                for ticket in first..first + u64::from(count) {
                    self.verdict(who, ticket, Ok(()))?;
                }
            }
            Output::Failed { ticket, failure } => self.verdict(who, ticket, Err(failure.kind()))?,
            Output::Grant { ticket } => {
                if let Some(kind) = client.offered.remove(&ticket) {
                    client.granted.push_back((ticket, kind));
                }
            }
            Output::Ended { channel, .. } => {
                client.receivers.retain(|(other, _)| *other != channel);
            }
            _ => {}
        }
        Ok(())
    }

    fn note_delivered(&mut self, who: usize, number: u64) -> Result<(), String> {
        self.delivered.insert(number);
        let may_be_late = self.may_be_late && !who.is_multiple_of(2);
        match self.done.contains(&number) {
            true if !may_be_late => {
                Err(format!("message {number} is delivered after it was settled"))
            }
            _ => Ok(()),
        }
    }

    fn verdict(
        &mut self,
        who: usize,
        ticket: Ticket,
        verdict: Result<(), ErrorKind>,
    ) -> Result<(), String> {
        let client = &mut self.clients[who];
        client.open.remove(&ticket);
        client.offered.remove(&ticket);
        client.granted.retain(|(other, _)| *other != ticket);
        let Some(sent) = self.sent.get_mut(&ticket) else {
            return Err(format!("a verdict on {ticket}, which nobody has sent"));
        };
        match sent.verdict.replace(verdict) {
            Some(before) => Err(format!("{ticket} had the verdict {before:?}, then {verdict:?}")),
            None => Ok(()),
        }
    }

    /// At the end, with room for all: who is still there has a verdict on all that it has sent.
    pub fn check_verdicts(&self) -> Result<(), String> {
        for (who, client) in self.clients.iter().enumerate() {
            if !client.open.is_empty() {
                return Err(format!("no verdict on {:?} of client {who}", client.open));
            }
        }
        Ok(())
    }

    /// At the end: where each message is.
    pub fn check_contents(&self, queue: &[u64], dead: &[u64]) -> Result<(), String> {
        let mut last: BTreeMap<((usize, u64), MessageType), u64> = BTreeMap::new();
        for number in queue {
            let Some(sent) = self.sent.get(number) else {
                return Err(format!("message {number} is in the queue, and nobody has sent it"));
            };
            let before = last.insert((sent.from, sent.kind), *number);
            if before.is_some_and(|before| before >= *number) {
                return Err(format!("message {number} stands behind {before:?} of its sender"));
            }
        }
        for (number, sent) in &self.sent {
            let count = |all: &[u64]| all.iter().filter(|other| *other == number).count();
            let there = count(queue) + count(dead) + usize::from(self.done.contains(number));
            let (least, most) = match sent.verdict {
                Some(Ok(())) if self.maybe.contains(number) => (0, 1),
                Some(Ok(())) => (1, 1),
                // Its sender was gone before the verdict, or it is not known.
                None | Some(Err(ErrorKind::OutcomeUnknown)) => (0, 1),
                Some(Err(_)) => (0, 0),
            };
            if !(least..=most).contains(&there) {
                return Err(format!(
                    "message {number} with the verdict {:?} is there {there} times",
                    sent.verdict
                ));
            }
            let refused =
                matches!(sent.verdict, Some(Err(kind)) if kind != ErrorKind::OutcomeUnknown);
            if refused && self.delivered.contains(number) {
                return Err(format!(
                    "message {number} was refused ({:?}) and delivered",
                    sent.verdict
                ));
            }
        }
        Ok(())
    }
}
