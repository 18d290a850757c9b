//! How to wait at lanes: asleep, awake, or awake for as long as that has paid.
//!
//! Waiting awake answers in a microsecond and costs a core; sleeping costs nothing and tens of
//! microseconds to wake up. `Pace` decides by what it has seen: it waits awake for a moment
//! while that was worth it lately, and at rest it is never awake. It has no clock of its own.

use std::fmt;
use std::hint::spin_loop;
use std::io;
use std::str::FromStr;
use std::time::Duration;

/// How a client or broker waits at its lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// Sleeps as soon as nothing is there.
    Park,
    /// Stays awake for some microseconds while messages come that often, then sleeps.
    #[default]
    Adaptive,
    /// Never sleeps: burns a core, for the shortest answer.
    Spin,
}

/// Not a way of waiting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way of waiting: it is park, adaptive or spin")]
pub struct InvalidWaiting(String);

impl FromStr for Waiting {
    type Err = InvalidWaiting;

    fn from_str(text: &str) -> Result<Waiting, InvalidWaiting> {
        match text {
            "park" => Ok(Waiting::Park),
            "adaptive" => Ok(Waiting::Adaptive),
            "spin" => Ok(Waiting::Spin),
            _ => Err(InvalidWaiting(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Waiting::Park => "park",
            Waiting::Adaptive => "adaptive",
            Waiting::Spin => "spin",
        })
    }
}

/// How long `Adaptive` stays awake for the next message.
const AWAKE: Duration = Duration::from_micros(50);
/// How long `Spin` stays awake before others on its thread have their turn.
const TURN: Duration = Duration::from_micros(20);
/// Looks with pauses only, before every look gives the core to whoever else wants it.
const LOOKS: u32 = 8;
/// From this distance on every look gives the core away: where so much comes, all who take part
/// have work, and mostly there are more of them than cores.
const DISTANCE_LONG: u32 = 64;
/// The most pauses between two looks: some microseconds.
const DISTANCE_MAX: u32 = 256;
/// A look that gives the core away takes about as long as so many pauses.
const PAUSES_PER_YIELD: u32 = 20;
/// Giving the core away takes less than this if nobody wants it.
const SHARED: Duration = Duration::from_nanos(900);
/// Bytes of a frame, as far as the distance is concerned.
const FRAME_BYTES: usize = 64;
/// A sleep that was no longer than this might have been none, if all who take part stay awake:
/// waking up is most of it.
const SHORT_SLEEP: Duration = Duration::from_micros(250);
/// Successes that are remembered: the hope is halved with each failure.
const HOPE_MAX: u32 = 16;
/// With how much hope it tries.
const HOPE_TRY: u32 = 1;
/// Failed attempts in a row that count: after n of them, 2^n short sleeps call for the next one.
const FAILURES_MAX: u32 = 12;

/// What a waiter has seen, and so how it waits.
#[derive(Debug)]
pub struct Pace {
    waiting: Waiting,
    /// Above 0 while staying awake pays.
    hope: u32,
    /// Attempts in a row that have failed, and short sleeps since the last one.
    failures: u32,
    short_sleeps: u32,
    /// Pauses between two looks: who looks into a lane all the time takes its lines away from
    /// who writes them.
    distance: u32,
    /// Pauses that the last success took.
    paused: u32,
    /// When it went to sleep.
    asleep_since: Option<Duration>,
    /// Others can run at the same time: a look without yielding makes sense.
    has_cores: bool,
    /// When it last gave the core away, somebody else took it: the message may have to come
    /// from there.
    shares: bool,
    clock: Clock,
}

/// Tells the time since some moment in the past.
pub type Clock = fn() -> Duration;

impl Pace {
    /// For a waiter of this sort on the cores that this thread may use.
    pub fn new(waiting: Waiting, clock: Clock) -> Pace {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Pace {
            waiting,
            hope: 0,
            failures: 0,
            short_sleeps: 0,
            distance: 1,
            paused: 0,
            asleep_since: None,
            has_cores: cores > 1,
            shares: false,
            clock,
        }
    }

    /// How it waits.
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Whether to stay awake now.
    pub fn stays_awake(&self) -> bool {
        match self.waiting {
            Waiting::Park => false,
            Waiting::Adaptive => self.hope > 0,
            Waiting::Spin => true,
        }
    }

    /// Looks again and again until something is there, or it has been awake for long enough.
    ///
    /// # Errors
    /// What looking says.
    pub fn watch(&mut self, mut look: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
        self.paused = 0;
        if self.has_cores && !self.shares && self.distance < DISTANCE_LONG {
            for _ in 0..LOOKS {
                (0..self.distance).for_each(|_| spin_loop());
                self.paused += self.distance;
                if look()? {
                    return Ok(self.note(true));
                }
            }
        }
        let start = (self.clock)();
        let mut first = true;
        let limit = if self.waiting == Waiting::Spin { TURN } else { AWAKE };
        loop {
            // Whoever the message is to come from may want this very core.
            std::thread::yield_now();
            self.paused += PAUSES_PER_YIELD;
            let awake = (self.clock)().saturating_sub(start);
            if std::mem::take(&mut first) {
                self.shares = awake >= SHARED;
            }
            if look()? {
                return Ok(self.note(true));
            }
            if awake >= limit {
                return Ok(self.note(false));
            }
        }
    }

    /// It goes to sleep.
    pub fn sleeps(&mut self) {
        if self.waiting == Waiting::Adaptive && self.asleep_since.is_none() {
            self.asleep_since = Some((self.clock)());
        }
    }

    /// So many bytes have come. Many of them after few pauses: it keeps a longer distance from
    /// who writes; few after many: a shorter one.
    pub fn drained(&mut self, bytes: usize) {
        let paused = std::mem::take(&mut self.paused);
        if paused > 0 {
            self.distance = match (paused as usize) < 3 * bytes / FRAME_BYTES {
                true => (2 * self.distance).min(DISTANCE_MAX),
                false => (self.distance / 4).max(1),
            };
        }
        self.found();
    }

    /// Something has come. If it slept only for a moment, it tries to stay awake next time; the
    /// more often that was in vain, the more rarely.
    fn found(&mut self) {
        let Some(since) = self.asleep_since.take() else { return };
        if (self.clock)().saturating_sub(since) > SHORT_SLEEP {
            return;
        }
        self.short_sleeps += 1;
        if self.hope == 0 && self.short_sleeps >= 1 << self.failures {
            self.short_sleeps = 0;
            self.hope = HOPE_TRY;
        }
    }

    fn note(&mut self, success: bool) -> bool {
        if success {
            self.hope = (self.hope + 1).min(HOPE_MAX);
            if self.hope == HOPE_MAX {
                self.failures = 0;
            }
        } else {
            self.hope /= 2;
            if self.hope == 0 {
                self.failures = (self.failures + 1).min(FAILURES_MAX);
            }
        }
        success
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn pace(waiting: Waiting) -> Pace {
        Pace::new(waiting, || NOW.get())
    }

    fn pass(micros: u64) {
        NOW.set(NOW.get() + Duration::from_micros(micros));
    }

    /// Nothing comes, while each look takes a microsecond. How many looks that were.
    fn watch_in_vain(pace: &mut Pace) -> u32 {
        let mut looks = 0;
        let seen = pace.watch(|| {
            looks += 1;
            pass(1);
            Ok(false)
        });
        assert!(!seen.expect("looking does not fail"));
        looks
    }

    /// Sleeps so long until something comes.
    fn sleep(pace: &mut Pace, micros: u64) {
        pace.sleeps();
        pass(micros);
        pace.drained(64);
    }

    #[test]
    fn rare_messages_never_keep_it_awake() {
        let mut pace = pace(Waiting::Adaptive);
        for _ in 0..1000 {
            assert!(!pace.stays_awake());
            sleep(&mut pace, 300);
        }
    }

    #[test]
    fn messages_that_come_at_once_keep_it_awake_and_silence_puts_it_to_sleep() {
        let mut pace = pace(Waiting::Adaptive);
        sleep(&mut pace, 60);
        assert!(pace.stays_awake());
        for _ in 0..100 {
            assert!(pace.watch(|| Ok(true)).expect("looking does not fail"));
            pace.drained(64);
        }
        let mut awake_micros = 0;
        while pace.stays_awake() {
            awake_micros += watch_in_vain(&mut pace);
        }
        assert!(awake_micros < 400, "awake for {awake_micros} us after the last message");
    }

    #[test]
    fn attempts_in_vain_become_ever_rarer() {
        let mut pace = pace(Waiting::Adaptive);
        let mut attempts = 0;
        for _ in 0..10_000 {
            if pace.stays_awake() {
                attempts += 1;
                watch_in_vain(&mut pace);
            }
            sleep(&mut pace, 100);
        }
        assert!((5..60).contains(&attempts), "{attempts} attempts");
    }

    #[test]
    fn parked_and_spinning_do_as_they_are_told() {
        let (mut parked, mut spinning) = (pace(Waiting::Park), pace(Waiting::Spin));
        for _ in 0..100 {
            sleep(&mut parked, 1);
            sleep(&mut spinning, 10_000);
            assert!(!parked.stays_awake() && spinning.stays_awake());
        }
    }

    #[test]
    fn under_load_every_look_gives_the_core_away() {
        let mut pace = pace(Waiting::Spin);
        pace.has_cores = true;
        for _ in 0..20 {
            assert!(pace.watch(|| Ok(true)).expect("looking does not fail"));
            pace.drained(64 * 1024);
        }
        assert!(pace.watch(|| Ok(true)).expect("looking does not fail"));
        assert_eq!(pace.paused, PAUSES_PER_YIELD, "the first look already");
    }

    #[test]
    fn distance_grows_under_load_and_not_in_a_ping_pong() {
        let mut pace = pace(Waiting::Spin);
        pace.has_cores = true;
        for (bytes, range) in [(64 * 1024, 128..=DISTANCE_MAX), (64, 1..=4)] {
            for _ in 0..50 {
                assert!(pace.watch(|| Ok(true)).expect("looking does not fail"));
                pace.drained(bytes);
            }
            assert!(range.contains(&pace.distance), "{} after {bytes} bytes each", pace.distance);
        }
    }
}
