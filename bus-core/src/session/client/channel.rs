//! The channels of a client: their numbers, what opened them, and their windows.
//!
//! A number is used again only after the broker has answered the close, so that nothing meant
//! for the old channel reaches a new one. A channel that the broker has ended keeps its number
//! until it is closed here: what has come for it may not be taken yet.

use crate::name::Name;
use crate::router::{
    BridgeCommand, Channel, Command, ConsumeOptions, Lease, OpenMode, RequestId, Ticket,
};

/// What a channel is.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum ChannelKind {
    /// A queue, for sending and receiving.
    Queue,
    /// A topic, for publishing.
    Publisher,
    /// A subscription.
    Subscription,
    /// A consumer of a queue.
    Consumer { auto_ack: bool },
    /// A single receive.
    Receive { auto_ack: bool },
    /// A service, for calling.
    Caller,
    /// A service, for serving.
    Server,
    /// What a bridge publishes of one source.
    Relay,
    /// What a bridge is told of interest.
    Interest,
    /// What a bridge asks whether it may carry it.
    Permit,
    /// A queue that lives elsewhere, and that a bridge hosts.
    Host,
}

/// An open channel.
#[derive(Debug)]
pub(super) struct Entry {
    pub serial: u64,
    pub kind: ChannelKind,
    pub opening: Command,
    pub closing: bool,
    /// The broker has ended it: nothing is sent for it any more, not even its close.
    pub over: bool,
    /// On a single receive: it is over since its delivery has come.
    pub delivered: bool,
    /// Bytes sent: on a publisher in all, on a queue those without verdict.
    pub sent: u64,
    /// On a publisher: bytes accepted in all.
    pub accepted: u64,
    /// On a consumer: the last lease that the application has taken.
    pub taken: Lease,
    /// On a consumer: leases that it has taken and not settled.
    pub unsettled: u32,
    /// On a consumer: whether it is on the list of those that have news.
    pub noted: bool,
    /// The source of its last message.
    pub origin: u32,
    /// On a publisher: whether it is told if somebody listens, and what it was told in this session.
    pub watches: bool,
    pub matched: Option<bool>,
    /// On a hosted queue: the last ticket of what was sent to its home.
    pub last_ticket: Ticket,
}

impl Entry {
    /// The queue that it is for.
    pub fn queue(&self) -> Option<&Name> {
        match &self.opening {
            Command::OpenQueue { name, .. }
            | Command::Bridge(BridgeCommand::OpenHome { name, .. }) => Some(name),
            _ => None,
        }
    }
}

/// All channels of a session.
#[derive(Debug, Default)]
pub(super) struct Channels {
    entries: Vec<Option<Entry>>,
    free: Vec<Channel>,
    next_serial: u64,
}

impl Channels {
    /// A number that is free, if the limit allows.
    pub fn allocate(&mut self, limit: u32) -> Option<Channel> {
        if let Some(channel) = self.free.pop() {
            return Some(channel);
        }
        // The length is below the limit, which is a u32.
        let channel = self.entries.len() as u32;
        if channel >= limit {
            return None;
        }
        self.entries.push(None);
        Some(channel)
    }

    pub fn open(&mut self, channel: Channel, kind: ChannelKind, opening: Command) {
        self.next_serial += 1;
        let entry = Entry {
            serial: self.next_serial,
            kind,
            opening,
            closing: false,
            over: false,
            delivered: false,
            sent: 0,
            accepted: 0,
            taken: 0,
            unsettled: 0,
            noted: false,
            origin: 0,
            watches: false,
            matched: None,
            last_ticket: 0,
        };
        if let Some(slot) = self.entries.get_mut(channel as usize) {
            *slot = Some(entry);
        }
    }

    #[inline]
    pub fn get(&self, channel: Channel) -> Option<&Entry> {
        self.entries.get(channel as usize)?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, channel: Channel) -> Option<&mut Entry> {
        self.entries.get_mut(channel as usize)?.as_mut()
    }

    pub fn serial(&self, channel: Channel) -> u64 {
        self.get(channel).map_or(0, |entry| entry.serial)
    }

    /// Whether there was a channel that the broker must be told to close.
    pub fn begin_close(&mut self, channel: Channel) -> bool {
        match self.get_mut(channel) {
            Some(entry) if entry.over => {
                self.release(channel);
                false
            }
            Some(entry) => !std::mem::replace(&mut entry.closing, true),
            None => false,
        }
    }

    /// The broker has ended the channel; what has come for it may still lie here.
    pub fn end(&mut self, channel: Channel) {
        if let Some(entry) = self.get_mut(channel) {
            entry.over = true;
        }
    }

    /// The broker knows nothing of the channel any more: its number is free.
    pub fn release(&mut self, channel: Channel) {
        if let Some(slot) = self.entries.get_mut(channel as usize)
            && slot.take().is_some()
        {
            self.free.push(channel);
        }
    }

    /// The command that gives a consumer another credit, which is remembered.
    pub fn with_credit(
        &mut self,
        channel: Channel,
        credit: u32,
        request: RequestId,
    ) -> Option<Command> {
        let entry = self.get_mut(channel)?;
        let Command::Consume { options, .. } = &mut entry.opening else { return None };
        options.credit = credit;
        let options: ConsumeOptions = *options;
        // It names itself, which is no queue: if the broker has ended the consumer meanwhile,
        // this must not open another one.
        Some(Command::Consume { request, channel, queue: channel, options })
    }

    /// After the loss of the session: forgets what was closing, and gives the commands that
    /// open the rest again, oldest first. What had ended stays so, but for a receive whose
    /// delivery was lost with the session and nobody has taken: it goes on.
    pub fn reopen(&mut self) -> Vec<(Channel, Command)> {
        for channel in 0..self.entries.len() as u32 {
            match self.get_mut(channel) {
                Some(entry) if entry.closing => self.release(channel),
                Some(entry) => {
                    entry.over &= !std::mem::take(&mut entry.delivered);
                    entry.sent = 0;
                    entry.accepted = 0;
                    entry.taken = 0;
                    entry.unsettled = 0;
                    entry.noted = false;
                    entry.origin = 0;
                    entry.matched = None;
                    entry.last_ticket = 0;
                    soften(&mut entry.opening);
                }
                None => {}
            }
        }
        let numbered = (0u32..).zip(&self.entries);
        let mut open: Vec<_> =
            numbered.filter_map(|(channel, entry)| Some((channel, entry.as_ref()?))).collect();
        open.retain(|(_, entry)| !entry.over);
        open.sort_by_key(|(_, entry)| entry.serial);
        open.into_iter().map(|(channel, entry)| (channel, entry.opening.clone())).collect()
    }
}

/// What was created exclusively once may be there when it is opened again.
fn soften(opening: &mut Command) {
    match opening {
        Command::OpenQueue { open, .. } if *open == OpenMode::Create => {
            *open = OpenMode::OpenOrCreate
        }
        Command::OpenPublisher { exclusive, .. } => *exclusive = false,
        _ => {}
    }
}
