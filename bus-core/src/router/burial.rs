//! Dead letters: messages that were rejected, or delivered too often, go to another queue.
//!
//! They go on behalf of their queue's owner, where that may send; else they are dropped, and
//! counted.

use crate::arena::Id;
use crate::limits::QUEUE_BYTES_DEFAULT;
use crate::name::Name;

use super::Router;
use super::command::QueueOptions;
use super::ground::DeadLetter;
use super::guard::DEAD_SUFFIX;
use super::lease::Stored;
use super::queue::Queue;

impl Router {
    /// Puts a message into its queue's dead letters; without right or room there it is dropped
    /// and counted.
    pub(super) fn bury(&mut self, letter: DeadLetter) {
        let DeadLetter { from, stored, reason } = letter;
        let Some(queue) = self.queues.get_mut(from) else { return };
        queue.counters.dead += 1;
        let source = queue.name.clone();
        let Some(message) = labelled(&stored, &source, &reason) else { return };
        let length = message.len() as u64;
        let Some(grave) = self.grave_of(from).and_then(|id| self.queues.get_mut(id)) else {
            if let Some(queue) = self.queues.get_mut(from) {
                queue.counters.dropped += 1;
            }
            return;
        };
        let arrival = grave.new_place(message.kind()).arrival;
        let dead = Stored::new(message, stored.sender.clone(), arrival);
        let rest = grave.match_arrival(&mut self.ground, dead);
        match rest {
            Some(_) if !grave.has_room(length) => {
                grave.counters.dropped += 1;
                return;
            }
            Some(dead) => grave.put(&self.ground, dead),
            None => {}
        }
        grave.accepted(&self.ground, &stored.sender);
    }

    /// The queue for the dead letters of a queue; made if it is not there. None for one that is
    /// such a queue itself, or where the owner may not send.
    fn grave_of(&mut self, from: Id<Queue>) -> Option<Id<Queue>> {
        let queue = self.queues.get(from)?;
        if queue.name.as_str().ends_with(DEAD_SUFFIX) {
            return None;
        }
        let given = queue.options.dead_letter.clone();
        let name = given.or_else(|| Name::new(&format!("{}{DEAD_SUFFIX}", queue.name)).ok())?;
        if let Some(grave) = self.queue_names.get(&name).copied() {
            let allowed = self.may_bury(&queue.access, &self.queues.get(grave)?.access);
            return (allowed && grave != from).then_some(grave);
        }
        if !self.has_room_for_grave(queue.access.owner) {
            return None;
        }
        let (session, creator, access) =
            (queue.creator_session, queue.creator.clone(), queue.access);
        Some(self.insert_queue(session, creator, name, access, grave_options()))
    }
}

fn grave_options() -> QueueOptions {
    QueueOptions {
        bytes_max: QUEUE_BYTES_DEFAULT,
        deliveries_max: u32::MAX,
        ..QueueOptions::default()
    }
}

/// The message with headers that say why and whence. Without room for those, as it is.
fn labelled(stored: &Stored, source: &Name, reason: &str) -> Option<crate::message::Message> {
    let message = stored.message.clone();
    let labels = [("bus-dead-queue", source.as_str()), ("bus-dead-reason", reason)];
    let label = |message: crate::message::Message, (key, value): (&str, &str)| {
        message.clone().with_header(key, value).unwrap_or(message)
    };
    Some(labels.into_iter().fold(message, label))
}
