//! Calls over one direction of a bridge: two sessions, and the rules between them.
//!
//! A task of its own, beside those of topics, so that neither holds up the other. It always reads
//! both sides: what it has no room for is answered, not left unread.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bus_core::bridge::{Exchange, ExchangeAction, ExchangeConfig};
use bus_core::{Pattern, Time};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

use super::callers::Callers;
use super::direction::{GOODBYE, Order, ROUNDS_MAX};
use super::servers::Servers;
use super::side::{Change, Side};
use super::status::{LinkState, NAMES_SHOWN_MAX, SharedBoard};
use super::teller::Teller;
use crate::hub::SharedHub;

/// Unsent bytes of calls beyond which home is given no more.
const CALLS_UNSENT_MAX: usize = 128 * 1024 * 1024;

/// Calls of one direction.
pub(super) struct Calls {
    teller: Teller,
    started: Instant,
    exchange: Exchange,
    patterns: Vec<Pattern>,
    /// Where they serve, and where they call.
    home: Side,
    guest: Side,
    /// Whether the guest is the other broker, else home is.
    goes_out: bool,
    servers: Servers,
    callers: Callers,
    alarm: Pin<Box<Sleep>>,
}

impl Calls {
    pub fn new(
        title: String,
        hub: SharedHub,
        config: ExchangeConfig,
        [home, guest]: [Side; 2],
        goes_out: bool,
    ) -> Calls {
        Calls {
            teller: Teller::new(title, hub),
            started: Instant::now(),
            patterns: config.patterns(),
            exchange: Exchange::new(config),
            home,
            guest,
            goes_out,
            servers: Servers::default(),
            callers: Callers::default(),
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
                        Order::Pause => self.pause().await,
                        Order::End | Order::Remove => break,
                    }
                }
                () = poll_fn(|cx| self.poll(cx)) => {}
            }
        }
        for side in [&mut self.guest, &mut self.home] {
            side.say_goodbye(GOODBYE).await;
        }
    }

    /// Nobody is left waiting: what is under way ends, and nothing is served.
    async fn pause(&mut self) {
        let goes_out = self.goes_out;
        if goes_out {
            self.exchange.guest_gone();
            self.servers.clear();
        } else {
            self.exchange.home_gone();
            self.callers.clear();
        }
        let remote = self.remote();
        remote.say_goodbye(GOODBYE).await;
        remote.start_over(String::new());
        remote.pause();
        self.teller.turn(LinkState::Paused, None);
    }

    fn go_on(&mut self) {
        self.remote().go_on();
        if self.teller.board.borrow().state == LinkState::Paused {
            self.teller.turn(LinkState::Connecting, None);
        }
    }

    fn now(&self) -> Time {
        Time::ZERO.after(self.started.elapsed())
    }

    fn remote(&mut self) -> &mut Side {
        if self.goes_out { &mut self.guest } else { &mut self.home }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            let now = self.now();
            let mut busy = self.poll_guest(cx, now) | self.poll_home(cx, now);
            if self.exchange.next_deadline().is_some_and(|due| due <= now) {
                self.exchange.advance(now);
            }
            busy |= self.pull(now);
            for at_home in [true, false] {
                let side = if at_home { &mut self.home } else { &mut self.guest };
                if let Some(change) = side.write(cx) {
                    self.changed(at_home, now, change);
                    busy = true;
                }
            }
            if !busy {
                self.note_board();
                return self.sleep(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(due) = self.exchange.next_deadline() {
            self.alarm.as_mut().reset(self.started + due.since(Time::ZERO));
            if self.alarm.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn poll_guest(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let (exchange, servers) = (&mut self.exchange, &mut self.servers);
        let full = self.home.session.outbound.unsent_bytes() > CALLS_UNSENT_MAX;
        let polled = self.guest.poll(cx, |session, event| {
            servers.take(now, exchange, session, event, full);
        });
        let Poll::Ready(change) = polled else { return false };
        change.into_iter().for_each(|change| self.changed(false, now, change));
        true
    }

    fn poll_home(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let (exchange, callers) = (&mut self.exchange, &mut self.callers);
        let mut denied = None;
        let polled = self.home.poll(cx, |session, event| {
            if let Err(failure) = callers.take(exchange, session, event) {
                denied = Some(failure);
            }
        });
        let Poll::Ready(change) = polled else { return false };
        change.into_iter().for_each(|change| self.changed(true, now, change));
        if let Some(failure) = denied {
            let change = self.home.start_over(failure.to_string());
            self.changed(true, now, change);
        }
        true
    }

    /// Says what the exchange has to say. Whether there was anything.
    fn pull(&mut self, now: Time) -> bool {
        let mut some = false;
        while let Some(action) = self.exchange.pull() {
            some = true;
            if let ExchangeAction::Trouble { failure } = action {
                self.teller.trouble(&failure);
            } else if action.is_for_home() {
                self.callers.act(&mut self.exchange, &mut self.home.session, action);
            } else {
                let (exchange, session) = (&mut self.exchange, &mut self.guest.session);
                self.servers.act(now, exchange, session, action);
            }
        }
        some
    }

    /// Something has happened to the connection of a side.
    fn changed(&mut self, at_home: bool, now: Time, change: Change) {
        match (&change, at_home) {
            (Change::Began { .. }, true) => {
                self.callers.clear();
                self.exchange.home_up(now);
            }
            (Change::Began { epoch, broker }, false) => {
                self.servers.clear();
                self.exchange.guest_up(*epoch, broker);
            }
            (Change::Resumed, true) => self.exchange.home_resumed(now),
            (Change::Lost(_), true) => self.exchange.home_down(now),
            (Change::Resumed | Change::Lost(_), false) | (Change::Failed(_), _) => {}
        }
        if self.home.is_up()
            && let Some(peer) = self.guest.epoch()
        {
            let (exchange, session) = (&mut self.exchange, &mut self.home.session);
            self.callers.watch(exchange, session, peer, &self.patterns);
        }
        let is_remote = at_home != self.goes_out;
        match change {
            Change::Began { .. } | Change::Resumed if is_remote => {
                self.teller.turn(LinkState::Connected, None);
            }
            Change::Lost(reason) | Change::Failed(reason) if is_remote => {
                self.teller.turn(LinkState::Connecting, Some(reason));
            }
            Change::Lost(reason) | Change::Failed(reason) => {
                let bridge = self.teller.title.as_str();
                warn!(bridge, reason, "the broker's own side of a bridge is lost");
            }
            _ => {}
        }
    }

    fn note_board(&mut self) {
        let mut board = self.teller.board.borrow_mut();
        let stat = self.exchange.stat();
        if board.services.0 != self.exchange.version() {
            let names = self.exchange.names().take(NAMES_SHOWN_MAX);
            board.services = (self.exchange.version(), names.map(ToString::to_string).collect());
        }
        board.calls = stat;
        board.left_out = self.callers.left_out;
        let remote = if self.goes_out { &self.guest } else { &self.home };
        board.round_trip = remote.round_trip();
    }
}
