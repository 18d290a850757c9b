//! Whether the other side of a connection is still there while nothing comes from it.
//!
//! Pure: at every look it is told the time and what shows that the other side is there, and says
//! what to do. Either side of a connection has one, and neither relies on the other's. Invariant: a
//! peer is given up only after looks that came in time and saw for [`SILENCE_MAX`] that its host gives no
//! sign, or for the looker's own patience that it has been asked, and its host knows, and it says nothing.

use std::time::Duration;

use crate::limits::{HEARTBEAT, SILENCE_MAX};
use crate::time::Time;

/// Whoever hears something and has had nothing to say for so long says something all the same: the
/// other side may be sending one long message over a slow line, and wait for a sign of life.
const SPEECH_PAUSE: Duration = Duration::from_secs(2 * HEARTBEAT.as_secs());

/// What shows that the other side is there: numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Bytes that have come from it.
    pub heard: u64,
    /// What this side has had to say, and how much of that it could.
    pub said: Said,
    /// What the systems have done with it, where that can be told.
    pub passage: Option<Passage>,
}

/// Bytes of frames that one side of a session has had to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// All of them.
    pub queued: u64,
    /// Those that the link has taken.
    pub written: u64,
}

/// Bytes on their way through a link, as it carries them: encrypted, where it does that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The link was given so many.
    pub given: u64,
    /// So many of them the other side's system is known to have taken. A message that takes minutes on
    /// a slow line keeps a question waiting behind it, and shows here that all is well.
    pub acknowledged: u64,
}

/// What a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// There is nothing to do until the next look.
    Wait,
    /// Ask for a sign. Once is enough for each silence, since nothing is lost on the way.
    Ask,
    /// There was no sign of its host for so long that the connection is dead.
    Dead {
        /// How long.
        silent: Duration,
    },
    /// Its host is there and has handed it the question, and it has not answered.
    Unanswered {
        /// For how long, at least.
        silent: Duration,
    },
}

impl Beat {
    /// Why the connection has ended, for people, if it has. `whom` is "broker" or "client".
    pub fn loss(self, whom: &str) -> Option<String> {
        match self {
            Beat::Wait | Beat::Ask => None,
            Beat::Dead { silent } => {
                Some(format!("nothing has come from the {whom}'s host for {silent:.0?}"))
            }
            Beat::Unanswered { silent } => Some(format!(
                "the {whom} has stopped answering: its host took the question {silent:.0?} ago"
            )),
        }
    }
}

/// Looks at one connection.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    signs: Signs,
    /// How long the other side may leave a question unanswered that has come to its host.
    patience: Duration,
    /// The look that saw the last sign of its host.
    alive_at: Time,
    /// The look that saw this side say something last.
    spoke_at: Time,
    looked_at: Time,
    question: Question,
}

/// What has become of the question that was asked since something was heard last. A question at each look
/// would sound like a sign of life to a peer that can hear and not be heard, and it would notice late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// There is none.
    None,
    /// It was asked for at the last look.
    Asked,
    /// It is among the first so many bytes that this side has had to say.
    Queued { up_to: u64 },
    /// It is among the first so many bytes that the link was given.
    Given { up_to: u64 },
    /// The other side's system has it, as that look saw. While that goes on taking what is said it is asked
    /// on, since only so its end would show; `again`: it has not taken the last such question yet.
    Arrived { since: Time, again: bool },
}

impl Question {
    /// What has become of it by now.
    fn at(self, now: Time, signs: Signs) -> Question {
        let Some(passage) = signs.passage else { return self };
        let queued = match self {
            Question::Asked => Question::Queued { up_to: signs.said.queued },
            other => other,
        };
        let given = match queued {
            Question::Queued { up_to } if signs.said.written >= up_to => {
                Question::Given { up_to: passage.given }
            }
            other => other,
        };
        match given {
            Question::Given { up_to } if passage.acknowledged >= up_to => {
                Question::Arrived { since: now, again: false }
            }
            other => other,
        }
    }
}

impl Heartbeat {
    /// Of a connection that is established now, to a peer that may leave a question unanswered for so long.
    pub fn new(now: Time, patience: Duration) -> Heartbeat {
        Heartbeat {
            signs: Signs::default(),
            patience,
            alive_at: now,
            spoke_at: now,
            looked_at: now,
            question: Question::None,
        }
    }

    /// A look, at [`Heartbeat::next_look`] or later. A question that it asks for is put before the next.
    pub fn look(&mut self, now: Time, signs: Signs) -> Beat {
        // Whoever was stopped, or whose machine slept, has not listened meanwhile.
        let late = now.since(self.looked_at) >= 2 * HEARTBEAT;
        self.looked_at = now;
        let before = std::mem::replace(&mut self.signs, signs);
        let heard = signs.heard != before.heard;
        let taken = acknowledged(signs) != acknowledged(before);
        if heard || late || taken {
            self.alive_at = now;
        }
        if signs.said.queued != before.said.queued {
            self.spoke_at = now;
        }
        self.question = match heard || late {
            true => Question::None,
            false => self.question.at(now, signs),
        };
        match self.question {
            _ if now.since(self.alive_at) >= SILENCE_MAX => {
                Beat::Dead { silent: now.since(self.alive_at) }
            }
            Question::Arrived { since, .. } if now.since(since) >= self.patience => {
                Beat::Unanswered { silent: now.since(since) }
            }
            Question::Arrived { since, again } => {
                self.question = Question::Arrived { since, again: !taken };
                if taken || again { Beat::Wait } else { Beat::Ask }
            }
            // It says something: what this one says is no question.
            Question::None if heard && now.since(self.spoke_at) < SPEECH_PAUSE => Beat::Wait,
            Question::None if heard => Beat::Ask,
            Question::None => {
                self.question = Question::Asked;
                Beat::Ask
            }
            _ => Beat::Wait,
        }
    }

    /// When to look next.
    pub fn next_look(&self) -> Time {
        self.looked_at.after(HEARTBEAT)
    }
}

fn acknowledged(signs: Signs) -> Option<u64> {
    signs.passage.map(|passage| passage.acknowledged)
}

#[cfg(test)]
mod tests;
