//! What a bridge may carry, asked before there is anything to carry.
//!
//! A permit does nothing: it is refused with the words that an operator needs, or stands until a
//! policy takes it back. What is carried is checked where it is opened all the same. Invariant: a
//! permit that stands is one that the present policy gives.

use std::fmt::Display;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::name::{Name, Pattern};

use super::Router;
use super::command::Channel;
use super::effect::Answer;
use super::policy::Deed;
use super::rights::Identity;
use super::session::{Handle, Session};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    pub pattern: Pattern,
    /// Whether it is about services, else topics.
    pub services: bool,
    /// Whether some of what matches are enough.
    pub part: bool,
}

/// Patterns that a refusal names at the most.
const NAMED_MAX: usize = 4;

impl Router {
    /// A bridge asks whether it may carry something, and wants to know when it may not any more.
    pub(super) fn open_permit(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        permit: Permit,
    ) -> Result<Answer, Failure> {
        self.check_permit(session, &permit)?;
        if let Some(entry) = self.ground.sessions.get_mut(session) {
            entry.check_free(channel)?;
            entry.open(channel, Handle::Permit(permit))?;
        }
        Ok(Answer::Done { count: 1 })
    }

    /// Whether a session may carry what has this name over a bridge.
    pub(super) fn check_carry(
        &self,
        session: Id<Session>,
        what: &str,
        name: &Name,
    ) -> Result<(), Failure> {
        self.check_is_bridge(session)?;
        let identity = self.identity_of(session)?;
        if self.policy.deeds(identity, name).has(Deed::Bridge) {
            return Ok(());
        }
        let text = format!(
            "{} may not carry {what} `{name}` over a bridge: no allowance of the broker's policy grants `bridge` on it; whoever runs the broker can add {}",
            identity.sender,
            allowance_for(identity, name)
        );
        Err(Failure::new(ErrorKind::PermissionDenied, text))
    }

    /// Whether the policy gives a session what it asks for.
    pub(super) fn check_permit(
        &self,
        session: Id<Session>,
        permit: &Permit,
    ) -> Result<(), Failure> {
        let identity = self.identity_of(session)?;
        let Permit { pattern, services, part } = permit;
        let policy = &self.policy;
        let allowed = match part {
            true => policy.allows_some(identity, Deed::Bridge, pattern),
            false => policy.allows_all(identity, Deed::Bridge, pattern),
        };
        if allowed {
            // Without a policy all may do all, but for this.
            return self.check_is_bridge(session);
        }
        let what = if *services { "services" } else { "topics" };
        let how_many = if *part { "any" } else { "all" };
        let granted = policy.patterns_for(identity, Deed::Bridge).unwrap_or_default();
        let of_it: Vec<String> =
            granted.iter().filter_map(|one| Some(one.intersection(pattern)?.to_string())).collect();
        let granted = match of_it.len() {
            0 => String::new(),
            count => {
                let more = if count > NAMED_MAX { " and more" } else { "" };
                let named = of_it[..count.min(NAMED_MAX)].join("`, `");
                format!(" (of them it grants only `{named}`{more})")
            }
        };
        let text = format!(
            "{} may not carry the {what} `{pattern}` over a bridge: no allowance of the broker's policy grants `bridge` on {how_many} of them{granted}; whoever runs the broker can add {}",
            identity.sender,
            allowance_for(identity, pattern)
        );
        Err(Failure::new(ErrorKind::PermissionDenied, text))
    }
}

/// The table that would allow it, in the words of the broker's file.
pub(super) fn allowance_for(identity: &Identity, pattern: &dyn Display) -> String {
    let sender = &identity.sender;
    let who = match (&sender.user, sender.uid) {
        (Some(user), _) => user.to_string(),
        (None, Some(uid)) => format!("uid:{uid}"),
        (None, None) => "anonymous".to_owned(),
    };
    format!("an `[[allow]]` with `user = \"{who}\"` and `bridge = [\"{pattern}\"]`")
}
