//! Who may do what: owner, group and mode, as files have them.
//!
//! The identity comes from the kernel (or is anonymous); nothing a peer says of itself counts.

use crate::message::Sender;

/// A peer, as the kernel vouches for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Process, user, group, and the name that the client gave itself.
    pub sender: Sender,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Root, or the broker's own user: may do everything.
    pub admin: bool,
    /// The broker itself: may use the reserved names.
    pub system: bool,
}

/// Owner, group and mode of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Owning user; `None` was created by somebody anonymous.
    pub owner: Option<u32>,
    /// Owning group.
    pub group: Option<u32>,
    /// Permission bits: read 4, write 2, administer 1, for owner, group and others.
    pub mode: u16,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Receive, peek, subscribe; call a service's listing.
    Read,
    /// Send, publish, call.
    Write,
    /// Change, purge, retire, remove; serve.
    Administer,
}

impl Identity {
    /// Whether both are the same user: by uid and by the name that credentials have shown.
    pub fn is_same_user(&self, other: &Identity) -> bool {
        (self.sender.uid, &self.sender.user) == (other.sender.uid, &other.sender.user)
    }

    /// Whether what both hold counts together: by the uid, and where there is none by the name.
    pub fn shares_quota(&self, other: &Identity) -> bool {
        match (self.sender.uid, other.sender.uid) {
            (None, None) => self.sender.user == other.sender.user,
            (mine, other) => mine == other,
        }
    }
}

impl Access {
    /// Whether this identity has the right. An anonymous one has the bits of others only.
    pub fn allows(&self, identity: &Identity, right: Right) -> bool {
        if identity.admin {
            return true;
        }
        let in_group =
            |group: u32| identity.sender.gid == Some(group) || identity.groups.contains(&group);
        let shift = match (identity.sender.uid, self.owner, self.group) {
            (Some(user), Some(owner), _) if user == owner => 6,
            (Some(_), _, Some(group)) if in_group(group) => 3,
            _ => 0,
        };
        self.mode >> shift & right.bit() != 0
    }
}

impl Right {
    const fn bit(self) -> u16 {
        match self {
            Right::Read => 4,
            Right::Write => 2,
            Right::Administer => 1,
        }
    }

    /// The right as a verb for messages.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
            Right::Administer => "administer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_applies_decides() {
        let user = |uid: Option<u32>, gid: Option<u32>, groups: &[u32]| Identity {
            sender: Sender { uid, gid, ..Sender::default() },
            groups: groups.to_vec(),
            ..Identity::default()
        };
        let access = Access { owner: Some(1), group: Some(10), mode: 0o462 };
        let check = |identity: &Identity, rights: [bool; 3]| {
            let found = [Right::Read, Right::Write, Right::Administer]
                .map(|right| access.allows(identity, right));
            assert_eq!(found, rights, "{identity:?}");
        };
        check(&user(Some(1), Some(10), &[]), [true, false, false]);
        check(&user(Some(2), Some(10), &[]), [true, true, false]);
        check(&user(Some(2), Some(3), &[7, 10]), [true, true, false]);
        check(&user(Some(2), Some(3), &[]), [false, true, false]);
        check(&user(None, Some(10), &[10]), [false, true, false]);
        check(&Identity { admin: true, ..Identity::default() }, [true, true, true]);
    }
}
