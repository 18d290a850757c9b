//! What a link learns from the far broker: who wants what, where relays stand, what has arrived.

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{HOPS_MAX, INTERESTS_MAX, SEQUENCE_MAX};
use crate::name::Name;
use crate::router::{Epoch, Fault, Interest, RelayState};
use crate::time::Time;

use super::given_up::GivenUp;
use super::link::Link;
use super::near::{REFUSALS_MAX, pause_after};
use super::pull::{Action, RelayId};
use super::source::{Relay, Source};

impl Link {
    /// There is a session at the far broker, another one than before. What it wants is told
    /// afterwards; until then it is taken to want what it did.
    pub fn far_up(&mut self, epoch: Epoch) {
        self.far = Some(epoch);
        self.far_is_up = true;
        self.linger_until = None;
        self.far_is_new = true;
        self.wanted.clear();
        self.to_far.clear();
        self.to_open.clear();
        self.by_relay.clear();
        self.forget_elsewhere();
        let ignored = self.planted(Fault::HopsIgnored);
        let ids: Vec<_> = self.sources.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(source) = self.sources.get_mut(id) else { continue };
            source.relay = None;
            // It may be taken there now.
            (source.refusals, source.shut) = (0, false);
            if let Some(at) = source.retry_at.take() {
                self.retries.remove(&(at, id));
            }
            // What was sent stays sent, also to another boot: subscribers outlive their broker.
            source.muted = !ignored && source.provenance.hops.contains(&epoch);
            match source.muted {
                true => self.mute(id),
                false => self.open(id),
            }
        }
    }

    /// The same session at the far broker is connected again: all that was said arrives.
    pub fn far_resumed(&mut self) {
        self.far_is_up = true;
        self.linger_until = None;
        // If it stayed away for long, its wishes were given up meanwhile.
        self.apply_wishes();
    }

    /// The far broker cannot be reached.
    pub fn far_down(&mut self, now: Time) {
        if std::mem::replace(&mut self.far_is_up, false) {
            self.linger_until = Some(now.after(self.config.linger));
        }
    }

    /// The far broker was asked anew what is wanted: what it tells next is all of it.
    pub fn far_tells_anew(&mut self) {
        self.wanted.clear();
    }

    /// What the far broker tells this bridge's near broker: what is wanted there and beyond, since
    /// it was told last in this session. It counts when it is complete.
    ///
    /// # Errors
    /// When it is more than a broker may tell, or a wish has come over too many brokers or none. Its
    /// session is of no more use then: what it tells next would be built on that.
    pub fn far_wanted(
        &mut self,
        added: Vec<Interest>,
        removed: Vec<Interest>,
        complete: bool,
    ) -> Result<(), Failure> {
        if added.iter().any(|interest| !(1..=HOPS_MAX).contains(&interest.path.len())) {
            let text = format!("a wish comes over 1 to {HOPS_MAX} brokers");
            return Err(Failure::new(ErrorKind::Protocol, text));
        }
        self.wanted.extend(added);
        for interest in &removed {
            self.wanted.remove(interest);
        }
        // Added before removed, there may be twice as many in between.
        if self.wanted.len() > 2 * INTERESTS_MAX {
            self.wanted.clear();
            let text = format!("a broker tells at most {INTERESTS_MAX} wishes");
            return Err(Failure::new(ErrorKind::Protocol, text));
        }
        if complete {
            self.wishes = self.wanted.iter().cloned().collect();
            let given_up = self.apply_wishes();
            // What nobody wants any more is missed by nobody. After another session has begun nobody knows that.
            if std::mem::take(&mut self.far_is_new) {
                self.note_given_up(&given_up, "the other broker, which has begun anew or has lost its session, wants less than before");
            }
        }
        Ok(())
    }

    /// Gives what was kept of sources that are not wanted any more.
    pub(super) fn apply_wishes(&mut self) -> GivenUp {
        let mut given_up = GivenUp::default();
        for route in 0..self.lanes.len() {
            if !self.changing.is_live(route) {
                continue;
            }
            let near = self.near;
            let wishes = self.wishes.iter();
            let mut beyond: Vec<_> = wishes
                .filter(|interest| near.is_none_or(|near| !interest.path.contains(&near)))
                .filter_map(|interest| self.config.routes[route].to_near(interest))
                .collect();
            beyond.sort();
            beyond.dedup();
            given_up.add(self.set_beyond(route, beyond));
        }
        given_up
    }

    /// Counts what is given up, and says why.
    fn note_given_up(&mut self, given_up: &GivenUp, why: &str) {
        self.stat.abandoned += given_up.messages();
        self.stat.unknown += given_up.unknown();
        if !given_up.is_empty() {
            let text = match given_up.unknown() {
                0 => format!("{why}: {given_up} are given up"),
                unknown => format!(
                    "{why}: {given_up} are given up, of which {unknown} had been sent and may have arrived"
                ),
            };
            self.trouble(Failure::new(ErrorKind::Unreachable, text));
        }
    }

    fn set_beyond(&mut self, route: usize, beyond: Vec<Interest>) -> GivenUp {
        let mut given_up = GivenUp::default();
        if self.lanes[route].beyond == beyond {
            return given_up;
        }
        // Only what something gone matches can be unwanted now.
        let gone: Vec<Interest> = self.lanes[route]
            .beyond
            .iter()
            .filter(|interest| beyond.binary_search(interest).is_err())
            .cloned()
            .collect();
        let matches = |interests: &[Interest], source: &Source| {
            interests.iter().any(|interest| interest.pattern.matches(&source.key.2))
        };
        let unwanted = |source: &Source| {
            source.route == route && matches(&gone, source) && !matches(&beyond, source)
        };
        let ids: Vec<_> =
            self.sources.iter().filter(|(_, source)| unwanted(source)).map(|(id, _)| id).collect();
        // Whoever comes to want a topic later is not told of what passed by before.
        let still = |topic: &Name| beyond.iter().any(|one| one.pattern.matches(topic));
        self.lanes[route].passed.retain(still);
        self.lanes[route].beyond = beyond;
        self.want(route);
        ids.into_iter().for_each(|id| self.forget_with_name(id, &mut given_up));
        given_up
    }

    /// The far broker has stayed away for too long.
    pub(super) fn give_up(&mut self) {
        let mut given_up = GivenUp::default();
        for route in 0..self.lanes.len() {
            given_up.add(self.set_beyond(route, Vec::new()));
        }
        self.note_given_up(
            &given_up,
            "the other broker has stayed away for longer than what waits for it is kept",
        );
    }

    /// A relay could not be opened, or has ended from the other side.
    pub fn relay_ended(&mut self, now: Time, relay: RelayId, failure: Failure) {
        let Some(id) = self.by_relay.remove(&relay) else { return };
        let Some(source) = self.sources.get_mut(id) else { return };
        source.relay = None;
        if failure.kind() == ErrorKind::Loop {
            // It has passed there on a way that was not known here.
            self.mute(id);
            return self.note_elsewhere(id, true);
        }
        source.refusals = source.refusals.saturating_add(1);
        let at = now.after(pause_after(source.refusals));
        source.retry_at = Some(at);
        self.retries.insert((at, id));
        // Said as often as the pause grows, and no more once it is as long as it gets.
        let is_news = source.refusals <= REFUSALS_MAX;
        if is_for_good(failure.kind()) {
            self.shut(id);
        }
        if is_news {
            self.trouble(failure);
        }
    }

    /// A source is not taken at the far broker. Nobody waits for it: until it is taken, what it
    /// brings is refused, but for the message to ask with.
    fn shut(&mut self, id: Id<Source>) {
        let Some(source) = self.sources.get_mut(id) else { return };
        let before = source.spool.held();
        let gone = source.spool.keep_first(source.sent);
        source.shut = true;
        source.missed |= gone > 0;
        let held = source.spool.held();
        self.stat.refused += gone;
        self.recount(before, held);
        self.weigh(id);
    }

    /// A relay was told where it stands.
    pub fn relay_state(&mut self, relay: RelayId, state: RelayState) {
        let resume = !self.planted(Fault::NoResume);
        if state.mark > SEQUENCE_MAX {
            let text = format!("a relay is said to stand at {}, which is too high", state.mark);
            return self.trouble_once(ErrorKind::Protocol, text);
        }
        let Some(id) = self.by_relay.get(&relay).copied() else { return };
        self.note_elsewhere(id, state.elsewhere);
        let Some(source) = self.sources.get_mut(id) else { return };
        (source.refusals, source.shut) = (0, false);
        let before = source.spool.held();
        let unknown = source.note_state(state, resume);
        let (held, topic) = (source.spool.held(), source.far_topic.clone());
        self.stat.unknown += unknown;
        self.ready.insert(id);
        self.recount(before, held);
        self.weigh(id);
        if unknown > 0 {
            let text = format!(
                "the other broker was lost before it had confirmed all that was sent to it: up to {unknown} messages on `{topic}` may not have arrived, and are not sent again since they may; the list of bridges counts those of all topics"
            );
            self.trouble_once(ErrorKind::OutcomeUnknown, text);
        }
    }

    /// So many bytes in all are accepted from a relay.
    pub fn credit(&mut self, relay: RelayId, bytes: u64) {
        let Some(id) = self.by_relay.get(&relay).copied() else { return };
        let Some(source) = self.sources.get_mut(id) else { return };
        if let Some(relay) = &mut source.relay {
            // More than was sent cannot have been accepted.
            relay.credited = relay.credited.max(bytes.min(relay.sent));
            self.ready.insert(id);
        }
    }

    /// Opens the relay of a source that has something for it.
    pub(super) fn open(&mut self, id: Id<Source>) {
        let Some(source) = self.sources.get_mut(id) else { return };
        let Some(reach) = source.reach() else { return };
        let waits = source.muted || source.relay.is_some() || source.retry_at.is_some();
        if waits || self.far.is_none() {
            return;
        }
        self.next_relay += 1;
        let relay = self.next_relay;
        source.relay = Some(Relay::new(relay, reach));
        self.by_relay.insert(relay, id);
        self.to_open.insert(relay);
    }

    /// The next relay that is to be opened.
    pub(super) fn opening(&mut self) -> Option<Action> {
        let relay = self.to_open.pop_first()?;
        // What is to be opened is a source's: `close` takes out what is not any more.
        let source = self.sources.get_mut(*self.by_relay.get(&relay)?)?;
        let state = source.relay.as_mut()?;
        state.said = true;
        let (topic, provenance) = (source.far_topic.clone(), source.provenance.clone());
        Some(Action::Open { relay, topic, provenance, reach: state.reach })
    }

    /// A source has this relay no more.
    pub(super) fn close(&mut self, relay: &Relay) {
        if let Some(id) = self.by_relay.remove(&relay.id) {
            self.note_elsewhere(id, false);
        }
        self.to_open.remove(&relay.id);
        if relay.said {
            self.to_far.push_back(Action::Close { relay: relay.id });
        }
    }
}

/// Whether a relay is refused for what it brings, which asking again soon will not change.
fn is_for_good(kind: ErrorKind) -> bool {
    use ErrorKind::{InvalidArgument, PermissionDenied, QuotaExceeded};
    matches!(kind, PermissionDenied | InvalidArgument | QuotaExceeded)
}
