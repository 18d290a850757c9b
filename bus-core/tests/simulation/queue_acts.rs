//! What an application does with queues.

use std::time::Duration;

use bus_core::router::{
    AdminAction, Command, ConsumeOptions, ObjectKind, OpenMode, QueueOptions, Ticket,
};
use bus_core::session::ChannelKind;

use crate::acts::{TICKETS_MAX, name};
use crate::client::{Client, Handle, Item, Scene, Sent, What};
use crate::wire::Asked;

fn is_queue(handle: &Handle) -> bool {
    matches!(handle.what, What::Queue) && handle.ready && !handle.released
}

impl Client {
    pub fn open_queue(&mut self, scene: &mut Scene<'_>) {
        if self.has_many(4, |what| matches!(what, What::Queue)) {
            return;
        }
        let (queue, options) = scene.plan.queues[scene.dice.below(scene.plan.queues.len())].clone();
        if scene.dice.chance(10) {
            let dead = name(&format!("{queue}.dead"));
            self.open_named(scene, dead, OpenMode::Open, options);
        } else {
            self.open_named(scene, name(queue), OpenMode::OpenOrCreate, options);
        }
    }

    pub fn open_named(
        &mut self,
        scene: &mut Scene<'_>,
        name: bus_core::Name,
        open: OpenMode,
        options: QueueOptions,
    ) -> Option<u64> {
        self.open(scene, ChannelKind::Queue, What::Queue, |request, channel| Command::OpenQueue {
            request,
            channel,
            name,
            open,
            options,
        })
    }

    pub fn send(&mut self, scene: &mut Scene<'_>) {
        let Some(serial) = self.one(scene, is_queue) else { return };
        if self.tickets.len() > TICKETS_MAX {
            return;
        }
        let channel = self.handles[&serial].channel;
        for _ in 0..scene.dice.between(1, 4) {
            let length = self.length(scene);
            let (number, message) =
                scene.post.make(scene.dice.between(1, scene.plan.types), length);
            if !self.session.can_send(channel, &message) {
                return;
            }
            let no_wait = scene.dice.chance(25);
            let ticket = self.session.send(channel, message, no_wait);
            scene.log.say(|| format!("client {} sends {number} as {ticket}", self.index));
            scene.wire.ask(self.key(), Asked::Message { ticket: Some(ticket), number, channel });
            self.tickets.insert(ticket, Sent { is_call: false });
        }
    }

    /// Takes a send back, or gives a call up.
    pub fn withdraw(&mut self, scene: &mut Scene<'_>, calls: bool) {
        let mut open: Vec<Ticket> = self.tickets.keys().copied().collect();
        open.retain(|ticket| self.tickets[ticket].is_call == calls);
        let Some(ticket) = open.get(scene.dice.below(open.len())).copied() else { return };
        scene.log.say(|| format!("client {} withdraws {ticket}", self.index));
        self.session.withdraw(ticket);
        scene.wire.ask(self.key(), Asked::Withdraw(ticket));
    }

    pub fn receive(&mut self, scene: &mut Scene<'_>) {
        if self.has_many(4, |what| matches!(what, What::Receive { .. })) {
            return;
        }
        let bytes_max = match scene.dice.chance(10) {
            true => scene.dice.between(8, 2 * scene.plan.small as u64),
            false => u64::MAX,
        };
        let options = ConsumeOptions {
            selector: self.selector(scene),
            once: true,
            wait: scene.dice.chance(75),
            auto_ack: scene.dice.chance(20),
            bytes_max,
            ..ConsumeOptions::default()
        };
        self.take_from(scene, options);
    }

    pub fn consume(&mut self, scene: &mut Scene<'_>) {
        if self.has_many(3, |what| matches!(what, What::Consumer { .. })) {
            return;
        }
        let bytes_max = if scene.dice.chance(5) { scene.plan.small as u64 } else { u64::MAX };
        let options = ConsumeOptions {
            selector: self.selector(scene),
            credit: scene.dice.between(1, 6) as u32,
            auto_ack: scene.dice.chance(35),
            bytes_max,
            ..ConsumeOptions::default()
        };
        self.take_from(scene, options);
    }

    fn take_from(&mut self, scene: &mut Scene<'_>, options: ConsumeOptions) {
        let Some(queue) = self.one(scene, is_queue) else { return };
        self.take_from_queue(scene, queue, options);
    }

    pub fn take_from_queue(
        &mut self,
        scene: &mut Scene<'_>,
        serial: u64,
        options: ConsumeOptions,
    ) -> Option<u64> {
        let queue = self.handles[&serial].channel;
        let auto_ack = options.auto_ack;
        let (kind, what) = match options.once {
            true => (ChannelKind::Receive { auto_ack }, What::Receive { queue: serial }),
            false => (ChannelKind::Consumer { auto_ack }, What::Consumer { queue: serial }),
        };
        // A receive asks for no answer.
        let once = options.once;
        self.open(scene, kind, what, |request, channel| {
            let request = if once { 0 } else { request };
            Command::Consume { request, channel, queue, options }
        })
    }

    /// Takes the next delivery of a receive or consumer into its hands.
    pub fn take(&mut self, scene: &mut Scene<'_>) {
        let has_lease = |handle: &Handle| matches!(handle.items.front(), Some(Item::Leased(_)));
        let Some(serial) = self.one(scene, has_lease) else { return };
        let handle = self.handles.get_mut(&serial).expect("chosen just now");
        let Some(Item::Leased(leased)) = handle.items.pop_front() else { return };
        scene.log.say(|| format!("client {} takes {}", self.index, leased.lease));
        self.session.take(handle.channel, leased.serial, leased.lease);
        self.forget_spent();
        scene.wire.take(self.key(), leased.lease);
        if !leased.auto_ack {
            self.hand.push(leased);
        }
    }

    pub fn settle(&mut self, scene: &mut Scene<'_>) {
        if self.hand.is_empty() {
            return;
        }
        let place = scene.dice.below(self.hand.len());
        let (channel, serial) = (self.hand[place].channel, self.hand[place].serial);
        let lease = self.hand[place].lease;
        match scene.dice.below(12) {
            0 | 1 => {
                self.session.note_settled(channel, serial);
                let delay = scene.dice.pick(&[0, 0, 3, 40]);
                let delay = Duration::from_millis(delay);
                self.request(scene, |request| Command::Nack { request, lease, delay });
            }
            2 => {
                self.session.note_settled(channel, serial);
                let reason = "no use".to_owned();
                self.request(scene, |request| Command::Reject { request, lease, reason });
            }
            3 => {
                let by = scene.dice.millis(1, 100);
                self.request(scene, |request| Command::Extend { request, lease, by });
                return;
            }
            _ => return self.ack(scene, place),
        }
        self.hand.swap_remove(place);
    }

    pub fn ack(&mut self, scene: &mut Scene<'_>, place: usize) {
        let leased = self.hand.swap_remove(place);
        let number = self.session.ack(leased.channel, leased.serial, leased.lease);
        self.acks.push(leased.lease);
        assert_eq!(number, self.acks.len() as u64, "acknowledgements count on");
        scene.wire.ask_ack(self.key(), leased.lease);
        scene.log.say(|| format!("client {} acks {}", self.index, leased.lease));
    }

    /// Pauses a consumer, so that what it has not handed out goes back, or wakes it again.
    pub fn change_credit(&mut self, scene: &mut Scene<'_>) {
        let consumer = |handle: &Handle| {
            matches!(handle.what, What::Consumer { .. }) && handle.ready && !handle.released
        };
        let Some(serial) = self.one(scene, consumer) else { return };
        let credit = scene.dice.below(5) as u32;
        self.set_credit(scene, serial, credit);
        if credit > 0 {
            return;
        }
        let handle = self.handles.get_mut(&serial).expect("chosen just now");
        for item in std::mem::take(&mut handle.items) {
            if let Item::Leased(leased) = item {
                self.session.give_back(leased.lease);
            }
        }
    }

    pub fn set_credit(&mut self, scene: &mut Scene<'_>, serial: u64, credit: u32) {
        let channel = self.handles[&serial].channel;
        scene.log.say(|| format!("client {} gives {channel} credit {credit}", self.index));
        let request = self.session.set_credit(channel, credit);
        scene.wire.ask(self.key(), Asked::Request(request));
        self.requests.insert(request, crate::client::Purpose::Other);
    }

    /// Closes a queue that no receiver of this client takes from: those hold it open.
    pub fn close_queue(&mut self, scene: &mut Scene<'_>) {
        let used: Vec<u64> = self
            .handles
            .values()
            .filter_map(|handle| match handle.what {
                What::Receive { queue } | What::Consumer { queue } => Some(queue),
                _ => None,
            })
            .collect();
        let all = self.like(|handle| matches!(handle.what, What::Queue));
        let free: Vec<u64> = all.into_iter().filter(|serial| !used.contains(serial)).collect();
        if let Some(serial) = free.get(scene.dice.below(free.len())) {
            self.close(scene, *serial);
        }
    }

    pub fn administer(&mut self, scene: &mut Scene<'_>) {
        let (queue, _) = scene.plan.queues[scene.dice.below(scene.plan.queues.len())];
        let name = name(queue);
        if scene.dice.chance(40) {
            let Some(serial) = self.one(scene, is_queue) else { return };
            let (queue, selector) = (self.handles[&serial].channel, self.selector(scene));
            let index = scene.dice.below(4) as u64;
            let peek = |request| Command::Peek { request, queue, selector, index };
            self.request(scene, peek);
            return;
        }
        let action =
            scene.dice.pick(&[AdminAction::Purge, AdminAction::Remove, AdminAction::Retire]);
        scene.log.say(|| format!("client {}: {action:?} {name}", self.index));
        let object = ObjectKind::Queue;
        self.request(scene, |request| Command::Admin { request, name, object, action });
    }
}
