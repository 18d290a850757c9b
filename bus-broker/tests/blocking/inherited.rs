//! Parent and child: what is left to a child, and what becomes of it when one of them goes.

use std::process::{Command, Stdio};

use bus_client::blocking::Client;
use bus_client::{ErrorKind, INHERITED_VARIABLE, Selector, Transport};

use crate::process::{Process, program, say};
use crate::{SOON, Stage};

/// What a child does with what was left to it: the word says what.
pub fn be_an_heir(word: &str) {
    match word {
        "take" => take(),
        "take async" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(take_async());
        }
        "leave it" => say("has left it"),
        "hold" => hold(),
        "outlive" => outlive(),
        "pass on" => pass_on(),
        "try" => match Client::inherited() {
            Ok(_) => say("connected"),
            Err(error) => say(error.kind().word()),
        },
        _ => panic!("no such word: {word}"),
    }
}

/// Says how it is connected, answers one message, and knows no URL.
fn take() {
    let client = Client::inherited().expect("it was left");
    say(format_args!("{:?}", client.transport().transport));
    let (down, up) = (client.queue("down").expect("opens"), client.queue("up").expect("opens"));
    let delivery = down.receive_timeout(Selector::Any, SOON).expect("comes");
    up.send(delivery.payload().clone()).expect("there is room");
    delivery.ack().expect("is handed over").wait().expect("in time");
    client.drain(SOON);
}

async fn take_async() {
    let client = bus_client::Client::inherited().await.expect("it was left");
    say(format_args!("{:?}", client.transport().transport));
    let down = client.queue("down").await.expect("opens");
    let up = client.queue("up").await.expect("opens");
    let delivery = down.receive_timeout(Selector::Any, SOON).await.expect("comes");
    up.send(delivery.payload().clone()).await.expect("there is room");
    delivery.ack().await.expect("in time");
    client.drain(SOON).await;
}

/// Takes a message, and has it until it is killed.
fn hold() {
    let client = Client::inherited().expect("it was left");
    let down = client.queue("down").expect("opens");
    let _delivery = down.receive_timeout(Selector::Any, SOON).expect("comes");
    say("has it");
    let _ = client.queue("never").expect("opens").receive(Selector::Any);
}

/// Waits until its parent is gone, and says by the bus that it is still there.
fn outlive() {
    let client = Client::inherited().expect("it was left");
    let up = client.queue("up").expect("opens");
    // Before it is told: then it is still there.
    let parent = std::os::unix::process::parent_id();
    up.send("ready").expect("there is room");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let gone = runtime.expect("a runtime").block_on(bus_core::sys::process_ended(parent));
    gone.expect("it can be watched");
    up.send("still there").expect("there is room");
    client.drain(SOON);
}

/// What a child starts after it has taken what was left to it gets nothing, although it has the
/// variable; what it leaves to a child of its own, that has.
fn pass_on() {
    let client = Client::inherited().expect("it was left");
    let run = |mut command: Command| {
        command.stdout(Stdio::inherit()).status().expect("it runs");
    };
    run(program(None, "heir|try"));
    let mut command = program(None, "heir|try");
    client.leave_to(&mut command).expect("the socket is there");
    run(command);
    client.ping().expect("answers");
}

/// Leaves a child a connection, and dies when that has it.
pub fn leave_and_die(url: &str) {
    let client = Client::connect(url).expect("connects");
    let mut command = program(None, "heir|outlive");
    client.leave_to(&mut command).expect("the socket is there");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it runs");
    let ready = client.queue("up").expect("opens").receive_timeout(Selector::Any, SOON);
    let ready = ready.expect("the child has connected");
    ready.ack().expect("is handed over").wait().expect("in time");
    say(child.id());
    // It is not waited for: it lives longer than this process. Its number is all that is known.
    let _ = child.try_wait();
}

/// A child that was left a connection of this client, and has nothing else.
fn heir(client: &Client, word: &str) -> Process {
    let mut command = program(None, &format!("heir|{word}"));
    client.leave_to(&mut command).expect("the socket is there");
    Process::spawn(command).expect("it runs")
}

/// A child in this runtime answers over the bus as itself.
fn answers(stage: &Stage, client: &Client, mut child: Process, transport: Transport) {
    let said = stage.wait(child.line());
    assert_eq!(said, Some(format!("{:?}", Some(transport))));
    let (down, up) = (client.queue("down").expect("opens"), client.queue("up").expect("opens"));
    down.send("hello").expect("there is room");
    let delivery = up.receive_timeout(Selector::Any, SOON).expect("it answers");
    assert_eq!(delivery.payload(), "hello");
    assert_eq!(delivery.sender().pid, Some(child.pid()), "by the kernel's word it is the child");
    delivery.ack().expect("is handed over").wait().expect("in time");
    assert!(stage.wait(child.status()).success());
}

#[test]
fn child_has_a_connection_of_its_own_both_ways_and_knows_no_url() {
    let stage = Stage::new();
    let cases = [("shm", Transport::SharedMemory), ("unix", Transport::Local)];
    for (scheme, transport) in cases {
        let client = stage.client(scheme);
        for word in ["take", "take async"] {
            let child = stage.runtime.block_on(async { heir(&client, word) });
            answers(&stage, &client, child, transport);
        }
    }
}

#[test]
fn child_connects_although_the_path_leads_nowhere_by_then() {
    let stage = Stage::new();
    let client = stage.client("shm");
    let mut command = program(None, "heir|take");
    client.leave_to(&mut command).expect("the socket is there");
    let (path, hidden) = (stage.broker.path(), stage.broker.path().with_extension("hidden"));
    std::fs::rename(&path, &hidden).expect("it is this user's");
    let child = stage.wait(async { Process::spawn(command).expect("it runs") });
    answers(&stage, &client, child, Transport::SharedMemory);
    let refused = client.leave_to(&mut program(None, "heir|take")).expect_err("it is not there");
    assert_eq!(refused.kind(), ErrorKind::NoBroker, "{refused}");
    std::fs::rename(&hidden, &path).expect("it is this user's");
}

#[test]
fn two_children_of_one_command_have_a_connection_each() {
    let stage = Stage::new();
    let client = stage.client("shm");
    let mut command = program(None, "heir|take");
    client.leave_to(&mut command).expect("the socket is there");
    let mut children: Vec<_> = (0..2).map(|_| command.spawn().expect("it runs")).collect();
    let (down, up) = (client.queue("down").expect("opens"), client.queue("up").expect("opens"));
    down.send_all(["one", "two"]).expect("there is room");
    let mut told = Vec::new();
    for _ in 0..2 {
        let delivery = up.receive_timeout(Selector::Any, SOON).expect("they answer");
        told.push(delivery.sender().pid.expect("the kernel tells"));
        delivery.ack().expect("is handed over").wait().expect("in time");
    }
    for child in &mut children {
        assert!(child.wait().expect("it ran").success());
    }
    told.sort_unstable();
    let mut pids: Vec<u32> = children.iter().map(std::process::Child::id).collect();
    pids.sort_unstable();
    assert_eq!(told, pids);
}

#[test]
fn child_that_does_not_take_it_costs_nothing() {
    let stage = Stage::new();
    let client = stage.client("shm");
    let before = stage.broker.figures();
    let mut child = stage.wait(async { heir(&client, "leave it") });
    assert_eq!(stage.wait(child.line()), Some("has left it".into()));
    assert!(stage.wait(child.status()).success());
    assert_eq!(client.admin().clients().expect("tells").len(), 1);
    assert!(stage.broker.figures().descriptors <= before.descriptors, "nobody else has come");
}

#[test]
fn what_a_killed_child_had_comes_back_and_its_parent_goes_on() {
    let stage = Stage::new();
    let client = stage.client("shm");
    let down = client.queue("down").expect("opens");
    down.send("once").expect("there is room");
    let mut child = stage.wait(async { heir(&client, "hold") });
    assert_eq!(stage.wait(child.line()), Some("has it".into()));
    stage.wait(child.kill());
    let delivery = down.receive_timeout(Selector::Any, SOON).expect("it comes back");
    assert_eq!(delivery.attempt(), 1);
    delivery.ack().expect("is handed over").wait().expect("in time");
}

#[test]
fn child_lives_on_when_its_parent_dies() {
    let stage = Stage::new();
    let client = stage.client("unix");
    let task = format!("parent|{}", stage.broker.url("shm"));
    let mut parent = stage.wait(async { Process::spawn(program(None, &task)).expect("it runs") });
    let child = stage.wait(parent.line()).expect("it says its child's number");
    let up = client.queue("up").expect("opens");
    let delivery = up.receive_timeout(Selector::Any, SOON).expect("the child goes on");
    assert_eq!(delivery.payload(), "still there");
    assert_eq!(delivery.sender().pid.map(|pid| pid.to_string()), Some(child));
    delivery.ack().expect("is handed over").wait().expect("in time");
}

#[test]
fn only_whom_it_was_left_to_has_it() {
    let stage = Stage::new();
    let client = stage.client("shm");
    let child = stage.wait(async { heir(&client, "pass on") });
    let told = stage.wait(child.answers());
    assert_eq!(told, ["invalid-argument", "connected"]);
}

#[test]
fn nothing_left_or_something_else_is_a_typed_error() {
    let stage = Stage::new();
    let cases = [
        (None, "not-found"),
        (Some("nonsense"), "invalid-argument"),
        (Some("1;0,0,0;local:/nowhere"), "invalid-argument"),
        (Some("1;999999,1,1;local:/nowhere"), "invalid-argument"),
        (Some("1;;tcp://127.0.0.1:1"), "no-broker"),
    ];
    for (said, expected) in cases {
        let mut command = program(None, "heir|try");
        command.env_remove(INHERITED_VARIABLE);
        if let Some(said) = said {
            command.env(INHERITED_VARIABLE, said);
        }
        let child = stage.wait(async { Process::spawn(command).expect("it runs") });
        assert_eq!(stage.wait(child.answers()), [expected], "{said:?}");
    }
}
