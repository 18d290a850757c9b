//! The end of a run: trouble stops, and whatever can finish must have finished.
//!
//! Then a sweeper takes what is left in the queues, everybody leaves, and nothing of them may
//! be left.

use bus_core::router::{ConsumeOptions, OpenMode, QueueOptions};
use bus_core::{Name, Time};

use crate::client::{Client, Handle, Item, Scene, What};
use crate::mood::Mood;
use crate::world::World;

impl Client {
    /// Whether it has something to finish.
    pub fn has_work(&self) -> bool {
        if self.leaving || self.key.is_none() {
            return false;
        }
        let waits = |handle: &Handle| !handle.items.is_empty();
        !self.hand.is_empty() || !self.serving.is_empty() || self.handles.values().any(waits)
    }

    /// Takes, acknowledges, reads and answers what has come.
    pub fn finish_something(&mut self, scene: &mut Scene<'_>) {
        while !self.hand.is_empty() {
            self.ack(scene, 0);
        }
        let item = |handle: &Handle| handle.items.front().cloned();
        let fronts: Vec<Item> = self.handles.values().filter_map(item).collect();
        for front in fronts {
            match front {
                Item::Leased(_) => self.take(scene),
                Item::Run { .. } => self.read(scene),
                Item::Call(_) => self.answer_one(scene),
            }
        }
        if !self.serving.is_empty() {
            self.answer_one(scene);
        }
    }

    /// Opens a queue, and takes what is in it.
    fn sweep(&mut self, scene: &mut Scene<'_>, queue: Name) {
        let opened = self.open_named(scene, queue, OpenMode::Open, QueueOptions::default());
        let options = ConsumeOptions { credit: 7, ..ConsumeOptions::default() };
        self.take_from_queue(scene, opened.expect("a free channel"), options);
    }

    fn close_all(&mut self, scene: &mut Scene<'_>) {
        let is_queue = |handle: &Handle| matches!(handle.what, What::Queue);
        let (queues, others) = (self.like(is_queue), self.like(|handle| !is_queue(handle)));
        for serial in others.into_iter().chain(queues) {
            self.close(scene, serial);
        }
    }
}

impl World {
    /// Runs the whole of it.
    pub fn run(&mut self) {
        let busy_until = self.plan.busy_until;
        self.run_until(busy_until);
        self.end_trouble();
        // While no application does anything, the bus comes to rest as well.
        self.mood = Mood::Idle;
        self.run_to_rest();
        self.broker.ledger.check_nobody_hoards();
        self.mood = Mood::Finishing;
        self.run_to_rest();
        self.check_quiet();
        self.sweep();
        self.part();
    }

    fn present(&self) -> Vec<usize> {
        let here = self.clients.iter().filter(|client| !client.gone);
        here.map(|client| client.index).collect()
    }

    /// All is said and heard, and nobody waits for what is there.
    fn check_quiet(&mut self) {
        self.broker.ledger.check_quiet();
        for index in self.present() {
            let client = &self.clients[index];
            assert!(client.greeted, "client {index} is not connected, and nothing is wrong");
            assert!(client.requests.is_empty(), "client {index}: {:?}", client.requests);
            let key = client.key();
            self.wire.check_silent(key, |channel| client.is_open(channel));
            let numbers = (client.session.inbound.received(), client.session.outbound.last());
            let slots = &self.broker.slots;
            let slot = slots.iter().find(|(id, _)| id.serial() == key.1);
            let state = &slot.expect("the session of a connected client").1.state;
            let others = (state.outbound.last(), state.inbound.received());
            assert_eq!(numbers, others, "client {index}: frames");
        }
    }

    /// Somebody takes everything that is left: nobody waits for room any more.
    fn sweep(&mut self) {
        let index = self.clients.len();
        let sweeper = self.new_client(index, 0);
        self.clients.push(sweeper);
        self.run_to_rest();
        // A lease that is shorter than the way back makes a dead letter now and then.
        while let Some(queue) = self.broker.ledger.some_queue_with_messages() {
            self.with(index, |client, scene| client.sweep(scene, queue));
            self.kick();
            self.run_to_rest();
            self.check_quiet();
            self.with(index, |client, scene| client.close_all(scene));
            self.kick();
            self.run_to_rest();
        }
        for index in self.present() {
            self.with(index, |client, scene| client.close_all(scene));
        }
        self.kick();
        self.run_to_rest();
        for index in self.present() {
            let tickets = &self.clients[index].tickets;
            assert!(tickets.is_empty(), "client {index}: no verdict on {tickets:?}");
        }
        self.check_quiet();
    }

    /// Everybody leaves. What was kept for them was let go when it was confirmed.
    fn part(&mut self) {
        for _ in 0..2 {
            for index in self.present() {
                self.clients[index].session.ping(1);
            }
            self.kick();
            self.run_to_rest();
        }
        for index in self.present() {
            let kept = self.clients[index].session.outbound.kept_bytes();
            assert_eq!(kept, 0, "client {index} keeps bytes that were confirmed");
        }
        for (session, slot) in &self.broker.slots {
            let kept = slot.state.outbound.kept_bytes();
            assert_eq!(kept, 0, "the broker keeps bytes for {session:?} that were confirmed");
        }
        for index in self.present() {
            self.say_goodbye(index);
        }
        self.kick();
        self.run_to_rest();
        assert!(self.present().is_empty(), "clients are left: {:?}", self.present());
        self.broker.ledger.check_deserted();
        assert!(self.broker.slots.is_empty(), "sessions are left at the broker");
        let info = self.broker.router.broker_info();
        assert_eq!((info.sessions, info.services), (0, 0), "sessions and services");
        let next: Option<Time> = self.broker.router.next_deadline();
        assert_eq!(next, None, "a clock is running for nobody");
    }
}
