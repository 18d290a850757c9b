//! Publishers that are told whether somebody listens to their topic.
//!
//! The first answer at once, changes a moment later, so that a subscriber who comes and goes makes
//! no storm. It counts what is linked to the topic, a bridge for those beyond it among them; which
//! types somebody selects is not looked at. Invariant: a watcher that was told another thing than
//! what holds is told at the topic's deadline, and publishing looks at nothing in here.

use std::collections::BTreeMap;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::INTEREST_DELAY;
use crate::time::Time;

use super::Router;
use super::command::Channel;
use super::effect::{Answer, Output};
use super::fault::Fault;
use super::ground::Ground;
use super::session::{Handle, Session};
use super::timer::Timer;
use super::topic::Topic;

/// Who is told, of one topic.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// What each publisher was told last. No more than a session may have channels of each.
    told: BTreeMap<(Id<Session>, Channel), bool>,
    /// When what is new is told. One deadline for all that changes until then.
    due: Option<Time>,
}

impl Router {
    /// Tells a publisher whether somebody listens, and from then on when that changes. It may ask
    /// again, and is told again.
    pub(super) fn watch_matching(
        &mut self,
        session: Id<Session>,
        channel: Channel,
    ) -> Result<Answer, Failure> {
        let id = match self.ground.handle(session, channel)? {
            Handle::Publisher(publisher) => publisher.topic,
            _ => {
                let text = format!("channel {channel} is no publisher: there is nothing to match");
                return Err(Failure::new(ErrorKind::InvalidArgument, text));
            }
        };
        if let Some(topic) = self.topics.get_mut(id) {
            let matched = topic.is_matched();
            topic.matching.told.insert((session, channel), matched);
            self.ground.tell(session, Output::Matching { channel, matched });
        }
        Ok(Answer::Done { count: 1 })
    }

    /// Tells those of a topic who were told another thing.
    pub(super) fn tell_matching(&mut self, id: Id<Topic>) {
        let Some(topic) = self.topics.get_mut(id) else { return };
        topic.matching.due = None;
        let matched = topic.is_matched();
        for ((session, channel), told) in &mut topic.matching.told {
            if std::mem::replace(told, matched) != matched {
                let output = Output::Matching { channel: *channel, matched };
                self.ground.tell(*session, output);
            }
        }
    }
}

impl Topic {
    /// Whether somebody listens.
    fn is_matched(&self) -> bool {
        !self.links.is_empty()
    }

    /// A subscription was linked, or is no longer: has it told in a moment, if it is news.
    pub(super) fn note_matching(&mut self, ground: &mut Ground) {
        let matched = self.is_matched();
        if self.matching.due.is_some() || self.matching.told.values().all(|told| *told == matched) {
            return;
        }
        if !matched && ground.planted(Fault::MatchingStays) {
            return;
        }
        let due = ground.now.after(INTEREST_DELAY);
        self.matching.due = Some(due);
        ground.timers.set(due, Timer::Matching(self.id));
    }

    /// A publisher is gone.
    pub(super) fn forget_watcher(&mut self, session: Id<Session>, channel: Channel) {
        self.matching.told.remove(&(session, channel));
    }

    /// The topic is gone, and its publishers are told that.
    pub(super) fn stop_matching(&self, ground: &mut Ground) {
        if let Some(due) = self.matching.due {
            ground.timers.clear(due, Timer::Matching(self.id));
        }
    }
}
