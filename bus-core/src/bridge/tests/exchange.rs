//! An exchange by hand: what it serves, where calls go, and how they end.

use std::time::Duration;

use crate::bridge::{Exchange, ExchangeAction, ExchangeConfig, Invoked, Route};
use crate::error::{ErrorKind, Failure};
use crate::limits::{CALLS_PATIENCE, SERVE_AGAIN};
use crate::message::{Message, Sender};
use crate::message_type::MessageType;
use crate::name::{Name, Pattern};
use crate::router::Interest;
use crate::time::Time;

const HOME: u64 = 5;
const GUEST: u64 = 7;
const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn message(text: &str) -> Message {
    Message::new(MessageType::ONE, text.to_owned())
}

fn told(text: &str, path: &[u64]) -> Interest {
    Interest { pattern: Pattern::new(text).expect("a pattern"), path: path.to_vec() }
}

/// With sessions on both sides, for `calc.>` at home that is `far.calc.>` at the guest.
fn exchange() -> Exchange {
    let pattern = Pattern::new("calc.>").expect("a pattern");
    let route = Route::new(&pattern, "", "far").expect("a route");
    let mut exchange = Exchange::new(ExchangeConfig::new(vec![route]).expect("settings"));
    exchange.guest_up(GUEST, "guest");
    exchange.home_up(Time::ZERO);
    exchange.home_tells(vec![told("calc.add", &[HOME])], &[], true);
    assert_eq!(said(&mut exchange), ["serve far.calc.add over [[5]]"]);
    exchange
}

fn invoke(exchange: &mut Exchange, now: Time, call: u64) {
    let name = name("far.calc.add");
    let sender = Sender { session: 3, ..Sender::default() };
    let invoked = Invoked {
        call,
        name: &name,
        timeout: SECOND * 20,
        sender: &sender,
        provenance: None,
        message: message("2+2"),
    };
    exchange.invoked(now, invoked, false);
}

fn at(seconds: u64) -> Time {
    Time::ZERO.after(SECOND * u32::try_from(seconds).expect("few"))
}

fn said(exchange: &mut Exchange) -> Vec<String> {
    std::iter::from_fn(|| exchange.pull()).map(|action| short(&action)).collect()
}

fn short(action: &ExchangeAction) -> String {
    match action {
        ExchangeAction::Serve { serve } => format!("serve {} over {:?}", serve.name, serve.ways),
        ExchangeAction::StopServing { name } => format!("stop {name}"),
        ExchangeAction::Reply { call, result: Ok(_) } => format!("reply {call}"),
        ExchangeAction::Reply { call, result: Err(failure) } => {
            format!("{:?} {call}", failure.kind())
        }
        ExchangeAction::Call { id, name, provenance, timeout, .. } => {
            let from = (provenance.epoch, provenance.publisher, &provenance.hops);
            format!("call {id} {name} for {from:?} within {timeout:?}")
        }
        ExchangeAction::Withdraw { id } => format!("withdraw {id}"),
        ExchangeAction::Trouble { failure } => format!("trouble {:?}", failure.kind()),
    }
}

#[test]
fn what_home_tells_is_served_by_its_name_at_the_guest_and_calls_go_the_other_way() {
    let mut exchange = exchange();
    invoke(&mut exchange, Time::ZERO, 40);
    assert_eq!(said(&mut exchange), ["call 1 calc.add for (7, 3, [7]) within 20s"]);
    exchange.answered(1, Ok(message("4")));
    assert_eq!(said(&mut exchange), ["reply 40"]);
    // Another way; what is not on the route; and gone.
    exchange.home_tells(vec![told("calc.add", &[9, HOME]), told("x", &[HOME])], &[], true);
    assert_eq!(said(&mut exchange), ["serve far.calc.add over [[5], [9, 5]]"]);
    let gone = [told("calc.add", &[9, HOME]), told("calc.add", &[HOME])];
    exchange.home_tells(Vec::new(), &gone, true);
    assert_eq!(said(&mut exchange), ["stop far.calc.add"]);
    let stat = exchange.stat();
    assert_eq!((stat.services, stat.under_way, stat.done, stat.failed), (0, 0, 1, 0));
}

#[test]
fn a_name_that_goes_is_served_until_its_last_call_is_answered() {
    let mut exchange = exchange();
    invoke(&mut exchange, Time::ZERO, 40);
    said(&mut exchange);
    exchange.home_tells(Vec::new(), &[told("calc.add", &[HOME])], true);
    assert_eq!(said(&mut exchange), ["serve far.calc.add over []"]);
    exchange.answered(1, Err(Failure::new(ErrorKind::Loop, "round and round")));
    assert_eq!(said(&mut exchange), ["Unreachable 40", "stop far.calc.add"]);
}

#[test]
fn calls_wait_for_a_home_that_comes_back_with_what_is_left_of_their_deadline() {
    let mut exchange = exchange();
    exchange.home_down(at(1));
    invoke(&mut exchange, at(2), 40);
    invoke(&mut exchange, at(2), 41);
    exchange.call_given_up(41);
    assert_eq!(said(&mut exchange), ["Withdrawn 41"]);
    exchange.home_resumed(at(5));
    assert_eq!(said(&mut exchange), ["call 1 calc.add for (7, 3, [7]) within 17s"]);
    exchange.call_given_up(40);
    assert_eq!(said(&mut exchange), ["withdraw 1"]);
    exchange.answered(1, Err(Failure::new(ErrorKind::Withdrawn, "given up")));
    assert_eq!(said(&mut exchange), ["Withdrawn 40"]);
    assert_eq!(exchange.next_deadline(), None);
}

#[test]
fn a_home_that_stays_away_is_given_up_and_served_again_when_it_is_back() {
    let mut exchange = exchange();
    invoke(&mut exchange, Time::ZERO, 40);
    said(&mut exchange);
    exchange.home_down(at(1));
    invoke(&mut exchange, at(2), 41);
    let due = at(1).after(CALLS_PATIENCE);
    assert_eq!(exchange.next_deadline(), Some(due));
    exchange.advance(due);
    let told = ["Unreachable 40", "Unreachable 41", "stop far.calc.add"];
    assert_eq!(said(&mut exchange), told);
    // The session goes on after all, and has nothing new to tell.
    exchange.home_resumed(at(20));
    assert_eq!(said(&mut exchange), ["serve far.calc.add over [[5]]"]);
    exchange.answered(1, Ok(message("late")));
    assert_eq!(said(&mut exchange), [""; 0]);
}

#[test]
fn a_home_that_was_lost_has_failed_what_it_was_asked_and_is_asked_the_rest() {
    let mut exchange = exchange();
    invoke(&mut exchange, Time::ZERO, 40);
    said(&mut exchange);
    exchange.home_down(at(1));
    invoke(&mut exchange, at(1), 41);
    exchange.home_up(at(2));
    let expected = ["Unreachable 40", "call 2 calc.add for (7, 3, [7]) within 19s"];
    assert_eq!(said(&mut exchange), expected);
    // It is another boot, and so another way.
    exchange.home_tells(vec![told("calc.add", &[6])], &[], true);
    assert_eq!(said(&mut exchange), ["serve far.calc.add over [[6]]"]);
}

#[test]
fn a_guest_that_was_lost_has_given_its_calls_up() {
    let mut exchange = exchange();
    invoke(&mut exchange, Time::ZERO, 40);
    said(&mut exchange);
    exchange.guest_up(8, "guest");
    assert_eq!(said(&mut exchange), ["withdraw 1", "serve far.calc.add over [[5]]"]);
    // The new one counts its calls from the beginning too.
    invoke(&mut exchange, Time::ZERO, 40);
    said(&mut exchange);
    exchange.answered(1, Ok(message("for nobody")));
    assert_eq!(said(&mut exchange), [""; 0]);
    exchange.answered(2, Ok(message("4")));
    assert_eq!(said(&mut exchange), ["reply 40"]);
}

#[test]
fn a_name_that_the_guest_refuses_is_tried_again_later() {
    let mut exchange = exchange();
    let denied = Failure::new(ErrorKind::PermissionDenied, "no");
    exchange.serving_ended(at(1), &name("far.calc.add"), denied);
    assert_eq!(said(&mut exchange), ["trouble PermissionDenied"]);
    let due = at(1).after(SERVE_AGAIN);
    assert_eq!(exchange.next_deadline(), Some(due));
    exchange.advance(due);
    assert_eq!(said(&mut exchange), ["serve far.calc.add over [[5]]"]);
}

#[test]
fn what_finds_no_room_is_told_so() {
    let mut exchange = exchange();
    let name = name("far.calc.add");
    let sender = Sender::default();
    let (call, timeout, provenance, message) = (40, SECOND, None, message("2+2"));
    let invoked = Invoked { call, name: &name, timeout, sender: &sender, provenance, message };
    exchange.invoked(Time::ZERO, invoked, true);
    assert_eq!(said(&mut exchange), ["QuotaExceeded 40"]);
    assert_eq!(exchange.stat().failed, 1);
}
