//! Single cases of the contract, for a queue that lives elsewhere.
//!
//! Client 0 is at home and has made the queue; 1 and 3 are at the guest, 2 is at home.

use std::time::Duration;

use bus_core::router::{
    AdminAction, BridgeCommand, Command, ConsumeOptions, HostedTell, ObjectKind, OpenMode, Output,
    QueueChange, QueueOptions, SessionEnd,
};
use bus_core::{ErrorKind, Message, MessageType, Selector};

use crate::events::{Event, payload};
use crate::world::{HOME, Place, World, name, open_jobs};

pub fn options() -> QueueOptions {
    QueueOptions { count_max: 3, mode: Some(0o777), ..QueueOptions::default() }
}

pub struct Scene {
    pub world: World,
}

impl Scene {
    pub fn new() -> Scene {
        let mut world = World::new(&options(), None);
        for (who, place) in [(1, Place::Guest), (2, Place::Home), (3, Place::Guest)] {
            world.join(who, place);
            world.tell(who, open_jobs(&options()));
        }
        world.settle();
        world.take_told();
        Scene { world }
    }

    /// A command, carried as far as it goes: what clients are told.
    pub fn tell(&mut self, who: usize, command: Command) -> Vec<String> {
        self.world.tell(who, command);
        self.seen()
    }

    pub fn seen(&mut self) -> Vec<String> {
        self.world.settle();
        let told = crate::told::events(self.world.take_told());
        told.into_iter().map(sentence).collect()
    }

    pub fn send(&mut self, who: usize, kind: u64, number: u64, no_wait: bool) -> Vec<String> {
        let kind = MessageType::new(kind).expect("a type");
        let message = Message::new(kind, payload(number, 8));
        self.tell(who, Command::Send { channel: 0, ticket: number, message, no_wait })
    }

    fn consume(&mut self, who: usize, channel: u32, options: ConsumeOptions) -> Vec<String> {
        self.tell(who, Command::Consume { request: 0, channel, queue: 0, options })
    }

    pub fn receive(&mut self, who: usize, channel: u32, wait: bool) -> Vec<String> {
        self.consume(who, channel, ConsumeOptions { once: true, wait, ..Default::default() })
    }

    fn ack(&mut self, who: usize, lease: u64) -> Vec<String> {
        self.tell(who, Command::Ack { first: lease, count: 1 })
    }

    /// Time passes.
    pub fn tick(&mut self, time: Duration) -> Vec<String> {
        let until = self.world.now.after(time);
        while let Some(at) = self.world.next_deadline().filter(|at| *at <= until) {
            let at = at.max(self.world.now);
            self.world.advance(at);
            self.world.settle();
        }
        self.world.now = until;
        self.seen()
    }
}

fn sentence(event: Event) -> String {
    match event {
        Event::Lease(it) => {
            let again = if it.attempt > 0 { format!(" again {}", it.attempt) } else { "".into() };
            format!("{} got {} on {} as {}{again}", it.slot, it.message, it.channel, it.lease)
        }
        Event::Accepted { slot, ticket } => format!("{slot} accepted {ticket}"),
        Event::Failed { slot, ticket, kind } => format!("{slot} failed {ticket} {kind:?}"),
        Event::Settled { slot, lease } => format!("{slot} settled {lease}"),
        Event::Unsettled { slot, lease, kind } => format!("{slot} unsettled {lease} {kind:?}"),
        Event::Ended { slot, channel, kind } => format!("{slot} ended {channel} {kind:?}"),
        Event::Recall { slot, lease } => format!("{slot} recalled {lease}"),
        Event::Done { slot, request } => format!("{slot} done {request}"),
        Event::Refused { slot, request, kind } => format!("{slot} refused {request} {kind:?}"),
        Event::Other { slot, text } => {
            format!("{slot} {}", text.split([' ', '(']).next().unwrap_or_default())
        }
    }
}

fn upto(limit: u64, credit: u32) -> ConsumeOptions {
    let selector = Selector::Upto(MessageType::new(limit).expect("a type"));
    ConsumeOptions { selector, credit, ..ConsumeOptions::default() }
}

#[test]
fn receiver_takes_the_lowest_type_upto_its_limit_from_the_whole_queue() {
    let mut scene = Scene::new();
    scene.send(0, 7, 1, false);
    scene.send(1, 5, 2, false);
    scene.send(2, 3, 3, false);
    let got = ["1 got 3 on 5 as 1", "1 got 2 on 5 as 2"];
    assert_eq!(scene.consume(1, 5, upto(5, 3)), got);
    assert_eq!(scene.receive(2, 6, true), ["2 got 1 on 6 as 1"]);
}

#[test]
fn what_a_lost_receiver_had_is_back_at_its_old_place() {
    let mut scene = Scene::new();
    (1..=3).for_each(|number| drop(scene.send(0, 1, number, false)));
    assert_eq!(scene.receive(1, 5, true), ["1 got 1 on 5 as 1"]);
    scene.tell(1, Command::Taken { channel: 5, lease: 1 });
    scene.world.end(1, SessionEnd::Lost);
    scene.seen();
    assert_eq!(scene.receive(2, 6, true), ["2 got 1 on 6 as 1 again 1"]);
    assert_eq!(scene.receive(2, 7, true), ["2 got 2 on 7 as 2"]);
}

#[test]
fn what_is_out_when_the_bridge_is_lost_is_back_at_its_old_place() {
    for trouble in [0, 1, 2] {
        let mut scene = Scene::new();
        (1..=3).for_each(|number| drop(scene.send(0, 1, number, false)));
        assert_eq!(scene.consume(1, 5, upto(5, 2)).len(), 2);
        scene.tell(1, Command::Close { request: 0, channel: 5 });
        match trouble {
            0 => scene.world.lose(Place::Home),
            1 => scene.world.lose(Place::Guest),
            _ => scene.world.restart_bridge(),
        }
        scene.seen();
        assert_eq!(scene.receive(2, 6, true), ["2 got 1 on 6 as 1"], "trouble {trouble}");
        // The old holder's word comes too late.
        assert_eq!(scene.ack(1, 1), ["1 unsettled 1 StaleLease"]);
    }
}

#[test]
fn acknowledgement_is_answered_when_home_has_it() {
    let mut scene = Scene::new();
    scene.send(0, 1, 1, false);
    scene.receive(1, 5, true);
    scene.world.cut(Place::Home, false);
    assert_eq!(scene.ack(1, 1), [""; 0]);
    scene.world.resume(Place::Home);
    assert_eq!(scene.seen(), ["1 settled 1"]);
}

#[test]
fn acknowledgement_whose_answer_is_lost_is_unknown() {
    let mut scene = Scene::new();
    scene.send(0, 1, 1, false);
    scene.receive(1, 5, true);
    scene.world.cut(Place::Home, false);
    scene.ack(1, 1);
    scene.world.lose(Place::Home);
    assert_eq!(scene.seen(), ["1 unsettled 1 OutcomeUnknown"]);
}

#[test]
fn who_waits_survives_an_outage_and_who_does_not_is_told() {
    for side in [Place::Home, Place::Guest] {
        let mut scene = Scene::new();
        scene.consume(1, 5, upto(5, 1));
        scene.world.cut(side, true);
        assert_eq!(scene.receive(3, 6, false), ["3 ended 6 Unreachable"]);
        assert_eq!(scene.send(3, 1, 1, true), ["3 failed 1 Unreachable"]);
        assert_eq!(scene.send(3, 1, 2, false), [""; 0]);
        scene.world.lose(side);
        assert_eq!(scene.seen(), ["1 got 2 on 5 as 1", "3 accepted 2"]);
    }
}

#[test]
fn send_that_home_was_handed_is_unknown_when_home_is_lost() {
    let mut scene = Scene::new();
    (1..=3).for_each(|number| drop(scene.send(0, 1, number, false)));
    assert_eq!(scene.send(1, 1, 4, false), [""; 0]);
    scene.world.lose(Place::Home);
    assert_eq!(scene.seen(), ["1 failed 4 OutcomeUnknown"]);
}

#[test]
fn blocked_send_is_withdrawn_and_taken_by_whoever_waits() {
    let mut scene = Scene::new();
    (1..=3).for_each(|number| drop(scene.send(0, 1, number, false)));
    assert_eq!(scene.send(1, 2, 4, true), ["1 failed 4 QueueFull"]);
    scene.send(1, 2, 5, false);
    assert_eq!(scene.tell(1, Command::Withdraw { ticket: 5 }), ["1 failed 5 Withdrawn"]);
    // A message for a receiver that waits needs no room.
    scene.send(1, 2, 6, false);
    let selector = Selector::Eq(MessageType::new(2).expect("a type"));
    let once = ConsumeOptions { selector, once: true, ..ConsumeOptions::default() };
    assert_eq!(scene.consume(3, 5, once), ["3 got 6 on 5 as 1", "1 accepted 6"]);
}

#[test]
fn queue_that_nobody_hosts_any_more_is_given_up() {
    let mut scene = Scene::new();
    scene.receive(1, 5, true);
    let now = scene.world.now;
    scene.world.guest_line.lose(&mut scene.world.guest, now);
    assert_eq!(scene.send(3, 1, 1, false), [""; 0]);
    assert_eq!(scene.tick(Duration::from_secs(59)), [""; 0]);
    let told = ["1 ended 5 Unreachable", "3 failed 1 Unreachable"];
    assert_eq!(scene.tick(Duration::from_secs(2)), told);
}

#[test]
fn queue_that_is_removed_at_home_is_removed_here() {
    let mut scene = Scene::new();
    scene.receive(1, 5, true);
    let remove = Command::Admin {
        request: 0,
        name: name("jobs"),
        object: ObjectKind::Queue,
        action: AdminAction::Remove,
    };
    assert_eq!(scene.tell(0, remove), ["1 ended 5 Removed"]);
    // An old handle never reaches a new queue of the same name.
    scene.tell(0, Command::Close { request: 0, channel: 0 });
    scene.tell(0, open_jobs(&options()));
    scene.tick(Duration::from_secs(3));
    assert_eq!(scene.send(1, 1, 1, false), ["1 failed 1 Removed"]);
    scene.tell(1, Command::Close { request: 0, channel: 0 });
    scene.tell(1, open_jobs(&options()));
    assert_eq!(scene.send(1, 1, 2, false), ["1 accepted 2"]);
}

#[test]
fn queue_that_is_removed_at_home_is_removed_here_also_if_nobody_uses_it() {
    let mut scene = Scene::new();
    let (request, object, action) = (0, ObjectKind::Queue, AdminAction::Remove);
    scene.tell(0, Command::Admin { request, name: name("jobs"), object, action });
    scene.tell(0, Command::Close { request: 0, channel: 0 });
    scene.tell(0, open_jobs(&options()));
    // There is a new one soon, and whoever comes then has that one.
    scene.tick(Duration::from_secs(1));
    scene.tell(3, Command::Close { request: 0, channel: 0 });
    scene.tell(3, open_jobs(&options()));
    assert_eq!(scene.send(3, 1, 1, false), ["3 accepted 1"]);
}

#[test]
fn queue_is_administered_where_it_lives() {
    let mut scene = Scene::new();
    let admin = |action| Command::Admin {
        request: 9,
        name: name("jobs"),
        object: ObjectKind::Queue,
        action,
    };
    for action in [AdminAction::Purge, AdminAction::Retire, AdminAction::Remove] {
        assert_eq!(scene.tell(1, admin(action)), ["1 refused 9 Unsupported"]);
    }
    let change = QueueChange { count_max: Some(1), ..QueueChange::default() };
    let set = Command::SetQueue { request: 9, name: name("jobs"), change };
    assert_eq!(scene.tell(1, set), ["1 refused 9 Unsupported"]);
}

#[test]
fn message_is_looked_at_and_stays() {
    let mut scene = Scene::new();
    scene.send(0, 1, 1, false);
    let (selector, queue) = (Selector::Any, 0);
    let peek = |index| Command::Peek { request: 9, queue, selector, index };
    scene.world.tell(1, peek(0));
    scene.world.settle();
    let told = scene.world.take_told();
    assert!(matches!(told[..], [(1, Output::Reply { result: Ok(_), .. })]), "{told:?}");
    assert_eq!(scene.tell(1, peek(1)), ["1 refused 9 Empty"]);
    assert_eq!(scene.receive(2, 6, true), ["2 got 1 on 6 as 1"]);
}

/// A queue is not hosted where it comes from, nor beside one of its name.
#[test]
fn loops_and_names_that_are_taken_are_refused() {
    let mut scene = Scene::new();
    let host = |name, hops| {
        let (request, channel, mode) = (9, 9, None);
        Command::Bridge(BridgeCommand::HostQueue { request, channel, name, mode, hops })
    };
    let mut refused = |place, name, hops| {
        let line = match place {
            Place::Home => scene.world.home_line.session,
            Place::Guest => scene.world.guest_line.session,
        };
        let now = scene.world.now;
        let router = scene.world.router(place);
        router.handle(now, line, host(name, hops));
        let told = router.take_effects(Vec::new());
        let replies = told.into_iter().filter_map(|effect| match effect.output {
            Output::Reply { result, .. } => result.err().map(|failure| failure.kind()),
            _ => None,
        });
        replies.last()
    };
    assert_eq!(refused(Place::Home, name("again"), vec![HOME, 0xb]), Some(ErrorKind::Loop));
    assert_eq!(refused(Place::Home, name("jobs"), vec![0xc]), Some(ErrorKind::AlreadyExists));
    assert_eq!(refused(Place::Guest, name("jobs"), vec![0xc]), Some(ErrorKind::AlreadyExists));
    let far = (1..=17).map(|hop| hop << 8).collect();
    assert_eq!(refused(Place::Guest, name("far"), far), Some(ErrorKind::QuotaExceeded));
}

/// What is hosted may be hosted further on; the way is told.
#[test]
fn home_tells_the_way() {
    let mut scene = Scene::new();
    let (request, channel, open) = (9, 9, OpenMode::Open);
    let open = BridgeCommand::OpenHome { request, channel, name: name("jobs"), open };
    let (now, session) = (scene.world.now, scene.world.guest_line.session);
    scene.world.guest.handle(now, session, Command::Bridge(open));
    let told = scene.world.guest.take_effects(Vec::new()).pop().expect("an answer").output;
    let text = format!("{told:?}");
    assert!(text.contains(&format!("hops: [{HOME}, {}]", 0xb)), "{text}");
}

/// Sends go within a window; a long message goes alone.
#[test]
fn sends_beyond_the_window_wait_their_turn() {
    let mut scene = Scene::new();
    let (name, change) =
        (name("jobs"), QueueChange { count_max: Some(1000), ..Default::default() });
    scene.tell(0, Command::SetQueue { request: 0, name, change });
    scene.world.cut(Place::Home, false);
    // The host has not said so yet: what is sent goes out.
    let channel = guest_channel(&scene);
    let up = BridgeCommand::Hosted { channel, tell: HostedTell::Reach { up: true, hops: vec![] } };
    let (now, session) = (scene.world.now, scene.world.guest_line.session);
    scene.world.settle();
    scene.world.guest.handle(now, session, Command::Bridge(up));
    let long = || Message::new(MessageType::ONE, payload(7, 60_000));
    for ticket in 1..=40 {
        let (message, no_wait) = (long(), false);
        scene.world.tell(1, Command::Send { channel: 0, ticket, message, no_wait });
    }
    assert_eq!(scene.send(3, 1, 41, true), ["3 failed 41 QueueFull"]);
    let offer = Command::Offer {
        channel: 0,
        ticket: 42,
        kind: MessageType::ONE,
        length: 3 << 20,
        no_wait: false,
    };
    assert_eq!(scene.tell(3, offer), [""; 0]);
    scene.world.resume(Place::Home);
    let told = scene.seen();
    assert_eq!(told.len(), 41, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("3 Grant"));
    let message = Message::new(MessageType::ONE, payload(42, 3 << 20));
    assert_eq!(scene.tell(3, Command::Granted { ticket: 42, message }), ["3 accepted 42"]);
}

/// The channel on which the queue is hosted: the first that the bridge has opened.
fn guest_channel(_: &Scene) -> u32 {
    0
}
