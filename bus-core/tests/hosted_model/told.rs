//! What clients of two brokers are told, as the events that tests compare.

use std::time::Duration;

use bus_core::router::{
    Answer, Command, Identity, ObjectKind, Output, QueueStat, Router, SessionEnd,
};
use bus_core::{MessageType, Pattern, Selector, Time};

use crate::events::{Delivery, Event, number_of};

/// The outputs as events.
pub fn events(told: Vec<(usize, Output)>) -> Vec<Event> {
    told.into_iter().flat_map(|(slot, output)| event(slot, output)).collect()
}

fn event(slot: usize, output: Output) -> Vec<Event> {
    vec![match output {
        Output::LeaseParcel { channel, first, auto_ack, sender, parcel } => {
            let each = (first..).zip(parcel.messages()).map(|(lease, message)| {
                let (from, message, attempt) = (sender.session, number_of(message.payload()), 0);
                Event::Lease(Delivery { slot, lease, channel, message, attempt, auto_ack, from })
            });
            return each.collect();
        }
        Output::Lease { channel, lease, attempt, auto_ack, sender, message } => {
            let (from, message) = (sender.session, number_of(message.payload()));
            Event::Lease(Delivery { slot, lease, channel, message, attempt, auto_ack, from })
        }
        Output::Accepted { first, count } => {
            let tickets = first..first + u64::from(count);
            return tickets.map(|ticket| Event::Accepted { slot, ticket }).collect();
        }
        Output::Failed { ticket, failure } => Event::Failed { slot, ticket, kind: failure.kind() },
        Output::Settled { first, count } => {
            let leases = first..first + u64::from(count);
            return leases.map(|lease| Event::Settled { slot, lease }).collect();
        }
        Output::Unsettled { lease, failure } => {
            Event::Unsettled { slot, lease, kind: failure.kind() }
        }
        Output::Ended { channel, failure } => Event::Ended { slot, channel, kind: failure.kind() },
        Output::Recall { lease } => Event::Recall { slot, lease },
        Output::Reply { request, result: Ok(Answer::Done { .. } | Answer::Opened { .. }) } => {
            Event::Done { slot, request }
        }
        Output::Reply { request, result: Err(failure) } => {
            Event::Refused { slot, request, kind: failure.kind() }
        }
        other => Event::Other { slot, text: format!("{other:?}") },
    }]
}

/// What can be counted of the queue.
pub fn stat(router: &mut Router) -> Option<([u64; 5], [u64; 6])> {
    let now = Time::ZERO;
    let identity = Identity { admin: true, ..Default::default() };
    let session = router.open_session(now, identity, Duration::ZERO).ok()?;
    let before = router.take_effects(Vec::new());
    let (pattern, object) = (Pattern::new("jobs").ok()?, ObjectKind::Queue);
    router.handle(now, session, Command::List { request: 1, pattern, object, after: None });
    let answer = router.take_effects(before).pop()?.output;
    router.close_session(now, session, SessionEnd::Goodbye);
    let Output::Reply { result: Ok(Answer::Listing(listing)), .. } = answer else { return None };
    let stat: &QueueStat = listing.queues.first()?;
    Some((
        [stat.messages, stat.bytes, stat.leased, stat.blocked, stat.waiting],
        [stat.accepted, stat.delivered, stat.acked, stat.redelivered, stat.dead, stat.dropped],
    ))
}

/// A selector, drawn by a number.
pub fn selector(number: u64) -> Selector {
    let kind = MessageType::new(1 + number / 8 % 5).expect("1 to 5 are types");
    match number % 8 {
        0..=2 => Selector::Any,
        3 | 4 => Selector::Eq(kind),
        5 | 6 => Selector::Upto(kind),
        _ => Selector::Except(kind),
    }
}
