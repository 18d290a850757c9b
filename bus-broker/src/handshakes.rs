//! Connections that have not said who they are, by where they come from.
//!
//! There is always room for one more: when there are too many, the oldest one of whoever has
//! the most must go. An honest handshake takes one round trip, so that it is hardly ever
//! among the oldest, and nobody can keep others out by connecting and saying nothing. Whoever connects
//! again and again waits for its turn (`charges`).

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use bus_core::Time;
use bus_core::transport::Peer;
use tokio::sync::oneshot;

use crate::charges::Charges;

/// Handshakes at a time, over all listeners.
const HANDSHAKES_MAX: usize = 512;
/// Handshakes at a time of one user, address, or IPv6 network.
pub(crate) const HANDSHAKES_PER_SOURCE_MAX: usize = 256;

/// Where a connection comes from, before it has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A user of this machine, by the kernel's word.
    User(u32),
    /// An IPv4 address, or the first 64 bits of an IPv6 one: who has one has all of them.
    Address(IpAddr),
    /// This process, or one that cannot be told.
    Unknown,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::User(uid) => write!(f, "uid {uid}"),
            Source::Address(ip) => write!(f, "{ip}"),
            Source::Unknown => f.write_str("unknown"),
        }
    }
}

impl Source {
    /// What a peer is charged to.
    pub fn of(peer: &Peer) -> Source {
        match (&peer.credentials, peer.ip) {
            (Some(credentials), _) => Source::User(credentials.uid),
            (None, Some(ip)) => Source::of_ip(ip),
            (None, None) => Source::Unknown,
        }
    }

    /// What a peer at this address is charged to.
    pub fn of_ip(ip: IpAddr) -> Source {
        match ip {
            IpAddr::V4(_) => Source::Address(ip),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => Source::Address(ip.into()),
                None => {
                    let network = u128::from(ip) >> 64 << 64;
                    Source::Address(Ipv6Addr::from(network).into())
                }
            },
        }
    }
}

/// All of them, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshakes(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    all: VecDeque<Entry>,
    last: u64,
    /// None if nobody waits.
    charges: Option<Charges<Source>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    source: Source,
    /// Told when it must go.
    evict: oneshot::Sender<()>,
}

/// One handshake, until it is dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Handshakes,
    number: u64,
    source: Source,
    wait: Duration,
    evicted: oneshot::Receiver<()>,
}

/// Whom a connection is charged to, also after its handshake.
#[derive(Debug)]
pub(crate) struct Account {
    all: Handshakes,
    source: Source,
}

impl Handshakes {
    /// None so far. Whether those wait who have connected too often.
    pub fn new(throttle: bool) -> Handshakes {
        let charges = throttle.then(Charges::default);
        Handshakes(Rc::new(RefCell::new(Inner { charges, ..Inner::default() })))
    }

    /// A connection has come. How long it has to wait until it is heard.
    pub fn arrives(&self, source: Source, now: Time) -> Duration {
        let mut inner = self.0.borrow_mut();
        let charges = inner.charges.as_mut().filter(|_| source != Source::Unknown);
        charges.map_or(Duration::ZERO, |charges| charges.begins(source, now))
    }

    /// One that arrives and begins at once.
    #[cfg(test)]
    pub fn begin_at(&self, peer: &Peer, now: Time) -> Handshake {
        let source = Source::of(peer);
        self.begin(source, self.arrives(source, now))
    }

    /// Whether everybody who has come has said who he is, or has gone.
    pub fn are_over(&self) -> bool {
        self.0.borrow().all.is_empty()
    }

    /// Of those who come from there.
    pub fn account(&self, source: Source) -> Account {
        Account { all: self.clone(), source }
    }

    /// One more, which is to wait for so long; another one may have to go for it.
    pub fn begin(&self, source: Source, wait: Duration) -> Handshake {
        let (evict, evicted) = oneshot::channel();
        let mut inner = self.0.borrow_mut();
        if let Some(entry) = inner.surplus(source).and_then(|index| inner.all.remove(index)) {
            // It may be over already.
            let _ = entry.evict.send(());
        }
        inner.last += 1;
        let number = inner.last;
        inner.all.push_back(Entry { number, source, evict });
        Handshake { all: self.clone(), number, source, wait, evicted }
    }
}

impl Inner {
    /// Which one must go for another of this source.
    fn surplus(&self, source: Source) -> Option<usize> {
        let mine = self.all.iter().filter(|entry| entry.source == source).count();
        let greedy = if mine >= HANDSHAKES_PER_SOURCE_MAX {
            source
        } else if self.all.len() >= HANDSHAKES_MAX {
            let mut counts: HashMap<Source, usize> = HashMap::new();
            for entry in &self.all {
                *counts.entry(entry.source).or_default() += 1;
            }
            counts.into_iter().max_by_key(|(_, count)| *count)?.0
        } else {
            return None;
        };
        self.all.iter().position(|entry| entry.source == greedy)
    }
}

impl Handshake {
    /// How long it has to wait for its turn, from its beginning.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Whom it is charged to.
    pub fn account(&self) -> Account {
        self.all.account(self.source)
    }

    /// Waits until it must go for another one.
    pub async fn evicted(&mut self) {
        // The other end lives as long as this one, so that there is no error.
        let _ = (&mut self.evicted).await;
    }
}

impl Account {
    /// The connection has ended badly, or what it has handed over was bad.
    pub fn charge_bad(&self, now: Time) {
        if let (true, Some(charges)) =
            (self.source != Source::Unknown, &mut self.all.0.borrow_mut().charges)
        {
            charges.ended_badly(self.source, now);
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.0.borrow_mut().all.retain(|entry| entry.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use bus_core::sys::Credentials;
    use futures::FutureExt;

    use super::*;

    fn from(address: &str) -> Peer {
        let ip = address.parse().expect("an address");
        Peer { address: address.into(), ip: Some(ip), ..Peer::default() }
    }

    fn user(uid: u32) -> Peer {
        let credentials = Credentials { uid, gid: uid, groups: Vec::new(), pid: None };
        Peer { credentials: Some(credentials), address: "local:".into(), ..Peer::default() }
    }

    fn evicted(handshake: &mut Handshake) -> bool {
        handshake.evicted().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_a_greedy_source_goes_and_nobody_elses() {
        let all = Handshakes::default();
        let mut other = all.begin_at(&user(7), Time::ZERO);
        let mut greedy: Vec<Handshake> = (0..HANDSHAKES_PER_SOURCE_MAX + 3)
            .map(|_| all.begin_at(&user(8), Time::ZERO))
            .collect();
        let gone: Vec<bool> = greedy.iter_mut().map(evicted).collect();
        assert_eq!(gone.iter().filter(|gone| **gone).count(), 3);
        assert!(gone[..3].iter().all(|gone| *gone));
        assert!(!evicted(&mut other));
    }

    #[test]
    fn when_all_places_are_taken_the_largest_source_gives_one() {
        let all = Handshakes::default();
        let mut first = all.begin_at(&from("192.0.2.1"), Time::ZERO);
        let mut large: Vec<Handshake> =
            (0..256).map(|_| all.begin_at(&user(8), Time::ZERO)).collect();
        let mut small: Vec<Handshake> =
            (0..255).map(|_| all.begin_at(&user(9), Time::ZERO)).collect();
        assert!(!evicted(&mut large[0]));
        small.push(all.begin_at(&user(9), Time::ZERO));
        assert!(evicted(&mut large[0]));
        assert!(!evicted(&mut first));
        assert!(!small.iter_mut().any(evicted));
        assert!(all.0.borrow().all.len() <= HANDSHAKES_MAX);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let one = Source::of(&from("2001:db8::1"));
        assert_eq!(one, Source::of(&from("2001:db8::ffff:1")));
        assert_ne!(one, Source::of(&from("2001:db8:0:1::1")));
        assert_eq!(Source::of(&from("::ffff:192.0.2.1")), Source::of(&from("192.0.2.1")));
    }

    #[test]
    fn whoever_connects_in_vain_waits_and_others_do_not() {
        let (all, now) = (Handshakes::new(true), Time::ZERO.after(Duration::from_secs(9)));
        let account = all.begin_at(&user(8), now).account();
        (0..700).for_each(|_| account.charge_bad(now));
        assert!(all.begin_at(&user(8), now).wait() > Duration::ZERO);
        assert_eq!(all.begin_at(&user(7), now).wait(), Duration::ZERO);
        assert_eq!(all.begin_at(&from("192.0.2.1"), now).wait(), Duration::ZERO);
        let later = now.after(Duration::from_secs(9));
        assert_eq!(all.begin_at(&user(8), later).wait(), Duration::ZERO);
    }

    #[test]
    fn one_that_is_over_makes_room() {
        let all = Handshakes::default();
        let mut first = all.begin_at(&user(8), Time::ZERO);
        for _ in 0..10 * HANDSHAKES_MAX {
            drop(all.begin_at(&user(8), Time::ZERO));
        }
        assert!(!evicted(&mut first));
        assert_eq!(all.0.borrow().all.len(), 1);
    }
}
