//! A client in a child that fork has made, without exec: typed errors there, and no damage here.

use bus_client::blocking::Client;
use bus_client::{ErrorKind, Selector};

use crate::bare_memory::fork_and_ask;
use crate::process::{Process, program, say};
use crate::{SHORT, SOON, Stage};

/// How many calls of the child failed as they should.
const CALLS: u8 = 17;

/// Connects, forks, and goes on.
pub fn fork(url: &str) {
    let client = Client::connect(url).expect("connects");
    let queue = client.queue("forked").expect("opens");
    queue.send_all(["one", "two"]).expect("there is room");
    let mut subscriber = client.subscribe("news").expect("subscribes");
    let publisher = client.publisher("news").expect("opens");
    let delivery = queue.receive(Selector::Any).expect("is there");
    // A thread that waits, and so has locks and the runtime, at the moment of the fork.
    let waiting = client.queue("idle").expect("opens");
    let waiter = std::thread::spawn(move || waiting.receive_timeout(Selector::Any, SOON));
    let found = fork_and_ask(|| {
        let mut forked = 0;
        let mut note = |result: Option<ErrorKind>| {
            forked += u8::from(result == Some(ErrorKind::Forked));
        };
        note(queue.send("no").err().map(|error| error.kind()));
        note(queue.try_send("no").err().map(|error| error.kind()));
        note(queue.send_timeout("no", SHORT).err().map(|error| error.kind()));
        note(queue.post("no").err().map(|error| error.kind()));
        note(queue.within(SHORT).receive(Selector::Any).err().map(|error| error.kind()));
        note(queue.receive(Selector::Any).err().map(|error| error.kind()));
        note(queue.peek(Selector::Any, 0).err().map(|error| error.kind()));
        note(queue.consumer(Selector::Any, 1).err().map(|error| error.kind()));
        note(publisher.publish("no").err().map(|error| error.kind()));
        note(publisher.try_publish("no").err().map(|error| error.kind()));
        note(publisher.flush().err().map(|error| error.kind()));
        note(subscriber.next().and_then(Result::err).map(|error| error.kind()));
        note(client.queue("more").err().map(|error| error.kind()));
        note(client.request("service", "no", SOON).err().map(|error| error.kind()));
        note(client.admin().broker().err().map(|error| error.kind()));
        note(client.ping().err().map(|error| error.kind()));
        let acked = delivery.ack().and_then(|ack| ack.wait());
        note(acked.err().map(|error| error.kind()));
        client.clone().drain(SHORT);
        // What the child drops, it takes from nobody.
        drop((queue, publisher, subscriber, client));
        forked
    });
    say(format_args!("{found:?}"));
    // It waits for nothing that comes; this process ends before it does.
    drop(waiter);
}

/// Connects, forks with everything lent, and shows that nothing has happened to it.
pub fn go_on(url: &str) {
    let client = Client::connect(url).expect("connects");
    let queue = client.queue("lent").expect("opens");
    queue.send("kept").expect("there is room");
    let delivery = queue.receive(Selector::Any).expect("is there");
    let new = fork_and_ask(|| {
        drop(queue.clone());
        let kind = queue.send("no").err().map(|error| error.kind());
        // A client of the child's own is one.
        let own = Client::connect(url).expect("connects");
        own.queue("child").expect("opens").send("by the child").expect("there is room");
        own.drain(SOON);
        u8::from(kind == Some(ErrorKind::Forked))
    });
    say(format_args!("{new:?}"));
    delivery.ack().expect("is handed over").wait().expect("the lease is whole");
    queue.send("goes on").expect("there is room");
    let again = queue.receive(Selector::Any).expect("is there");
    say(String::from_utf8_lossy(again.payload()));
    again.ack().expect("is handed over").wait().expect("in time");
}

#[test]
fn calls_in_a_forked_child_fail_as_forked_and_its_parent_goes_on() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let child = stage.wait(async {
            let task = format!("fork|{}", stage.broker.url(scheme));
            Process::spawn(program(None, &task)).expect("it runs")
        });
        let told = stage.wait(child.answers());
        assert_eq!(told, [format!("Ok({CALLS})"), "Ok(1)".into(), "goes on".into()], "{scheme}");
        let theirs = stage.client(scheme).queue("child").expect("opens");
        let delivery = theirs.receive_timeout(Selector::Any, SOON).expect("the child sent it");
        assert_eq!(delivery.payload(), "by the child");
        delivery.ack().expect("is handed over").wait().expect("in time");
    }
}
