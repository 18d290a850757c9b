//! The queues of one direction of a bridge: a session at their home, one at the guest that hosts
//! them, and the carrier between.
//!
//! They have sessions and a task of their own, so that neither topics nor the other direction hold
//! them up. Invariant: a connection that stays away for longer than its broker keeps the session is
//! given up here as well, so that nobody waits for an answer that cannot come.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::Time;
use bus_core::bridge::{CarriedQueue, Ends, QueueCarrier};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};
use tracing::{info, warn};

use super::direction::{Order, say_goodbye};
use super::side::{Change, Side};
use super::status::{Board, LinkState, SharedBoard};
use crate::hub::SharedHub;
use crate::system::SystemEvent;

/// Rounds before others on the broker's thread have their turn.
const ROUNDS_MAX: usize = 8;

/// A direction.
pub(super) struct QueueDirection {
    /// For people: the bridge, and which way.
    title: String,
    hub: SharedHub,
    started: Instant,
    carrier: QueueCarrier,
    home: Side,
    guest: Side,
    /// Whether the queues live here, else there.
    goes_out: bool,
    /// How long the session there outlives its connection.
    grace: Duration,
    /// When the connection there is given up.
    give_up_at: Option<Instant>,
    board: SharedBoard,
    alarm: Pin<Box<Sleep>>,
}

impl QueueDirection {
    pub fn new(
        title: String,
        hub: SharedHub,
        queues: Vec<CarriedQueue>,
        [home, guest]: [Side; 2],
        goes_out: bool,
        grace: Duration,
    ) -> QueueDirection {
        QueueDirection {
            title,
            hub,
            started: Instant::now(),
            carrier: QueueCarrier::new(queues),
            home,
            guest,
            goes_out,
            grace,
            give_up_at: None,
            board: Board::shared(),
            alarm: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// What it tells while it runs.
    pub fn board(&self) -> SharedBoard {
        self.board.clone()
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
                        Order::End => break,
                        Order::Remove => {
                            let (home, guest) = (&mut self.home.session, &mut self.guest.session);
                            self.carrier.end(&mut Ends { home, guest });
                            break;
                        }
                    }
                }
                () = poll_fn(|cx| self.poll(cx)) => {}
            }
        }
        say_goodbye([&mut self.guest, &mut self.home]).await;
    }

    fn go_on(&mut self) {
        self.remote().go_on();
        if self.board.borrow().state == LinkState::Paused {
            self.turn(LinkState::Connecting, None);
        }
    }

    fn now(&self) -> Time {
        Time::ZERO.after(self.started.elapsed())
    }

    fn remote(&mut self) -> &mut Side {
        if self.goes_out { &mut self.guest } else { &mut self.home }
    }

    fn pause(&mut self) {
        self.remote().pause();
        self.away();
        self.turn(LinkState::Paused, None);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            let now = self.now();
            let mut busy = self.poll_side(cx, now, true) | self.poll_side(cx, now, false);
            if self.carrier.next_deadline().is_some_and(|due| due <= now) {
                let (home, guest) = (&mut self.home.session, &mut self.guest.session);
                self.carrier.advance(now, &mut Ends { home, guest });
                busy = true;
            }
            if self.give_up_at.is_some_and(|at| at <= Instant::now()) {
                self.give_up();
            }
            for at_home in [true, false] {
                let side = if at_home { &mut self.home } else { &mut self.guest };
                if let Some(change) = side.write(cx) {
                    self.changed(at_home, change);
                    busy = true;
                }
            }
            // What was written may have made room for more.
            if !busy {
                self.note_board();
                return self.sleep(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let retry = self.carrier.next_deadline();
        let retry = retry.map(|due| self.started + due.since(Time::ZERO));
        if let Some(due) = [retry, self.give_up_at].into_iter().flatten().min() {
            self.alarm.as_mut().reset(due);
            if self.alarm.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Whether there was anything.
    fn poll_side(&mut self, cx: &mut Context<'_>, now: Time, at_home: bool) -> bool {
        let QueueDirection { carrier, home, guest, .. } = self;
        let polled = if at_home {
            let other = &mut guest.session;
            home.poll(cx, |home, event| {
                // What is left over is of no channel of the carrier's.
                let _ = carrier.home_says(now, event, &mut Ends { home, guest: other });
            })
        } else {
            let other = &mut home.session;
            guest.poll(cx, |guest, event| {
                let _ = carrier.guest_says(now, event, &mut Ends { home: other, guest });
            })
        };
        let Poll::Ready(change) = polled else { return false };
        change.into_iter().for_each(|change| self.changed(at_home, change));
        true
    }

    /// Something has happened to the connection of a side.
    fn changed(&mut self, at_home: bool, change: Change) {
        let (home, guest) = (&mut self.home.session, &mut self.guest.session);
        match (&change, at_home) {
            (Change::Began { .. }, true) => {
                self.carrier.home_lost(guest);
                self.carrier.home_up(&mut Ends { home, guest });
            }
            (Change::Resumed, true) => self.carrier.home_up(&mut Ends { home, guest }),
            (Change::Began { .. }, false) => {
                self.carrier.guest_lost(home);
                self.carrier.guest_up(&mut Ends { home, guest });
            }
            (Change::Lost(_), true) => self.carrier.home_down(guest),
            // The guest sees for itself that its session has no connection.
            (Change::Resumed | Change::Lost(_), false) | (Change::Failed(_), _) => {}
        }
        let is_remote = at_home != self.goes_out;
        match change {
            Change::Began { .. } | Change::Resumed if is_remote => {
                self.give_up_at = None;
                self.turn(LinkState::Connected, None);
            }
            Change::Lost(reason) if is_remote => {
                self.away();
                self.turn(LinkState::Connecting, Some(reason));
            }
            Change::Failed(reason) if is_remote => {
                self.turn(LinkState::Connecting, Some(reason));
            }
            Change::Lost(reason) | Change::Failed(reason) => {
                warn!(bridge = self.title, reason, "the broker's own side of a bridge is lost");
            }
            _ => {}
        }
    }

    /// The connection there is gone; its session is waited for a while.
    fn away(&mut self) {
        if !self.goes_out {
            self.carrier.home_down(&mut self.guest.session);
        }
        self.give_up_at = self.give_up_at.or(Some(Instant::now() + self.grace));
    }

    /// The broker there has given the session up by now, or is about to.
    fn give_up(&mut self) {
        self.give_up_at = None;
        self.remote().forget();
        match self.goes_out {
            true => self.carrier.guest_lost(&mut self.home.session),
            false => self.carrier.home_lost(&mut self.guest.session),
        }
        info!(bridge = self.title, "what was under way when the connection was lost is given up");
    }

    /// How it stands from now on; and why, if that is no good news.
    fn turn(&mut self, state: LinkState, reason: Option<String>) {
        let mut board = self.board.borrow_mut();
        let is_new = board.turn(state);
        let last = board.last_error.as_ref().map(|(text, _)| text);
        let says_more = reason.is_some() && reason.as_ref() != last;
        if let Some(reason) = &reason {
            board.last_error = Some((reason.clone(), Instant::now()));
        }
        drop(board);
        if !is_new && !says_more {
            return;
        }
        let (bridge, state) = (&*self.title, state.word());
        match &reason {
            None => info!(bridge, state, "bridge"),
            Some(reason) => warn!(bridge, state, reason, "bridge"),
        }
        let bridge = self.title.clone();
        self.hub.borrow_mut().tell(SystemEvent::Bridge { bridge, what: state, reason });
    }

    fn note_board(&mut self) {
        let mut board = self.board.borrow_mut();
        for (queue, reason) in board.note_queues(self.carrier.stat()) {
            warn!(bridge = self.title, %queue, reason, "bridge");
        }
        let remote = if self.goes_out { &self.guest } else { &self.home };
        board.round_trip = remote.round_trip();
    }
}
