//! What an application does of its own: one act at a time, by the dice.
//!
//! Topics and services; queues are in `queue_acts`.

use std::time::Duration;

use bus_core::router::{Command, SlowPolicy, SubscribeOptions, TopicOptions};
use bus_core::session::ChannelKind;
use bus_core::{GroupName, Name, Pattern, Selector, window_charge};

use crate::client::{Client, Handle, Item, Reader, Scene, Sent, What};
use crate::plan::Act;
use crate::wire::Asked;

/// Tickets without verdict beyond which a client asks for no more: it would only be slow.
pub const TICKETS_MAX: usize = 60;

/// A name that is well formed.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("a well formed name")
}

impl Client {
    /// Does one thing.
    pub fn act(&mut self, scene: &mut Scene<'_>, act: Act) {
        match act {
            Act::OpenQueue => self.open_queue(scene),
            Act::Send => self.send(scene),
            Act::Withdraw => self.withdraw(scene, false),
            Act::Receive => self.receive(scene),
            Act::CancelReceive => {
                self.close_one(scene, |what| matches!(what, What::Receive { .. }));
            }
            Act::Take => self.take(scene),
            Act::Settle => self.settle(scene),
            Act::Consume => self.consume(scene),
            Act::Credit => self.change_credit(scene),
            Act::CloseConsumer => {
                self.close_one(scene, |what| matches!(what, What::Consumer { .. }));
            }
            Act::CloseQueue => self.close_queue(scene),
            Act::OpenPublisher => self.open_publisher(scene),
            Act::Publish => self.publish(scene),
            Act::ClosePublisher => self.close_one(scene, |what| matches!(what, What::Publisher)),
            Act::Subscribe => self.subscribe(scene),
            Act::Read => self.read(scene),
            Act::Unsubscribe => self.close_one(scene, |what| matches!(what, What::Sub(_))),
            Act::OpenService => self.open_service(scene),
            Act::Call => self.call(scene),
            Act::GiveUpCall => self.withdraw(scene, true),
            Act::Serve => self.serve(scene),
            Act::Answer => self.answer_one(scene),
            Act::StopServing => self.close_one(scene, |what| matches!(what, What::Server)),
            Act::Administer => self.administer(scene),
            Act::Ping => self.ping(scene),
        }
    }

    /// The handles that are like this.
    pub fn like(&self, like: impl Fn(&Handle) -> bool) -> Vec<u64> {
        self.handles.iter().filter(|(_, handle)| like(handle)).map(|(serial, _)| *serial).collect()
    }

    /// One of the handles that are like this.
    pub fn one(&self, scene: &mut Scene<'_>, like: impl Fn(&Handle) -> bool) -> Option<u64> {
        let all = self.like(like);
        all.get(scene.dice.below(all.len())).copied()
    }

    /// Whether it has so many handles like this that another one would only be slow.
    pub fn has_many(&self, many: usize, like: impl Fn(&What) -> bool) -> bool {
        self.handles.values().filter(|handle| like(&handle.what)).count() >= many
    }

    fn close_one(&mut self, scene: &mut Scene<'_>, like: impl Fn(&What) -> bool) {
        if let Some(serial) = self.one(scene, |handle| like(&handle.what)) {
            self.close(scene, serial);
        }
    }

    pub fn length(&self, scene: &mut Scene<'_>) -> usize {
        let longest = if scene.dice.chance(80) { scene.plan.small } else { scene.plan.large };
        scene.dice.below(longest)
    }

    pub fn selector(&self, scene: &mut Scene<'_>) -> Selector {
        let kind = scene.dice.between(1, scene.plan.types);
        let kind = bus_core::MessageType::new(kind).expect("types begin with 1");
        match scene.dice.below(5) {
            0 | 1 => Selector::Any,
            2 => Selector::Eq(kind),
            3 => Selector::Upto(kind),
            _ => Selector::Except(kind),
        }
    }

    fn open_publisher(&mut self, scene: &mut Scene<'_>) {
        if self.has_many(3, |what| matches!(what, What::Publisher)) {
            return;
        }
        let topic = name(scene.dice.pick(&scene.plan.topics));
        let hold = scene.dice.millis(1, 60);
        let options = TopicOptions { hold, keep_last: scene.dice.chance(30), mode: None };
        self.open(scene, ChannelKind::Publisher, What::Publisher, |request, channel| {
            Command::OpenPublisher { request, channel, topic, options, exclusive: false }
        });
    }

    fn publish(&mut self, scene: &mut Scene<'_>) {
        let publisher = |handle: &Handle| {
            matches!(handle.what, What::Publisher) && handle.ready && !handle.released
        };
        let Some(serial) = self.one(scene, publisher) else { return };
        let channel = self.handles[&serial].channel;
        for _ in 0..scene.dice.between(1, 6) {
            let length = self.length(scene);
            // The longest header that the post office adds.
            if !self.session.can_publish(channel, length.max(8) + 40) {
                return;
            }
            let (number, message) =
                scene.post.make(scene.dice.between(1, scene.plan.types), length);
            let receipt = scene.dice.chance(30);
            let ticket = self.session.publish(channel, &message, receipt);
            scene.log.say(|| format!("client {} publishes {number} on {channel}", self.index));
            scene.wire.ask(self.key(), Asked::Message { ticket, number, channel });
            if let Some(ticket) = ticket {
                self.tickets.insert(ticket, Sent { is_call: false });
            }
        }
    }

    /// Asks for an answer of the broker, or of a publisher.
    fn ping(&mut self, scene: &mut Scene<'_>) {
        self.session.ping(1);
        let publisher = |handle: &Handle| {
            matches!(handle.what, What::Publisher) && handle.ready && !handle.released
        };
        if let Some(serial) = self.one(scene, publisher) {
            let channel = self.handles[&serial].channel;
            self.request(scene, |request| Command::Flush { request, channel });
        }
    }

    fn subscribe(&mut self, scene: &mut Scene<'_>) {
        if self.has_many(3, |what| matches!(what, What::Sub(_))) {
            return;
        }
        let text = match scene.dice.below(3) {
            0 => "t.>",
            _ => scene.dice.pick(&scene.plan.topics),
        };
        let pattern = Pattern::new(text).expect("a well formed pattern");
        let grouped = scene.dice.chance(15);
        let window_bytes = scene.dice.pick(&[4096, 20_000, 1 << 20]);
        let selector = if grouped { Selector::Any } else { self.selector(scene) };
        let policy = scene.dice.pick(&[
            SlowPolicy::Auto,
            SlowPolicy::Hold,
            SlowPolicy::DropOldest,
            SlowPolicy::DropOldest,
            SlowPolicy::End,
        ]);
        // Members of a group agree on its policy.
        let group = grouped.then(|| GroupName::new(&format!("{policy:?}")).expect("one token"));
        let options = SubscribeOptions {
            selector,
            policy,
            window_bytes,
            backlog_bytes: scene.dice.pick(&[0, 500, 5000, 1 << 20]),
            group,
        };
        let what = What::Sub(Reader { window: window_bytes, ..Reader::default() });
        self.open(scene, ChannelKind::Subscription, what, |request, channel| Command::Subscribe {
            request,
            channel,
            pattern,
            options,
        });
    }

    /// Reads some of what has come for a subscription, and says so as the real client does.
    pub fn read(&mut self, scene: &mut Scene<'_>) {
        let has_run = |handle: &Handle| matches!(handle.items.front(), Some(Item::Run { .. }));
        let Some(serial) = self.one(scene, has_run) else { return };
        let key = self.key();
        let handle = self.handles.get_mut(&serial).expect("chosen just now");
        for _ in 0..scene.dice.between(1, 8) {
            let Some(Item::Run { run, old, .. }) = handle.items.front_mut() else { break };
            let What::Sub(reader) = &mut handle.what else { break };
            match run.next_message() {
                Some(next) => {
                    let (_, message) = next.expect("a whole message");
                    let charge = window_charge(message.len(), reader.window);
                    if !*old {
                        reader.consumed += charge;
                        reader.unread -= charge;
                    }
                }
                None => drop(handle.items.pop_front()),
            }
        }
        let What::Sub(reader) = &mut handle.what else { return };
        if !handle.released && reader.consumed - reader.reported >= reader.window / 4 {
            reader.reported = reader.consumed;
            let (channel, bytes) = (handle.channel, reader.consumed);
            self.session.consumed(channel, bytes);
            scene.wire.ask(key, Asked::Consumed { channel, bytes });
        }
        self.forget_spent();
    }

    fn open_service(&mut self, scene: &mut Scene<'_>) {
        if self.has_many(2, |what| matches!(what, What::Caller)) {
            return;
        }
        let service = name(scene.dice.pick(&scene.plan.services));
        self.open(scene, ChannelKind::Caller, What::Caller, |request, channel| {
            Command::OpenService { request, channel, name: service }
        });
    }

    fn call(&mut self, scene: &mut Scene<'_>) {
        let caller = |handle: &Handle| {
            matches!(handle.what, What::Caller) && handle.ready && !handle.released
        };
        let Some(serial) = self.one(scene, caller) else { return };
        if self.tickets.len() > TICKETS_MAX {
            return;
        }
        let channel = self.handles[&serial].channel;
        let length = self.length(scene);
        let (number, message) = scene.post.make(1, length);
        let timeout = scene.dice.pick(&[0, 1, 20, 200, 3000]);
        let ticket = self.session.call(channel, &message, Duration::from_millis(timeout));
        scene.log.say(|| format!("client {} calls {ticket} with {number}", self.index));
        scene.wire.ask(self.key(), Asked::Message { ticket: Some(ticket), number, channel });
        self.tickets.insert(ticket, Sent { is_call: true });
    }

    fn serve(&mut self, scene: &mut Scene<'_>) {
        if self.has_many(2, |what| matches!(what, What::Server)) {
            return;
        }
        let service = name(scene.dice.pick(&scene.plan.services));
        let credit = scene.dice.between(1, 3) as u32;
        self.open(scene, ChannelKind::Server, What::Server, |request, channel| Command::Serve {
            request,
            channel,
            name: service,
            credit,
            mode: None,
        });
    }

    /// Takes a call, or answers one that it has taken.
    pub fn answer_one(&mut self, scene: &mut Scene<'_>) {
        let called = |handle: &Handle| matches!(handle.items.front(), Some(Item::Call(_)));
        if let Some(serial) = self.one(scene, called) {
            let handle = self.handles.get_mut(&serial).expect("chosen just now");
            if let Some(Item::Call(call)) = handle.items.pop_front() {
                self.serving.push(call);
            }
        }
        if self.serving.is_empty() || scene.dice.chance(30) {
            return;
        }
        let call = self.serving.swap_remove(scene.dice.below(self.serving.len()));
        let length = self.length(scene);
        let number = scene.dice.chance(80).then(|| scene.post.make(2, length).0);
        self.answer(scene, call, number);
    }
}
