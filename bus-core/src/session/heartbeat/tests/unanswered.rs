//! Peers whose host is there and who do not answer: stopped ones are noticed, busy ones are not.

use super::*;

/// What a link shows whose other side's system takes at once whatever it is given.
fn taken(heard: u64, said: u64) -> Signs {
    let said = Said { queued: said, written: said };
    let passage = Passage { given: said.written, acknowledged: said.written };
    Signs { heard, said, passage: Some(passage) }
}

/// The bytes of a question.
const QUESTION: u64 = 16;
/// A peer that hangs is noticed within this.
const HANG_NOTICED_WITHIN: Duration = Duration::from_secs(9);

#[test]
fn peer_that_stops_while_its_host_goes_on_is_given_up_in_time() {
    for stops in (1..9000).step_by(7).map(Duration::from_millis) {
        // It says something each millisecond, and then nothing any more.
        let says = |now: Duration, asked| {
            taken(
                now.min(stops).as_millis() as u64,
                now.min(stops).as_millis() as u64 + asked * QUESTION,
            )
        };
        let (ended, asked) = live(HOUR, says);
        let after = ended.expect("it is noticed").saturating_sub(stops);
        assert!(after <= HANG_NOTICED_WITHIN, "{stops:?}: after {after:?}");
        assert!(after >= BROKER_SILENCE_MAX, "{stops:?}: after {after:?}");
        assert!((1..=4).contains(&asked), "{stops:?}: {asked}");
    }
}

#[test]
fn peer_that_has_long_is_given_that_while_its_host_is_there() {
    let patience = CLIENT_SILENCE_MAX;
    for dies in [None, Some(Duration::from_secs(10))] {
        let says = |now: Duration, asked: u64| {
            let said = asked * QUESTION;
            let acknowledged = match dies {
                Some(dies) if now >= dies => QUESTION,
                _ => said,
            };
            let passage = Some(Passage { given: said, acknowledged });
            Signs { heard: 1, said: Said { queued: said, written: said }, passage }
        };
        let (ended, asked) = lives(HOUR, patience, says);
        let ended = ended.expect("it is noticed");
        match dies {
            // Its host shows nothing any more: it is not waited for.
            Some(dies) => assert!(ended <= dies + SILENCE_MAX + 2 * HEARTBEAT, "{ended:?}"),
            None => {
                assert!(ended >= patience && ended <= patience + 3 * HEARTBEAT, "{ended:?}");
                assert!(asked <= patience.as_secs() / 2 + 2, "{asked}");
            }
        }
    }
}

#[test]
fn busy_sender_notices_that_its_peer_has_stopped() {
    // What is said goes on, and its host takes it, far behind: 3 MB of it are on their way at any time.
    let says = |now: Duration, asked: u64| {
        let written = 1_000 * now.as_millis() as u64 + asked * QUESTION;
        let said = Said { queued: written + 100_000, written };
        let passage = Passage { given: written, acknowledged: written.saturating_sub(3_000_000) };
        Signs { heard: 1, said, passage: Some(passage) }
    };
    let (ended, asked) = live(HOUR, says);
    let ended = ended.expect("it is noticed");
    let on_its_way = Duration::from_secs(4);
    assert!(ended <= HANG_NOTICED_WITHIN + on_its_way, "{ended:?}");
    assert!(ended >= on_its_way + BROKER_SILENCE_MAX, "{ended:?}");
    assert_eq!(asked, 1, "its host shows by itself that it is there");
}

#[test]
fn peer_that_takes_seconds_to_answer_is_kept() {
    let slow = Duration::from_secs(5);
    let mut due: Option<Duration> = None;
    let mut answered = 0;
    let says = |now: Duration, asked: u64| {
        if due.is_none() && asked > answered {
            due = Some(now + slow);
        }
        if due.is_some_and(|at| now >= at) {
            (due, answered) = (None, asked);
        }
        taken(answered, asked * QUESTION)
    };
    let (ended, asked) = live(HOUR, says);
    assert_eq!(ended, None);
    assert!(asked > 400, "{asked}");
}

#[test]
fn question_behind_a_long_message_is_waited_for() {
    // For two minutes a slow line takes one message, then the question, which is answered.
    let busy = Duration::from_secs(120);
    let message = busy.as_millis() as u64;
    let says = |now: Duration, asked: u64| {
        let sent = now.as_millis() as u64;
        let arrived = now >= busy + Duration::from_secs(1);
        let said = Said { queued: message + asked * QUESTION, written: message + asked * QUESTION };
        let acknowledged = if arrived { said.written } else { sent.min(message) };
        let passage = Passage { given: said.written, acknowledged };
        Signs { heard: if arrived { asked } else { 0 }, said, passage: Some(passage) }
    };
    let (ended, _) = live(HOUR, says);
    assert_eq!(ended, None);
}

#[test]
fn time_in_which_the_looker_was_stopped_counts_for_nothing() {
    let mut heartbeat = Heartbeat::new(Time::ZERO, BROKER_SILENCE_MAX);
    let mut now = Time::ZERO;
    let mut said = 0;
    let mut looks = |now: &mut Time, looks: u32| {
        for _ in 0..looks {
            *now = now.after(HEARTBEAT);
            match heartbeat.look(*now, taken(0, said)) {
                Beat::Wait => {}
                Beat::Ask => said += QUESTION,
                over => return Some(over),
            }
        }
        None
    };
    assert_eq!(looks(&mut now, 7), None, "it may still answer");
    // A debugger stops this side for half a minute: what was not heard meanwhile may be there.
    now = now.after(Duration::from_secs(30));
    assert_eq!(looks(&mut now, 7), None, "it was given no time");
    assert!(matches!(looks(&mut now, 1), Some(Beat::Unanswered { .. })));
}

/// Whether two sides stay together while one message goes from the first to the second one for ten
/// minutes, with somebody in between who takes it at once and hands it on slowly. If the second one keeps
/// its mouth `shut` until it has read all of it, which is the planted bug.
fn long_message_passes(shut: bool) -> bool {
    let lasts = Duration::from_secs(600);
    let mut sides = [(); 2].map(|()| Heartbeat::new(Time::ZERO, BROKER_SILENCE_MAX));
    let (mut said, mut now) = ([0; 2], Time::ZERO);
    while now.since(Time::ZERO) < lasts {
        now = now.after(HEARTBEAT);
        let heard = [said[1], now.since(Time::ZERO).as_millis() as u64];
        for (index, side) in sides.iter_mut().enumerate() {
            match side.look(now, taken(heard[index], said[index])) {
                Beat::Wait => {}
                Beat::Ask if shut && index == 1 => {}
                Beat::Ask => said[index] += QUESTION,
                Beat::Dead { .. } | Beat::Unanswered { .. } => return false,
            }
        }
    }
    true
}

#[test]
fn whoever_hears_a_long_message_shows_that_it_is_there() {
    assert!(long_message_passes(false));
    assert!(!long_message_passes(true), "the control finds nothing");
}

#[test]
fn two_idle_sides_say_no_more_than_two_questions_in_three_seconds() {
    let mut sides = [(); 2].map(|()| Heartbeat::new(Time::ZERO, BROKER_SILENCE_MAX));
    let (mut said, mut now, mut asked) = ([0; 2], Time::ZERO, 0);
    while now.since(Time::ZERO) < HOUR {
        now = now.after(HEARTBEAT);
        for index in 0..2 {
            match sides[index].look(now, taken(said[1 - index], said[index])) {
                Beat::Wait => {}
                // The answer comes at once.
                Beat::Ask => {
                    asked += 1;
                    said[index] += QUESTION;
                    said[1 - index] += QUESTION;
                }
                over => panic!("{over:?}"),
            }
        }
    }
    assert!(asked <= HOUR.as_secs() * 2 / 3 + 1, "{asked}");
}

#[test]
fn reasons_say_what_has_happened() {
    let silent = Duration::from_millis(6_001);
    let text = Beat::Unanswered { silent }.loss("broker").expect("it is an end");
    assert!(text.contains("stopped answering") && text.contains("6s"), "{text}");
    let text = Beat::Dead { silent }.loss("client").expect("it is an end");
    assert!(text.contains("nothing has come from the client's host for 6s"), "{text}");
    assert_eq!(Beat::Ask.loss("broker"), None);
}
