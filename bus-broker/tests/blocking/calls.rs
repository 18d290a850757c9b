//! What the blocking calls do, over lanes and over the socket: results, errors and deadlines.

use bus_client::{ClientEvent, ErrorKind, QueueOptions, Selector};

use crate::{SHORT, SOON, Stage};

const SCHEMES: [&str; 2] = ["shm", "unix"];

#[test]
fn queue_is_sent_to_received_from_and_settled() {
    let stage = Stage::new();
    for scheme in SCHEMES {
        let (near, far) = (stage.client(scheme), stage.client(scheme));
        let sending = near.queue(&format!("jobs.{scheme}")).expect("opens");
        let taking = far.queue(&format!("jobs.{scheme}")).expect("opens");
        sending.send("one").expect("there is room");
        sending.post("two").expect("is handed over").wait().expect("there is room");
        assert_eq!(sending.send_all(["three", "four"]).expect("there is room"), 2);
        assert_eq!(taking.peek(Selector::Any, 1).expect("is there").message.payload(), "two");
        let delivery = taking.receive(Selector::Any).expect("is there");
        assert_eq!((delivery.payload().as_ref(), delivery.attempt()), (&b"one"[..], 0));
        delivery.nack().expect("in time");
        let mut again = taking.receive_timeout(Selector::Any, SOON).expect("is there again");
        assert_eq!((again.payload().as_ref(), again.attempt()), (&b"one"[..], 1));
        again.extend(SOON).expect("in time");
        again.ack().expect("is handed over").wait().expect("in time");
        // What is dropped goes back although the client makes no further call.
        drop(taking.try_receive(Selector::Any).expect("is there"));
        while sending.peek(Selector::Any, 0).expect("is there").message.payload() != "two" {
            std::thread::yield_now();
        }
        let mut consumer = sending.consumer(Selector::Any, 3).expect("opens");
        for expected in ["two", "three", "four"] {
            let delivery = consumer.next().expect("goes on").expect("is there");
            assert_eq!(delivery.payload(), expected);
            delivery.ack().expect("is handed over").wait_timeout(SOON).expect("in time");
        }
        let late = consumer.next_timeout(SHORT).expect("goes on").expect_err("nothing is left");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let nothing = taking.try_receive(Selector::Any).expect_err("nothing is left");
        assert_eq!(nothing.kind(), ErrorKind::Empty, "{nothing}");
    }
}

#[test]
fn calls_end_with_their_deadline_and_say_so() {
    let stage = Stage::new();
    for scheme in SCHEMES {
        let client = stage.client(scheme).within(SHORT);
        let options = QueueOptions::default().count_max(1);
        let queue = client.queue_with(&format!("small.{scheme}"), options).expect("opens");
        let late = queue.receive(Selector::Any).expect_err("it is empty");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        queue.send("the only one").expect("there is room");
        let full = queue.try_send("no").expect_err("it is full");
        assert_eq!(full.kind(), ErrorKind::QueueFull, "{full}");
        for late in [queue.send("no"), queue.within(SOON).send_timeout("no", SHORT)] {
            let late = late.expect_err("it is full");
            assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        }
        let blocked = queue.post("later").expect("is handed over");
        let blocked = blocked.wait_timeout(SHORT).expect("no verdict").expect_err("it waits");
        let late = blocked.wait().expect_err("it waits");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let mut subscriber = client.subscribe(">").expect("subscribes");
        let late = subscriber.next().expect("goes on").expect_err("nobody publishes");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let mut server = client.serve(&format!("idle.{scheme}"), 1).expect("serves");
        let late = server.next_timeout(SHORT).expect("goes on").expect_err("nobody calls");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let mut events = client.events();
        assert_eq!(events.next_timeout(SHORT), Err(SHORT), "nothing happens");
    }
}

#[test]
fn what_is_published_reaches_every_subscriber_in_order() {
    let stage = Stage::new();
    for scheme in SCHEMES {
        let (near, far) = (stage.client(scheme), stage.client(scheme));
        let topic = format!("news.{scheme}");
        let (one, two) = (far.subscribe(&topic), far.subscribe("news.*"));
        let subscribers = [one.expect("subscribes"), two.expect("subscribes")];
        let publisher = near.publisher(&topic).expect("opens");
        let texts: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let (first, rest) = texts.split_at(10);
        for text in first {
            // On its way when this returns: nobody calls anything of this client meanwhile.
            publisher.publish(text.clone()).expect("is handed over");
        }
        for mut subscriber in subscribers {
            for text in first {
                let message = subscriber.next_timeout(SOON).expect("goes on").expect("comes");
                assert_eq!(message.payload(), text);
            }
            let sent = publisher.publish_all(rest.to_vec());
            assert_eq!(sent.expect("is handed over"), rest.len());
            let got: Vec<_> =
                subscriber.take(rest.len()).map(|next| next.expect("comes")).collect();
            assert!(got.iter().map(|message| message.payload()).eq(rest));
        }
        publisher.publish_confirmed("the last").expect("the broker has it");
        publisher.flush().expect("the broker has all");
    }
}

#[test]
fn service_answers_fails_and_is_missed() {
    let stage = Stage::new();
    for scheme in SCHEMES {
        let (near, far) = (stage.client(scheme), stage.client(scheme));
        let name = format!("sums.{scheme}");
        let absent = near.request(&name, "1", SOON).expect_err("nobody serves");
        assert_eq!(absent.kind(), ErrorKind::Unreachable, "{absent}");
        let mut server = far.serve(&name, 4).expect("serves");
        let serving = std::thread::spawn(move || {
            server.serve(|call| {
                let number = String::from_utf8_lossy(call.payload()).parse::<u64>();
                number.map(|number| (number + 1).to_string().into())
            })
        });
        let service = near.service(&name).expect("opens");
        assert_eq!(service.call("41", SOON).expect("answers").payload(), "42");
        let failed = service.call("x", SOON).expect_err("is no number");
        assert_eq!(failed.kind(), ErrorKind::ServiceFailed, "{failed}");
        far.drain(SOON);
        let ended = serving.join().expect("does not panic").expect_err("the client has ended");
        assert_eq!(ended.kind(), ErrorKind::Closed, "{ended}");
    }
}

#[test]
fn end_of_the_broker_ends_whoever_waits_and_is_told() {
    let Stage { runtime, broker } = Stage::new();
    let options = bus_client::ClientOptions::default().reconnect(false);
    let client = bus_client::blocking::Client::connect_with(&broker.url("shm"), options);
    let client = client.expect("connects");
    let mut events = client.events();
    let queue = client.queue("jobs").expect("opens");
    let waiting = std::thread::spawn(move || queue.receive(Selector::Any).expect_err("no message"));
    runtime.block_on(broker.kill());
    let error = waiting.join().expect("does not panic");
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    assert!(matches!(events.next(), Some(ClientEvent::Disconnected { .. })));
    assert!(matches!(events.next(), Some(ClientEvent::Closed { .. })));
    assert_eq!(events.next(), None);
    assert_eq!(client.ping().expect_err("it has ended").kind(), ErrorKind::Disconnected);
}

#[test]
fn nobody_listening_is_an_error() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let url = format!("local:{}", home.path().join("none").display());
    let error = bus_client::blocking::Client::connect(&url).expect_err("there is no broker");
    assert_eq!(error.kind(), ErrorKind::NoBroker, "{error}");
}
