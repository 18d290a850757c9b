//! Listings for `ls` and `stat`, a page at a time, in the order of names.
//!
//! Everybody may see that an object is there and how it fares, as with `ipcs`; contents need
//! the right to read.

use crate::limits::LISTING_ROWS_MAX;
use crate::message::{Sender, SharedSender};
use crate::name::{Name, Pattern};
use crate::time::Time;

use super::command::ObjectKind;
use super::effect::Answer;
use super::queue::Queue;
use super::service::Service;
use super::session::Session;
use super::stat::{
    BrokerInfo, ClientStat, Listing, QueueStat, ServiceStat, TopicStat, Touch, TypeCount,
};
use super::topic::Topic;
use super::{Router, SessionId};

/// Types told of one queue.
const TYPES_SHOWN_MAX: usize = 100;
/// Rows of a page of queues: a queue may have a hundred types.
const QUEUE_ROWS_MAX: usize = 100;

impl Router {
    pub(super) fn list(
        &self,
        _session: SessionId,
        pattern: &Pattern,
        object: ObjectKind,
        after: Option<&str>,
    ) -> Answer {
        let mut listing = Listing::default();
        match object {
            ObjectKind::Queue => {
                let (rows, next) = page(self.queue_names.keys(), pattern, after, QUEUE_ROWS_MAX);
                let queues =
                    rows.iter().filter_map(|name| self.queues.get(*self.queue_names.get(name)?));
                listing.queues = queues.map(|queue| self.queue_stat(queue)).collect();
                listing.next = next;
            }
            ObjectKind::Topic => {
                let (rows, next) = page(self.topic_names.keys(), pattern, after, LISTING_ROWS_MAX);
                let topics =
                    rows.iter().filter_map(|name| self.topics.get(*self.topic_names.get(name)?));
                listing.topics = topics.map(|topic| self.topic_stat(topic)).collect();
                listing.next = next;
            }
            ObjectKind::Service => {
                let (rows, next) =
                    page(self.service_names.keys(), pattern, after, LISTING_ROWS_MAX);
                let services = rows
                    .iter()
                    .filter_map(|name| self.services.get(*self.service_names.get(name)?));
                listing.services = services.map(service_stat).collect();
                listing.next = next;
            }
            ObjectKind::Client => self.list_clients(&mut listing, after),
        }
        Answer::Listing(Box::new(listing))
    }

    fn list_clients(&self, listing: &mut Listing, after: Option<&str>) {
        let after: u64 = after.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut sessions: Vec<_> = self
            .ground
            .sessions
            .iter()
            .filter(|(id, entry)| id.serial() > after && !entry.identity.system)
            .collect();
        sessions.sort_by_key(|(id, _)| id.serial());
        if sessions.len() > LISTING_ROWS_MAX {
            sessions.truncate(LISTING_ROWS_MAX);
            listing.next = sessions.last().map(|(id, _)| id.serial().to_string());
        }
        listing.clients = sessions.into_iter().map(|(_, entry)| client_stat(entry)).collect();
    }

    /// Counts for the broker's own answer; the shell adds what it knows.
    pub fn broker_info(&self) -> BrokerInfo {
        BrokerInfo {
            sessions: self
                .ground
                .sessions
                .iter()
                .filter(|(_, entry)| !entry.identity.system)
                .count() as u64,
            queues: self.queues.len() as u64,
            topics: self.topics.len() as u64,
            services: self.services.len() as u64,
            messages: self.queues.iter().map(|(_, queue)| queue.shelf.len() as u64).sum(),
            bytes: self.queues.iter().map(|(_, queue)| queue.bytes).sum(),
            ..BrokerInfo::default()
        }
    }

    fn queue_stat(&self, queue: &Queue) -> QueueStat {
        let counters = &queue.counters;
        let types = queue.shelf.counts().take(TYPES_SHOWN_MAX).map(|(kind, count)| TypeCount {
            kind,
            name: self.types.get(&kind).cloned().unwrap_or_default(),
            messages: count as u64,
        });
        QueueStat {
            name: queue.name.clone(),
            id: queue.id.serial(),
            access: queue.access,
            creator: queue.creator(),
            options: queue.options.clone(),
            messages: (queue.shelf.len() + queue.delayed.len()) as u64,
            bytes: queue.bytes,
            leased: queue.leased,
            accepted: counters.accepted,
            delivered: counters.delivered,
            acked: counters.acked,
            redelivered: counters.redelivered,
            dead: counters.dead,
            dropped: counters.dropped,
            blocked: queue.blocked.len() as u64,
            waiting: queue.line.len() as u64,
            handles: queue.holders,
            last_send: self.touch(&counters.last_send),
            last_receive: self.touch(&counters.last_receive),
            types: types.collect(),
            retired: queue.retired,
        }
    }

    fn topic_stat(&self, topic: &Topic) -> TopicStat {
        let backlog = |link: &super::topic::Link| {
            self.subscriptions.get(link.subscription).map_or(0, |s| s.backlog_bytes)
        };
        TopicStat {
            name: topic.name.clone(),
            id: topic.id.serial(),
            access: topic.access,
            creator: Sender::clone(&topic.creator),
            options: topic.options.clone(),
            published: topic.published,
            delivered: topic.delivered,
            dropped: topic.dropped,
            too_slow: topic.too_slow,
            publishers: topic.publishers,
            subscribers: topic.links.len() as u64,
            held: topic.held.len() as u64,
            backlog_bytes: topic.links.iter().map(backlog).sum(),
            kept: topic.kept.len() as u64,
            last_publish: self.touch(&topic.last_publish),
        }
    }

    fn touch(&self, last: &Option<(SharedSender, Time)>) -> Option<Touch> {
        let (sender, at) = last.as_ref()?;
        Some(Touch { sender: Sender::clone(sender), age: self.ground.now.since(*at) })
    }
}

fn service_stat(service: &Service) -> ServiceStat {
    ServiceStat {
        name: service.name.clone(),
        access: service.access,
        servers: service.servers.len() as u64,
        pending: service.pending.len() as u64,
        running: service.running,
        requests: service.requests,
        replies: service.replies,
        late: service.late,
        expired: service.expired,
    }
}

fn client_stat(entry: &Session) -> ClientStat {
    ClientStat {
        sender: entry.identity.sender.clone(),
        transport: String::new(),
        connected: entry.connected,
        channels: u64::from(entry.open_count()),
        leases: entry.leases.len() as u64,
        bytes_in: 0,
        bytes_out: 0,
        frames_in: 0,
        frames_out: 0,
        parked_bytes: entry.parked_bytes,
        unsent_bytes: 0,
    }
}

/// The names on this page, and the one to go on behind.
fn page<'a>(
    names: impl Iterator<Item = &'a Name>,
    pattern: &Pattern,
    after: Option<&str>,
    rows_max: usize,
) -> (Vec<Name>, Option<String>) {
    let beyond = |name: &&Name| after.is_none_or(|after| name.as_str() > after);
    let mut rows: Vec<Name> = names
        .filter(beyond)
        .filter(|name| pattern.matches(name))
        .take(rows_max + 1)
        .cloned()
        .collect();
    let more = rows.len() > rows_max;
    rows.truncate(rows_max);
    let next = if more { rows.last().map(|name| name.as_str().to_owned()) } else { None };
    (rows, next)
}
