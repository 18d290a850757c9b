//! What bridges do here: open a relay, publish on it, skip; and what they are told.
//!
//! A relay is a publisher whose messages bear the numbers that their origin gave them. Which of
//! several relays of one source goes on is settled in `relays`. Invariant: subscribers see each
//! number of a source at most once, rising, and are told of those that will not come.

use std::sync::Arc;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{
    MARK_DELAY, MARK_IDLE, MARKS_IDLE_MAX, RELAY_PATIENCE, RELAY_PATIENCE_GAP, SEQUENCE_MAX,
    WINDOW_BYTES_DEFAULT, window_charge,
};
use crate::name::Name;

use super::Router;
use super::command::{Channel, Ticket, TopicOptions};
use super::effect::{Answer, Output, Source};
use super::fault::Fault;
use super::provenance::Provenance;
use super::relays::{Losses, RelayStat, RelayState, Relayed, Upstream, UpstreamKey, Verdict};
use super::session::{Handle, Session};
use super::timer::Timer;
use super::topic::{Link, Subscription, Topic};

impl Router {
    /// Opens a topic for what a source elsewhere has published, from message `reach` on.
    pub(super) fn open_relay(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        topic: Name,
        provenance: Arc<Provenance>,
        reach: u64,
    ) -> Result<Answer, Failure> {
        self.check_bridge(session, &topic)?;
        if !self.ground.planted(Fault::HopsIgnored)
            && let Err(failure) = provenance.check_for(self.config.epoch)
        {
            self.relays.stat.loops += u64::from(failure.kind() == ErrorKind::Loop);
            return Err(failure);
        }
        check_sequence(reach)?;
        if self.relays.has_way(session, &provenance, &topic) {
            let text = format!(
                "this session has a relay of what {provenance} published on `{topic}`: close that first"
            );
            return Err(Failure::new(ErrorKind::AlreadyExists, text));
        }
        let options = TopicOptions::default();
        let answer = self.open_topic(session, channel, topic.clone(), options, false)?;
        let (id, known) = self.relays.enter(&provenance, &topic, reach);
        let entry = self.ground.sessions.get_mut(session);
        let away = entry.as_ref().is_some_and(|entry| !entry.connected);
        if let Some(publisher) = entry.and_then(|entry| entry.publisher(channel)) {
            let hops = provenance.hops.clone();
            let Source { key, sender, .. } = Source::clone(&publisher.source);
            let source = Source { key, sender, topic, provenance: Some(provenance) };
            publisher.source = Arc::new(source);
            publisher.relayed = Some(id);
            publisher.published = reach - 1;
            let key = (session, channel);
            let upstream = Upstream {
                key,
                hops,
                reach,
                losses: Losses::default(),
                away,
                stalled: false,
                suspect: None,
                told_active: false,
                told_elsewhere: false,
                turn: 0,
                answered: 0,
            };
            if let Some(relayed) = self.relays.all.get_mut(id) {
                relayed.upstreams.push(upstream);
            }
        }
        self.elect_and_tell(id, Some(((session, channel), known)));
        Ok(answer)
    }

    /// The next message of a relay, or the first that it could give while it stands by, has this
    /// number; what became of those before it, as far as the relay knows.
    pub(super) fn skip(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        turn: u64,
        sequence: u64,
        losses: Losses,
    ) {
        let entry = self.ground.sessions.get_mut(session);
        let publisher = entry.and_then(|entry| entry.publisher(channel));
        let Some((publisher, id)) = publisher.and_then(|own| own.relayed.map(|id| (own, id)))
        else {
            return;
        };
        if let Err(failure) = check_sequence(sequence) {
            return self.refuse_publish(session, channel, None, failure.kind(), failure.text());
        }
        publisher.published = sequence - 1;
        let upstreams = self.relays.all.get_mut(id).map(|relayed| &mut relayed.upstreams);
        let key = (session, channel);
        let mut upstreams = upstreams.into_iter().flatten();
        // One that does not know its turn yet will say it again.
        if let Some(upstream) = upstreams.find(|at| at.key == key && at.turn == turn) {
            (upstream.reach, upstream.losses, upstream.answered) = (sequence, losses, turn);
            if !upstream.told_active {
                upstream.stalled = false;
                self.suspect_active(id, sequence);
            }
        }
        self.elect(id);
    }

    /// An upstream that stands by has this message: the active one should bring something soon.
    fn suspect_active(&mut self, id: Id<Relayed>, sequence: u64) {
        let Some(relayed) = self.relays.all.get(id) else { return };
        let Some(active) = relayed.active.filter(|_| sequence > relayed.mark) else { return };
        let patience = match sequence == relayed.next() {
            true => RELAY_PATIENCE,
            false => RELAY_PATIENCE_GAP,
        };
        let at = self.ground.now.after(patience);
        if self.relays.suspect(at, id, active) {
            self.look_after_relays_at(at);
        }
    }

    /// Looks whether those that should have brought something have.
    fn look_at_suspects(&mut self) {
        while let Some(suspect) = self.relays.suspects.first().copied() {
            let (at, id, key) = suspect;
            if at > self.ground.now {
                return self.look_after_relays_at(at);
            }
            self.relays.suspects.remove(&suspect);
            if self.relays.all.get_mut(id).is_some_and(|relayed| relayed.find_stalled(key)) {
                self.relays.stat.stalls += 1;
                self.elect(id);
            }
        }
    }

    /// Whether a message of a relay is to be published. Its mark rises with that.
    pub(super) fn admit(
        &mut self,
        id: Id<Relayed>,
        from: UpstreamKey,
        topic: Id<Topic>,
        sequence: u64,
    ) -> Result<(), Verdict> {
        let two_active = self.ground.planted(Fault::TwoActive);
        let Some(relayed) = self.relays.all.get_mut(id) else { return Ok(()) };
        let mut verdict = relayed.judge(from, sequence);
        if two_active && verdict == Verdict::Stray {
            let losses = Losses::default();
            verdict = Verdict::AfterGap { count: sequence - relayed.mark - 1, losses };
        }
        match verdict {
            Verdict::Next => {}
            Verdict::Duplicate => {
                self.relays.stat.duplicates += 1;
                return Err(verdict);
            }
            Verdict::Stray => {
                self.relays.stat.strays += 1;
                return Err(verdict);
            }
            Verdict::AfterGap { count, losses } => {
                let accepted_at = relayed.accepted_at;
                self.tell_gap(topic, accepted_at, count, losses);
            }
        }
        self.rise(id, sequence);
        Ok(())
    }

    /// A relay's message is not published; its window is free again.
    pub(super) fn pass_over(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        source: &Source,
        length: usize,
        ticket: Option<Ticket>,
        verdict: Verdict,
    ) {
        if let Some(ticket) = ticket {
            let stands_by = || Failure::new(ErrorKind::Closed, "this relay stands by");
            let result = if verdict == Verdict::Stray { Err(stands_by()) } else { Ok(()) };
            self.ground.verdict(session, ticket, result);
        }
        self.note_accepted(session, channel, source, window_charge(length, WINDOW_BYTES_DEFAULT));
    }

    /// The mark of a relayed source is there now.
    pub(super) fn rise(&mut self, id: Id<Relayed>, mark: u64) {
        let wishes = self.relays.wishes;
        let Some(relayed) = self.relays.all.get_mut(id) else { return };
        let (reconsider, report) = relayed.rise(mark, wishes);
        if report {
            self.report_mark(id);
        } else if self.relays.unreported.insert(id) {
            self.look_after_relays_at(self.ground.now.after(MARK_DELAY));
        }
        if reconsider {
            self.elect(id);
        }
    }

    /// Subscribers of a topic miss so many: those that were there when the one before was
    /// accepted, or all if the upstream says that it has lost them. If one misses them, all are
    /// told: better too often than in silence. A bridge is not told: it sees the numbers.
    fn tell_gap(&mut self, topic: Id<Topic>, accepted_at: u64, count: u64, losses: Losses) {
        self.relays.stat.gaps += 1;
        let Some(topic) = self.topics.get(topic) else { return };
        let mine = |link: &Link| {
            let subscription = self.subscriptions.get(link.subscription);
            subscription.filter(|subscription| subscription.beyond.is_none())
        };
        let missed = |subscription: &Subscription| subscription.since <= accepted_at;
        if !losses.lost && !topic.links.iter().filter_map(mine).any(missed) {
            return;
        }
        self.relays.stat.losses += 1;
        self.relays.stat.lost = self.relays.stat.lost.saturating_add(count);
        for link in &topic.links {
            if let Some(subscription) = self.subscriptions.get_mut(link.subscription)
                && subscription.beyond.is_none()
            {
                subscription.note_lost(count, losses.unconfirmed);
            }
        }
    }

    /// Makes the best upstream active, and tells those for whom that changes something.
    pub(super) fn elect(&mut self, id: Id<Relayed>) {
        self.elect_and_tell(id, None);
    }

    /// The same; one that was just opened is told in any case, and whether the mark was known.
    fn elect_and_tell(&mut self, id: Id<Relayed>, opened: Option<(UpstreamKey, bool)>) {
        let two_active = self.ground.planted(Fault::TwoActive);
        let Some(relayed) = self.relays.all.get_mut(id) else { return };
        relayed.active = relayed.elect();
        let (elected, mark) = (relayed.active, relayed.mark);
        for upstream in &mut relayed.upstreams {
            let active = elected == Some(upstream.key) || two_active;
            let changes = std::mem::replace(&mut upstream.told_active, active) != active;
            upstream.turn += u64::from(changes);
            // While the other one is away it is there all the same.
            let known_elsewhere = upstream.told_elsewhere && !changes;
            let elsewhere = !active && (elected.is_some() || known_elsewhere);
            let differs = elsewhere && !upstream.told_elsewhere;
            upstream.told_elsewhere = elsewhere;
            let known = opened.filter(|(key, _)| *key == upstream.key).map(|(_, known)| known);
            if changes || differs || known.is_some() {
                let (session, channel) = upstream.key;
                let (turn, known) = (upstream.turn, known.unwrap_or(true));
                let state = RelayState { turn, active, mark, known, elsewhere };
                self.ground.tell(session, Output::Relay { channel, state });
            }
        }
    }

    /// Tells all upstreams the mark, so that they can forget what they keep up to there.
    fn report_mark(&mut self, id: Id<Relayed>) {
        self.relays.unreported.remove(&id);
        let Some(relayed) = self.relays.all.get_mut(id) else { return };
        if relayed.is_reported() {
            return;
        }
        let mark = relayed.report();
        for upstream in &relayed.upstreams {
            let ((session, channel), turn) = (upstream.key, upstream.turn);
            let (active, elsewhere) = (upstream.told_active, upstream.told_elsewhere);
            let state = RelayState { turn, active, mark, known: true, elsewhere };
            self.ground.tell(session, Output::Relay { channel, state });
        }
    }

    /// An upstream has gone.
    pub(super) fn drop_upstream(&mut self, id: Id<Relayed>, key: UpstreamKey) {
        let now = self.ground.now;
        let Some(relayed) = self.relays.all.get_mut(id) else { return };
        for gone in relayed.upstreams.extract_if(.., |upstream| upstream.key == key) {
            if let Some((at, _)) = gone.suspect {
                self.relays.suspects.remove(&(at, id, key));
            }
        }
        if !relayed.upstreams.is_empty() {
            return self.elect(id);
        }
        relayed.active = None;
        // Its room is several times what a mark takes, and marks are kept for long.
        relayed.upstreams = Vec::new();
        if self.ground.planted(Fault::MarkGoesAlong) {
            return self.relays.forget(id);
        }
        self.relays.rest(now, id);
        while self.relays.idle_count() > MARKS_IDLE_MAX
            && let Some((_, oldest)) = self.relays.oldest_idle()
        {
            self.relays.forget(oldest);
        }
        self.look_after_relays_at(now.after(MARK_IDLE));
    }

    /// A channel is about to go: if it is a relay, its source has an upstream less.
    pub(super) fn leave_relay(&mut self, session: Id<Session>, channel: Channel) {
        if let Ok(Handle::Publisher(publisher)) = self.ground.handle(session, channel)
            && let Some(relayed) = publisher.relayed
        {
            self.drop_upstream(relayed, (session, channel));
        }
    }

    /// A session goes away or comes back, and its relays with it.
    pub(super) fn set_relays_away(&mut self, session: Id<Session>, away: bool) {
        let Some(entry) = self.ground.sessions.get(session) else { return };
        for channel in entry.channels() {
            let Ok(Handle::Publisher(publisher)) = self.ground.handle(session, channel) else {
                continue;
            };
            let Some(id) = publisher.relayed else { continue };
            let Some(relayed) = self.relays.all.get_mut(id) else { continue };
            let mut upstreams = relayed.upstreams.iter_mut();
            if let Some(upstream) = upstreams.find(|at| at.key == (session, channel)) {
                upstream.away = away;
            }
            self.elect(id);
        }
    }

    /// Tells the marks that are not told yet, and forgets those that have rested long enough.
    pub(super) fn look_after_relays(&mut self) {
        let now = self.ground.now;
        if self.relays.due.is_none_or(|due| due > now) {
            return;
        }
        self.relays.due = None;
        for id in std::mem::take(&mut self.relays.unreported) {
            self.report_mark(id);
        }
        self.look_at_suspects();
        while let Some((since, id)) = self.relays.oldest_idle() {
            if since.after(MARK_IDLE) > now {
                self.look_after_relays_at(since.after(MARK_IDLE));
                break;
            }
            self.relays.forget(id);
        }
    }

    fn look_after_relays_at(&mut self, at: crate::time::Time) {
        if self.relays.due.is_none_or(|due| at < due) {
            self.relays.due = Some(at);
            self.ground.timers.set(at, Timer::Relays);
        }
    }

    /// What relaying has come to.
    pub fn relay_stat(&self) -> RelayStat {
        self.relays.stat()
    }
}

fn check_sequence(sequence: u64) -> Result<(), Failure> {
    if (1..=SEQUENCE_MAX).contains(&sequence) {
        return Ok(());
    }
    let text = format!("{sequence} is not the number of a message: those are 1 to {SEQUENCE_MAX}");
    Err(Failure::new(ErrorKind::InvalidArgument, text))
}
