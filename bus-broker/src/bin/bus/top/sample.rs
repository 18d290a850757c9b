//! One look at a broker's counters, through the administration that every client has.
//!
//! A look is bounded: some requests for each hundred queues, one after the other, so that the broker
//! serves others between them.

use std::time::Duration;

use bus_broker::{Trouble, TroubleLevel};
use bus_client::{Client, ClientStat, QueueStat, TopicStat};
use serde_json::Value;
use tokio::time::Instant;

use super::model::{Item, Look, Raw};
use crate::exit::Problem;
use crate::show::printable;
use crate::value::{show_count, show_duration};

/// The broker's service that tells about bridges, and how long it may take.
const BRIDGES: &str = "$bus.bridge";
const BRIDGES_LIMIT: Duration = Duration::from_secs(2);
/// What a direction of a bridge has not brought over.
const DROPPED: [&str; 5] = ["dropped", "refused", "abandoned", "missed", "failed"];
const WAYS: [&str; 6] = ["out", "in", "out_queues", "in_queues", "out_services", "in_services"];

/// Looks. Times count from `begun`.
pub async fn look(client: &Client, begun: Instant) -> Result<Look, Problem> {
    let admin = client.admin();
    let info = admin.broker().await?;
    let queues = admin.queues(">").await?;
    let topics = admin.topics(">").await?;
    let clients = admin.clients().await?;
    let at_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let broker = format!(
        "{} {}, up {}; clients {} ({} on lanes), queues {}, topics {}, messages {}",
        printable(&info.name),
        printable(&info.version),
        show_duration(info.uptime),
        show_count(info.sessions),
        show_count(info.lanes),
        show_count(info.queues),
        show_count(info.topics),
        show_count(info.messages),
    );
    let items = [
        queues.iter().map(queue).collect(),
        topics.iter().map(topic).collect(),
        clients.iter().map(client_item).collect(),
        bridges(client).await,
    ];
    Ok(Look { at_us, broker, items })
}

fn queue(stat: &QueueStat) -> Item {
    let note = match (stat.retired, &stat.hosted) {
        (true, _) => " (retired)",
        (_, Some(_)) => " (hosted)",
        _ => "",
    };
    let figures = [
        stat.messages,
        stat.bytes,
        stat.accepted,
        stat.acked,
        stat.leased,
        stat.blocked,
        stat.waiting,
    ];
    Item {
        key: stat.id.to_string(),
        name: format!("{}{note}", stat.name),
        raw: figures.map(Raw::Number).to_vec(),
        why: why(Trouble::of_queue(stat, None), TroubleLevel::Bad),
    }
}

fn topic(stat: &TopicStat) -> Item {
    let figures = [
        stat.published,
        stat.delivered,
        stat.dropped,
        stat.held,
        stat.backlog_bytes,
        stat.subscribers,
    ];
    Item {
        key: stat.id.to_string(),
        name: stat.name.to_string(),
        raw: figures.map(Raw::Number).to_vec(),
        why: why(Trouble::of_topic(stat, None), TroubleLevel::Bad),
    }
}

fn client_item(stat: &ClientStat) -> Item {
    let over = if stat.connected { printable(&stat.transport) } else { "away".to_owned() };
    let numbers = [stat.bytes_in, stat.bytes_out, stat.leases, stat.unsent_bytes];
    let raw = std::iter::once(Raw::Text(over)).chain(numbers.map(Raw::Number)).collect();
    Item {
        key: stat.sender.session.to_string(),
        name: printable(&stat.sender.to_string()),
        raw,
        why: why(Trouble::of_client(stat, Some(0.0)), TroubleLevel::Warn),
    }
}

/// Why it is marked: the first thing that is so bad or worse, as the live page tells of it.
fn why(troubles: Vec<Trouble>, level: TroubleLevel) -> Option<String> {
    let first = troubles.into_iter().filter(|it| it.level <= level).min_by_key(|it| it.level);
    first.map(|it| printable(&it.text))
}

/// Those who may not ask see none.
async fn bridges(client: &Client) -> Vec<Item> {
    let asked = client.request(BRIDGES, r#"{"action":"list"}"#, BRIDGES_LIMIT).await;
    let told = asked.ok().and_then(|reply| serde_json::from_slice::<Value>(reply.payload()).ok());
    let list = told.as_ref().and_then(|told| told["bridges"].as_array());
    let ways = list.into_iter().flatten().flat_map(|bridge| WAYS.map(|way| (bridge, way)));
    ways.filter(|(bridge, way)| bridge[*way].is_object())
        .map(|(bridge, way)| direction(bridge, way))
        .collect()
}

fn direction(bridge: &Value, way: &str) -> Item {
    let told = &bridge[way];
    let count = |key: &str| told[key].as_u64().unwrap_or_default();
    let dropped = DROPPED.iter().fold(0u64, |sum, key| sum.saturating_add(count(key)));
    let state = told["state"].as_str().unwrap_or("-");
    let name = format!("{} {way}", printable(bridge["name"].as_str().unwrap_or("-")));
    let sent = count("published").saturating_add(count("done"));
    let numbers = [sent, dropped, count("lag_bytes")];
    let troubles = Trouble::of_way(told);
    let state_raw = Raw::Text(printable(state));
    Item {
        key: name.clone(),
        name,
        raw: std::iter::once(state_raw).chain(numbers.map(Raw::Number)).collect(),
        why: why(troubles, TroubleLevel::Note).filter(|_| state != "connected"),
    }
}
