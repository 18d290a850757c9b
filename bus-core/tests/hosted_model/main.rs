//! Queues that live at another broker: two routers and the carrier between them, with the real
//! protocol on either side of it.
//!
//! `same` gives the same commands to them and to one broker alone; `storm` cuts and loses what can
//! be, and checks what must hold then; `cases` are single cases of the contract; `planted_bugs` shows
//! that these catch what they are there for.

#[path = "../router_model/dice.rs"]
mod dice;
#[path = "../router_model/events.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod events;
mod line;
mod same;
mod told;
mod world;

use bus_core as _;

#[test]
fn clients_of_a_hosted_queue_are_told_what_clients_of_one_broker_are() {
    dice::run(0..300, same::case, |steps| same::check(steps, None));
}
