//! One way of a bridge for one kind of things: two sessions, and the task that moves what they are
//! told and what they ask.
//!
//! What follows from what a broker says is a matter of the [`Rules`] of a kind: topics, calls or
//! queues. The task does what is there to be done until nothing is, then sleeps until something
//! comes, can be written, or is due. Invariant: only the rules know what is carried, and only the
//! task knows orders, connections and the clock.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::Time;
use bus_core::bridge::{Ends, Permits};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

use super::rules::{End, Rules, Sides};
use super::settings::BridgeConfig;
use super::side::{Change, Place, Side};
use super::status::{LinkState, SharedBoard};
use super::teller::Teller;
use super::why::Why;
use crate::hub::SharedHub;

/// Rounds before others on the broker's thread have their turn.
const ROUNDS_MAX: usize = 8;
/// How long a way that ends may take to say goodbye to each side.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long a way that is removed tries to reach a session that it has left behind.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// So much of a bridge's name is in those of its sessions.
const SHOWN_BYTES: usize = 40;

/// What a way is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To carry.
    Run,
    /// To have no connection to the other broker for a while.
    Pause,
    /// To end.
    End,
    /// The same, and what was carried is not to be expected again.
    Remove,
}

/// What a way is told. The last word counts: none of those before it needs to have been heard.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub order: Order,
    /// The bridge as it is to be.
    pub config: Arc<BridgeConfig>,
}

/// A way.
pub(super) struct Way<R> {
    teller: Teller,
    started: Instant,
    sides: Sides,
    rules: R,
    permits: Permits,
    alarm: Pin<Box<Sleep>>,
}

impl<R: Rules> Way<R> {
    /// A way that people call so, of a bridge.
    pub fn new(
        hub: &SharedHub,
        config: &Arc<BridgeConfig>,
        way: &str,
        goes_out: bool,
        rules: R,
    ) -> Way<R> {
        let name = config.name.as_str();
        // Names of bridges are ASCII, and may be longer than a client's.
        let client = format!("bridge {} ({way})", &name[..name.len().min(SHOWN_BYTES)]);
        let (epoch, buffers) = (hub.borrow().epoch, hub.borrow().buffers.clone());
        let own =
            Side::new(Place::Own(hub.clone()), buffers.clone(), &client, Duration::ZERO, epoch);
        let grace = rules.grace(config, goes_out);
        let remote = Side::new(Place::Remote(config.clone()), buffers, &client, grace, epoch);
        let (home, guest) = if goes_out { (own, remote) } else { (remote, own) };
        Way {
            teller: Teller::new(format!("{name} ({way})"), hub.clone()),
            started: Instant::now(),
            sides: Sides { home, guest, goes_out },
            permits: Permits::new(rules.to_carry(config, goes_out)),
            rules,
            alarm: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// What it tells while it runs.
    pub fn board(&self) -> SharedBoard {
        self.teller.board.clone()
    }

    /// Carries, until it is told to end.
    pub async fn run(mut self, mut orders: watch::Receiver<Orders>) {
        // What it is told first counts as well.
        orders.mark_changed();
        let removed = loop {
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    let Ok(()) = changed else { break false };
                    let Orders { order, config } = orders.borrow_and_update().clone();
                    match order {
                        Order::End => break false,
                        Order::Remove => break true,
                        Order::Run | Order::Pause => self.configure(&config),
                    }
                    match order {
                        Order::Pause => self.pause().await,
                        _ => self.go_on(),
                    }
                }
                () = poll_fn(|cx| self.poll(cx)) => {}
            }
        };
        self.rules.ended(removed, &mut self.sides.sessions(), &self.teller);
        if removed {
            self.fetch_what_was_left().await;
        }
        for side in [&mut self.sides.guest, &mut self.sides.home] {
            side.say_goodbye(GOODBYE).await;
        }
    }

    /// A session that outlives its connection keeps what it has at the other broker from others. So
    /// it is looked for once more, for a short time, to end it.
    async fn fetch_what_was_left(&mut self) {
        let remote = self.sides.remote();
        if remote.is_up() || !remote.has_session() || remote.find_again(LAST_WORDS).await {
            return;
        }
        let grace = remote.grace();
        let reason = format!(
            "the other broker could not be told: what it has under way for this bridge it keeps until the session there is given up, {} s after its connection was lost",
            grace.as_secs()
        );
        warn!(bridge = self.teller.title, reason, "a bridge ends");
        self.teller.tell("ended", Some(reason));
    }

    /// The bridge is this one from now on. What is as it was goes on undisturbed.
    fn configure(&mut self, config: &Arc<BridgeConfig>) {
        let now = self.now();
        let goes_out = self.sides.goes_out;
        let grace = self.rules.grace(config, goes_out);
        let change = self.sides.remote().lead_to(config, grace);
        if let Some(change) = change {
            self.changed(now, self.sides.remote_end(), change);
        }
        self.rules.configure(now, config, goes_out, &self.teller);
        let carried = self.rules.to_carry(config, goes_out);
        self.permits.change(carried, &mut self.sides.remote().session);
        self.teller.note_permits(&mut self.permits, self.sides.remote().broker());
        self.note_accepted();
    }

    async fn pause(&mut self) {
        if self.sides.remote().is_paused() {
            return;
        }
        let now = self.now();
        if R::LEAVES_WHEN_PAUSED {
            let remote = self.sides.remote();
            remote.say_goodbye(GOODBYE).await;
            remote.forget();
        }
        self.sides.remote().pause();
        self.rules.paused(now, &mut self.sides);
        self.teller.turn(LinkState::Paused, None);
    }

    fn go_on(&mut self) {
        self.sides.remote().go_on();
        if self.teller.board.borrow().state == LinkState::Paused {
            self.teller.turn(LinkState::Connecting, None);
        }
    }

    fn now(&self) -> Time {
        Time::ZERO.after(self.started.elapsed())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            let now = self.now();
            let mut busy = self.poll_side(cx, now, End::Home) | self.poll_side(cx, now, End::Guest);
            if self.next_deadline().is_some_and(|due| due <= now) {
                self.rules.advance(now, &mut self.sides, &self.teller);
                self.permits.advance(now, &mut self.sides.remote().session);
                busy = true;
            }
            busy |= self.rules.pull(now, &mut self.sides, &self.teller);
            let was_full = self.rules.is_full(&self.sides);
            for end in [End::Home, End::Guest] {
                let side = self.sides.at(end);
                if let Some(change) = side.write(cx).or_else(|| side.end_overrun()) {
                    self.changed(now, end, change);
                    busy = true;
                }
            }
            // What was written may have made room for more: nobody wakes the task for that.
            busy |= was_full && !self.rules.is_full(&self.sides);
            if !busy {
                self.rules.show(&self.teller);
                self.teller.board.borrow_mut().round_trip = self.sides.remote().round_trip();
                return self.sleep(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(due) = self.next_deadline() {
            self.alarm.as_mut().reset(self.started + due.since(Time::ZERO));
            if self.alarm.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.rules.next_deadline(), self.permits.next_deadline()].into_iter().flatten().min()
    }

    /// Whether there was anything.
    fn poll_side(&mut self, cx: &mut Context<'_>, now: Time, end: End) -> bool {
        let is_remote = end == self.sides.remote_end();
        let Way { rules, permits, sides: Sides { home, guest, .. }, .. } = self;
        let mut denied = None;
        let mut take = |event, mut sessions: Ends<'_>| {
            let session = match end {
                End::Home => &mut *sessions.home,
                End::Guest => &mut *sessions.guest,
            };
            let left = if is_remote { permits.take(now, event, session) } else { Some(event) };
            let Some(event) = left else { return };
            if let Err(failure) = rules.take(now, end, event, &mut sessions) {
                denied = Some(failure);
            }
        };
        let polled = match end {
            End::Home => {
                let guest = &mut guest.session;
                home.poll(cx, |home, event| take(event, Ends { home, guest }))
            }
            End::Guest => {
                let home = &mut home.session;
                guest.poll(cx, |guest, event| take(event, Ends { home, guest }))
            }
        };
        if polled.is_pending() && denied.is_none() {
            return false;
        }
        if let Poll::Ready(Some(change)) = polled {
            self.changed(now, end, change);
        }
        if let Some(failure) = denied {
            let change = self.sides.at(end).start_over(&failure);
            self.changed(now, end, change);
        }
        if is_remote {
            self.teller.note_permits(&mut self.permits, self.sides.remote().broker());
            self.note_accepted();
        }
        true
    }

    /// Whether the other broker lets the bridge carry something is known when it has said so of all.
    fn note_accepted(&mut self) {
        let is_known = self.permits.is_settled() && self.rules.is_accepted(&self.sides);
        if self.sides.remote().is_up() && is_known {
            match self.permits.is_refused() {
                true => self.teller.refused(),
                false => self.teller.connected(),
            }
        }
    }

    /// Something has happened to the connection of a side.
    fn changed(&mut self, now: Time, end: End, change: Change) {
        let is_remote = end == self.sides.remote_end();
        if is_remote && let Change::Began { .. } = change {
            self.permits.began(&mut self.sides.remote().session);
        }
        self.rules.changed(now, end, &change, &mut self.sides);
        match change {
            Change::Began { .. } | Change::Resumed if is_remote => self.teller.is_new_way = true,
            Change::Began { .. } | Change::Resumed => {}
            Change::Lost(why) | Change::Failed(why) if is_remote => {
                let state = if why.refused { LinkState::Refused } else { LinkState::Connecting };
                self.teller.turn(state, Some(why.text));
            }
            Change::Lost(Why { text: reason, .. }) | Change::Failed(Why { text: reason, .. }) => {
                let bridge = self.teller.title.as_str();
                warn!(bridge, reason, "the broker's own side of a bridge is lost");
            }
        }
    }
}
