//! Whether a session may do what it asks for: rights, reserved names, counts; and where dead
//! letters may go.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::message::Sender;
use crate::name::Name;

use super::policy::Deed;
use super::queue::Queue;
use super::rights::{Access, Identity, Right};
use super::session::Session;
use super::{Router, denied};

/// What is behind the name of a queue whose dead letters have no other place.
pub(super) const DEAD_SUFFIX: &str = ".dead";

impl Router {
    /// Fails for a name that only the broker itself may use.
    pub(super) fn check_reserved(
        &self,
        session: Id<Session>,
        name: &Name,
        what: &str,
    ) -> Result<(), Failure> {
        let is_system =
            self.ground.sessions.get(session).is_some_and(|entry| entry.identity.system);
        match name.is_reserved() && !is_system {
            false => Ok(()),
            true => Err(Failure::new(
                ErrorKind::PermissionDenied,
                format!("{what} `{name}`: names under `$bus.` belong to the broker"),
            )),
        }
    }

    /// The access of a new object of this session, which must leave it one of these rights.
    pub(super) fn new_access(
        &self,
        session: Id<Session>,
        name: &Name,
        what: &str,
        mode: Option<u16>,
        default: u16,
        needed: &[Right],
    ) -> Result<Access, Failure> {
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        self.check_reserved(session, name, what)?;
        let sender = &entry.identity.sender;
        if !entry.identity.admin {
            let owned = |access: &Access| access.owner == sender.uid;
            let queues = self.queues.iter().filter(|(_, queue)| owned(&queue.access)).count();
            let topics = self.topics.iter().filter(|(_, topic)| owned(&topic.access)).count();
            self.check_count(
                "queues and topics of this user",
                queues + topics,
                self.config.objects_per_user_max,
            )?;
        }
        // An anonymous creator has the bits of others only, so its objects are open to others.
        let default = if sender.uid.is_none() { default | default >> 6 } else { default };
        let access = Access { owner: sender.uid, group: sender.gid, mode: mode.unwrap_or(default) };
        if !needed.iter().any(|right| access.allows(&entry.identity, *right)) {
            return Err(Failure::new(
                ErrorKind::PermissionDenied,
                format!(
                    "{what} `{name}` was not created: with mode {:04o} {} itself could not use it",
                    access.mode, sender
                ),
            ));
        }
        Ok(access)
    }

    pub(super) fn check_right(
        &self,
        session: Id<Session>,
        access: &Access,
        right: Right,
        what: &str,
        name: &Name,
    ) -> Result<(), Failure> {
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        match access.allows(&entry.identity, right) {
            true => Ok(()),
            false => Err(denied(&entry.identity, right.verb(), what, name, access)),
        }
    }

    /// Only an administrator of the bus may give objects away.
    pub(super) fn check_chown(
        &self,
        session: Id<Session>,
        changes: bool,
        name: &Name,
    ) -> Result<(), Failure> {
        let admin = self.ground.sessions.get(session).is_some_and(|entry| entry.identity.admin);
        match changes && !admin {
            true => Err(Failure::new(
                ErrorKind::PermissionDenied,
                format!("`{name}`: only root and the broker's own user may change owner or group"),
            )),
            false => Ok(()),
        }
    }

    pub(super) fn check_count(
        &self,
        what: &str,
        count: usize,
        limit: usize,
    ) -> Result<(), Failure> {
        match count < limit {
            true => Ok(()),
            false => Err(Failure::new(
                ErrorKind::QuotaExceeded,
                format!("this broker allows {limit} {what}, and there are {count}"),
            )),
        }
    }

    /// Whether a queue of that name may have this queue for dead letters.
    pub(super) fn check_dead_letter(
        &self,
        session: Id<Session>,
        name: &Name,
        target: Option<&Name>,
    ) -> Result<(), Failure> {
        let Some(target) = target else { return Ok(()) };
        if target == name {
            return Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!(
                    "queue `{name}` cannot be its own queue for dead letters: name another one"
                ),
            ));
        }
        let system = self.ground.sessions.get(session).is_some_and(|entry| entry.identity.system);
        match target.is_reserved() && !system {
            true => Err(Failure::new(
                ErrorKind::PermissionDenied,
                format!("dead letters of `{name}` cannot go to `{target}`, which is the broker's"),
            )),
            // Nobody sends through a queue of his own to where he may not send.
            false => self.check_deed(session, Deed::Send, "queue", target),
        }
    }

    /// Nobody makes himself the queue for the dead letters of somebody else's queue.
    pub(super) fn check_not_a_trap(
        &self,
        session: Id<Session>,
        name: &Name,
    ) -> Result<(), Failure> {
        let Some(entry) = self.ground.sessions.get(session) else { return Ok(()) };
        let source = name.as_str().strip_suffix(DEAD_SUFFIX).and_then(|base| Name::new(base).ok());
        let source = source.and_then(|base| self.queue_names.get(&base));
        match source.and_then(|id| self.queues.get(*id)) {
            Some(queue)
                if queue.access.owner != entry.identity.sender.uid && !entry.identity.admin =>
            {
                Err(Failure::new(
                    ErrorKind::PermissionDenied,
                    format!(
                        "`{name}` is for the dead letters of `{}`, of another user",
                        queue.name
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether the dead letters of a queue may go into that one: its owner may send there.
    pub(super) fn may_bury(&self, from: &Access, grave: &Access) -> bool {
        let sender = Sender { uid: from.owner, gid: from.group, ..Sender::default() };
        let owner = Identity { sender, admin: from.owner == Some(0), ..Identity::default() };
        from.owner == grave.owner || grave.allows(&owner, Right::Write)
    }

    /// Whether a queue for dead letters may be made on behalf of this owner.
    pub(super) fn has_room_for_grave(&self, owner: Option<u32>) -> bool {
        let owned = |queue: &&Queue| queue.access.owner == owner;
        let count = self.queues.iter().map(|(_, queue)| queue).filter(owned).count();
        self.queues.len() < self.config.queues_max && count < self.config.objects_per_user_max
    }
}
