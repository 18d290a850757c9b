//! A client that commits much and is gone at once, as one that is killed: all of it counts.
//!
//! The broker cannot ring any more, and still reads the lane to its end.

use std::time::Duration;

use bus_client::Client;
use bus_core::router::{Command, OpenMode, QueueOptions};
use bus_core::transport::frame_bytes;
use bus_core::{Header, Kind, control};
use tokio::time::Instant;

use crate::broker::BrokerProcess;
use crate::by_hand::Lanes;
use crate::layout::{ROOM_AT, WAKE_AT};

/// Messages, and their bytes: more than the broker reads at a turn.
const MESSAGES: u64 = 40;
const BYTES: usize = 20_000;
const RING: usize = 1 << 20;

/// What the client slept for when it was killed, so that the broker would ring for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    Nothing,
    Room,
    Frames,
}

pub async fn leave(broker: &BrokerProcess, waits: Waits) {
    let client = Client::connect(&broker.url("unix")).await.expect("connects");
    let queue = client.queue(&format!("left.{waits:?}")).await.expect("opens");
    let mut lanes = Lanes::with_ring(&broker.path(), RING).expect("good lanes");
    match waits {
        Waits::Nothing => {}
        Waits::Room => lanes.lane.memory.store(ROOM_AT, 8),
        Waits::Frames => lanes.cursor.memory.store(WAKE_AT, 1),
    }
    let open = Command::OpenQueue {
        request: 1,
        channel: 0,
        name: queue.name().clone(),
        open: OpenMode::Open,
        options: QueueOptions::default(),
    };
    let open = control::encode_request(&open).expect("it has a body");
    let mut frames = vec![frame_bytes(Header::new(Kind::Request, 0, 0), &open)];
    for number in 0..MESSAGES {
        let body = vec![number as u8; BYTES];
        frames.push(frame_bytes(Header::new(Kind::Send, 0, 1), &body));
    }
    for frame in frames {
        assert!(lanes.write(&frame).expect("there is room"), "{waits:?}");
    }
    drop(lanes);
    let deadline = Instant::now() + Duration::from_secs(60);
    let count = async || {
        let page = client.admin().stat(queue.name().as_str()).await.expect("answers");
        page.queues.iter().map(|queue| queue.messages).sum::<u64>()
    };
    loop {
        let connected = client.admin().clients().await.expect("answers").len();
        match count().await {
            MESSAGES => break,
            some => assert!(
                connected > 1 && Instant::now() < deadline,
                "{waits:?}: {some} of {MESSAGES} are there\n{}",
                broker.log()
            ),
        }
    }
}
