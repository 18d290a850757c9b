//! How much of one connection is taken before others have their turn.

use std::task::{Context, Waker};
use std::time::Duration;

use bus_core::router::{ObjectKind, SessionId};
use bus_core::session::{Hello, VERSION};
use bus_core::transport::{Link, frame_bytes, mem_pair};
use bus_core::{Decoder, Header, Kind, Pattern, Selector, control};
use bytes::Bytes;

use super::*;
use crate::config::BrokerConfig;
use crate::lanes::Lanes;
use crate::registry::Registry;
use crate::system;
use crate::users::Identified;

/// A broker's hub with one connection, driven by hand; and who is at the other end.
struct World {
    hub: Hub,
    session: SessionId,
    line: u64,
    peer: Box<dyn Link>,
    /// Bytes of each frame that was said last.
    frame: usize,
}

impl World {
    fn new() -> World {
        let (near, peer) = mem_pair();
        let mut hub = Hub::new(BrokerConfig::default(), Registry::default(), 1, system::events().0);
        let mut decoder = Decoder::for_handshake();
        decoder.establish();
        let lanes = Lanes::Refused(String::new());
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
        let attached =
            hub.attach(&hello, Identified::default(), near, decoder, Bytes::new(), lanes);
        let attached = attached.expect("one more session");
        World { hub, session: attached.session, line: attached.line, peer, frame: 1 }
    }

    /// So many frames of a kind arrive.
    fn say(&mut self, kind: Kind, count: usize) {
        self.say_frame(&frame_bytes(Header::new(kind, 0, 0), &[]), count);
    }

    /// So often this request arrives.
    fn ask(&mut self, command: &Command, count: usize) {
        let body = control::encode_request(command).expect("it is one");
        self.say_frame(&frame_bytes(Header::new(Kind::Request, 0, 0), &body), count);
    }

    fn say_frame(&mut self, frame: &Bytes, count: usize) {
        let written = self.peer.try_write(&vec![frame.clone(); count]);
        assert_eq!(written.expect("there is room"), count * frame.len());
        self.frame = frame.len();
    }

    /// The connection's task is polled. How many frames are left.
    fn drive(&mut self) -> usize {
        let driven =
            self.hub.drive(self.session, self.line, &mut Context::from_waker(Waker::noop()));
        assert!(driven.is_pending(), "{driven:?}");
        let slot = slot_of(&mut self.hub.slots, self.session).expect("it is there");
        let line = slot.line.as_ref().expect("it is connected");
        line.decoder.pending() / self.frame
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_much_that_is_about_nothing_is_not_heard_for_a_moment() {
    let mut world = World::new();
    world.say(Kind::Ping, 3 * FRAMES_MAX);
    for left in [2, 1] {
        // However often it is polled meanwhile.
        assert_eq!([world.drive(), world.drive(), world.drive()], [left * FRAMES_MAX; 3]);
        tokio::time::advance(Duration::from_millis(2)).await;
    }
    assert_eq!(world.drive(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_has_something_to_say_is_heard_at_every_turn() {
    let mut world = World::new();
    world.say(Kind::Consumed, 3 * FRAMES_MAX);
    // No time passes meanwhile.
    assert!((0..3).any(|_| world.drive() == 0));
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_what_is_long_has_one_answer_a_turn() {
    let (request, pattern) = (1, Pattern::new(">").expect("a pattern"));
    let long = [
        Command::List { request, pattern, object: ObjectKind::Client, after: None },
        Command::Peek { request, queue: 1, selector: Selector::Any, index: 0 },
        Command::Broker { request },
    ];
    for command in long {
        let mut world = World::new();
        world.ask(&command, 20);
        for left in (0..20).rev() {
            assert_eq!(world.drive(), left, "{command:?}");
        }
    }
    // What is short is not held up.
    let mut world = World::new();
    world.ask(&Command::Close { request: 1, channel: 7 }, 20);
    assert_eq!(world.drive(), 0);
}
