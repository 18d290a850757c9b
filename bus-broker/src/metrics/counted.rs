//! How much of each thing there was in a second: what was counted at two looks, and the time between them. Pure.
//!
//! Invariants: what was not there before has no rate yet; a counter that went back begins anew; what another broker
//! counted is compared with nothing.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::look::{Look, is_own};

/// Between two looks that are compared: shorter is jumpy, longer is late.
const APART: Duration = Duration::from_millis(900);
/// Beyond that it says nothing about now.
const STALE: Duration = Duration::from_secs(10);

/// What was counted of a kind of things, in the order of their numbers or names.
#[derive(Debug)]
struct Counts<K, const N: usize>(Vec<(K, [u64; N])>);

/// What a look has counted.
#[derive(Debug)]
pub(super) struct Counted {
    at: Instant,
    epoch: u64,
    /// Accepted, delivered, acknowledged, dead, dropped.
    queues: Counts<u64, 5>,
    /// Published, delivered, dropped.
    topics: Counts<u64, 3>,
    /// Requests, replies, late, expired. Services have no number.
    services: Counts<String, 4>,
    /// Bytes in and out, frames in and out.
    clients: Counts<u64, 4>,
}

/// What there was in a second, of everything together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub messages_in: f64,
    pub messages_out: f64,
    pub bytes_in: f64,
    pub bytes_out: f64,
    pub dead: f64,
    pub dropped: f64,
}

/// The looks of before.
#[derive(Default)]
pub(super) struct Past(VecDeque<Rc<Counted>>);

/// Two looks, some time apart.
pub(super) struct Rates {
    before: Option<Rc<Counted>>,
    now: Rc<Counted>,
    seconds: f64,
}

impl Counted {
    #[cfg(test)]
    fn nothing(at: Instant, epoch: u64) -> Counted {
        let (queues, topics) = (Counts(Vec::new()), Counts(Vec::new()));
        let (services, clients) = (Counts(Vec::new()), Counts(Vec::new()));
        Counted { at, epoch, queues, topics, services, clients }
    }

    pub fn of(look: &Look) -> Counted {
        let queues = look
            .queues
            .iter()
            .map(|it| (it.id, [it.accepted, it.delivered, it.acked, it.dead, it.dropped]));
        let topics = look.topics.iter().map(|it| (it.id, [it.published, it.delivered, it.dropped]));
        let services = look
            .services
            .iter()
            .map(|it| (it.name.to_string(), [it.requests, it.replies, it.late, it.expired]));
        let clients = look.clients.iter().filter(|it| !is_own(it)).map(|it| {
            (it.sender.session, [it.bytes_in, it.bytes_out, it.frames_in, it.frames_out])
        });
        Counted {
            at: look.at,
            epoch: look.broker.epoch,
            queues: Counts::of(queues),
            topics: Counts::of(topics),
            services: Counts::of(services),
            clients: Counts::of(clients),
        }
    }
}

impl<K: Ord, const N: usize> Counts<K, N> {
    fn of(all: impl Iterator<Item = (K, [u64; N])>) -> Counts<K, N> {
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        Counts(all)
    }

    fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&[u64; N]>
    where
        K: Borrow<Q>,
    {
        let place = self.0.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        self.0.get(place).map(|(_, counts)| counts)
    }
}

impl Past {
    /// Compares with the newest of those that are long enough ago, else with the oldest, and remembers this one.
    pub fn compare(&mut self, now: Counted) -> Rates {
        self.0.retain(|it| it.epoch == now.epoch && now.at.duration_since(it.at) < STALE);
        while self.0.get(1).is_some_and(|next| now.at.duration_since(next.at) >= APART) {
            self.0.pop_front();
        }
        let (before, now) = (self.0.front().cloned(), Rc::new(now));
        let seconds = before.as_ref().map_or(0.0, |it| now.at.duration_since(it.at).as_secs_f64());
        self.0.push_back(now.clone());
        Rates { before: before.filter(|_| seconds > 0.0), now, seconds }
    }
}

impl Rates {
    /// Of a queue.
    pub fn queue(&self, id: u64) -> [Option<f64>; 5] {
        self.of(|it| it.queues.get(&id))
    }

    /// Of a topic.
    pub fn topic(&self, id: u64) -> [Option<f64>; 3] {
        self.of(|it| it.topics.get(&id))
    }

    /// Of a service.
    pub fn service(&self, name: &str) -> [Option<f64>; 4] {
        self.of(|it| it.services.get(name))
    }

    /// Of a client.
    pub fn client(&self, session: u64) -> [Option<f64>; 4] {
        self.of(|it| it.clients.get(&session))
    }

    /// Of everything together. What has gone meanwhile counts no more; what has come counts from nothing. `None` without
    /// anything to compare with.
    pub fn totals(&self) -> Option<Totals> {
        let before = self.before.as_ref()?;
        let [accepted, delivered, _, dead, dropped] = sum(&before.queues, &self.now.queues);
        let [published, handed, left_out] = sum(&before.topics, &self.now.topics);
        let [requests, replies, ..] = sum(&before.services, &self.now.services);
        let [bytes_in, bytes_out, ..] = sum(&before.clients, &self.now.clients);
        let rate = |all: &[u64]| all.iter().sum::<u64>() as f64 / self.seconds;
        Some(Totals {
            messages_in: rate(&[accepted, published, requests]),
            messages_out: rate(&[delivered, handed, replies]),
            bytes_in: rate(&[bytes_in]),
            bytes_out: rate(&[bytes_out]),
            dead: rate(&[dead]),
            dropped: rate(&[dropped, left_out]),
        })
    }

    /// Of nothing.
    #[cfg(test)]
    pub fn none() -> Rates {
        let now = Counted::nothing(Instant::now(), 0);
        Rates { before: None, now: Rc::new(now), seconds: 0.0 }
    }

    fn of<const N: usize>(
        &self,
        counts: impl Fn(&Counted) -> Option<&[u64; N]>,
    ) -> [Option<f64>; N] {
        let before = self.before.as_deref().and_then(&counts);
        let both = before.zip(counts(&self.now));
        std::array::from_fn(|index| {
            let (before, now) = both?;
            Some(grown(before[index], now[index]) as f64 / self.seconds)
        })
    }
}

/// How much all of them have grown.
fn sum<K: Ord, const N: usize>(before: &Counts<K, N>, now: &Counts<K, N>) -> [u64; N] {
    let mut all = [0; N];
    for (key, counts) in &now.0 {
        let before = before.get(key).unwrap_or(&[0; N]);
        for index in 0..N {
            all[index] += grown(before[index], counts[index]);
        }
    }
    all
}

fn grown(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(at: Instant, epoch: u64, accepted: &[(u64, u64)]) -> Counted {
        let queues = accepted.iter().map(|(id, count)| (*id, [*count, 0, 0, 0, 0]));
        Counted { queues: Counts::of(queues), ..Counted::nothing(at, epoch) }
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_what_was_counted_in_the_time_between_two_looks() {
        let (mut past, begun) = (Past::default(), Instant::now());
        let after = |ms| begun + Duration::from_millis(ms);
        let first = past.compare(counted(begun, 1, &[(1, 10)]));
        assert_eq!((first.queue(1)[0], first.totals()), (None, None));
        let second = past.compare(counted(after(500), 1, &[(1, 20), (2, 4)]));
        assert_eq!((second.queue(1)[0], second.queue(2)[0]), (Some(20.0), None));
        assert_eq!(second.totals().map(|it| it.messages_in), Some(28.0));
        // The first one is the newest that is long enough ago.
        let third = past.compare(counted(after(1000), 1, &[(1, 40), (2, 4)]));
        assert_eq!(third.queue(1)[0], Some(30.0));
        // Now the second one is. What went back has begun anew.
        let fourth = past.compare(counted(after(1500), 1, &[(1, 5), (2, 4)]));
        assert_eq!((fourth.queue(1)[0], fourth.queue(2)[0]), (Some(5.0), Some(0.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn neither_another_broker_nor_long_ago_is_compared_with() {
        let (mut past, begun) = (Past::default(), Instant::now());
        past.compare(counted(begun, 1, &[(1, 10)]));
        let other = past.compare(counted(begun + Duration::from_secs(1), 2, &[(1, 20)]));
        assert_eq!(other.queue(1)[0], None);
        let late = past.compare(counted(begun + Duration::from_secs(20), 2, &[(1, 30)]));
        assert_eq!(late.queue(1)[0], None);
    }
}
