//! The router: queues, topics and services as plain state.
//!
//! Commands and the time go in, effects come out, the next deadline can be asked for. It
//! knows names, ids and messages; it knows no address, socket, file or wire format. It has no
//! lock: one thread owns it.

mod acking;
mod batches;
mod beyond;
mod blocked;
mod bridge_command;
mod burial;
mod call_ends;
mod calls_beyond;
mod caution;
mod choosing;
mod command;
mod config;
mod delay;
mod effect;
mod fault;
mod flow;
mod flushing;
mod ground;
mod group_stats;
mod guard;
mod holding;
mod hosted;
mod interest;
mod lease;
mod leases;
mod lifecycle;
mod line;
mod listing;
mod matching;
mod near;
mod objects;
mod pace;
mod page;
mod parcels;
mod parting;
mod permit;
mod permits;
mod policy;
mod provenance;
mod publishing;
mod queue;
mod recall;
mod receiving;
mod relaying;
mod relays;
mod rights;
mod row;
mod sending;
mod service;
mod session;
mod settle;
mod sharing;
mod shelf;
mod stat;
mod stopping;
mod subscribing;
mod subscription_list;
mod timer;
mod topic;
mod type_names;
mod untaken;
mod waiter;
mod watching;

use std::collections::{BTreeMap, BTreeSet};

use crate::arena::{Arena, Id};
use crate::error::{ErrorKind, Failure};
use crate::group_name::GroupName;
use crate::name::{Name, Pattern};
use crate::time::Time;

pub use bridge_command::{BridgeCommand, ServeBeyond};
pub use command::*;
pub use config::RouterConfig;
pub use effect::{Answer, Effect, Output, Peeked, Source, Stamp};
pub use fault::Fault;
pub use hosted::{Forsaken, HostedAsk, HostedTell};
pub use interest::{Interest, InterestOffer};
pub use policy::{Allowance, Deed, Deeds, Policy, Who};
pub use provenance::{Epoch, Provenance};
pub use relays::{RelayStat, RelayState};
pub use rights::{Access, Identity, Right};
pub use session::{Session, SessionEnd};
pub use stat::*;

use ground::Ground;
use interest::InterestTable;
use queue::Queue;
use relays::Relays;
use service::{Call, Service};
use timer::Timer;
use topic::{Offered, Subscription, Topic};
use type_names::TypeNames;
use watching::Watchers;

/// The number of a session at its router.
pub type SessionId = Id<Session>;

/// The router.
pub struct Router {
    config: RouterConfig,
    ground: Ground,
    queues: Arena<Queue>,
    queue_names: BTreeMap<Name, Id<Queue>>,
    /// Queues whose name was taken away, by that name.
    retired: BTreeMap<Name, BTreeSet<Id<Queue>>>,
    topics: Arena<Topic>,
    topic_names: BTreeMap<Name, Id<Topic>>,
    subscriptions: Arena<Subscription>,
    groups: BTreeMap<(Pattern, GroupName), Id<Subscription>>,
    services: Arena<Service>,
    service_names: BTreeMap<Name, Id<Service>>,
    calls: BTreeMap<u64, Call>,
    types: TypeNames,
    relays: Relays,
    interests: InterestTable,
    /// What is served, in the same form.
    served: InterestTable,
    watchers: Watchers,
    policy: Policy,
    next_source: u64,
    next_call: u64,
    /// Empty; kept for its allocation.
    notes: Vec<(Id<Subscription>, Offered)>,
}

impl Router {
    /// An empty router.
    pub fn new(config: RouterConfig) -> Router {
        let unwritten_bytes_max = config.unwritten_bytes_max;
        Router {
            config,
            ground: Ground { unwritten_bytes_max, ..Ground::default() },
            queues: Arena::default(),
            queue_names: BTreeMap::new(),
            retired: Default::default(),
            topics: Arena::default(),
            topic_names: BTreeMap::new(),
            subscriptions: Arena::default(),
            groups: BTreeMap::new(),
            services: Arena::default(),
            service_names: BTreeMap::new(),
            calls: BTreeMap::new(),
            types: TypeNames::default(),
            relays: Relays::default(),
            interests: InterestTable::default(),
            served: InterestTable::default(),
            watchers: Watchers::default(),
            policy: Policy::default(),
            next_source: 0,
            next_call: 0,
            notes: Vec::new(),
        }
    }

    /// Plants a bug, for a test that must catch it. Without the feature `faults` it does nothing.
    pub fn plant(&mut self, fault: Fault) {
        self.ground.fault = Some(fault);
    }

    /// Carries out a command of a session. Commands of sessions that are gone do nothing.
    pub fn handle(&mut self, now: Time, session: SessionId, command: Command) {
        self.ground.now = now;
        match command {
            Command::Publish { channel, message, ticket } => {
                return self.publish(session, channel, message, ticket);
            }
            Command::Consumed { channel, bytes } => return self.consumed(session, channel, bytes),
            Command::Bridge(command) => return self.handle_bridge(now, session, command),
            command => self.handle_other(session, command),
        }
        self.settle_down();
    }

    fn handle_other(&mut self, session: SessionId, command: Command) {
        match command {
            Command::Publish { .. } | Command::Consumed { .. } => {}
            Command::Broker { .. } | Command::Bridge(_) => {}
            Command::Send { channel, ticket, message, no_wait } => {
                self.send(session, channel, ticket, message, no_wait)
            }
            Command::Ack { first, count } => self.ack(session, first, count, true),
            Command::Taken { channel, lease } => self.taken(session, channel, lease),
            Command::Offer { channel, ticket, kind, length, no_wait } => {
                self.offer(session, channel, ticket, kind, length, no_wait);
            }
            Command::Granted { ticket, message } => self.fill_grant(session, ticket, message),
            Command::Withdraw { ticket } => self.withdraw_any(session, ticket),
            Command::Consume { request, channel, queue, options } => {
                self.consume(session, request, channel, queue, options);
            }
            Command::Close { request, channel } => self.close(session, request, channel),
            Command::Return { leases } => self.give_back(session, &leases),
            Command::Forsake(forsaken) => self.forsake(session, &forsaken),
            Command::Nack { request, lease, delay } => self.nack(session, request, lease, delay),
            Command::Extend { request, lease, by } => self.extend(session, request, lease, by),
            Command::Reject { request, lease, reason } => {
                self.reject(session, request, lease, reason)
            }
            Command::Peek { request, queue, selector, index } => {
                self.peek(session, request, queue, selector, index)
            }
            Command::Call { channel, ticket, message, timeout } => {
                self.call(session, channel, ticket, message, timeout)
            }
            Command::CallReply { call, result } => self.call_reply(session, call, result),
            Command::Flush { request, channel } => self.flush(session, request, channel),
            command => self.handle_object(session, command),
        }
    }

    fn handle_object(&mut self, session: SessionId, command: Command) {
        let (request, result) = match command {
            Command::OpenQueue { request, channel, name, open, options } => {
                (request, self.open_queue(session, channel, name, open, options))
            }
            Command::OpenPublisher { request, channel, topic, options, exclusive } => {
                (request, self.open_publisher(session, channel, topic, options, exclusive))
            }
            Command::Subscribe { request, channel, pattern, options } => {
                return self.answer_first(session, request, |router| {
                    router.subscribe(session, channel, pattern, options, None)
                });
            }
            Command::OpenService { request, channel, name } => {
                (request, self.open_service(session, channel, name))
            }
            Command::Serve { request, channel, name, credit, mode } => {
                (request, self.serve_name(session, channel, name, credit, mode))
            }
            Command::WatchMatching { request, channel } => {
                (request, self.watch_matching(session, channel))
            }
            Command::Declare { request, kind, name } => {
                (request, self.declare(session, kind, name))
            }
            Command::Admin { request, name, object, action } => (
                request,
                match object {
                    ObjectKind::Queue => self.admin_queue(session, &name, action),
                    ObjectKind::Topic => self.admin_topic(session, &name, action),
                    _ => Err(Failure::new(
                        ErrorKind::Unsupported,
                        "services, clients and subscriptions end with their connections",
                    )),
                },
            ),
            Command::SetQueue { request, name, change } => {
                (request, self.set_queue(session, &name, change))
            }
            Command::SetTopic { request, name, change } => {
                (request, self.set_topic(session, &name, change))
            }
            Command::List { request, pattern, object, after } => {
                (request, Ok(self.list(session, &pattern, object, after.as_deref())))
            }
            _ => return,
        };
        self.ground.reply(session, request, result);
    }

    /// The answer goes out before what follows from it: what is kept for late joiners, or where a
    /// relay stands.
    fn answer_first(
        &mut self,
        session: SessionId,
        request: RequestId,
        act: impl FnOnce(&mut Router) -> Result<Answer, Failure>,
    ) {
        let at = self.ground.effects.len();
        let result = act(self);
        if request != 0 {
            let output = Output::Reply { request, result };
            self.ground.effects.insert(at, Effect { session, output });
        }
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time) {
        self.ground.now = now;
        while let Some(timer) = self.ground.timers.pop(now) {
            match timer {
                Timer::Leases(session) => self.expire_leases(session),
                Timer::Grace(session) => self.grace_is_over(session),
                Timer::Delay(queue) => self.of_queue(queue, Queue::end_delays),
                Timer::Patience(queue, waiter) => self.of_queue(queue, |queue, ground| {
                    queue.patience_is_over(ground, waiter);
                }),
                Timer::Look(queue) => self.of_queue(queue, Queue::look_at_held),
                Timer::Caution(queue) => self.of_queue(queue, Queue::caution_is_over),
                Timer::Call(call) => self.call_is_over(call),
                Timer::Hold(subscription) => self.hold_is_over(subscription),
                Timer::Stopped(subscription, topic) => self.stop_is_over(subscription, topic),
                Timer::Relays => self.look_after_relays(),
                Timer::Linger(queue) => self.linger_is_over(queue),
                Timer::Wanted => self.tell_wanted(),
                Timer::Matching(topic) => self.tell_matching(topic),
            }
            self.settle_down();
        }
    }

    fn of_queue(&mut self, id: Id<Queue>, act: impl FnOnce(&mut Queue, &mut Ground)) {
        if let Some(queue) = self.queues.get_mut(id) {
            act(queue, &mut self.ground);
        }
    }

    /// When [`Router::advance`] has something to do; `None` while nothing is going on.
    pub fn next_deadline(&self) -> Option<Time> {
        self.ground.timers.next()
    }

    /// Takes the effects so far, in their order. The buffer given is used for the next ones.
    pub fn take_effects(&mut self, buffer: Vec<Effect>) -> Vec<Effect> {
        debug_assert!(buffer.is_empty());
        std::mem::replace(&mut self.ground.effects, buffer)
    }

    /// How many effects there are.
    pub fn effect_count(&self) -> usize {
        self.ground.effects.len()
    }

    /// What is left to do at the end of a command, or of what was due.
    fn settle_down(&mut self) {
        self.note_news();
        self.feed_hungry();
        self.admit_hosted();
        self.serve_held();
        self.bury_dead();
    }

    /// Buries the dead, first come first, and lets queues go that have lost their last holder.
    fn bury_dead(&mut self) {
        for letter in std::mem::take(&mut self.ground.dead) {
            self.bury(letter);
        }
        while let Some(queue) = self.ground.left.pop() {
            self.let_go(queue);
        }
    }
}

/// Says that a right is lacking, and how it stands.
fn denied(identity: &Identity, verb: &str, what: &str, name: &Name, access: &Access) -> Failure {
    let owner = access.owner.map_or("anonymous".into(), |uid| format!("uid {uid}"));
    Failure::new(
        ErrorKind::PermissionDenied,
        format!(
            "{} may not {verb} {what} `{name}`: it belongs to {owner} and has mode {:04o}",
            identity.sender, access.mode
        ),
    )
}
