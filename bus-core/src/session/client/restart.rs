//! The client's handshake, and what becomes of everything when the session itself is lost.
//!
//! Resumed, the session goes on as if nothing had been. Otherwise a new one begins: channels
//! are opened again under their numbers, and what had no verdict is reported, never repeated.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::{ErrorKind, Failure};
use crate::frame::FrameError;
use crate::message_type::MessageType;
use crate::router::{Command, RequestId, Ticket};

use super::super::{Hello, Inbound, Outbound, Resume, VERSION, Welcome};
use super::acks::Acks;
use super::{ClientSession, Identity};

/// How a connection began.
#[derive(Debug)]
pub enum Established {
    /// The first session of this client.
    New,
    /// The session goes on; nothing was lost.
    Resumed,
    /// The session was lost, and a new one has begun.
    Restarted(Restart),
}

/// What was lost with a session.
#[derive(Debug, Default)]
pub struct Restart {
    /// Sends, calls and confirmed publishes without verdict.
    pub tickets: Vec<(Ticket, Failure)>,
    /// Numbers of acknowledgements without answer.
    pub acks: Vec<RangeInclusive<u64>>,
    /// Control requests without answer.
    pub requests: Vec<(RequestId, Failure)>,
    /// Why the broker did not go on with the session.
    pub reason: String,
}

impl ClientSession {
    /// What to open a connection with.
    pub fn hello(&self, name: &str, grace: Duration) -> Hello {
        let resume = self.established.as_ref().map(|identity| Resume {
            epoch: identity.epoch,
            session: identity.session,
            token: identity.token.clone(),
            received: self.inbound.received(),
        });
        let (version_min, version_max, name) = (VERSION, VERSION, name.to_owned());
        Hello {
            version_min,
            version_max,
            name,
            grace,
            resume,
            lane_bytes: 0,
            rings: false,
            credential: None,
        }
    }

    /// Takes the broker's answer.
    ///
    /// # Errors
    /// When it contradicts what was sent.
    pub fn welcome(&mut self, welcome: &Welcome) -> Result<Established, FrameError> {
        let had = self.established.replace(Identity {
            epoch: welcome.epoch,
            session: welcome.session,
            token: welcome.token.clone(),
        });
        self.limits = welcome.limits;
        if welcome.resumed {
            if !self.outbound.rewind(welcome.received) {
                let text =
                    format!("the broker resumes at frame {}, which cannot be", welcome.received);
                return Err(FrameError::Violation(text));
            }
            return Ok(Established::Resumed);
        }
        match had {
            None => Ok(Established::New),
            Some(_) => Ok(Established::Restarted(self.restart(welcome))),
        }
    }

    /// Whether the request opened a channel again after the loss of a session.
    pub(super) fn reopened(&self, request: RequestId) -> bool {
        request > RequestId::MAX / 2
    }

    fn restart(&mut self, welcome: &Welcome) -> Restart {
        let reason = welcome.not_resumed.clone();
        let mut lost = Restart { reason: reason.clone(), ..Restart::default() };
        let fail = |sent: bool| match sent {
            true => Failure::new(
                ErrorKind::OutcomeUnknown,
                format!(
                    "the broker was lost before it answered; whether it took the message is not known ({reason})"
                ),
            ),
            false => Failure::new(
                ErrorKind::Disconnected,
                format!("the broker was lost before the message was sent ({reason})"),
            ),
        };
        lost.acks = self.acks.unanswered();
        lost.tickets =
            self.tickets.iter().map(|(ticket, entry)| (ticket, fail(entry.sent))).collect();
        let opening = |channel: &Option<u32>| {
            channel.is_some_and(|channel| {
                let entry = self.channels.get(channel);
                entry.is_some_and(|entry| !entry.closing && !entry.over)
            })
        };
        let unanswered = self.requests.iter().filter(|(_, channel)| !opening(channel));
        lost.requests = unanswered.map(|(request, _)| (*request, fail(true))).collect();
        let kept: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, channel)| opening(channel))
            .map(|(r, c)| (*r, *c))
            .collect();
        self.requests = kept.into_iter().collect();
        self.reset();
        self.declare_again();
        for (channel, command) in self.channels.reopen() {
            if matches!(&command, Command::Consume { options, .. } if options.once) {
                self.push_command(&command);
                continue;
            }
            let open = self
                .requests
                .iter()
                .find(|(_, opens)| **opens == Some(channel))
                .map(|(request, _)| *request);
            let request = open.unwrap_or_else(|| {
                let request = RequestId::MAX - channel;
                self.requests.insert(request, Some(channel));
                request
            });
            self.push_command(&renumbered(command, request));
            self.watch_again(channel);
        }
        lost
    }

    /// Tells the names of types again; what the broker says to that nobody waits for.
    fn declare_again(&mut self) {
        let declare = |(kind, name): (&MessageType, &String)| Command::Declare {
            request: 0,
            kind: *kind,
            name: name.clone(),
        };
        let commands: Vec<Command> = self.types.iter().map(declare).collect();
        for command in &commands {
            self.push_command(command);
        }
    }

    /// Forgets everything that belonged to the lost session.
    fn reset(&mut self) {
        self.outbound = Outbound::default();
        self.inbound = Inbound::default();
        self.tickets = Default::default();
        self.offers = Default::default();
        self.last_lease = 0;
        self.ack_count = 0;
        self.acks = Acks::default();
        self.returns.clear();
        self.taken.clear();
        self.origins.clear();
        self.named = Default::default();
    }
}

/// The same command under another number.
fn renumbered(mut command: Command, new: RequestId) -> Command {
    match &mut command {
        Command::OpenQueue { request, .. }
        | Command::OpenPublisher { request, .. }
        | Command::Subscribe { request, .. }
        | Command::OpenService { request, .. }
        | Command::Serve { request, .. }
        | Command::Consume { request, .. } => *request = new,
        _ => {}
    }
    command
}
