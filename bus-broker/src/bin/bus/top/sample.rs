//! One look at a broker's counters, through the administration that every client has.
//!
//! A look is bounded: some requests for each hundred queues, one after the other, so that the broker
//! serves others between them.

use std::collections::HashMap;
use std::time::Duration;

use bus_broker::{Trouble, TroubleLevel};
use bus_client::{BrokerInfo, Client, ClientStat, QueueStat, TopicStat};
use serde_json::Value;
use tokio::time::Instant;

use super::model::{Item, Look, Raw, rate};
use crate::exit::Problem;
use crate::show::printable;
use crate::value::{show_count, show_duration};

/// The broker's service that tells about bridges, and how long it may take.
const BRIDGES: &str = "$bus.bridge";
const BRIDGES_LIMIT: Duration = Duration::from_secs(2);
/// What a direction of a bridge has not brought over.
const DROPPED: [&str; 5] = ["dropped", "refused", "abandoned", "missed", "failed"];
const WAYS: [&str; 6] = ["out", "in", "out_queues", "in_queues", "out_services", "in_services"];

/// Looks at one broker, one time after the other.
pub struct Looker {
    client: Client,
    /// From here on times count.
    begun: Instant,
    /// When the look before was, and what had been written to each session then.
    before: Option<(u64, HashMap<u64, u64>)>,
}

impl Looker {
    /// One that has not looked yet.
    pub fn new(client: Client) -> Looker {
        Looker { client, begun: Instant::now(), before: None }
    }

    /// Looks once more.
    pub async fn look(&mut self) -> Result<Look, Problem> {
        let admin = self.client.admin();
        let info = admin.broker().await?;
        let queues = admin.queues(">").await?;
        let topics = admin.topics(">").await?;
        let clients = admin.clients().await?;
        let at_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let items = [
            queues.iter().map(queue).collect(),
            topics.iter().map(topic).collect(),
            clients.iter().map(|it| client_item(it, self.bytes_out(it, at_us))).collect(),
            bridges(&self.client).await,
        ];
        let written = clients.iter().map(|it| (it.sender.session, it.bytes_out)).collect();
        self.before = Some((at_us, written));
        Ok(Look { at_us, broker: line(&info), items })
    }

    /// How much was written to it in a second, if it was there at the look before.
    fn bytes_out(&self, stat: &ClientStat, at_us: u64) -> Option<f64> {
        let (before_us, written) = self.before.as_ref()?;
        let seconds = at_us.saturating_sub(*before_us) as f64 / 1e6;
        rate(*written.get(&stat.sender.session)?, stat.bytes_out, seconds)
    }
}

fn line(info: &BrokerInfo) -> String {
    format!(
        "{} {}, up {}; clients {} ({} on lanes), queues {}, topics {}, messages {}",
        printable(&info.name),
        printable(&info.version),
        show_duration(info.uptime),
        show_count(info.sessions),
        show_count(info.lanes),
        show_count(info.queues),
        show_count(info.topics),
        show_count(info.messages),
    )
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

fn client_item(stat: &ClientStat, bytes_out: Option<f64>) -> Item {
    let over = if stat.connected { printable(&stat.transport) } else { "away".to_owned() };
    let numbers = [stat.bytes_in, stat.bytes_out, stat.leases, stat.unsent_bytes];
    let raw = std::iter::once(Raw::Text(over)).chain(numbers.map(Raw::Number)).collect();
    Item {
        key: stat.sender.session.to_string(),
        name: printable(&stat.sender.to_string()),
        raw,
        why: why(Trouble::of_client(stat, bytes_out), TroubleLevel::Warn),
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

#[cfg(test)]
mod tests {
    use bus_client::Sender;

    use super::*;

    fn client(unsent_bytes: u64) -> ClientStat {
        ClientStat {
            sender: Sender::default(),
            transport: "tcp".into(),
            connected: true,
            channels: 1,
            leases: 0,
            bytes_in: 0,
            bytes_out: 1 << 20,
            frames_in: 0,
            frames_out: 0,
            parked_bytes: 0,
            unsent_bytes,
            no_lanes: String::new(),
        }
    }

    #[test]
    fn only_who_was_seen_not_to_read_is_marked() {
        let why = |bytes_out| client_item(&client(1 << 20), bytes_out).why;
        assert_eq!(why(Some(0.0)).as_deref(), Some(DOES_NOT_READ));
        assert_eq!(why(Some(1e6)), None, "it is on its way");
        assert_eq!(why(None), None, "nobody has measured it");
    }

    const DOES_NOT_READ: &str = "does not read: 1.0 MiB wait to be written to it";
}
