//! What clients of two brokers are told, as the events that tests compare.

use bus_core::router::{Answer, Output};

use crate::events::{Delivery, Event, number_of};

/// The outputs as events.
pub fn events(told: Vec<(usize, Output)>) -> Vec<Event> {
    told.into_iter().flat_map(|(slot, output)| event(slot, output)).collect()
}

fn event(slot: usize, output: Output) -> Vec<Event> {
    vec![match output {
        Output::Lease { channel, lease, attempt, auto_ack, sender, message } => {
            let (from, message) = (sender.session, number_of(message.payload()));
            Event::Lease(Delivery { slot, lease, channel, message, attempt, auto_ack, from })
        }
        Output::Accepted { first, .. } => Event::Accepted { slot, ticket: first },
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
