//! The broker's policy: who may do what on which names.
//!
//! Pure rules; where they are asked is in `permits`. Without any allowance there is no policy, and
//! the modes of objects alone decide. With one, what no allowance grants is refused, and the modes
//! count beside it. Administrators and the broker itself are not limited.

use std::fmt;

use crate::name::{Name, Pattern};
use crate::user_name::UserName;

use super::rights::Identity;

/// What can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Publish on a topic, which is there from then on for as long as somebody does.
    Publish,
    /// Subscribe to topics.
    Subscribe,
    /// Send to a queue.
    Send,
    /// Receive from a queue, and peek into it.
    Receive,
    /// Call a service.
    Call,
    /// Serve a name.
    Serve,
    /// Create a queue, or a topic with options of its own.
    Create,
    /// Change, purge, retire and remove queues and topics.
    Administer,
    /// Carry topics and queues to another broker and from there.
    Bridge,
}

impl Deed {
    /// Every one.
    pub const ALL: &'static [Deed] = &[
        Deed::Publish,
        Deed::Subscribe,
        Deed::Send,
        Deed::Receive,
        Deed::Call,
        Deed::Serve,
        Deed::Create,
        Deed::Administer,
        Deed::Bridge,
    ];

    /// Its word in configurations and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Deed::Publish => "publish",
            Deed::Subscribe => "subscribe",
            Deed::Send => "send",
            Deed::Receive => "receive",
            Deed::Call => "call",
            Deed::Serve => "serve",
            Deed::Create => "create",
            Deed::Administer => "administer",
            Deed::Bridge => "bridge",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// A set of deeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds(u16);

impl Deeds {
    /// All of them.
    pub const ALL: Deeds = Deeds((1 << Deed::ALL.len()) - 1);

    /// Whether it is one of them.
    #[inline]
    pub const fn has(self, deed: Deed) -> bool {
        self.0 & deed.bit() != 0
    }

    /// Whether one of these is.
    pub fn has_any(self, deeds: &[Deed]) -> bool {
        deeds.iter().any(|deed| self.has(*deed))
    }
}

/// Whom an allowance is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, anonymous ones too.
    Everybody,
    /// Whoever has neither a uid nor shown credentials.
    Anonymous,
    /// A user of the configuration.
    User(UserName),
    /// Whoever has this uid, by the kernel's word or as a user of the configuration.
    Uid(u32),
    /// Whoever is in this group.
    Gid(u32),
}

impl Who {
    /// Whether it is this one.
    pub fn is(&self, identity: &Identity) -> bool {
        let sender = &identity.sender;
        match self {
            Who::Everybody => true,
            Who::Anonymous => sender.uid.is_none() && sender.user.is_none(),
            Who::User(name) => sender.user.as_ref() == Some(name),
            Who::Uid(uid) => sender.uid == Some(*uid),
            // As with modes: a group counts only for whoever has a uid.
            Who::Gid(gid) => {
                let in_group = sender.gid == Some(*gid) || identity.groups.contains(gid);
                sender.uid.is_some() && in_group
            }
        }
    }
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    who: Who,
    granted: Vec<(Deed, Pattern)>,
}

impl Allowance {
    /// One that grants nothing so far.
    pub fn to(who: Who) -> Allowance {
        Allowance { who, granted: Vec::new() }
    }

    /// The same, and this on all names that match.
    pub fn grant(mut self, deed: Deed, pattern: Pattern) -> Allowance {
        self.granted.push((deed, pattern));
        self
    }

    /// Whom it is for.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// What is granted, and on which names.
    pub fn granted(&self) -> &[(Deed, Pattern)] {
        &self.granted
    }
}

/// All allowances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    allowances: Vec<Allowance>,
}

impl Policy {
    /// A policy of these.
    pub fn new(allowances: Vec<Allowance>) -> Policy {
        Policy { allowances }
    }

    /// Its allowances.
    pub fn allowances(&self) -> &[Allowance] {
        &self.allowances
    }

    /// What somebody may do with a name.
    pub fn deeds(&self, identity: &Identity, name: &Name) -> Deeds {
        if self.is_open_to(identity) {
            return Deeds::ALL;
        }
        let matching = self.granted_to(identity).filter(|(_, pattern)| pattern.matches(name));
        Deeds(matching.fold(0, |bits, (deed, _)| bits | deed.bit()))
    }

    /// Whether somebody may do it on every name that a pattern matches. One allowed pattern must
    /// contain all of them; what several do only together is not allowed.
    pub fn allows_all(&self, identity: &Identity, deed: Deed, pattern: &Pattern) -> bool {
        let mut granted = self.granted_to(identity).filter(|(other, _)| *other == deed);
        self.is_open_to(identity) || granted.any(|(_, allowed)| allowed.contains(pattern))
    }

    /// Whether somebody may do it on a name at least that a pattern matches.
    pub fn allows_some(&self, identity: &Identity, deed: Deed, pattern: &Pattern) -> bool {
        let mut granted = self.granted_to(identity).filter(|(other, _)| *other == deed);
        self.is_open_to(identity) || granted.any(|(_, it)| it.intersection(pattern).is_some())
    }

    /// The patterns on which somebody may do it; `None` if on all names.
    pub fn patterns_for(&self, identity: &Identity, deed: Deed) -> Option<Vec<&Pattern>> {
        if self.is_open_to(identity) {
            return None;
        }
        let granted = self.granted_to(identity).filter(|(other, _)| *other == deed);
        Some(granted.map(|(_, pattern)| pattern).collect())
    }

    /// Whether somebody may bridge at all. Without a policy only administrators may.
    pub(super) fn is_bridge(&self, identity: &Identity) -> bool {
        identity.admin || identity.system || self.grants(identity, Deed::Bridge)
    }

    /// Whether it is granted to somebody on any name at all.
    pub fn grants(&self, identity: &Identity, deed: Deed) -> bool {
        self.granted_to(identity).any(|(granted, _)| *granted == deed)
    }

    fn is_open_to(&self, identity: &Identity) -> bool {
        self.allowances.is_empty() || identity.admin || identity.system
    }

    fn granted_to(&self, identity: &Identity) -> impl Iterator<Item = &(Deed, Pattern)> {
        let matching = self.allowances.iter().filter(|allowance| allowance.who.is(identity));
        matching.flat_map(|allowance| &allowance.granted)
    }
}
