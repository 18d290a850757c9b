//! What follows from what is said on a way of a bridge, for one kind of things; and the two sides of it.
//!
//! Topics, calls and queues each have rules; the task that carries them out is in `way`. Invariant:
//! rules know what is carried, and no orders, connections or clock.

use std::time::Duration;

use bus_core::bridge::{Ends, ToCarry};
use bus_core::session::Event;
use bus_core::{Failure, GRACE_DEFAULT, Time};

use super::settings::BridgeConfig;
use super::side::{Change, Side};
use super::teller::Teller;
use super::why::Why;

/// Which side: where things are, or where they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Home,
    Guest,
}

/// The two sides of a way.
pub(super) struct Sides {
    pub home: Side,
    pub guest: Side,
    /// Whether the guest is the other broker, else home is.
    pub goes_out: bool,
}

impl Sides {
    pub fn at(&mut self, end: End) -> &mut Side {
        match end {
            End::Home => &mut self.home,
            End::Guest => &mut self.guest,
        }
    }

    /// Which one is the other broker.
    pub fn remote_end(&self) -> End {
        if self.goes_out { End::Guest } else { End::Home }
    }

    pub fn remote(&mut self) -> &mut Side {
        self.at(self.remote_end())
    }

    pub fn sessions(&mut self) -> Ends<'_> {
        Ends { home: &mut self.home.session, guest: &mut self.guest.session }
    }
}

/// What follows from what is said on a way.
pub(super) trait Rules {
    /// Whether the session there ends when the way is paused; else it is left to its grace.
    const LEAVES_WHEN_PAUSED: bool = false;

    /// A broker has said this. What it may not say ends its session.
    fn take(
        &mut self,
        now: Time,
        end: End,
        event: Event,
        sessions: &mut Ends<'_>,
    ) -> Result<(), Failure>;

    /// Something has happened to the connection of a side.
    fn changed(&mut self, now: Time, end: End, change: &Change, sides: &mut Sides);

    /// An operator stops the way for a while. To most it is as if the connection were lost.
    fn paused(&mut self, now: Time, sides: &mut Sides) {
        self.changed(now, sides.remote_end(), &Change::Lost(Why::default()), sides);
    }

    /// When something is due.
    fn next_deadline(&self) -> Option<Time>;

    /// Does what is due.
    fn advance(&mut self, now: Time, sides: &mut Sides, teller: &Teller);

    /// Says what there is to say. Whether there was anything.
    fn pull(&mut self, now: Time, sides: &mut Sides, teller: &Teller) -> bool;

    /// Whether something waits until more has been written.
    fn is_full(&self, _sides: &Sides) -> bool {
        false
    }

    /// What the other broker is asked whether it may be carried, as soon as it is there. What is opened
    /// there at once anyway is not asked for.
    fn to_carry(&self, _config: &BridgeConfig, _goes_out: bool) -> Vec<ToCarry> {
        Vec::new()
    }

    /// Whether the other broker, which is connected, is known to let the bridge carry.
    fn is_accepted(&self, _sides: &Sides) -> bool {
        true
    }

    /// How long the session there is to outlive its connection.
    fn grace(&self, _config: &BridgeConfig, _goes_out: bool) -> Duration {
        GRACE_DEFAULT
    }

    /// The bridge is to be this one from now on.
    fn configure(&mut self, _now: Time, _config: &BridgeConfig, _goes_out: bool, _teller: &Teller) {
    }

    /// The way ends. Whether what was carried is not to be expected again.
    fn ended(&mut self, removed: bool, sessions: &mut Ends<'_>, teller: &Teller);

    /// Writes down how it stands.
    fn show(&mut self, teller: &Teller);
}
