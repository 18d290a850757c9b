//! One direction of a bridge: two sessions, and the rules between them.
//!
//! Its task does what is there to be done until nothing is, then sleeps until something comes, can
//! be written, or is due. Invariant: data waits in the spool, not in the connection, once so much
//! is unsent that what comes later would wait for it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::bridge::{Action, Link, LinkConfig};
use bus_core::{ErrorKind, Failure, Time};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};
use tracing::{info, warn};

use super::relays::Relays;
use super::routes::Routes;
use super::side::{Change, Side};
use super::status::{LinkState, SharedBoard};
use super::teller::Teller;
use crate::hub::SharedHub;

/// Rounds before others on the broker's thread have their turn.
pub(super) const ROUNDS_MAX: usize = 8;
/// Unsent bytes beyond which no more data is given to a connection.
const UNSENT_MAX: usize = 256 * 1024;
/// How long a direction that ends may take to say goodbye.
pub(super) const GOODBYE: Duration = Duration::from_millis(500);

/// What the task is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// To carry.
    #[default]
    Run,
    /// To have no connection to the other broker for a while.
    Pause,
    /// To end.
    End,
    /// The same, and what was carried is not to be expected again.
    Remove,
}

/// A direction.
pub(super) struct Direction {
    teller: Teller,
    started: Instant,
    link: Link,
    near: Side,
    far: Side,
    /// Whether the far side is the other broker, else the near one is.
    goes_out: bool,
    routes: Routes,
    relays: Relays,
    alarm: Pin<Box<Sleep>>,
}

impl Direction {
    pub fn new(
        title: String,
        hub: SharedHub,
        config: LinkConfig,
        [near, far]: [Side; 2],
        goes_out: bool,
    ) -> Direction {
        Direction {
            teller: Teller::new(title, hub),
            started: Instant::now(),
            // What it is called it says when it is there.
            link: Link::new(config, ""),
            near,
            far,
            goes_out,
            routes: Routes::default(),
            relays: Relays::default(),
            alarm: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// What it tells while it runs.
    pub fn board(&self) -> SharedBoard {
        self.teller.board.clone()
    }

    /// Carries, until it is told to end.
    pub async fn run(mut self, mut orders: watch::Receiver<Order>) {
        loop {
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    let order = if changed.is_ok() { *orders.borrow_and_update() } else { Order::End };
                    match order {
                        Order::Run => self.go_on(),
                        Order::Pause => self.pause(),
                        Order::End | Order::Remove => break,
                    }
                }
                () = poll_fn(|cx| self.poll(cx)) => {}
            }
        }
        self.say_what_is_given_up();
        for side in [&mut self.near, &mut self.far] {
            side.say_goodbye(GOODBYE).await;
        }
    }

    /// What has not crossed ends with the bridge, but not in silence.
    fn say_what_is_given_up(&self) {
        let stat = self.link.stat();
        if stat.spooled > 0 {
            let (messages, bytes) = (stat.spooled, stat.spooled_bytes);
            let reason = format!(
                "this way of the bridge ends with {messages} messages ({bytes} bytes) that the other broker is not known to have"
            );
            warn!(bridge = self.teller.title, reason, "a bridge ends");
            self.teller.tell("ended", Some(reason));
        }
    }

    fn now(&self) -> Time {
        Time::ZERO.after(self.started.elapsed())
    }

    fn remote(&mut self) -> &mut Side {
        if self.goes_out { &mut self.far } else { &mut self.near }
    }

    fn pause(&mut self) {
        let now = self.now();
        self.remote().pause();
        if self.goes_out {
            self.link.far_down(now);
        }
        self.teller.turn(LinkState::Paused, None);
    }

    fn go_on(&mut self) {
        self.remote().go_on();
        if self.teller.board.borrow().state == LinkState::Paused {
            self.teller.turn(LinkState::Connecting, None);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            let now = self.now();
            let mut busy = self.poll_near(cx, now) | self.poll_far(cx, now);
            if self.link.next_deadline().is_some_and(|due| due <= now) {
                self.link.advance(now);
            }
            busy |= self.pull(now);
            let was_full = self.is_full();
            for near in [true, false] {
                let side = if near { &mut self.near } else { &mut self.far };
                if let Some(change) = side.write(cx).or_else(|| side.end_overrun()) {
                    self.changed(near, now, change);
                    busy = true;
                }
            }
            // What was written may have made room for more: nobody wakes the task for that.
            busy |= was_full && !self.is_full();
            if !busy {
                self.note_board();
                return self.sleep(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(due) = self.link.next_deadline() {
            self.alarm.as_mut().reset(self.started + due.since(Time::ZERO));
            if self.alarm.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Whether there was anything.
    fn poll_near(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let (link, routes) = (&mut self.link, &mut self.routes);
        let polled = self.near.poll(cx, |session, event| routes.take(now, link, session, event));
        let Poll::Ready(change) = polled else { return false };
        change.into_iter().for_each(|change| self.changed(true, now, change));
        true
    }

    fn poll_far(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let (link, relays, mut denied) = (&mut self.link, &mut self.relays, None);
        let polled = self.far.poll(cx, |session, event| {
            if let Err(failure) = relays.take(now, link, session, event) {
                denied = Some(failure);
            }
        });
        if polled.is_pending() && denied.is_none() {
            return false;
        }
        if let Poll::Ready(Some(change)) = polled {
            self.changed(false, now, change);
        }
        if let Some(failure) = denied {
            let change = self.far.start_over(failure.to_string());
            self.changed(false, now, change);
        }
        let waits = self.teller.board.borrow().state == LinkState::Connecting;
        if waits && self.goes_out && self.far.is_up() && self.relays.watched {
            self.teller.turn(LinkState::Connected, None);
        }
        true
    }

    /// Whether so much is unsent that data waits in the spool.
    fn is_full(&self) -> bool {
        self.far.session.outbound.unsent_bytes() >= UNSENT_MAX
    }

    /// Says what the link has to say. Whether there was anything.
    fn pull(&mut self, now: Time) -> bool {
        let mut some = false;
        loop {
            let data = !self.is_full();
            let Some(action) = self.link.pull(data) else { return some };
            some = true;
            if let Action::Trouble { failure } = action {
                self.trouble(&failure);
                continue;
            }
            if let Err(action) = self.routes.act(&mut self.near.session, action) {
                self.relays.act(now, &mut self.link, &mut self.far.session, action);
            }
        }
    }

    /// Something has happened to the connection of a side.
    fn changed(&mut self, near: bool, now: Time, change: Change) {
        match (&change, near) {
            (Change::Began { epoch, broker }, true) => {
                self.routes.clear();
                self.link.call_near(broker);
                self.link.near_up(*epoch);
            }
            (Change::Began { epoch, .. }, false) => {
                self.relays.clear();
                self.link.far_up(*epoch);
            }
            (Change::Resumed, false) => self.link.far_resumed(),
            (Change::Lost(_), false) => self.link.far_down(now),
            (Change::Resumed | Change::Lost(_), true) | (Change::Failed(_), _) => {}
        }
        if self.far.is_up()
            && let Some(peer) = self.near.epoch()
        {
            self.relays.watch(&mut self.link, &mut self.far.session, peer);
        }
        let is_remote = near != self.goes_out;
        match change {
            // Before it tells what is wanted, the other broker may still refuse the bridge.
            Change::Began { .. } if is_remote && self.goes_out => {}
            Change::Began { .. } | Change::Resumed if is_remote => {
                self.teller.turn(LinkState::Connected, None)
            }
            Change::Lost(reason) | Change::Failed(reason) if is_remote => {
                self.teller.turn(LinkState::Connecting, Some(reason));
            }
            Change::Lost(reason) | Change::Failed(reason) => {
                warn!(
                    bridge = self.teller.title,
                    reason, "the broker's own side of a bridge is lost"
                );
            }
            _ => {}
        }
    }

    /// Something that an operator should see. That there is a loop is said once: it works.
    fn trouble(&mut self, failure: &Failure) {
        if failure.kind() != ErrorKind::Loop {
            return self.teller.trouble(failure);
        }
        let was_known = std::mem::replace(&mut self.teller.board.borrow_mut().in_loop, true);
        if !was_known {
            info!(bridge = self.teller.title, %failure, "bridge");
            self.teller.tell("loop", Some(failure.to_string()));
        }
    }

    fn note_board(&mut self) {
        let mut board = self.teller.board.borrow_mut();
        board.link = self.link.stat();
        board.left_out = self.relays.left_out;
        let remote = if self.goes_out { &self.far } else { &self.near };
        board.round_trip = remote.round_trip();
    }
}

/// Writes that both sessions end here, so that nobody waits for them to come back.
pub(super) async fn say_goodbye(sides: [&mut Side; 2]) {
    for side in sides {
        side.session.goodbye();
        let written = poll_fn(|cx| {
            let lost = side.write(cx).is_some();
            let done = lost || !side.is_up() || !side.session.wants_write();
            if done { Poll::Ready(()) } else { Poll::Pending }
        });
        // Whoever does not take it finds out by itself.
        let _ = tokio::time::timeout(GOODBYE, written).await;
    }
}
