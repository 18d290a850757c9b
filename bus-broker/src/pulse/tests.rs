//! A client beyond a network that falls silent, in virtual time.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bus_core::session::{Hello, Passage, VERSION};
use bus_core::transport::{Link, Peer, Transport, mem_pair, next_frame, write_frame};
use bus_core::{CLIENT_SILENCE_MAX, Decoder, HEARTBEAT, Header, Kind, SILENCE_MAX};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::BrokerConfig;
use crate::lanes::Lanes;
use crate::registry::Registry;
use crate::system;
use crate::users::Identified;

const LONG: Duration = Duration::from_secs(3600);

/// A link that is said to be of this transport, and a system that is said to take all it is given, if so.
struct Said(Box<dyn Link>, Transport, Option<u64>);

impl Link for Said {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_readable(cx)
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }

    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize> {
        let count = self.0.try_write(slices)?;
        self.2 = self.2.map(|given| given + count as u64);
        Ok(count)
    }

    fn passage(&self) -> Option<Passage> {
        self.2.map(|given| Passage { given, acknowledged: given })
    }

    fn transport(&self) -> Transport {
        self.1
    }

    fn peer(&self) -> &Peer {
        self.0.peer()
    }
}

/// A broker's hub with one client, and that client.
struct World {
    hub: Hub,
    session: SessionId,
    line: u64,
    client: Box<dyn Link>,
    decoder: Decoder,
}

impl World {
    fn new(transport: Transport) -> World {
        World::with(transport, None)
    }

    /// The host of this one takes all that the broker says, whatever its client does.
    fn on_a_living_host(transport: Transport) -> World {
        World::with(transport, Some(0))
    }

    fn with(transport: Transport, given: Option<u64>) -> World {
        let (near, client) = mem_pair();
        let mut hub = Hub::new(BrokerConfig::default(), Registry::default(), 1, system::events().0);
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            name: "test".into(),
            grace: Duration::ZERO,
            resume: None,
            lane_bytes: 0,
            rings: false,
            credential: None,
        };
        let decoder = || {
            let mut decoder = Decoder::for_handshake();
            decoder.establish();
            decoder
        };
        let (link, lanes) = (Box::new(Said(near, transport, given)), Lanes::Refused(String::new()));
        let attached =
            hub.attach(&hello, Identified::default(), link, decoder(), Bytes::new(), lanes);
        let attached = attached.expect("one more session");
        World { hub, session: attached.session, line: attached.line, client, decoder: decoder() }
    }

    /// The connection's task runs until its end, or for so long; the client answers so many questions.
    /// Why it ended, after how long, and how often it was asked.
    async fn runs(&mut self, answers: u64) -> (Option<String>, Duration, u64) {
        let World { hub, session, line, client, decoder } = self;
        let (began, mut asked) = (Instant::now(), 0);
        let mut driving = std::pin::pin!(poll_fn(|cx| hub.drive(*session, *line, cx)));
        let ended = timeout(LONG, async {
            loop {
                let frame = tokio::select! {
                    reason = &mut driving => return reason,
                    frame = next_frame(&mut **client, decoder) => frame.expect("a frame"),
                };
                if frame.header.kind != Kind::Ping {
                    continue;
                }
                asked += 1;
                if asked <= answers {
                    let pong = Header::new(Kind::Pong, 0, frame.header.word);
                    write_frame(&mut **client, pong, &[]).await.expect("there is room");
                }
            }
        });
        (ended.await.ok().flatten(), began.elapsed(), asked)
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_asked_once_and_given_up_in_time() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let (reason, after, asked) = World::new(transport).runs(0).await;
        let reason = reason.expect("it is given up");
        assert!(reason.contains("nothing has come"), "{reason}");
        assert!((SILENCE_MAX..=SILENCE_MAX + HEARTBEAT).contains(&after), "{after:?}");
        assert_eq!(asked, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_is_kept_until_it_stops() {
    let (reason, after, asked) = World::new(Transport::Tcp).runs(u64::MAX).await;
    assert_eq!((reason, after), (None, LONG));
    assert!(asked >= LONG.as_secs() / HEARTBEAT.as_secs() / 2 - 1, "{asked}");
    let (reason, after, asked) = World::new(Transport::Tcp).runs(10).await;
    assert!(reason.is_some() && asked == 11);
    assert!(after <= 20 * HEARTBEAT + SILENCE_MAX + 2 * HEARTBEAT, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_on_a_living_host_has_longer_and_is_given_up() {
    let (reason, after, asked) = World::on_a_living_host(Transport::Tcp).runs(10).await;
    let reason = reason.expect("it is given up");
    assert!(reason.contains("the client has stopped answering"), "{reason}");
    assert!(after >= 20 * HEARTBEAT + CLIENT_SILENCE_MAX, "{after:?}");
    assert!(after <= 20 * HEARTBEAT + CLIENT_SILENCE_MAX + 3 * HEARTBEAT, "{after:?}");
    // Now and then it is seen whether its host still is there.
    let looks = (CLIENT_SILENCE_MAX.as_millis() / (2 * HEARTBEAT).as_millis()) as u64;
    assert!((11..=11 + looks).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_client_on_this_machine_is_not_asked() {
    for transport in [Transport::Mem, Transport::Local, Transport::SharedMemory] {
        let (reason, _, asked) = World::new(transport).runs(0).await;
        assert_eq!((reason, asked), (None, 0));
    }
}
