//! What the page shows at a time, as JSON: everything together, who holds what up, and a part of one table.

use std::slice;

use bus_client::{BrokerInfo, ClientStat, SubscriptionStat};
use serde_json::{Value, json};

use super::columns::{
    BRIDGES, CLIENTS, LANE_CLIENTS, QUEUES, SERVICES, TOPICS, USERS, User, Way, is_about_lanes,
};
use super::counted::Rates;
use super::held::{self, held_up, mark};
use super::look::Look;
use super::subscribers::{self, SUBSCRIPTIONS};
use super::table::Wanted;
use super::watch::Seen;
use crate::trouble::Trouble;

/// Writes it.
///
/// # Errors
/// With the status that says why, when the query asks for what is not there.
pub(super) fn snapshot(seen: &Seen, wanted: &Wanted) -> Result<Value, &'static str> {
    let Seen { look, rates } = seen;
    let (ways, users) = (Way::all(look), User::all(look));
    let part = wanted_part(look, rates, &ways, &users, wanted)?;
    let BrokerInfo { name, version, pid, epoch, uptime, listeners, .. } = &look.broker;
    let totals = rates.totals();
    let leased: u64 = look.queues.iter().map(|it| it.leased).sum();
    Ok(json!({
        "broker": {
            "name": name,
            "version": version,
            "pid": pid,
            // A string: many readers of JSON keep only 53 bits of a number.
            "epoch": format!("{epoch:016x}"),
            "uptime_ms": u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            "listeners": listeners,
        },
        "totals": {
            "messages": look.broker.messages.saturating_sub(leased),
            "leased": leased,
            "bytes": look.broker.bytes,
            "blocked": look.queues.iter().map(|it| it.blocked).sum::<u64>(),
            "held": look.topics.iter().map(|it| it.held).sum::<u64>(),
            "dead": look.queues.iter().map(|it| it.dead).sum::<u64>(),
            "round_trip_us": u64::try_from(look.round_trip.as_micros()).unwrap_or(u64::MAX),
            "messages_in": totals.map(|it| it.messages_in),
            "messages_out": totals.map(|it| it.messages_out),
            "bytes_in": totals.map(|it| it.bytes_in),
            "bytes_out": totals.map(|it| it.bytes_out),
            "dead_rate": totals.map(|it| it.dead),
            "dropped_rate": totals.map(|it| it.dropped),
            "events_left_out": look.more["events_left_out"],
            "lanes": look.broker.lanes,
            "lanes_refused": look.broker.lanes_refused,
        },
        "counts": {
            "queues": look.queues.len(),
            "topics": look.topics.len(),
            "services": look.services.len(),
            "clients": look.clients.len(),
            "lanes": look.clients.iter().filter(|it| is_about_lanes(it)).count(),
            "bridges": look.bridges().len(),
            "subscriptions": look.subscriptions.len(),
            "groups": subscribers::groups(&look.subscriptions),
            "users": users.len(),
        },
        "held": held_up(look, &ways, rates),
        "part": part,
    }))
}

fn wanted_part(
    look: &Look,
    rates: &Rates,
    ways: &[Way],
    users: &[User],
    wanted: &Wanted,
) -> Result<Value, &'static str> {
    let of_client = |it: &ClientStat| mark(&held::of_client(it, rates));
    match wanted.table.as_str() {
        "queues" => wanted.part(&look.queues, |it| mark(&held::of_queue(it, rates)), QUEUES, rates),
        "topics" => wanted.part(&look.topics, |it| mark(&held::of_topic(it, rates)), TOPICS, rates),
        "services" => {
            wanted.part(&look.services, |it| mark(&held::of_service(it, rates)), SERVICES, rates)
        }
        "clients" => wanted.part(&look.clients, of_client, CLIENTS, rates),
        "lanes" => {
            let about = look.clients.iter().filter(|it| is_about_lanes(it));
            wanted.part(&about.cloned().collect::<Vec<_>>(), of_client, LANE_CLIENTS, rates)
        }
        "subscriptions" => {
            let mark = |it: &SubscriptionStat| mark(&Trouble::of_subscription(slice::from_ref(it)));
            wanted.part(&look.subscriptions, mark, SUBSCRIPTIONS, rates)
        }
        "bridges" => wanted.part(ways, |it| mark(&held::of_way(it)), BRIDGES, rates),
        "users" => wanted.part(users, |_| "", USERS, rates),
        _ => Err("400 Bad Request"),
    }
}
