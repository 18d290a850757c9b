//! The queues of one way of a bridge: the carrier between their home and the guest that hosts them.
//!
//! Invariant: a connection that stays away for longer than its broker keeps the session is given up
//! here as well, so that nobody waits for an answer that cannot come.

use bus_core::bridge::{CarriedQueue, Ends, QueueCarrier};
use bus_core::session::Event;
use bus_core::{Failure, GRACE_DEFAULT, Time};
use tracing::info;

use super::rules::{End, Rules, Sides};
use super::side::Change;
use super::teller::Teller;

/// Queues: they live at home, and are hosted at the guest.
pub(super) struct Queues {
    carrier: QueueCarrier,
    /// When the connection there is given up.
    give_up_at: Option<Time>,
}

impl Queues {
    pub fn new(queues: Vec<CarriedQueue>) -> Queues {
        Queues { carrier: QueueCarrier::new(queues), give_up_at: None }
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
            (Change::Lost(_), End::Home) => self.carrier.home_down(ends.guest),
            // The guest sees for itself that its session has no connection.
            (Change::Resumed | Change::Lost(_), End::Guest) | (Change::Failed(_), _) => {}
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

    /// It says at once what there is to say.
    fn pull(&mut self, _: Time, _: &mut Sides, _: &Teller) -> bool {
        false
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
