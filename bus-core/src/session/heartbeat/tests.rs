//! Connections that fall silent at any moment, in virtual time: one side, and both.

use std::time::Duration;

use super::*;
use crate::limits::{BROKER_SILENCE_MAX, CLIENT_SILENCE_MAX};

mod unanswered;

/// A dead connection is noticed within this, whatever the other side still says.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Lets the time pass from look to look, with what shows at each, until the peer is given up. When
/// that was, and how often it was asked.
fn live(lasts: Duration, signs: impl FnMut(Duration, u64) -> Signs) -> (Option<Duration>, u64) {
    lives(lasts, BROKER_SILENCE_MAX, signs)
}

/// The same of a peer that may take so long to answer.
fn lives(
    lasts: Duration,
    patience: Duration,
    mut signs: impl FnMut(Duration, u64) -> Signs,
) -> (Option<Duration>, u64) {
    let begins = Time::from_nanos(5);
    let (mut heartbeat, mut now, mut asked) = (Heartbeat::new(begins, patience), begins, 0);
    while now.since(begins) < lasts {
        now = heartbeat.next_look();
        match heartbeat.look(now, signs(now.since(begins), asked)) {
            Beat::Wait => {}
            Beat::Ask => asked += 1,
            Beat::Dead { silent } | Beat::Unanswered { silent } => {
                assert!(silent >= SILENCE_MAX, "{silent:?}");
                return (Some(now.since(begins)), asked);
            }
        }
    }
    (None, asked)
}

/// What a side sees that says as much as it hears.
fn heard(heard: u64) -> Signs {
    Signs { heard, said: Said { queued: heard, written: heard }, passage: None }
}

#[test]
fn connection_that_falls_silent_is_given_up_in_time_and_not_too_soon() {
    for silent_from in (1..9000).step_by(7).map(Duration::from_millis) {
        let says = |now: Duration, _| heard(now.min(silent_from).as_millis() as u64);
        let (ended, asked) = live(HOUR, says);
        let after = ended.expect("it is noticed").saturating_sub(silent_from);
        assert!(after <= SILENCE_MAX + HEARTBEAT, "{silent_from:?}: after {after:?}");
        assert!(after >= SILENCE_MAX, "{silent_from:?}: after {after:?}");
        assert_eq!(asked, 1, "{silent_from:?}");
    }
}

#[test]
fn idle_peer_that_answers_is_kept_and_asked_at_every_other_look() {
    let (ended, asked) = live(HOUR, |_, asked| heard(asked));
    assert_eq!(ended, None);
    let looks = HOUR.as_secs() / HEARTBEAT.as_secs();
    assert!((looks / 2 - 1..=looks / 2 + 1).contains(&asked), "{asked} of {looks} looks");
}

#[test]
fn peer_that_says_something_between_looks_is_never_asked() {
    let often = HEARTBEAT.as_millis() - 10;
    let says = |now: Duration, _| heard((now.as_millis() / often) as u64);
    assert_eq!(live(HOUR, says), (None, 0));
}

#[test]
fn slow_line_that_still_takes_bytes_is_no_dead_one() {
    // Nothing is heard for minutes, since the question waits behind what is being sent.
    let busy = Duration::from_secs(300);
    let takes = |now: Duration, _| {
        let said = Said { queued: u64::MAX, written: 0 };
        let acknowledged = now.min(busy).as_millis() as u64;
        Signs { heard: 1, said, passage: Some(Passage { given: u64::MAX, acknowledged }) }
    };
    let (ended, asked) = live(HOUR, takes);
    let ended = ended.expect("it is noticed");
    assert_eq!(asked, 1);
    assert!(ended >= busy + SILENCE_MAX && ended <= busy + NOTICED_WITHIN, "{ended:?}");
}

#[test]
fn time_in_which_nobody_looked_counts_for_nothing() {
    let mut heartbeat = Heartbeat::new(Time::ZERO, BROKER_SILENCE_MAX);
    let asleep = Time::ZERO.after(HOUR);
    assert_eq!(heartbeat.look(asleep, Signs::default()), Beat::Ask);
    let late = asleep.after(HEARTBEAT);
    assert_eq!(heartbeat.look(late, heard(1)), Beat::Wait);
    // From there on it is as ever.
    let mut now = late;
    let silent = loop {
        now = now.after(HEARTBEAT);
        if let Beat::Dead { silent } = heartbeat.look(now, heard(1)) {
            break silent;
        }
    };
    assert_eq!(silent, now.since(late));
    assert_eq!(silent, SILENCE_MAX);
}

/// The control: what grows by itself, and not by what the peer does, finds nothing out.
#[test]
fn heartbeat_that_hears_itself_would_be_found() {
    let (ended, _) = live(HOUR, |now, _| heard(now.as_millis() as u64));
    assert_eq!(ended, None, "it never looks dead");
}

/// One of two sides that hear each other.
struct Side {
    heartbeat: Heartbeat,
    heard: u64,
    ended: Option<Time>,
}

/// What a side asks with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    Once,
    /// The planted bug: at every look.
    Always,
}

/// Two idle sides, the second of which began so much later. From `cut` on nothing comes to the first
/// one any more. When each has noticed.
fn both_notice(later: Duration, cut: Time, asking: Asking) -> [Option<Duration>; 2] {
    let begins = [Time::ZERO, Time::ZERO.after(later)];
    let mut sides = begins.map(|at| Side {
        heartbeat: Heartbeat::new(at, BROKER_SILENCE_MAX),
        heard: 0,
        ended: None,
    });
    let mut now = begins[1];
    while now < cut.after(3 * NOTICED_WITHIN) {
        now = now.after(10 * MILLISECOND);
        for index in 0..2 {
            let Side { heartbeat, heard, ended } = &mut sides[index];
            if ended.is_some() || now < heartbeat.next_look() {
                continue;
            }
            let beat = heartbeat.look(now, self::heard(*heard));
            if matches!(beat, Beat::Dead { .. }) {
                *ended = Some(now);
            }
            let bug = asking == Asking::Always && now.since(heartbeat.alive_at) > Duration::ZERO;
            if beat != Beat::Ask && !bug {
                continue;
            }
            // The question arrives, and its answer does, as far as they can.
            let other = 1 - index;
            if other == 1 || now < cut {
                sides[other].heard += 1;
            }
            if now < cut && sides[other].ended.is_none() {
                sides[index].heard += 1;
            }
        }
    }
    sides.map(|side| side.ended.map(|at| at.since(cut)))
}

fn latest(asking: Asking) -> Option<Duration> {
    let mut latest = Duration::ZERO;
    for later in (0..1100).step_by(100).map(Duration::from_millis) {
        for cut in (20_000..24_000).step_by(100).map(Duration::from_millis) {
            for noticed in both_notice(later, Time::ZERO.after(cut), asking) {
                latest = latest.max(noticed?);
            }
        }
    }
    Some(latest)
}

#[test]
fn side_that_still_hears_the_other_one_ask_notices_in_time_too() {
    let latest = latest(Asking::Once).expect("both notice");
    assert!(latest <= NOTICED_WITHIN - HEARTBEAT, "{latest:?}");
    assert!(latest > SILENCE_MAX + HEARTBEAT, "the question is heard: {latest:?}");
}

#[test]
fn questions_at_every_look_would_be_noticed_to_be_too_many() {
    let latest = latest(Asking::Always).expect("both notice in the end");
    assert!(latest > NOTICED_WITHIN, "{latest:?}");
}
