//! Queues that live at another broker: two routers and the carrier between them, with the real
//! protocol on either side of it.
//!
//! `same` gives the same commands to them and to one broker alone; `storm` cuts and loses what can
//! be, and checks what must hold then; `cases` are single cases of the contract; `planted_bugs` shows
//! that these catch what they are there for.

mod books;
mod cases;
#[path = "../router_model/dice.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod dice;
#[path = "../router_model/events.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod events;
mod line;
mod planted_bugs;
mod same;
mod storm;
mod told;
mod words;
mod world;

/// Cases on demand: `cargo test -p bus-core --test hosted_model -- --ignored`.
const MANY: u64 = 5000;

#[test]
fn clients_of_a_hosted_queue_are_told_what_clients_of_one_broker_are() {
    dice::run(0..60, same::case, |steps| same::check(steps, None));
}

#[test]
fn whatever_is_lost_no_message_is_lost_or_settled_twice() {
    dice::run(0..60, storm::case, |steps| storm::check(steps, None));
}

#[test]
#[ignore = "takes minutes"]
fn both_hold_for_long() {
    dice::run(0..MANY, same::case, |steps| same::check(steps, None));
    dice::run(0..MANY, storm::case, |steps| storm::check(steps, None));
}
