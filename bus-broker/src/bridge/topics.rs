//! The topics of one way of a bridge: a link, and what it asks of its two brokers.
//!
//! Invariant: data waits in the spool, not in the connection, once so much is unsent that what
//! comes later would wait for it.

use std::time::Duration;

use bus_core::bridge::{Action, Ends, Link, LinkConfig, ToCarry};
use bus_core::session::Event;
use bus_core::{ErrorKind, Failure, GRACE_DEFAULT, Time};
use tracing::{info, warn};

use super::relays::Relays;
use super::routes::Routes;
use super::rules::{End, Rules, Sides};
use super::settings::BridgeConfig;
use super::side::Change;
use super::teller::Teller;

/// Unsent bytes beyond which no more data is given to a connection.
const UNSENT_MAX: usize = 256 * 1024;

/// Topics: home is the near broker, where they come from, and the guest the far one.
pub(super) struct Topics {
    link: Link,
    /// The settings that it was given last.
    config: LinkConfig,
    routes: Routes,
    relays: Relays,
}

impl Topics {
    pub fn new(config: LinkConfig) -> Topics {
        Topics {
            // What it is called it says when it is there.
            link: Link::new(config.clone(), ""),
            config,
            routes: Routes::default(),
            relays: Relays::default(),
        }
    }

    /// Something that an operator should see. A loop is no error: it works.
    fn trouble(failure: &Failure, teller: &Teller) {
        if failure.kind() != ErrorKind::Loop {
            return teller.trouble(failure);
        }
        info!(bridge = teller.title, %failure, "bridge");
        teller.tell("loop", Some(failure.to_string()));
    }
}

impl Rules for Topics {
    fn take(
        &mut self,
        now: Time,
        end: End,
        event: Event,
        sessions: &mut Ends<'_>,
    ) -> Result<(), Failure> {
        match end {
            End::Home => {
                self.routes.take(now, &mut self.link, sessions.home, event);
                Ok(())
            }
            End::Guest => self.relays.take(now, &mut self.link, sessions.guest, event),
        }
    }

    fn changed(&mut self, now: Time, end: End, change: &Change, sides: &mut Sides) {
        match (change, end) {
            (Change::Began { epoch, broker }, End::Home) => {
                self.routes.clear();
                self.link.call_near(broker);
                self.link.near_up(*epoch);
            }
            (Change::Began { epoch, .. }, End::Guest) => {
                self.relays.clear();
                self.link.far_up(*epoch);
            }
            (Change::Resumed, End::Guest) => self.link.far_resumed(),
            (Change::Lost(_), End::Guest) => self.link.far_down(now),
            (Change::Resumed, End::Home) => self.link.near_resumed(),
            (Change::Lost(_), End::Home) => self.link.near_down(),
            (Change::Failed(_), _) => {}
        }
        if sides.guest.is_up()
            && let Some(peer) = sides.home.epoch()
        {
            self.relays.watch(&mut self.link, &mut sides.guest.session, peer);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.link.next_deadline()
    }

    fn advance(&mut self, now: Time, _: &mut Sides, _: &Teller) {
        self.link.advance(now);
    }

    fn pull(&mut self, now: Time, sides: &mut Sides, teller: &Teller) -> bool {
        let mut some = false;
        loop {
            let data = !self.is_full(sides);
            let Some(action) = self.link.pull(data) else { return some };
            some = true;
            if let Action::Trouble { failure } = action {
                Topics::trouble(&failure, teller);
                continue;
            }
            if let Err(action) = self.routes.act(&mut sides.home.session, action) {
                self.relays.act(now, &mut self.link, &mut sides.guest.session, action);
            }
        }
    }

    fn is_full(&self, sides: &Sides) -> bool {
        sides.guest.session.outbound.unsent_bytes() >= UNSENT_MAX
    }

    /// Before it tells what is wanted, the other broker may still refuse the bridge.
    fn is_accepted(&self, sides: &Sides) -> bool {
        !sides.goes_out || self.relays.watched
    }

    /// What is published there is safe here; what is subscribed to there is not.
    fn grace(&self, config: &BridgeConfig, goes_out: bool) -> Duration {
        if goes_out { GRACE_DEFAULT } else { config.grace() }
    }

    fn to_carry(&self, config: &BridgeConfig, goes_out: bool) -> Vec<ToCarry> {
        let links = config.links().unwrap_or_default();
        let routes = links[usize::from(!goes_out)].iter().flat_map(LinkConfig::routes);
        routes.map(|route| ToCarry::of(route, goes_out, false)).collect()
    }

    fn configure(&mut self, now: Time, config: &BridgeConfig, goes_out: bool, teller: &Teller) {
        // A bridge that cannot be run is not begun.
        let Ok([outgoing, incoming]) = config.links() else { return };
        let Some(link) = (if goes_out { outgoing } else { incoming }) else { return };
        if link == self.config {
            return;
        }
        let gone = self.link.reconfigure(now, link.clone());
        self.config = link;
        let bridge = teller.title.as_str();
        if gone.is_empty() {
            return info!(bridge, "a bridge goes on with other topics or bounds");
        }
        let reason = format!(
            "{gone}, which the other broker is not known to have, are given up: their topics do not go over the bridge any more, or are called otherwise there"
        );
        warn!(bridge, reason, "a bridge goes on with other topics");
        teller.tell("changed", Some(reason));
    }

    /// What has not crossed ends with the bridge, but not in silence.
    fn ended(&mut self, _: bool, _: &mut Ends<'_>, teller: &Teller) {
        let stat = self.link.stat();
        if stat.spooled > 0 {
            let (messages, bytes) = (stat.spooled, stat.spooled_bytes);
            let reason = format!(
                "this way of the bridge ends with {messages} messages ({bytes} bytes) that the other broker is not known to have"
            );
            warn!(bridge = teller.title, reason, "a bridge ends");
            teller.tell("ended", Some(reason));
        }
    }

    fn show(&mut self, teller: &Teller) {
        let mut board = teller.board.borrow_mut();
        let stat = self.link.stat();
        let is_over = board.link.in_loop && !stat.in_loop;
        board.link = stat;
        board.left_out = self.relays.left_out;
        board.note_held(self.link.held_topics());
        drop(board);
        if is_over {
            let reason = "what goes over this way does not come there by another one any more";
            info!(bridge = teller.title, reason, "bridge");
            teller.tell("no loop", Some(reason.to_owned()));
        }
    }
}
