//! How far a spinning reader keeps from the tail that it follows.
//!
//! A reader that looks at the writer's newest cache line all the time takes it away from the
//! writer all the time. So after finding nothing it pauses before it looks again, for longer
//! while the pauses are few beside what they bring, and for much less as soon as they are not:
//! under load it stays away, in a ping-pong it does not.
//! It counts pauses and messages, and knows no clock.

/// The longest pause, in turns of the processor's own hint: some microseconds.
const TURNS_MAX: u32 = 1024;
/// Pauses for each message that are still few.
const FEW: u64 = 3;

/// The distance of one reader.
pub struct Distance {
    turns: u32,
    /// Turns since the last message.
    waited: u64,
}

impl Distance {
    /// Close to the tail.
    pub fn new() -> Distance {
        Distance { turns: 1, waited: 0 }
    }

    /// Nothing was there: keeps away for a while.
    #[inline]
    pub fn keep(&mut self) {
        for _ in 0..self.turns {
            std::hint::spin_loop();
        }
        self.waited += u64::from(self.turns);
    }

    /// So many messages were there.
    #[inline]
    pub fn found(&mut self, messages: u64) {
        if self.waited < FEW * messages {
            self.turns = (self.turns * 2).min(TURNS_MAX);
        } else {
            self.turns = (self.turns / 4).max(1);
        }
        self.waited = 0;
    }

    /// Turns since the last message.
    pub fn waited(&self) -> u64 {
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_keeps_it_away_and_a_ping_pong_brings_it_near() {
        let mut distance = Distance::new();
        for _ in 0..100 {
            distance.keep();
            distance.found(10_000);
        }
        assert_eq!(distance.turns, TURNS_MAX);
        for _ in 0..10 {
            distance.keep();
            distance.found(1);
        }
        // One message after one pause is many: it comes and goes between one pause and four.
        assert!(distance.turns <= 4, "{}", distance.turns);
    }
}
