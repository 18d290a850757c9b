//! Who holds what up: sentences about what waits for somebody, the worst first. Pure.

use bus_client::{ClientStat, QueueStat, ServiceStat, TopicStat};
use serde_json::{Value, json};

use super::columns::Way;
use super::counted::Rates;
use super::look::Look;
use super::subscribers;
use crate::trouble::{Trouble, TroubleLevel as Level};
use crate::words::many;

/// Sentences that are told; the rest is counted.
const TOLD_MAX: usize = 30;

/// All of it, as the page is told.
pub(super) fn held_up(look: &Look, ways: &[Way], rates: &Rates) -> Value {
    let mut all: Vec<(Level, &str, String, String)> = Vec::new();
    let mut add = |table, name: &str, found: Vec<Trouble>| {
        all.extend(found.into_iter().map(|it| (it.level, table, name.to_owned(), it.text)));
    };
    look.queues.iter().for_each(|it| add("queues", it.name.as_str(), of_queue(it, rates)));
    look.topics.iter().for_each(|it| add("topics", it.name.as_str(), of_topic(it, rates)));
    look.services.iter().for_each(|it| add("services", it.name.as_str(), of_service(it, rates)));
    look.clients.iter().for_each(|it| add("clients", &it.sender.to_string(), of_client(it, rates)));
    subscribers::troubles(&look.subscriptions)
        .for_each(|(name, found)| add("subscriptions", &name, found));
    ways.iter().for_each(|it| add("bridges", &format!("{} {}", it.bridge, it.way), of_way(it)));
    if look.broker.lanes_refused > 0 {
        let refused = many(look.broker.lanes_refused, "client was", "clients were");
        let text = format!("{refused} refused lanes, last because {}", look.broker.lanes_refusal);
        add("lanes", &look.broker.name, vec![Trouble { level: Level::Note, text }]);
    }
    all.sort_by_key(|(level, ..)| *level);
    let count = |level| all.iter().filter(|it| it.0 == level).count();
    let told = all.iter().take(TOLD_MAX).map(|(level, table, name, text)| {
        json!({ "level": level.word(), "table": table, "name": name, "text": text })
    });
    json!({
        "bad": count(Level::Bad),
        "warn": count(Level::Warn),
        "note": count(Level::Note),
        "first": told.collect::<Vec<_>>(),
    })
}

/// The worst of these, for the row.
pub(super) fn mark(found: &[Trouble]) -> &'static str {
    found.iter().map(|it| it.level).min().map_or("", Level::word)
}

pub(super) fn of_queue(it: &QueueStat, rates: &Rates) -> Vec<Trouble> {
    let [.., dead, _] = rates.queue(it.id);
    Trouble::of_queue(it, dead)
}

pub(super) fn of_topic(it: &TopicStat, rates: &Rates) -> Vec<Trouble> {
    let [.., dropped] = rates.topic(it.id);
    Trouble::of_topic(it, dropped)
}

pub(super) fn of_service(it: &ServiceStat, rates: &Rates) -> Vec<Trouble> {
    let [.., late, expired] = rates.service(it.name.as_str());
    Trouble::of_service(it, late.zip(expired).map(|(late, expired)| late + expired))
}

pub(super) fn of_client(it: &ClientStat, rates: &Rates) -> Vec<Trouble> {
    let [_, bytes_out, ..] = rates.client(it.sender.session);
    Trouble::of_client(it, bytes_out)
}

pub(super) fn of_way(it: &Way) -> Vec<Trouble> {
    Trouble::of_way(&it.status)
}
