//! A broker beyond a network that falls silent, in virtual time: it is asked, and given up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bus_client::{Client, ClientEvent, ClientOptions};
use bus_core::session::Passage;
use bus_core::transport::{Link, Peer as Other, Transport, mem_pair};
use bus_core::{BROKER_SILENCE_MAX, HEARTBEAT, Header, Kind, SILENCE_MAX};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep, timeout};

use crate::peer::Peer;

const LONG: Duration = Duration::from_secs(3600);

/// A link that is said to lead over a network.
struct Remote {
    inside: Box<dyn Link>,
    system: Arc<System>,
}

/// What is said of the other side's system.
#[derive(Default)]
struct System {
    /// What it has taken; 0 if that cannot be told.
    acknowledged: AtomicU64,
    /// It takes all that it is given.
    takes_all: AtomicBool,
    given: AtomicU64,
}

impl Link for Remote {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inside.poll_readable(cx)
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.inside.try_read(buffer)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inside.poll_writable(cx)
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        let count = self.inside.try_write(slices)?;
        self.system.given.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn passage(&self) -> Option<Passage> {
        let given = self.system.given.load(Ordering::Relaxed);
        if self.system.takes_all.load(Ordering::Relaxed) {
            return Some(Passage { given, acknowledged: given });
        }
        // More is under way than it can ever have taken.
        let acknowledged = self.system.acknowledged.load(Ordering::Relaxed);
        (acknowledged > 0).then_some(Passage { given: u64::MAX, acknowledged })
    }

    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn peer(&self) -> &Other {
        self.inside.peer()
    }
}

/// A client, its broker, and that one's system.
async fn far_apart() -> (Peer, Client, Arc<System>) {
    let (inside, far) = mem_pair();
    let system = Arc::default();
    let near = Remote { inside, system: Arc::clone(&system) };
    let client = Client::over_link(Box::new(near), ClientOptions::default());
    let (peer, client) = tokio::join!(Peer::greet(far, 1), client);
    (peer, client.expect("connects"), system)
}

/// Why the client has lost its connection, and after how long from now on.
async fn lost(client: &Client) -> (String, Duration) {
    let (mut events, since) = (client.events(), Instant::now());
    match timeout(2 * LONG, events.next()).await.expect("it is noticed") {
        Some(ClientEvent::Disconnected { reason }) => (reason, since.elapsed()),
        other => panic!("{other:?}"),
    }
}

/// Answers whatever is asked, for so long.
async fn answers(peer: &mut Peer, time: Duration) -> u64 {
    let (mut asked, end) = (0, sleep(time));
    tokio::pin!(end);
    loop {
        let frame = tokio::select! {
            frame = peer.hear_any() => frame,
            () = &mut end => return asked,
        };
        assert_eq!(frame.header.kind, Kind::Ping, "there is nothing else to say");
        peer.say(Header::new(Kind::Pong, 0, frame.header.word), &[]).await;
        asked += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_asked_once_and_given_up_in_time() {
    let (mut peer, client, _) = far_apart().await;
    let (reason, after) = lost(&client).await;
    assert!(reason.contains("nothing has come"), "{reason}");
    assert!((SILENCE_MAX..=SILENCE_MAX + HEARTBEAT).contains(&after), "{after:?}");
    assert_eq!(peer.hear_any().await.header.kind, Kind::Ping);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_is_kept_and_given_up_when_it_stops() {
    let (mut peer, client, _) = far_apart().await;
    let mut events = client.events();
    let asked = answers(&mut peer, LONG).await;
    assert!(asked >= LONG.as_secs() / 2 / HEARTBEAT.as_secs() - 1, "{asked}");
    assert!(timeout(Duration::ZERO, events.next()).await.is_err(), "it is connected");
    let (_, after) = lost(&client).await;
    assert!(after <= SILENCE_MAX + 2 * HEARTBEAT, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_whose_system_still_takes_bytes_is_kept() {
    let (_peer, client, system) = far_apart().await;
    let mut events = client.events();
    for _ in 0..LONG.as_secs() {
        system.acknowledged.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
    }
    assert!(timeout(Duration::ZERO, events.next()).await.is_err(), "it is connected");
    let (_, after) = lost(&client).await;
    assert!(after <= SILENCE_MAX + 2 * HEARTBEAT, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_on_a_living_host_is_given_up_in_time() {
    let (mut peer, client, system) = far_apart().await;
    system.takes_all.store(true, Ordering::Relaxed);
    answers(&mut peer, Duration::from_secs(60)).await;
    let (reason, after) = lost(&client).await;
    assert!(reason.contains("the broker has stopped answering"), "{reason}");
    assert!(after >= BROKER_SILENCE_MAX - HEARTBEAT, "{after:?}");
    assert!(after <= BROKER_SILENCE_MAX + 3 * HEARTBEAT, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_late_is_kept() {
    let (mut peer, client, system) = far_apart().await;
    system.takes_all.store(true, Ordering::Relaxed);
    let mut events = client.events();
    for _ in 0..100 {
        let asked = peer.hear_any().await;
        sleep(BROKER_SILENCE_MAX - HEARTBEAT).await;
        peer.say(Header::new(Kind::Pong, 0, asked.header.word), &[]).await;
    }
    assert!(timeout(Duration::ZERO, events.next()).await.is_err(), "it is connected");
}

#[tokio::test(start_paused = true)]
async fn a_broker_on_this_machine_is_not_asked() {
    let (mut peer, client) = Peer::with_client().await;
    let mut events = client.events();
    assert!(timeout(LONG, events.next()).await.is_err(), "the kernel would tell its end");
    assert!(timeout(LONG, peer.hear_any()).await.is_err(), "there is nothing to say");
}
