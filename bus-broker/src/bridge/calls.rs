//! The calls of one way of a bridge: an exchange, and what it asks of its two brokers.
//!
//! Both sides are always read: what there is no room for is answered, not left unread.

use bus_core::bridge::{Ends, Exchange, ExchangeAction, ExchangeConfig, ToCarry};
use bus_core::session::Event;
use bus_core::{Failure, Pattern, Time};

use super::callers::Callers;
use super::rules::{End, Rules, Sides};
use super::servers::Servers;
use super::settings::BridgeConfig;
use super::side::Change;
use super::status::NAMES_SHOWN_MAX;
use super::teller::Teller;

/// Unsent bytes of calls beyond which home is given no more.
const CALLS_UNSENT_MAX: usize = 128 * 1024 * 1024;

/// Calls: they are served at home, and called at the guest.
pub(super) struct Calls {
    exchange: Exchange,
    patterns: Vec<Pattern>,
    servers: Servers,
    callers: Callers,
}

impl Calls {
    pub fn new(config: ExchangeConfig) -> Calls {
        Calls {
            patterns: config.patterns(),
            exchange: Exchange::new(config),
            servers: Servers::default(),
            callers: Callers::default(),
        }
    }
}

impl Rules for Calls {
    const LEAVES_WHEN_PAUSED: bool = true;

    fn take(
        &mut self,
        now: Time,
        end: End,
        event: Event,
        sessions: &mut Ends<'_>,
    ) -> Result<(), Failure> {
        match end {
            End::Home => self.callers.take(&mut self.exchange, sessions.home, event),
            End::Guest => {
                let full = sessions.home.outbound.unsent_bytes() > CALLS_UNSENT_MAX;
                self.servers.take(now, &mut self.exchange, sessions.guest, event, full);
                Ok(())
            }
        }
    }

    fn changed(&mut self, now: Time, end: End, change: &Change, sides: &mut Sides) {
        match (change, end) {
            (Change::Began { .. }, End::Home) => {
                self.callers.clear();
                self.exchange.home_up(now);
            }
            (Change::Began { epoch, broker }, End::Guest) => {
                self.servers.clear();
                self.exchange.guest_up(*epoch, broker);
            }
            (Change::Resumed, End::Home) => self.exchange.home_resumed(now),
            (Change::Lost(_), End::Home) => self.exchange.home_down(now),
            (Change::Resumed | Change::Lost(_), End::Guest) | (Change::Failed(_), _) => {}
        }
        if sides.home.is_up()
            && let Some(peer) = sides.guest.epoch()
        {
            let (exchange, session) = (&mut self.exchange, &mut sides.home.session);
            self.callers.watch(exchange, session, peer, &self.patterns);
        }
    }

    /// Nobody is left waiting: what is under way ends, and nothing is served.
    fn paused(&mut self, _: Time, sides: &mut Sides) {
        if sides.goes_out {
            self.exchange.guest_gone();
            self.servers.clear();
        } else {
            self.exchange.home_gone();
            self.callers.clear();
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.exchange.next_deadline()
    }

    fn advance(&mut self, now: Time, _: &mut Sides, _: &Teller) {
        self.exchange.advance(now);
    }

    fn pull(&mut self, now: Time, sides: &mut Sides, teller: &Teller) -> bool {
        let mut some = false;
        while let Some(action) = self.exchange.pull() {
            some = true;
            let Ends { home, guest } = sides.sessions();
            if let ExchangeAction::Trouble { failure } = action {
                teller.trouble(&failure);
            } else if action.is_for_home() {
                self.callers.act(&mut self.exchange, home, action);
            } else {
                self.servers.act(now, &mut self.exchange, guest, action);
            }
        }
        some
    }

    /// Before it tells what is served, the other broker may still refuse the bridge.
    fn is_accepted(&self, sides: &Sides) -> bool {
        sides.goes_out || self.callers.watched
    }

    fn to_carry(&self, config: &BridgeConfig, goes_out: bool) -> Vec<ToCarry> {
        let exchanges = config.exchanges().unwrap_or_default();
        let routes = exchanges[usize::from(!goes_out)].iter().flat_map(ExchangeConfig::routes);
        routes.map(|route| ToCarry::of(route, goes_out, true)).collect()
    }

    /// Whoever waits for an answer is told by his broker, when the session there ends.
    fn ended(&mut self, _: bool, _: &mut Ends<'_>, _: &Teller) {}

    fn show(&mut self, teller: &Teller) {
        let mut board = teller.board.borrow_mut();
        if board.services.0 != self.exchange.version() {
            let names = self.exchange.names().take(NAMES_SHOWN_MAX);
            board.services = (self.exchange.version(), names.map(ToString::to_string).collect());
        }
        board.calls = self.exchange.stat();
        board.left_out = self.callers.left_out;
    }
}
