//! Listings for `ls` and `stat`, a page at a time, in the order of names.
//!
//! Everybody may see that an object is there and how it fares, as with `ipcs`; contents need
//! the right to read.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::arena::Id;
use crate::limits::LISTING_ROWS_MAX;
use crate::message::{Sender, SharedSender};
use crate::name::{Name, Pattern, RESERVED};
use crate::time::Time;

use super::command::ObjectKind;
use super::effect::Answer;
use super::page::{Page, ROW_COST, cost_of_none};
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
/// Subscriptions that are looked at for what one name costs.
const LINKS_PER_COST: usize = 8;
/// Stands between the old name of a retired queue and its number; no name has it.
const RETIRED_MARK: char = '#';

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
                let (queues, next) = self.queue_page(pattern, after);
                listing.queues = queues.into_iter().map(|queue| self.queue_stat(queue)).collect();
                listing.next = next;
            }
            ObjectKind::Topic => {
                let (rows, next) =
                    page(&self.topic_names, pattern, after, |id| self.topic_cost(id));
                let topics = rows.into_iter().filter_map(|id| self.topics.get(id));
                // Who asks for one name is told more of it.
                let closely = pattern.as_name().is_some();
                listing.topics = topics.map(|topic| self.topic_stat(topic, closely)).collect();
                listing.next = next;
            }
            ObjectKind::Service => {
                let (rows, next) = page(&self.service_names, pattern, after, |_| ROW_COST);
                let services = rows.into_iter().filter_map(|id| self.services.get(id));
                listing.services = services.map(service_stat).collect();
                listing.next = next;
            }
            ObjectKind::Client => self.list_clients(&mut listing, after),
            ObjectKind::Subscription => self.list_subscriptions(&mut listing, pattern, after),
        }
        Answer::Listing(Box::new(listing))
    }

    /// Remembers under which name a retired queue is listed.
    pub(super) fn list_as_retired(&mut self, name: &Name, id: Id<Queue>) {
        self.retired.entry(name.clone()).or_default().insert(id);
    }

    /// A retired queue is gone.
    pub(super) fn forget_retired(&mut self, name: &Name, id: Id<Queue>) {
        if let Some(ids) = self.retired.get_mut(name) {
            ids.remove(&id);
            if ids.is_empty() {
                self.retired.remove(name);
            }
        }
    }

    /// The queues on this page, and what to go on behind: a name, or for a queue that is
    /// retired its old name and its number. Those that had a name stand behind the one that has
    /// it now.
    fn queue_page(&self, pattern: &Pattern, after: Option<&str>) -> (Vec<&Queue>, Option<String>) {
        let after = after.unwrap_or_default();
        let (after, number) = after.split_once(RETIRED_MARK).unwrap_or((after, ""));
        let number: u64 = number.parse().unwrap_or(0);
        // Who asks for one name has only that one looked at.
        let exact = pattern.as_name();
        let until = exact.as_ref().map_or(Bound::Unbounded, |name| Bound::Included(name.as_str()));
        let (behind, from) = match exact.as_ref().map(|name| name.as_str()) {
            Some(name) if name < after => return (Vec::new(), None),
            Some(name) if name > after => (Bound::Included(name), Bound::Included(name)),
            _ => (Bound::Excluded(after), Bound::Included(after)),
        };
        let living =
            self.queue_names.range::<str, _>((behind, until)).map(|(name, id)| (name, false, *id));
        let retired = self.retired.range::<str, _>((from, until)).flat_map(move |(name, ids)| {
            let told = if name.as_str() == after { number } else { 0 };
            let ids = ids.range((Bound::Excluded(Id::of_none(told)), Bound::Unbounded));
            ids.map(move |id| (name, true, *id))
        });
        let rows = merged(living, retired);
        let (rows, last) = filled(rows, |(name, _, id)| {
            let cost = || self.queues.get(*id).map_or(ROW_COST, queue_cost);
            pattern.matches(name).then(cost)
        });
        let next = last.map(|(name, retired, id)| match retired {
            true => format!("{name}{RETIRED_MARK}{}", id.serial()),
            false => name.to_string(),
        });
        (rows.into_iter().filter_map(|(.., id)| self.queues.get(id)).collect(), next)
    }

    /// By place, and in no order: a page looks at nobody who is on another one.
    fn list_clients(&self, listing: &mut Listing, after: Option<&str>) {
        let sessions = &self.ground.sessions;
        let from = after.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut page = Page::default();
        for place in from..sessions.places() {
            let found = sessions.at(place);
            let client = found.filter(|it| !it.identity.system);
            let cost = match found {
                Some(_) => client.map_or(1, |_| ROW_COST),
                None => cost_of_none(place),
            };
            if !page.takes(cost) {
                listing.next = Some(place.to_string());
                return;
            }
            listing.clients.extend(client.map(client_stat));
        }
    }

    /// Counts for the broker's own answer, of what the lists of everything have: nothing that is the
    /// broker's own. The shell adds what it knows.
    pub fn broker_info(&self) -> BrokerInfo {
        BrokerInfo {
            sessions: self
                .ground
                .sessions
                .iter()
                .filter(|(_, entry)| !entry.identity.system)
                .count() as u64,
            queues: self.queues.len() as u64,
            topics: listed(&self.topic_names),
            services: listed(&self.service_names),
            messages: self
                .queues
                .iter()
                .map(|(_, queue)| queue.waiting_count() + queue.leased)
                .sum(),
            bytes: self.queues.iter().map(|(_, queue)| queue.bytes).sum(),
            ..BrokerInfo::default()
        }
    }

    fn queue_stat(&self, queue: &Queue) -> QueueStat {
        let counters = &queue.counters;
        let types = queue.shelf.counts().take(TYPES_SHOWN_MAX).map(|(kind, count)| TypeCount {
            kind,
            name: self.types.get(kind).unwrap_or_default().to_owned(),
            messages: count as u64,
        });
        QueueStat {
            name: queue.name.clone(),
            id: queue.id.serial(),
            access: queue.access,
            creator: queue.creator(),
            options: queue.options.clone(),
            messages: queue.waiting_count(),
            bytes: queue.bytes,
            leased: queue.leased,
            accepted: counters.accepted,
            delivered: counters.delivered,
            acked: counters.acked,
            redelivered: counters.redelivered,
            dead: counters.dead,
            dropped: counters.dropped,
            blocked: queue.blocked.len() as u64,
            waiting: queue.waiting_receivers() as u64,
            handles: queue.holders,
            last_send: self.touch(&counters.last_send),
            last_receive: self.touch(&counters.last_receive),
            types: types.collect(),
            retired: queue.retired,
            hosted: queue.hosted_stat(&self.ground),
        }
    }

    fn topic_stat(&self, topic: &Topic, closely: bool) -> TopicStat {
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
            held: topic.held_count(),
            backlog_bytes: topic.links.iter().map(backlog).sum(),
            kept: topic.kept.len() as u64,
            last_publish: self.touch(&topic.last_publish),
            groups: if closely { self.group_stats(topic) } else { Vec::new() },
            subscriptions: if closely { self.plain_subscribers(topic) } else { Vec::new() },
        }
    }

    fn topic_cost(&self, id: Id<Topic>) -> usize {
        let links = self.topics.get(id).map_or(0, |topic| topic.links.len());
        ROW_COST + links / LINKS_PER_COST
    }

    fn touch(&self, last: &Option<(SharedSender, Time)>) -> Option<Touch> {
        let (sender, at) = last.as_ref()?;
        Some(Touch { sender: Sender::clone(sender), age: self.ground.now.since(*at) })
    }
}

fn queue_cost(queue: &Queue) -> usize {
    ROW_COST + queue.shelf.type_count().min(TYPES_SHOWN_MAX)
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
        no_lanes: String::new(),
        connected: entry.connected,
        channels: u64::from(entry.open_count()),
        leases: entry.leases.len() as u64,
        bytes_in: 0,
        bytes_out: 0,
        frames_in: 0,
        frames_out: 0,
        parked_bytes: entry.parked_bytes,
        unsent_bytes: entry.unwritten_bytes,
    }
}

/// How many of these names a list of all has: not the broker's own, which stand side by side.
fn listed<T>(names: &BTreeMap<Name, T>) -> u64 {
    let from = names.range::<str, _>((Bound::Included(RESERVED), Bound::Unbounded));
    (names.len() - from.take_while(|(name, _)| name.is_reserved()).count()) as u64
}

/// What the names on this page stand for, and the name to go on behind.
fn page<T: Copy>(
    names: &BTreeMap<Name, T>,
    pattern: &Pattern,
    after: Option<&str>,
    cost: impl Fn(T) -> usize,
) -> (Vec<T>, Option<String>) {
    // Who asks for one name has only that one looked at.
    if let Some(name) = pattern.as_name() {
        let is_before = after.is_none_or(|after| after < name.as_str());
        return (names.get(&name).filter(|_| is_before).copied().into_iter().collect(), None);
    }
    let beyond = (Bound::Excluded(after.unwrap_or_default()), Bound::Unbounded);
    let found = names.range::<str, _>(beyond);
    let (rows, last) = filled(found, |(name, it)| pattern.matches(name).then(|| cost(**it)));
    (rows.into_iter().map(|(_, it)| *it).collect(), last.map(|(name, _)| name.to_string()))
}

/// As many of those that are meant, which have a cost, as are on a page; and where it ends before all
/// were looked at, the last that was.
fn filled<T: Copy>(
    found: impl Iterator<Item = T>,
    cost: impl Fn(&T) -> Option<usize>,
) -> (Vec<T>, Option<T>) {
    let mut rows = Vec::with_capacity(LISTING_ROWS_MAX);
    let (mut page, mut last) = (Page::default(), None);
    for it in found {
        let cost = cost(&it);
        if !page.takes(cost.unwrap_or(1)) {
            return (rows, last);
        }
        rows.extend(cost.is_some().then_some(it));
        last = Some(it);
    }
    (rows, None)
}

/// Both in one order, each of which is in order.
fn merged<T: Ord>(
    one: impl Iterator<Item = T>,
    other: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second < first => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
}
