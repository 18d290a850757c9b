//! A link that takes other settings while it runs.
//!
//! What it keeps of a source stays where the topic still has a route and is called the same there.
//! A subscription that is replaced goes on until the one in its place has come as far: both bring
//! the same numbers, and what comes twice is left out as ever. Invariant: a route keeps its number
//! for as long as it is there, and a topic has at most one route that does not leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::arena::Id;
use crate::name::Name;
use crate::router::Fault;
use crate::time::Time;

use super::config::{LinkConfig, SpoolPolicy};
use super::directory::Directory;
use super::given_up::GivenUp;
use super::link::{Lane, Link};
use super::near::subscription;
use super::pull::Action;
use super::route::Route;
use super::source::Source;

/// How often it is looked whether a route can leave.
const LOOK: Duration = Duration::from_secs(1);
/// After so many looks without anything a route has rested for long enough, once those in its place are
/// there; has it brought something all the time, it leaves after so many if they have brought that as
/// well; and after so many it is too slow.
const LOOKS_MIN: u32 = 2;
const LOOKS_BUSY: u32 = 5;
const LOOKS_MAX: u32 = 60;
/// Routes that leave at a time, beside as many as there are. Each may owe what all after it were not
/// allowed to bring, so only who changes his mind without a pause loses one too early.
const LEAVING_MAX: usize = 16;

/// Routes that come and go.
#[derive(Debug, Default)]
pub(super) struct Changing {
    /// Numbers that no route has. What stands there bears nothing.
    vacant: BTreeSet<usize>,
    /// Routes that are subscribed until others have come as far.
    leaving: BTreeMap<usize, Leaving>,
    /// New routes that the near broker has not confirmed yet.
    unconfirmed: BTreeSet<usize>,
    /// The session there has no connection: nothing can come, which means nothing.
    is_away: bool,
    /// How often the settings have changed.
    count: u64,
    look_at: Option<Time>,
}

/// A route that leaves.
#[derive(Debug, Default)]
struct Leaving {
    /// Since which change it does.
    since: u64,
    /// What it had used up at the last look.
    used: u64,
    looks: u32,
    /// Looks one after the other since which it has brought nothing.
    rests: u32,
    /// Another one has brought something since then that comes after what this one owes.
    behind: bool,
    /// How far it has come with what was new, since the last look; and before that, where the one in
    /// its place has not come so far yet.
    fresh: BTreeMap<Id<Source>, u64>,
    due: BTreeMap<Id<Source>, u64>,
    /// Its subscription can stop topics.
    holds: bool,
}

impl Changing {
    /// When something is to be looked at.
    pub fn next_deadline(&self) -> Option<Time> {
        self.look_at
    }

    /// The route that leaves for longest.
    fn oldest(&self) -> Option<usize> {
        let oldest = self.leaving.iter().min_by_key(|(_, leaving)| leaving.since);
        oldest.map(|(route, _)| *route)
    }

    /// Whether a route is there to stay.
    pub fn is_live(&self, route: usize) -> bool {
        !self.vacant.contains(&route) && !self.leaving.contains_key(&route)
    }
}

impl Link {
    /// Takes these settings instead of those it had. Gives which messages are given up, since
    /// their topic has no route any more, or is called otherwise there; they are counted as abandoned.
    /// What is kept beyond new bounds stays: they hold for what comes.
    pub fn reconfigure(&mut self, now: Time, mut config: LinkConfig) -> GivenUp {
        let anew = subscription(&self.config) != subscription(&config);
        // Windows of another size cannot be counted beside each other.
        let hands_over = self.config.window_bytes == config.window_bytes;
        let wanted = std::mem::take(&mut config.routes);
        config.routes = std::mem::take(&mut self.config.routes);
        self.changing.count += 1;
        let holds = std::mem::replace(&mut self.config, config).policy == SpoolPolicy::HoldBack;
        let all_wanted: BTreeSet<&Route> = wanted.iter().collect();
        let stays = |link: &Link, route: usize| {
            !anew && link.changing.is_live(route) && all_wanted.contains(&link.config.routes[route])
        };
        let leaving: Vec<usize> = (0..self.lanes.len())
            .filter(|route| !self.changing.vacant.contains(route) && !stays(self, *route))
            .collect();
        let staying: Vec<usize> =
            (0..self.lanes.len()).filter(|route| stays(self, *route)).collect();
        let mut gone = BTreeSet::new();
        for route in leaving {
            let near = self.config.routes[route].near();
            let replaced = wanted.iter().any(|other| other.near().intersection(near).is_some());
            if hands_over && replaced && self.lanes[route].subscribed {
                let used = self.lanes[route].used;
                let since = self.changing.count;
                let leaving = Leaving { since, used, holds, ..Leaving::default() };
                self.changing.leaving.entry(route).or_insert(leaving);
            } else {
                self.changing.leaving.remove(&route);
                gone.insert(route);
            }
        }
        let old: BTreeSet<&Route> =
            staying.iter().map(|route| &self.config.routes[*route]).collect();
        let new: Vec<Route> = wanted.iter().filter(|route| !old.contains(route)).cloned().collect();
        new.into_iter().for_each(|route| self.place(route, &gone));
        let abandoned = self.move_sources(&gone);
        gone.into_iter().for_each(|route| self.vacate(route));
        while self.changing.leaving.len() > wanted.len() + LEAVING_MAX
            && let Some(oldest) = self.changing.oldest()
        {
            self.leaving_ended(oldest);
            self.changing.leaving.remove(&oldest);
            self.vacate(oldest);
        }
        self.changing.look_at = (!self.changing.leaving.is_empty()).then(|| now.after(LOOK));
        self.weigh_all();
        if self.far_is_up || self.linger_until.is_some() {
            self.apply_wishes();
        }
        self.stat.abandoned += abandoned.messages();
        self.stat.unknown += abandoned.unknown();
        abandoned
    }

    /// The near broker has confirmed the subscription of a route.
    pub fn subscribed(&mut self, route: usize) {
        self.changing.unconfirmed.remove(&route);
    }

    /// The near broker cannot be reached; its session may still go on.
    pub fn near_down(&mut self) {
        self.changing.is_away = true;
    }

    /// The same session at the near broker is connected again: what was under way comes now.
    pub fn near_resumed(&mut self) {
        self.changing.is_away = false;
        for leaving in self.changing.leaving.values_mut() {
            (leaving.looks, leaving.rests) = (0, 0);
        }
    }

    /// There is another session at the near broker: nothing of the old one is waited for.
    pub(super) fn near_changed(&mut self) {
        self.changing.is_away = false;
        self.changing.unconfirmed.clear();
        for (route, _) in std::mem::take(&mut self.changing.leaving) {
            self.lanes[route] = Lane::default();
            self.changing.vacant.insert(route);
        }
        self.changing.look_at = None;
    }

    /// Looks which routes can leave, if it is time.
    pub(super) fn look_at_leaving(&mut self, now: Time) {
        if self.changing.look_at.is_none_or(|at| now < at) {
            return;
        }
        let all: Vec<usize> = self.changing.leaving.keys().copied().collect();
        for route in all {
            // What has held it back may have gone.
            self.tell_used(route);
            if self.can_leave(route) {
                self.changing.leaving.remove(&route);
                self.vacate(route);
            }
        }
        self.changing.look_at = (!self.changing.leaving.is_empty()).then(|| now.after(LOOK));
    }

    /// The route on which a topic is kept that came on this one.
    pub(super) fn home(&self, route: usize, topic: &Name) -> Option<usize> {
        match self.changing.leaving.contains_key(&route) {
            false => Some(route),
            true => self.live_route(topic),
        }
    }

    /// Whether a message is not taken, since one that leaves still brings what comes before it.
    pub(super) fn is_left_to_another(
        &mut self,
        route: usize,
        id: Id<Source>,
        sequence: u64,
    ) -> bool {
        if self.changing.leaving.is_empty() || self.changing.leaving.contains_key(&route) {
            return false;
        }
        let Some(source) = self.sources.get(id) else { return false };
        if sequence <= source.last + 1 {
            return false;
        }
        let mut left = false;
        for (route, leaving) in &mut self.changing.leaving {
            // One that has ended, or was made before somebody wanted this, owes nothing of it.
            let lane = &self.lanes[*route];
            let mut wanted = lane.beyond.iter();
            if lane.subscribed && wanted.any(|one| one.pattern.matches(&source.key.2)) {
                (leaving.behind, left) = (true, true);
            }
        }
        left
    }

    /// Messages up to this number have come on a route. One that leaves may go when the one in its place
    /// has brought what it has, before or behind it.
    pub(super) fn note_progress(&mut self, route: usize, id: Id<Source>, end: u64) {
        if self.changing.leaving.is_empty() {
            return;
        }
        let last = self.sources.get(id).map_or(0, |source| source.last);
        if let Some(leaving) = self.changing.leaving.get_mut(&route) {
            if end > last {
                leaving.fresh.insert(id, end);
            }
            return;
        }
        for leaving in self.changing.leaving.values_mut() {
            for owed in [&mut leaving.fresh, &mut leaving.due] {
                if owed.get(&id).is_some_and(|owed| *owed <= end) {
                    owed.remove(&id);
                }
            }
        }
    }

    /// The subscription of a route that leaves has ended: what it owed is lost.
    pub(super) fn leaving_ended(&mut self, route: usize) {
        if !self.changing.leaving.contains_key(&route) {
            return;
        }
        let near = self.config.routes[route].near();
        for (other, lane) in self.lanes.iter_mut().enumerate() {
            let follows = self.config.routes[other].near().intersection(near).is_some();
            lane.lost |= follows && self.changing.is_live(other);
        }
    }

    /// Subscriptions beside that of this route that bring a topic, and can stop it.
    pub(super) fn also_bring(&self, topic: &Name) -> Vec<usize> {
        let brings = |(route, leaving): &(&usize, &Leaving)| {
            let subscribed = self.lanes[**route].subscribed;
            leaving.holds && subscribed && self.config.routes[**route].near().matches(topic)
        };
        self.changing.leaving.iter().filter(brings).map(|(route, _)| *route).collect()
    }

    fn live_route(&self, topic: &Name) -> Option<usize> {
        let bears = |route: &usize| {
            self.changing.is_live(*route) && self.config.routes[*route].near().matches(topic)
        };
        (0..self.lanes.len()).find(bears)
    }

    /// Gives a route a number. Those that are about to go have theirs until all is settled.
    fn place(&mut self, route: Route, gone: &BTreeSet<usize>) {
        let is_before = |old: &usize| {
            let leaves = self.changing.leaving.contains_key(old) || gone.contains(old);
            leaves && self.config.routes[*old].near().intersection(route.near()).is_some()
        };
        let lost = (0..self.lanes.len()).filter(is_before).any(|old| self.lanes[old].lost);
        let before = (0..self.lanes.len()).filter(is_before);
        let passed = before.flat_map(|old| self.lanes[old].passed.clone()).collect();
        let lane = Lane { lost, passed, ..Lane::default() };
        let number = match self.changing.vacant.pop_first() {
            Some(number) => {
                (self.config.routes[number], self.lanes[number]) = (route, lane);
                number
            }
            None => {
                self.config.routes.push(route);
                self.lanes.push(lane);
                self.lanes.len() - 1
            }
        };
        self.changing.unconfirmed.insert(number);
    }

    /// Gives each source the route that it has now, and forgets those that have none. Gives what was
    /// kept of them.
    fn move_sources(&mut self, gone: &BTreeSet<usize>) -> GivenUp {
        self.by_near.clear();
        let leaves = |route: &usize| !self.changing.is_live(*route) || gone.contains(route);
        let routes = &self.config.routes;
        let live: Vec<usize> = (0..self.lanes.len()).filter(|route| !leaves(route)).collect();
        let by_route: BTreeMap<&Route, usize> =
            live.iter().map(|route| (&routes[*route], *route)).collect();
        // Most stay where they are, or go where all of their route go.
        let same: Vec<Option<usize>> =
            routes.iter().map(|route| by_route.get(route).copied()).collect();
        // Those that are live bear each topic once.
        let directory = Directory::new(live.iter().map(|route| (*route, routes[*route].near())));
        let home = |source: &Source| {
            let found = || directory.find(&source.key.2);
            let is_called_so = |route: &usize| {
                let far = routes[*route].to_far(&source.key.2);
                far.is_ok_and(|far| far == source.far_topic)
            };
            same[source.route].or_else(|| found().filter(is_called_so))
        };
        let dropped = self.planted(Fault::SpoolsDropped);
        let homes: Vec<_> = self
            .sources
            .iter()
            .map(|(id, source)| (id, home(source).filter(|_| !dropped)))
            .collect();
        let mut abandoned = GivenUp::default();
        for (id, home) in homes {
            let Some(home) = home else {
                match dropped {
                    true => drop(self.forget(id)),
                    false => self.forget_with_name(id, &mut abandoned),
                }
                continue;
            };
            let Some(source) = self.sources.get_mut(id) else { continue };
            let old = std::mem::replace(&mut source.route, home);
            self.by_near.insert((home, source.near_key), id);
            if old != home && source.over.is_over() {
                let topic = source.key.2.clone();
                self.holds_elsewhere(topic, old, home);
            }
        }
        abandoned
    }

    /// Other bounds may let routes go on, or hold them back.
    fn weigh_all(&mut self) {
        let all: Vec<_> = self.sources.iter().map(|(id, _)| id).collect();
        all.into_iter().for_each(|id| self.weigh(id));
        (0..self.lanes.len()).for_each(|route| self.tell_used(route));
    }

    /// Ends what a route has, and gives its number away.
    fn vacate(&mut self, route: usize) {
        if std::mem::take(&mut self.lanes[route]).subscribed {
            self.to_near.push_back(Action::Unsubscribe { route });
        }
        self.changing.unconfirmed.remove(&route);
        self.changing.vacant.insert(route);
    }

    fn can_leave(&mut self, route: usize) -> bool {
        let (held, lane) = (self.is_full(), &self.lanes[route]);
        let near = self.config.routes[route].near();
        let follows = |other: &usize| {
            self.changing.is_live(*other)
                && !self.lanes[*other].beyond.is_empty()
                && self.config.routes[*other].near().intersection(near).is_some()
        };
        let following: Vec<usize> = (0..self.lanes.len()).filter(follows).collect();
        // One that is refused may be so for want of room beside this one.
        let refused = following.iter().any(|other| self.lanes[*other].retry_at.is_some());
        if !lane.subscribed || following.is_empty() || refused {
            return true;
        }
        let held = held || self.changing.is_away;
        let waits = following.iter().any(|other| self.changing.unconfirmed.contains(other));
        let used = lane.used;
        let Some(leaving) = self.changing.leaving.get_mut(&route).filter(|_| !waits && !held)
        else {
            return false;
        };
        let rests = std::mem::replace(&mut leaving.used, used) == used;
        let behind = std::mem::take(&mut leaving.behind);
        leaving.looks += 1;
        leaving.rests = if rests { leaving.rests + 1 } else { 0 };
        leaving.due.retain(|id, _| self.sources.get(*id).is_some());
        let is_followed = !behind && leaving.due.is_empty();
        leaving.due.extend(std::mem::take(&mut leaving.fresh));
        let is_done = leaving.rests >= LOOKS_MIN && !behind;
        is_done || leaving.looks >= if is_followed { LOOKS_BUSY } else { LOOKS_MAX }
    }
}
