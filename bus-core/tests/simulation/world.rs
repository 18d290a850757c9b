//! One broker, its clients, and time: whatever is due next happens next, in one thread.

use std::collections::BTreeMap;

use bus_core::session::{Event, Hello};
use bus_core::transport::frame_bytes;
use bus_core::{Decoder, Header, Incoming, Kind, Time, control};

use crate::broker::{Broker, Bug};
use crate::client::{Client, Scene};
use crate::dice::Dice;
use crate::line::{End, Line};
use crate::log::Log;
use crate::mood::Mood;
use crate::pipe::{Arrival, push, write};
use crate::plan::Plan;
use crate::post::Post;
use crate::wire::Wire;

/// Steps after which everybody has done enough, and those after which there must be rest.
const BUSY_STEPS_MAX: u64 = 25_000;
const STEPS_MAX: u64 = 300_000;

/// Everything there is.
pub struct World {
    pub now: Time,
    pub dice: Dice,
    pub plan: Plan,
    pub post: Post,
    pub wire: Wire,
    pub log: Log,
    pub bug: Option<Bug>,
    pub broker: Broker,
    pub clients: Vec<Client>,
    pub lines: BTreeMap<u64, Line>,
    next_line: u64,
    /// When the next trouble comes.
    pub trouble: Option<Time>,
    pub mood: Mood,
    steps: u64,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Router,
    Up(u64),
    Down(u64),
    FlushUp(u64),
    FlushDown(u64),
    Client(usize),
    Trouble,
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>, log: &Log) -> World {
        let mut dice = Dice::new(seed);
        let plan = Plan::new(&mut dice.split());
        log.say(|| format!("{plan:#?}"));
        let post = Post::default();
        let broker = Broker::new(Time::ZERO, 1, &plan, post.clone(), log, bug);
        let trouble = Some(Time::ZERO.after(dice.within(plan.peace)));
        let mut world = World {
            now: Time::ZERO,
            wire: Wire::new(post.clone()),
            dice,
            post,
            log: log.clone(),
            bug,
            broker,
            clients: Vec::new(),
            lines: BTreeMap::new(),
            next_line: 0,
            trouble,
            mood: Mood::Busy,
            steps: 0,
            plan,
        };
        for index in 0..world.plan.clients {
            let client = world.new_client(index, 0);
            world.clients.push(client);
        }
        world
    }

    pub fn new_client(&mut self, index: usize, process: u64) -> Client {
        let grace = std::time::Duration::from_millis(self.dice.pick(&[0, 20, 200, 700, 700, 5000]));
        let wake = self.now.after(self.dice.within(self.plan.think));
        Client::new(index, process, grace, wake)
    }

    /// Lets happen what happens before this moment, if it is not too much.
    pub fn run_until(&mut self, end: Time) {
        while self.steps < BUSY_STEPS_MAX && self.next().is_some_and(|(at, _)| at <= end) {
            self.step();
        }
    }

    /// Lets happen what happens until nothing is due.
    pub fn run_to_rest(&mut self) {
        while self.next().is_some() {
            self.step();
        }
    }

    /// Lets everybody write who has something to say.
    pub fn kick(&mut self) {
        self.arm();
    }

    /// Lets a client act.
    pub fn with<T>(
        &mut self,
        client: usize,
        act: impl FnOnce(&mut Client, &mut Scene<'_>) -> T,
    ) -> T {
        let mut scene = Scene {
            dice: &mut self.dice,
            wire: &mut self.wire,
            post: &self.post,
            plan: &self.plan,
            log: &self.log,
        };
        act(&mut self.clients[client], &mut scene)
    }

    fn next(&self) -> Option<(Time, Due)> {
        let mut all: Vec<(Time, Due)> = Vec::new();
        all.extend(self.broker.router.next_deadline().map(|at| (at, Due::Router)));
        for (number, line) in &self.lines {
            let of_line = [
                (line.up.next().filter(|_| line.end != End::Closed), Due::Up(*number)),
                (line.down.next().filter(|_| self.listens(*number)), Due::Down(*number)),
                (line.flush_up, Due::FlushUp(*number)),
                (line.flush_down, Due::FlushDown(*number)),
            ];
            all.extend(of_line.into_iter().filter_map(|(at, due)| Some((at?, due))));
        }
        for client in self.clients.iter().filter(|client| !client.gone) {
            let acts = match self.mood {
                Mood::Busy => true,
                Mood::Idle => false,
                Mood::Finishing => client.has_work(),
            };
            if acts || client.line.is_none() {
                all.push((client.wake, Due::Client(client.index)));
            }
        }
        all.extend(self.trouble.map(|at| (at, Due::Trouble)));
        all.into_iter().min().map(|(at, due)| (at.max(self.now), due))
    }

    /// Whether a client listens to this line.
    fn listens(&self, number: u64) -> bool {
        self.lines.get(&number).is_some_and(|line| {
            let client = &self.clients[line.client];
            client.line == Some(number) && client.process == line.process
        })
    }

    fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "it does not come to rest");
        let Some((at, due)) = self.next() else { return };
        self.now = at;
        self.log.at(at);
        match due {
            Due::Router => self.broker.advance(self.now, &mut self.wire),
            Due::Up(line) => self.up(line),
            Due::Down(line) => self.down(line),
            Due::FlushUp(line) => self.flush_up(line),
            Due::FlushDown(line) => self.flush_down(line),
            Due::Client(client) => self.client(client),
            Due::Trouble => self.make_trouble(),
        }
        self.arm();
        let clients = &self.clients;
        self.lines.retain(|number, line| {
            line.end != End::Closed || clients[line.client].line == Some(*number)
        });
    }

    /// Whoever has something to write will write it, now or soon.
    fn arm(&mut self) {
        let World { lines, clients, broker, dice, plan, now, .. } = self;
        for (number, line) in lines.iter_mut() {
            let mut soon = || match dice.chance(50) {
                true => *now,
                false => now.after(dice.within(plan.pace.delay)),
            };
            let client = &clients[line.client];
            let writes = client.line == Some(*number)
                && (!client.prefix.is_empty() || (client.greeted && client.session.wants_write()));
            if writes && line.flush_up.is_none() && line.up.room() > 0 {
                line.flush_up = Some(soon());
            }
            let wants = match line.end {
                End::Session(session) => broker
                    .slots
                    .get(&session)
                    .is_some_and(|slot| slot.line == Some(*number) && slot.state.wants_write()),
                _ => false,
            };
            let writes = wants || !line.prefix.is_empty();
            if writes && line.flush_down.is_none() && line.down.room() > 0 {
                line.flush_down = Some(soon());
            }
        }
    }

    fn flush_up(&mut self, number: u64) {
        let World { lines, clients, dice, now, .. } = self;
        let Some(line) = lines.get_mut(&number) else { return };
        line.flush_up = None;
        let client = &mut clients[line.client];
        if client.line != Some(number) {
            return;
        }
        if !client.prefix.is_empty() {
            return push(&mut line.up, *now, dice, &mut client.prefix);
        }
        if client.greeted {
            client.session.seal();
            write(&mut line.up, *now, dice, &mut client.session.outbound);
        }
        if client.leaving && !client.session.wants_write() {
            line.up.close(*now);
            (client.line, client.gone) = (None, true);
        }
    }

    fn flush_down(&mut self, number: u64) {
        let World { lines, broker, dice, now, .. } = self;
        let Some(line) = lines.get_mut(&number) else { return };
        line.flush_down = None;
        if !line.prefix.is_empty() {
            return push(&mut line.down, *now, dice, &mut line.prefix);
        }
        let End::Session(session) = line.end else { return };
        if let Some(slot) = broker.slots.get_mut(&session).filter(|slot| slot.line == Some(number))
        {
            slot.state.seal();
            write(&mut line.down, *now, dice, &mut slot.state.outbound);
        }
    }

    /// Bytes, or the end, have come to the broker.
    fn up(&mut self, number: u64) {
        let Some(line) = self.lines.get_mut(&number) else { return };
        match line.up.take(self.now) {
            Arrival::Nothing => return,
            Arrival::End => {
                let (end, crashed) = (line.end, line.crashed);
                if line.decoder.pending() > 0 {
                    self.log.count("cut within a frame to the broker");
                }
                line.close_broker_end(self.now);
                if let End::Session(session) = end {
                    self.broker.detach(self.now, session, number, crashed, &mut self.wire);
                }
                return;
            }
            Arrival::Bytes(bytes) => line.decoder.buffer().extend_from_slice(&bytes),
        }
        while let Some(line) = self.lines.get_mut(&number) {
            if line.end == End::Closed {
                return;
            }
            let frame = line.decoder.next_frame();
            let Some(frame) = frame.unwrap_or_else(|error| panic!("to the broker: {error}")) else {
                return;
            };
            match line.end {
                End::Hello => {
                    assert_eq!(frame.header.kind, Kind::Hello, "the first frame");
                    let hello = control::decode_hello(&frame.body).expect("a Hello");
                    line.decoder.establish();
                    self.attach(number, &hello);
                }
                End::Session(session) => {
                    let taken = self.broker.frame(self.now, session, frame, &mut self.wire);
                    let goodbye = taken.unwrap_or_else(|error| panic!("to the broker: {error}"));
                    if goodbye && let Some(line) = self.lines.get_mut(&number) {
                        line.close_broker_end(self.now);
                    }
                }
                End::Closed => return,
            }
        }
    }

    fn attach(&mut self, number: u64, hello: &Hello) {
        let attached = self.broker.attach(self.now, hello, number, &mut self.wire);
        let attached = attached.unwrap_or_else(|failure| panic!("a client is refused: {failure}"));
        if let Some(old) = attached.replaced.and_then(|old| self.lines.get_mut(&old))
            && self.bug != Some(Bug::Shell(crate::broker::Slip::HearOldLine))
        {
            self.log.count("replaced a line");
            old.close_broker_end(self.now);
        }
        if let Some(line) = self.lines.get_mut(&number) {
            line.end = End::Session(attached.session);
            let body = control::encode_welcome(&attached.welcome);
            line.prefix = frame_bytes(Header::new(Kind::Welcome, 0, 0), &body);
        }
    }

    /// Bytes, or the end, have come to a client.
    fn down(&mut self, number: u64) {
        let World { lines, clients, now, .. } = self;
        let Some(line) = lines.get_mut(&number) else { return };
        let index = line.client;
        let client = &mut clients[index];
        match line.down.take(*now) {
            Arrival::Nothing => return,
            Arrival::End => {
                if client.decoder.pending() > 0 {
                    self.log.count("cut within a frame to a client");
                }
                // Nothing is heard of what it still writes.
                line.up.close(*now);
                client.line = None;
                client.gone |= client.leaving;
                let pause = self.dice.within(self.plan.peace);
                client.wake = self.now.after(pause);
                return;
            }
            Arrival::Bytes(bytes) => client.decoder.buffer().extend_from_slice(&bytes),
        }
        if !self.clients[index].greeted && !self.greet(index) {
            return;
        }
        while let Some(event) = self.next_event(index) {
            if let Some(event) = event {
                self.with(index, |client, scene| client.hear(scene, event));
            }
        }
    }

    /// Takes the Welcome, if it is there wholly.
    fn greet(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let frame = client.decoder.next_frame();
        let Some(frame) = frame.unwrap_or_else(|error| panic!("to a client: {error}")) else {
            return false;
        };
        assert_eq!(frame.header.kind, Kind::Welcome, "the broker's first frame");
        let welcome = control::decode_welcome(&frame.body).expect("a Welcome");
        client.decoder.establish();
        client.greeted = true;
        self.with(index, |client, scene| client.welcome(scene, &welcome));
        true
    }

    /// What the next frame comes to; none when there is no whole frame.
    fn next_event(&mut self, index: usize) -> Option<Option<Event>> {
        let client = &mut self.clients[index];
        let incoming = client.decoder.next_incoming();
        let incoming: Incoming = incoming.unwrap_or_else(|error| panic!("to a client: {error}"))?;
        let event = client.session.incoming(incoming);
        Some(event.unwrap_or_else(|error| panic!("to a client: {error}")))
    }

    fn client(&mut self, index: usize) {
        let think = self.dice.within(self.plan.think);
        self.clients[index].wake = self.now.after(think);
        if self.clients[index].leaving {
            // Nothing comes after a goodbye, not even another connection.
            let client = &mut self.clients[index];
            client.gone |= client.line.is_none();
            return;
        }
        if self.clients[index].line.is_none() {
            self.connect(index);
        } else if self.clients[index].key.is_none() {
            // It waits for its first Welcome.
        } else if self.mood == Mood::Finishing {
            self.with(index, |client, scene| client.finish_something(scene));
        }
        if self.mood == Mood::Busy && self.clients[index].key.is_some() {
            let act = self.dice.weighted(&self.plan.acts);
            self.with(index, |client, scene| client.act(scene, act));
        }
    }

    fn connect(&mut self, index: usize) {
        self.next_line += 1;
        let client = &mut self.clients[index];
        client.line = Some(self.next_line);
        client.decoder = Decoder::for_handshake();
        client.greeted = false;
        let hello = client.session.hello(&format!("client {index}"), client.grace);
        let body = control::encode_hello(&hello);
        client.prefix = frame_bytes(Header::new(Kind::Hello, 0, 0), &body);
        let line = Line::new(index, client.process, &self.plan);
        self.log.say(|| format!("client {index} connects: {hello:?}"));
        self.lines.insert(self.next_line, line);
    }
}
