//! The queues of one way of a bridge: the carrier between their home and the guest that hosts them.
//!
//! Invariant: a connection that stays away for longer than its broker keeps the session is given up
//! here as well, so that nobody waits for an answer that cannot come.

use bus_core::bridge::{CarriedQueue, Ends, QueueCarrier};
use bus_core::session::Event;
use bus_core::{Failure, GRACE_DEFAULT, Time};
use tracing::info;

use super::rules::{End, Rules, Sides};
use super::settings::BridgeConfig;
use super::side::Change;
use super::teller::Teller;
use super::why::Why;

/// Queues: they live at home, and are hosted at the guest.
pub(super) struct Queues {
    carrier: QueueCarrier,
    called: Called,
    /// When the connection there is given up.
    give_up_at: Option<Time>,
}

/// What people at the guest are told that home and bridge are called.
#[derive(Default)]
struct Called {
    bridge: String,
    /// Where a home is looked for.
    place: String,
    /// What it calls itself, once it has been met there.
    broker: Option<String>,
    is_told: bool,
}

/// Why a paused bridge has no connection.
const PAUSED: &str = "the bridge is paused; `bus bridge resume` has it go on";

impl Queues {
    pub fn new(queues: Vec<CarriedQueue>) -> Queues {
        let (carrier, called) = (QueueCarrier::new(queues), Called::default());
        Queues { carrier, called, give_up_at: None }
    }

    /// The broker there has given the session up by now, or is about to.
    fn give_up(&mut self, sides: &mut Sides, teller: &Teller) {
        self.give_up_at = None;
        sides.remote().forget();
        match sides.goes_out {
            true => self.carrier.guest_lost(&mut sides.home.session),
            false => self.carrier.home_lost(&mut sides.guest.session),
        }
        let bridge = teller.title.as_str();
        info!(bridge, "what was under way when the connection was lost is given up");
    }
}

impl Rules for Queues {
    fn take(
        &mut self,
        now: Time,
        end: End,
        event: Event,
        sessions: &mut Ends<'_>,
    ) -> Result<(), Failure> {
        // What is left over is of no channel of the carrier's.
        let _ = match end {
            End::Home => self.carrier.home_says(now, event, sessions),
            End::Guest => self.carrier.guest_says(now, event, sessions),
        };
        Ok(())
    }

    fn changed(&mut self, now: Time, end: End, change: &Change, sides: &mut Sides) {
        let is_remote = end == sides.remote_end();
        if let (Change::Began { broker, .. }, End::Home) = (change, end) {
            (self.called.broker, self.called.is_told) = (Some(broker.clone()), false);
        }
        let mut ends = sides.sessions();
        match (change, end) {
            (Change::Began { .. }, End::Home) => {
                self.carrier.home_lost(ends.guest);
                self.carrier.home_up(&mut ends);
            }
            (Change::Resumed, End::Home) => self.carrier.home_up(&mut ends),
            (Change::Began { .. }, End::Guest) => {
                self.carrier.guest_lost(ends.home);
                self.carrier.guest_up(&mut ends);
            }
            (Change::Lost(reason), End::Home) => {
                self.carrier.home_away(&reason.text, ends.guest);
                self.carrier.home_down(ends.guest);
            }
            (Change::Failed(reason), End::Home) => self.carrier.home_away(&reason.text, ends.guest),
            // The guest sees for itself that its session has no connection.
            (Change::Resumed | Change::Lost(_) | Change::Failed(_), End::Guest) => {}
        }
        match change {
            Change::Began { .. } | Change::Resumed if is_remote => self.give_up_at = None,
            // Its session is waited for a while.
            Change::Lost(_) if is_remote => {
                self.give_up_at = self.give_up_at.or(Some(now.after(GRACE_DEFAULT)));
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.carrier.next_deadline(), self.give_up_at].into_iter().flatten().min()
    }

    fn advance(&mut self, now: Time, sides: &mut Sides, teller: &Teller) {
        if self.carrier.next_deadline().is_some_and(|due| due <= now) {
            self.carrier.advance(now, &mut sides.sessions());
        }
        if self.give_up_at.is_some_and(|at| at <= now) {
            self.give_up(sides, teller);
        }
    }

    fn paused(&mut self, now: Time, sides: &mut Sides) {
        self.changed(now, sides.remote_end(), &Change::Lost(Why::lost(PAUSED)), sides);
    }

    /// It says at once what there is to say, but what the home is called.
    fn pull(&mut self, _: Time, sides: &mut Sides, _: &Teller) -> bool {
        if std::mem::replace(&mut self.called.is_told, true) {
            return false;
        }
        let Called { bridge, place, broker, .. } = &self.called;
        let broker = broker.as_deref().filter(|name| !name.is_empty()).unwrap_or(place);
        self.carrier.home_called(broker, bridge, &mut sides.guest.session);
        true
    }

    fn configure(&mut self, _: Time, config: &BridgeConfig, goes_out: bool, _: &Teller) {
        // What goes out lives here, and this broker's name is soon known.
        let place = if goes_out { String::new() } else { config.url.to_string() };
        if self.called.place != place {
            (self.called.place, self.called.broker) = (place, None);
        }
        self.called.bridge = config.name.to_string();
        self.called.is_told = false;
    }

    fn ended(&mut self, removed: bool, sessions: &mut Ends<'_>, _: &Teller) {
        if removed {
            self.carrier.end(sessions);
        }
    }

    fn show(&mut self, teller: &Teller) {
        let news = teller.board.borrow_mut().note_queues(self.carrier.stat());
        for (queue, reason) in news {
            teller.say_trouble(format!("queue `{queue}`: {reason}"));
        }
    }
}
