//! Flushes: a publisher asks when all that it has published is accepted.
//!
//! One behind a message that is held back waits with it, in the topic's order.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::FLUSHES_MAX;

use super::Router;
use super::command::{Channel, RequestId};
use super::effect::Answer;
use super::session::Session;
use super::topic::Held;

impl Router {
    pub(super) fn flush(&mut self, session: Id<Session>, request: RequestId, channel: Channel) {
        let publisher =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.publisher(channel));
        let held = publisher.map(|publisher| {
            publisher.flushes += u32::from(publisher.held > 0);
            (publisher.topic, publisher.held, publisher.flushes)
        });
        match held {
            None => {
                let failure = Failure::new(ErrorKind::Closed, "the publisher is not open");
                self.ground.reply(session, request, Err(failure));
            }
            Some((_, _, flushes)) if flushes > FLUSHES_MAX => {
                let text = format!("{FLUSHES_MAX} flushes of this publisher wait already");
                let failure = Failure::new(ErrorKind::QuotaExceeded, text);
                self.flush_ended(session, channel);
                self.ground.reply(session, request, Err(failure));
            }
            Some((id, held, _)) if held > 0 => {
                if let Some(topic) = self.topics.get_mut(id) {
                    topic.held.push_back(Held::Flush { session, channel, request });
                }
            }
            Some(_) => self.ground.reply(session, request, Ok(Answer::Done { count: 1 })),
        }
    }

    /// A flush has its answer.
    pub(super) fn flush_ended(&mut self, session: Id<Session>, channel: Channel) {
        let publisher =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.publisher(channel));
        if let Some(publisher) = publisher {
            publisher.flushes = publisher.flushes.saturating_sub(1);
        }
    }
}
