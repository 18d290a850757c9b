//! What a client hears from its broker, and what it does about it at once.

use bus_core::ErrorKind;
use bus_core::router::{Channel, RequestId};
use bus_core::session::{Event, Leased};
use bus_core::{Run, window_charge};

use crate::client::{Client, Item, Purpose, Scene, What};
use crate::wire::Told;

impl Client {
    /// Something has come from the broker.
    pub fn hear(&mut self, scene: &mut Scene<'_>, event: Event) {
        scene.log.say(|| format!("client {} hears {event:?}", self.index));
        match event {
            Event::Reply { request, result } => {
                self.told(scene, &[Told::Reply { request, good: result.is_ok() }]);
                self.on_reply(request, result.is_ok());
            }
            Event::Run { run, origins } => self.on_run(scene, run, origins),
            Event::Lease(leased) => self.on_lease(scene, leased),
            Event::Accepted { first, count } => {
                for ticket in first..first + u64::from(count) {
                    scene.wire.hear_accepted(self.key(), ticket);
                    self.finish(ticket, false);
                }
            }
            Event::Failed { ticket, failure } => {
                self.told(scene, &[Told::Failed { ticket, kind: failure.kind() }]);
                self.finish(ticket, true);
            }
            Event::Result { ticket, message } => {
                let number = scene.post.number(&message);
                self.told(scene, &[Told::Result { ticket, number }]);
                self.finish(ticket, true);
            }
            Event::Settled { answered, .. } => {
                while self.acks_answered < answered {
                    self.on_answer(scene, true);
                }
            }
            Event::Unsettled { number, lease, .. } => {
                assert_eq!(number, self.acks_answered + 1, "answers come in order");
                let own = self.acks.get(number as usize - 1);
                assert_eq!(own, Some(&lease), "client {}: answer {number}", self.index);
                self.on_answer(scene, false);
            }
            Event::Granted => self.told(scene, &[Told::Grant]),
            Event::Credit { channel } => self.told(scene, &[Told::Credit { channel }]),
            Event::Lost { channel, count, .. } => self.on_lost(scene, channel, count),
            Event::Invoke { channel, call, origin, message, .. } => {
                let number = scene.post.number(&message);
                let from = origin.sender.session;
                self.told(scene, &[Told::Invoke { channel, call, number, from }]);
                // Nobody serves any more: the broker knows, or will when the close has come.
                let handle = self.on_channel(channel).into_iter();
                handle.for_each(|handle| handle.items.push_back(Item::Call(call)));
            }
            Event::Ended { channel, failure } => self.on_ended(scene, channel, failure.kind()),
            Event::Recall { lease } => self.on_recall(scene, lease),
            Event::LeaseParcel(_) => unreachable!("frames are routed one by one here"),
            Event::Relay { .. }
            | Event::Wanted { .. }
            | Event::GivenUp { .. }
            | Event::HomeWay { .. }
            | Event::Matching { .. }
            | Event::Hosted { .. } => panic!("nobody bridges or asks who listens"),
            Event::Pong { .. } => self.pongs += 1,
            Event::Refused { failure } => panic!("client {}: {failure}", self.index),
        }
    }

    fn on_lost(&mut self, scene: &mut Scene<'_>, channel: Channel, count: u64) {
        self.told(scene, &[Told::Lost { channel, count }]);
    }

    fn told(&mut self, scene: &mut Scene<'_>, told: &[Told]) {
        scene.wire.hear(self.key(), told, |channel| self.is_open(channel));
    }

    /// A ticket has its one verdict.
    fn finish(&mut self, ticket: u64, may_be_call: bool) {
        let Some(sent) = self.tickets.remove(&ticket) else {
            panic!("client {}: ticket {ticket} has a verdict too many", self.index);
        };
        assert!(may_be_call || !sent.is_call, "call {ticket} is accepted");
    }

    fn on_answer(&mut self, scene: &mut Scene<'_>, good: bool) {
        let lease = self.acks.get(self.acks_answered as usize);
        let lease = *lease.unwrap_or_else(|| panic!("client {}: an answer too many", self.index));
        self.acks_answered += 1;
        scene.wire.hear_answer(self.key(), lease, good);
    }

    fn on_reply(&mut self, request: RequestId, good: bool) {
        let Some(Purpose::Open(serial)) = self.requests.remove(&request) else { return };
        match self.handles.get_mut(&serial) {
            Some(handle) if good => handle.ready = true,
            _ => drop(self.handles.remove(&serial)),
        }
    }

    fn on_lease(&mut self, scene: &mut Scene<'_>, leased: Leased) {
        let told = Told::Lease {
            channel: leased.channel,
            lease: leased.lease,
            attempt: leased.attempt,
            number: scene.post.number_of_any(&leased.message),
            from: leased.origin.sender.session,
        };
        self.told(scene, &[told]);
        match self.handles.get_mut(&leased.serial) {
            Some(handle) => {
                handle.released |= matches!(handle.what, What::Receive { .. });
                handle.items.push_back(Item::Leased(leased));
            }
            None => panic!("client {}: lease {} for nobody", self.index, leased.lease),
        }
    }

    fn on_run(
        &mut self,
        scene: &mut Scene<'_>,
        run: Run,
        origins: Vec<(u32, std::sync::Arc<bus_core::session::Origin>)>,
    ) {
        let channel = run.channel;
        let Some(handle) = self.on_channel(channel) else {
            panic!("client {}: a run for nobody", self.index);
        };
        let What::Sub(reader) = &handle.what else { panic!("a run for {:?}", handle.what) };
        let mut reader = reader.clone();
        // An application that has read all has seen the last source; else this is not known.
        let mut origin = reader.origin.clone();
        let mut rest = run.clone();
        let mut told = Vec::new();
        while let Some(next) = rest.next_message() {
            let (header, message) = next.expect("a whole message");
            if header.origin != 0 {
                let found = origins.iter().find(|(number, _)| *number == header.origin);
                origin = found.expect("a named source").1.clone();
            }
            reader.unread += window_charge(message.len(), reader.window);
            told.push(Told::Deliver {
                channel,
                number: scene.post.number(&message),
                from: origin.sender.session,
                topic: origin.topic.as_ref().map(ToString::to_string).unwrap_or_default(),
            });
        }
        let unread = reader.unread;
        assert!(unread <= reader.window, "client {}: {unread} bytes unread", self.index);
        reader.origin = origin;
        handle.what = What::Sub(reader);
        handle.items.push_back(Item::Run { run, old: false });
        for told in told {
            self.told(scene, &[told]);
        }
    }

    fn on_ended(&mut self, scene: &mut Scene<'_>, channel: Channel, kind: ErrorKind) {
        // What could not be opened again after a restart has ended as well.
        let reopening = Told::Reply { request: RequestId::MAX - channel, good: false };
        self.told(scene, &[Told::Ended { channel, kind }, reopening]);
        if let Some(handle) = self.on_channel(channel) {
            handle.released = true;
        }
        self.forget_spent();
    }

    /// Gives a prefetched delivery back, unless the application has it.
    fn on_recall(&mut self, scene: &mut Scene<'_>, lease: u64) {
        self.told(scene, &[Told::Recall { lease }]);
        let is_it = |item: &Item| matches!(item, Item::Leased(leased) if leased.lease == lease);
        for handle in self.handles.values_mut() {
            if let Some(place) = handle.items.iter().position(is_it) {
                handle.items.remove(place);
                return self.session.give_back(lease);
            }
        }
        self.session.keep(lease);
    }
}
