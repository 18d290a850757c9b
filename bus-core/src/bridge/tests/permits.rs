//! What the other broker is asked whether it may be carried, answer by answer.

use super::*;
use crate::bridge::{PermitNews, Permits, ToCarry};
use crate::error::Failure;
use crate::router::Answer;
use crate::session::{ClientSession, Event};

/// Asks about these, of which a part may do.
fn asked(texts: &[&str], parts: bool) -> (Permits, ClientSession) {
    let pattern = |text: &&str| Pattern::new(text).expect("a pattern");
    let carry = |text| {
        let here = pattern(text);
        ToCarry { there: here.clone(), here, services: false, parts }
    };
    let mut permits = Permits::new(texts.iter().map(carry).collect());
    let mut session = ClientSession::default();
    permits.began(&mut session);
    (permits, session)
}

/// The answer to a request; those of a session count from 1. Gives what an operator hears.
fn answer(
    (permits, session): &mut (Permits, ClientSession),
    request: u32,
    refused: Option<&str>,
) -> Vec<String> {
    let result = match refused {
        Some(why) => Err(Failure::new(ErrorKind::PermissionDenied, why)),
        None => Ok(Answer::Done { count: 1 }),
    };
    let event = Event::Reply { request, result };
    assert!(permits.take(Time::ZERO, event, session).is_none(), "it is no answer");
    std::iter::from_fn(|| permits.news()).map(said).collect()
}

fn said(news: PermitNews) -> String {
    match news {
        PermitNews::Denied(denied) => {
            let part = if denied.in_part { " in part" } else { "" };
            format!("{}{part}: {}", denied.pattern, denied.failure.text())
        }
        PermitNews::Allowed(pattern) => format!("{pattern} allowed"),
    }
}

fn ask_again(both: &mut (Permits, ClientSession)) {
    let due = both.0.next_deadline().expect("it is asked again");
    both.0.advance(due, &mut both.1);
}

#[test]
fn what_is_denied_is_told_once_and_what_is_given_later_as_well() {
    let mut both = asked(&["a", "b"], true);
    assert!(!both.0.is_settled());
    assert_eq!(answer(&mut both, 1, Some("no")), ["a: no"]);
    assert!(answer(&mut both, 2, None).is_empty());
    assert_eq!((both.0.is_settled(), both.0.is_refused()), (false, false));
    assert_eq!(answer(&mut both, 3, Some("not all")), ["b in part: not all"]);
    assert_eq!((both.0.is_settled(), both.0.is_refused()), (true, false));
    assert_eq!(both.0.denied().count(), 2);
    ask_again(&mut both);
    // The channel of the part was closed, and both are asked anew.
    let next = (4..9).find(|request| both.0.is_open(*request)).expect("a question");
    assert!(answer(&mut both, next, Some("no")).is_empty(), "it is known");
    let next = (4..9).find(|request| both.0.is_open(*request)).expect("a question");
    assert!(answer(&mut both, next, None).is_empty());
    let next = (4..9).find(|request| both.0.is_open(*request)).expect("a question");
    assert_eq!(answer(&mut both, next, None), ["b allowed"]);
    assert_eq!(both.0.denied().count(), 1);
}

#[test]
fn what_is_fetched_is_allowed_wholly_or_refused_and_a_new_session_tells_nothing_twice() {
    let mut both = asked(&["a"], false);
    assert_eq!(answer(&mut both, 1, Some("no")), ["a: no"]);
    assert!(both.0.is_refused());
    both.1 = ClientSession::default();
    both.0.began(&mut both.1);
    assert!(!both.0.is_settled());
    assert!(answer(&mut both, 1, Some("no")).is_empty());
    both.0.change(Vec::new(), &mut both.1);
    assert_eq!(
        (both.0.denied().count(), both.0.is_settled(), both.0.is_refused()),
        (0, true, false)
    );
}

#[test]
fn a_permit_that_is_taken_back_is_told() {
    let mut both = asked(&["a"], false);
    assert!(answer(&mut both, 1, None).is_empty());
    let failure = Failure::new(ErrorKind::PermissionDenied, "not any more");
    let ended = Event::Ended { channel: 0, failure };
    assert!(both.0.take(Time::ZERO, ended, &mut both.1).is_none());
    assert_eq!(both.0.news().map(said).as_deref(), Some("a: not any more"));
    assert!(both.0.is_refused());
}
