//! Names of message types: one number for each name, and one name for each number.
//!
//! A name stays until the broker ends. So each user has a share of them, and nobody can take
//! them all.

use std::collections::BTreeMap;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{TYPES_MAX, TYPES_PER_USER_MAX};
use crate::message_type::MessageType;

use super::Router;
use super::effect::Answer;
use super::session::Session;

/// All registered names.
#[derive(Debug, Default)]
pub(crate) struct TypeNames {
    names: BTreeMap<MessageType, String>,
    types: BTreeMap<String, MessageType>,
    /// How many each user has registered.
    shares: BTreeMap<Option<u32>, usize>,
}

impl TypeNames {
    /// The name of a type, if it has one.
    pub fn get(&self, kind: MessageType) -> Option<&str> {
        self.names.get(&kind).map(String::as_str)
    }
}

impl Router {
    /// Registers a name for a type.
    pub(super) fn declare(
        &mut self,
        session: Id<Session>,
        kind: MessageType,
        name: String,
    ) -> Result<Answer, Failure> {
        let clash = |text: String| Err(Failure::new(ErrorKind::TypeClash, text));
        match self.types.get(kind) {
            Some(known) if known == name => return Ok(Answer::Done { count: 0 }),
            Some(known) => {
                return clash(format!(
                    "type {kind} is registered as `{known}`, not `{name}`: choose another number"
                ));
            }
            None => {}
        }
        if let Some(other) = self.types.types.get(&name) {
            return clash(format!("`{name}` is registered as type {other}, not {kind}"));
        }
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        let (uid, admin) = (entry.identity.sender.uid, entry.identity.admin);
        let share = self.types.shares.get(&uid).copied().unwrap_or(0);
        self.check_count("names of types", self.types.names.len(), TYPES_MAX)?;
        if !admin {
            self.check_count("names of types of this user", share, TYPES_PER_USER_MAX)?;
        }
        self.types.shares.insert(uid, share + 1);
        self.types.names.insert(kind, name.clone());
        self.types.types.insert(name, kind);
        Ok(Answer::Done { count: 1 })
    }
}
