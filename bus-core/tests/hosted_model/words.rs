//! What clients of the guest are told when the queue cannot be had: by whom, of which broker, over
//! which bridge.

use std::sync::Arc;
use std::time::Duration;

use bus_core::router::{
    AdminAction, BridgeCommand, Command, ConsumeOptions, HostedTell, ObjectKind, Output,
};
use bus_core::{
    ErrorKind, Failure, HOSTED_RETRY, HOSTED_RETRY_FIRST, Message, MessageType, Selector, Sender,
};

use crate::cases::{Scene, options};
use crate::world::{Place, name, open_jobs};

/// What the client was told that failed, with the words.
fn failures(scene: &mut Scene) -> Vec<(usize, Failure)> {
    scene.world.settle();
    let failure = |output| match output {
        Output::Ended { failure, .. }
        | Output::Failed { failure, .. }
        | Output::Reply { result: Err(failure), .. }
        | Output::Unsettled { failure, .. } => Some(failure),
        _ => None,
    };
    let told = scene.world.take_told().into_iter();
    told.filter_map(|(who, output)| Some((who, failure(output)?))).collect()
}

fn send(ticket: u64, no_wait: bool) -> Command {
    Command::Send { channel: 0, ticket, message: Message::from("x"), no_wait }
}

fn receive(channel: u32, wait: bool) -> Command {
    let options = ConsumeOptions { once: true, wait, ..Default::default() };
    Command::Consume { request: 0, channel, queue: 0, options }
}

/// A scene in which names are known.
fn named() -> Scene {
    let mut scene = Scene::new();
    scene.world.carrier.home_called("there", "b", &mut scene.world.guest_line.client);
    scene.world.settle();
    scene
}

fn says(failure: &Failure, parts: &[&str]) {
    for part in parts {
        assert!(failure.text().contains(part), "`{part}` is not in: {failure}");
    }
}

/// The home has no such queue any more.
fn remove_at_home(scene: &mut Scene) {
    // That it is gone is told to who waits.
    scene.receive(1, 5, true);
    let action = AdminAction::Remove;
    let (request, object) = (0, ObjectKind::Queue);
    scene.tell(0, Command::Admin { request, name: name("jobs"), object, action });
    scene.tell(0, Command::Close { request: 0, channel: 0 });
    // The guest asks again, and hosts it all the same.
    scene.tick(Duration::from_secs(3));
    for who in [1, 3] {
        scene.tell(who, Command::Close { request: 0, channel: 0 });
        scene.tell(who, open_jobs(&options()));
    }
}

#[test]
fn queue_that_is_not_there_at_home_is_not_found_by_every_verb_when_home_has_been_asked_again() {
    let mut scene = named();
    remove_at_home(&mut scene);
    let peek = Command::Peek { request: 9, queue: 0, selector: Selector::Any, index: 0 };
    let offer = Command::Offer {
        channel: 0,
        ticket: 3,
        kind: MessageType::ONE,
        length: 1 << 20,
        no_wait: false,
    };
    let consume =
        Command::Consume { request: 8, channel: 7, queue: 0, options: ConsumeOptions::default() };
    // Each verb, and whether it waits.
    let verbs = [
        (send(1, false), true),
        (send(2, true), false),
        (offer, true),
        (receive(5, true), true),
        (receive(6, false), false),
        (consume, true),
        (peek, false),
    ];
    for (verb, waits) in verbs {
        scene.world.tell(1, verb.clone());
        let mut told = failures(&mut scene);
        if waits {
            assert_eq!(told, [], "{verb:?}: there may be one by now");
            let due = scene.world.carrier.next_deadline().expect("home is asked again");
            scene.world.advance(due);
            told = failures(&mut scene);
        }
        let [(1, failure)] = &told[..] else { panic!("{verb:?}: {told:?}") };
        assert_eq!(failure.kind(), ErrorKind::NotFound, "{verb:?}: {failure}");
        says(
            failure,
            &["no queue `jobs`", "at broker `there`, over bridge `b`", "create it there"],
        );
    }
    // Who waits when it comes to be there has it.
    scene.world.tell(1, send(4, false));
    scene.tell(0, open_jobs(&options()));
    scene.tick(HOSTED_RETRY);
    scene.world.tell(1, send(5, true));
    assert_eq!(failures(&mut scene), []);
}

#[test]
fn whoever_waits_is_told_when_the_home_says_that_there_is_no_such_queue() {
    let mut scene = named();
    scene.world.cut(Place::Home, false);
    scene.world.settle();
    scene.world.tell(1, send(1, false));
    scene.world.tell(3, receive(5, true));
    assert_eq!(failures(&mut scene), [], "they wait for the home");
    let channel = 0;
    let failure = Failure::new(ErrorKind::NotFound, "there is no queue `jobs`");
    let tell = HostedTell::Denied { failure };
    tell_guest(&mut scene, BridgeCommand::Hosted { channel, tell });
    let told = failures(&mut scene);
    let kinds: Vec<_> = told.iter().map(|(who, failure)| (*who, failure.kind())).collect();
    assert_eq!(kinds, [(3, ErrorKind::NotFound), (1, ErrorKind::NotFound)]);
    // It is the answer until the home is there again.
    scene.world.resume(Place::Home);
    scene.world.settle();
    scene.world.tell(1, send(2, true));
    assert_eq!(failures(&mut scene), []);
}

#[test]
fn what_is_taken_back_while_the_home_is_away_says_so() {
    let mut scene = named();
    scene.world.cut(Place::Home, false);
    let guest = &mut scene.world.guest_line.client;
    scene.world.carrier.home_away("somebody has\u{7} pulled the plug", guest);
    scene.world.settle();
    scene.world.tell(1, send(1, false));
    scene.world.tell(1, send(2, true));
    let told = failures(&mut scene);
    let [(1, refused)] = &told[..] else { panic!("{told:?}") };
    let words =
        ["broker `there`", "queue `jobs`", "bridge `b`", "cannot be reached", "pulled the plug"];
    assert_eq!(refused.kind(), ErrorKind::Unreachable);
    says(refused, &words);
    assert!(!refused.text().contains('\u{7}'), "a terminal would obey");
    scene.world.tell(1, Command::Withdraw { ticket: 1 });
    let told = failures(&mut scene);
    let [(1, withdrawn)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(withdrawn.kind(), ErrorKind::Withdrawn);
    says(withdrawn, &words);
}

#[test]
fn what_the_home_refuses_says_where() {
    let mut scene = named();
    for ticket in 1..=4 {
        scene.world.tell(1, send(ticket, true));
    }
    let told = failures(&mut scene);
    let [(1, full)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(full.kind(), ErrorKind::QueueFull);
    says(full, &["at broker `there`, over bridge `b`"]);
}

/// The bridge says something to the guest that is not the carrier's.
fn tell_guest(scene: &mut Scene, command: BridgeCommand) {
    let (now, session) = (scene.world.now, scene.world.guest_line.session);
    scene.world.guest.handle(now, session, Command::Bridge(command));
}

#[test]
fn delivery_number_whose_acknowledgement_is_open_is_not_given_again() {
    let mut scene = Scene::new();
    scene.send(0, 1, 1, false);
    assert_eq!(scene.receive(1, 5, true), ["1 got 1 on 5 as 1"]);
    scene.receive(3, 6, true);
    scene.world.tell(1, Command::Ack { first: 1, count: 1 });
    // Before home has answered, a bridge that is wrong gives the number to the other receiver.
    let message = Message::new(MessageType::ONE, crate::events::payload(2, 8));
    let sender = Arc::new(Sender::default());
    let tell = HostedTell::Lease { receiver: 2, lease: 1, attempt: 0, sender, message };
    tell_guest(&mut scene, BridgeCommand::Hosted { channel: 0, tell });
    assert_eq!(scene.seen(), ["1 settled 1"], "it has the number of another delivery");
}

/// When the carrier asks its home again, of so many times.
fn pauses(scene: &mut Scene, count: usize) -> Vec<Duration> {
    let mut pause = || {
        let due = scene.world.carrier.next_deadline().expect("it asks again");
        let after = due.since(scene.world.now);
        scene.tick(after);
        after
    };
    (0..count).map(|_| pause()).collect()
}

#[test]
fn queue_that_is_missing_at_home_is_asked_for_soon_and_then_more_rarely() {
    let mut scene = named();
    remove_at_home(&mut scene);
    let rare = pauses(&mut scene, 8);
    assert!(rare.is_sorted(), "{rare:?}");
    assert_eq!(rare.last(), Some(&HOSTED_RETRY));
    // There is one again, and it goes again.
    scene.tell(0, open_jobs(&options()));
    scene.tick(HOSTED_RETRY);
    assert_eq!(scene.world.carrier.next_deadline(), None, "it is carried");
    scene.receive(1, 5, true);
    let action = AdminAction::Remove;
    let (request, object) = (0, ObjectKind::Queue);
    scene.tell(0, Command::Admin { request, name: name("jobs"), object, action });
    let soon = pauses(&mut scene, 8);
    assert!(soon[0] <= HOSTED_RETRY_FIRST && soon[1] <= 2 * HOSTED_RETRY_FIRST, "{soon:?}");
    assert_eq!(soon.last(), Some(&HOSTED_RETRY), "{soon:?}");
}

#[test]
fn home_that_has_begun_anew_has_time_to_make_its_queue() {
    for made in [true, false] {
        let mut scene = named();
        scene.receive(3, 5, true);
        // It comes back with nothing in its memory.
        scene.world.cut(Place::Home, true);
        let (request, object, action) = (0, ObjectKind::Queue, AdminAction::Remove);
        scene.tell(0, Command::Admin { request, name: name("jobs"), object, action });
        scene.tell(0, Command::Close { request: 0, channel: 0 });
        scene.world.lose(Place::Home);
        assert_eq!(scene.tick(Duration::from_secs(1)), [""; 0], "it may be made yet");
        if made {
            scene.tell(0, open_jobs(&options()));
        }
        let told = scene.tick(HOSTED_RETRY);
        assert_eq!(told, if made { vec![] } else { vec!["3 ended 5 NotFound"] });
    }
}
