//! Typed handles whose calls block, and room that is reserved.

use bus_client::{ErrorKind, Message, MessageType, Selector};

use crate::{SHORT, SOON, Stage};

/// What a protobuf string wrapper is not.
const GARBAGE: &[u8] = &[0xff; 3];
/// The longest payload.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

#[test]
fn typed_queue_yields_values_and_sends_garbage_to_the_dead_letters() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let (near, far) = (stage.client(scheme), stage.client(scheme));
        let jobs = format!("jobs.{scheme}");
        let letters = near.queue(&format!("{jobs}.dead")).expect("opens");
        let raw = near.queue(&jobs).expect("opens");
        let sending = raw.typed::<String>().expect("registers");
        let taking = far.queue(&jobs).expect("opens").typed::<String>().expect("registers");
        sending.send(&"one".to_owned()).expect("there is room");
        sending.send_timeout(&"two".to_owned(), SOON).expect("there is room");
        let delivery = taking.receive().expect("is there");
        assert_eq!(delivery.value, "one");
        delivery.ack().expect("is handed over").wait().expect("in time");
        let delivery = taking.receive_timeout(SOON).expect("is there");
        assert_eq!(delivery.value, "two");
        delivery.ack().expect("is handed over").wait().expect("in time");
        let kind = MessageType::of_name("google.protobuf.StringValue");
        raw.send(Message::new(kind, GARBAGE)).expect("there is room");
        let wrong = taking.receive().expect_err("it is none");
        assert_eq!(wrong.kind(), ErrorKind::Decode, "{wrong}");
        assert_eq!(letters.receive(Selector::Any).expect("is there").payload(), GARBAGE);
        let late = taking.receive_timeout(SHORT).expect_err("nothing is left");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let clash = far.queue(&jobs).expect("opens").typed_as::<Vec<u8>>(kind);
        assert_eq!(clash.expect_err("it is another name").kind(), ErrorKind::TypeClash);
    }
}

#[test]
fn typed_subscriber_passes_over_others_and_keeps_to_its_time() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let (near, far) = (stage.client(scheme), stage.client(scheme));
        let topic = format!("news.{scheme}");
        let subscriber = far.subscribe(&topic).expect("subscribes");
        let mut subscriber = subscriber.typed::<String>().expect("registers");
        let raw = near.publisher(&topic).expect("opens");
        let publisher = raw.typed::<String>().expect("registers");
        raw.publish("of another type").expect("is handed over");
        publisher.publish(&"one".to_owned()).expect("is handed over");
        publisher.publish_confirmed(&"two".to_owned()).expect("the broker has it");
        let (value, received) = subscriber.next().expect("goes on").expect("comes");
        assert_eq!((value.as_str(), received.topic()), ("one", topic.as_str()));
        assert_eq!(subscriber.others(), 1);
        let (value, _) = subscriber.next_timeout(SOON).expect("goes on").expect("comes");
        assert_eq!(value, "two");
        raw.publish("of another type").expect("is handed over");
        let late = subscriber.next_timeout(SHORT).expect("goes on").expect_err("no other comes");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
    }
}

#[test]
fn reserved_room_is_used_without_waiting_and_not_had_in_vain() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let client = stage.client(scheme);
        let queue = client.queue(&format!("jobs.{scheme}")).expect("opens");
        for text in ["one", "two"] {
            let permit = queue.within(SOON).reserve().map(drop);
            permit.expect("there is room: it is given back unused");
            let permit = queue.reserve().expect("there is room");
            permit.send(text).expect("is handed over").wait().expect("there is room");
        }
        let delivery = queue.receive(Selector::Any).expect("is there");
        assert_eq!(delivery.payload(), "one");
        let too_big = vec![0; MESSAGE_BYTES + 1];
        let refused = queue.reserve().expect("there is room").send(too_big);
        assert_eq!(refused.expect_err("is too long").kind(), ErrorKind::TooBig);
    }
}
