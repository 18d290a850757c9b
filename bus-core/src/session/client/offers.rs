//! What the client has offered and not sent yet: it is kept here, and keeps others behind it.
//!
//! The session is one sender, whichever handle it uses: while an offer to a queue waits, later
//! messages of its type to that queue must not pass it. Queues are told apart by name, which
//! stays when a handle is opened again; two queues that had one name one after the other only
//! cost an offer more.

use std::collections::BTreeMap;

use crate::limits::OFFERED_BYTES_MAX;
use crate::message::Message;
use crate::message_type::MessageType;
use crate::name::Name;

/// A message that waits until it is granted.
#[derive(Debug)]
pub(super) struct Offered {
    pub queue: Name,
    pub message: Message,
}

/// All offers of a session that wait.
#[derive(Debug, Default)]
pub(super) struct Offers {
    count: u32,
    /// Bytes of their messages: the client's own memory.
    bytes: u64,
    /// How many of each type wait at a queue; none is left out.
    waiting: BTreeMap<Name, BTreeMap<MessageType, u32>>,
}

impl Offers {
    pub fn add(&mut self, offered: &Offered) {
        self.count += 1;
        self.bytes += offered.message.cost();
        let types = self.waiting.entry(offered.queue.clone()).or_default();
        *types.entry(offered.message.kind()).or_default() += 1;
    }

    pub fn remove(&mut self, offered: &Offered) {
        self.count -= 1;
        self.bytes -= offered.message.cost();
        let Some(types) = self.waiting.get_mut(&offered.queue) else { return };
        let kind = offered.message.kind();
        if let Some(count) = types.get_mut(&kind) {
            *count -= 1;
            if *count == 0 {
                types.remove(&kind);
            }
        }
        if types.is_empty() {
            self.waiting.remove(&offered.queue);
        }
    }

    /// Whether one of this type waits at the queue.
    #[inline]
    pub fn any(&self, queue: &Name, kind: MessageType) -> bool {
        self.count > 0 && self.waiting.get(queue).is_some_and(|types| types.contains_key(&kind))
    }

    /// Whether one more message may be kept. The first one of a queue always may, whatever
    /// waits elsewhere: a queue that is full does not stop the others.
    pub fn may_add(&self, queue: &Name, message: &Message, count_max: u32) -> bool {
        if !self.waiting.contains_key(queue) {
            return true;
        }
        self.count < count_max / 2 && self.bytes + message.cost() <= OFFERED_BYTES_MAX
    }
}
