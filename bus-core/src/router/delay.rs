//! Messages that are set aside for a time, and the one timer that a queue has for them.
//!
//! Invariant: a timer is set for the earliest of them, and for no other; without one there is
//! no timer.

use std::time::Duration;

use super::ground::Ground;
use super::lease::Stored;
use super::queue::Queue;
use super::timer::Timer;

impl Queue {
    /// Sets a message aside for a time; its place is kept.
    pub(super) fn delay(&mut self, ground: &mut Ground, mut stored: Stored, delay: Duration) {
        stored.message.compact();
        let until = ground.now.after(delay);
        self.bytes += stored.message.cost();
        self.delayed.insert((until, stored.arrival), stored);
        self.set_delay_timer(ground);
    }

    /// Puts back what was set aside until now.
    pub(super) fn end_delays(&mut self, ground: &mut Ground) {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= ground.now
        {
            let stored = entry.remove();
            self.bytes -= stored.message.cost();
            if let Some(stored) = self.match_arrival(ground, stored) {
                self.put(ground, stored);
            }
        }
        self.set_delay_timer(ground);
        // What went to a receiver has left room behind.
        self.admit(ground);
    }

    /// Forgets what was set aside.
    pub(super) fn clear_delayed(&mut self, ground: &mut Ground) {
        self.delayed.clear();
        self.set_delay_timer(ground);
    }

    fn set_delay_timer(&mut self, ground: &mut Ground) {
        let earliest = self.delayed.first_key_value().map(|((until, _), _)| *until);
        if earliest == self.delay_timer {
            return;
        }
        if let Some(old) = self.delay_timer {
            ground.timers.clear(old, Timer::Delay(self.id));
        }
        if let Some(earliest) = earliest {
            ground.timers.set(earliest, Timer::Delay(self.id));
        }
        self.delay_timer = earliest;
    }
}
