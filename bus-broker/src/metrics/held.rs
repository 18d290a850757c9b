//! Who holds what up: sentences about what waits for somebody, the worst first. Pure.
//!
//! The broker notes no time of each message. How long something has been stuck is told by what was taken last.

use std::time::Duration;

use bus_client::{ClientStat, QueueStat, ServiceStat, TopicStat};
use serde_json::{Value, json};

use super::columns::Way;
use super::counted::Rates;
use super::look::Look;
use super::words::{age, many, size};

/// Sentences that are told; the rest is counted.
const TOLD_MAX: usize = 30;
/// What waits for so long without anybody who takes it is told.
const UNTAKEN: Duration = Duration::from_secs(10);
/// Deliveries that are not settled for so long, after the last one, are told: twice the usual lease.
const UNSETTLED: Duration = Duration::from_secs(60);
/// Less than that is no reason for a word.
const UNREAD_BYTES: u64 = 16 * 1024;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Somebody waits.
    Bad,
    /// Somebody may wait soon, or something is lost.
    Warn,
    /// Something to know.
    Note,
}

/// What is wrong with a thing: how bad it is, and in words.
type Trouble = (Level, String);

impl Level {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Level::Bad => "bad",
            Level::Warn => "warn",
            Level::Note => "note",
        }
    }
}

/// All of it, as the page is told.
pub(super) fn held_up(look: &Look, ways: &[Way], rates: &Rates) -> Value {
    let mut all: Vec<(Level, &str, String, String)> = Vec::new();
    let mut add = |table, name: &str, found: Vec<Trouble>| {
        all.extend(found.into_iter().map(|(level, text)| (level, table, name.to_owned(), text)));
    };
    look.queues.iter().for_each(|it| add("queues", it.name.as_str(), of_queue(it, rates)));
    look.topics.iter().for_each(|it| add("topics", it.name.as_str(), of_topic(it, rates)));
    look.services.iter().for_each(|it| add("services", it.name.as_str(), of_service(it, rates)));
    look.clients.iter().for_each(|it| add("clients", &it.sender.to_string(), of_client(it, rates)));
    ways.iter().for_each(|it| add("bridges", &format!("{} {}", it.bridge, it.way), of_way(it)));
    if look.broker.lanes_refused > 0 {
        let refused = many(look.broker.lanes_refused, "client was", "clients were");
        let text = format!("{refused} refused lanes, last because {}", look.broker.lanes_refusal);
        add("lanes", &look.broker.name, vec![(Level::Note, text)]);
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
    found.iter().map(|(level, _)| *level).min().map_or("", Level::word)
}

pub(super) fn of_queue(it: &QueueStat, rates: &Rates) -> Vec<Trouble> {
    let mut found = Vec::new();
    if let Some(hosted) = it.hosted.as_ref().filter(|hosted| !hosted.trouble.is_empty()) {
        found.push((Level::Bad, hosted.trouble.clone()));
    }
    if it.hosted.is_some() {
        return found;
    }
    let taken = it.last_receive.as_ref().map(|touch| touch.age);
    // Since it was taken from, or since something came if it never was.
    let still = taken.or(it.last_send.as_ref().map(|touch| touch.age)).unwrap_or_default();
    // Most queues have nothing to be said of them.
    let last = || match &it.last_receive {
        Some(touch) => format!("last taken {} ago by {}", age(touch.age), touch.sender),
        None => "nothing was ever taken".to_owned(),
    };
    let nobody = if it.waiting == 0 { "nobody waits to receive" } else { "receivers want others" };
    if it.blocked > 0 {
        let sends = many(it.blocked, "send waits", "sends wait");
        let full = format!(
            "{} of {} messages, {} of {}",
            it.messages,
            it.options.count_max,
            size(it.bytes),
            size(it.options.bytes_max)
        );
        found.push((Level::Bad, format!("{sends} for room ({full}); {nobody}; {}", last())));
    } else if it.messages > 0 && still >= UNTAKEN {
        let messages = many(it.messages, "message waits", "messages wait");
        found.push((Level::Warn, format!("{messages}; {nobody}; {}", last())));
    }
    if it.leased > 0 && taken.is_some_and(|taken| taken >= UNSETTLED) {
        let leased = many(it.leased, "delivery is", "deliveries are");
        found.push((Level::Warn, format!("{leased} not settled; {}", last())));
    }
    if it.dead > 0 {
        let [.., dead, _] = rates.queue(it.id);
        let level = if dead.is_some_and(|rate| rate > 0.0) { Level::Warn } else { Level::Note };
        let own = format!("{}.dead", it.name);
        let place = it.options.dead_letter.as_ref().map_or(own, ToString::to_string);
        let messages = many(it.dead, "message has gone", "messages have gone");
        found.push((level, format!("{messages} to the dead letters in {place}")));
    }
    found
}

pub(super) fn of_topic(it: &TopicStat, rates: &Rates) -> Vec<Trouble> {
    let mut found = Vec::new();
    if it.held > 0 {
        let held = many(it.held, "message is", "messages are");
        let text = format!(
            "{held} held back for a slow subscriber; {} wait for {}",
            size(it.backlog_bytes),
            many(it.subscribers, "subscriber", "subscribers")
        );
        found.push((Level::Bad, text));
    }
    let [.., dropped] = rates.topic(it.id);
    if let Some(rate) = dropped.filter(|rate| *rate > 0.0) {
        let text = format!("{rate:.0} messages a second are dropped for slow subscribers");
        found.push((Level::Warn, text));
    }
    if it.too_slow > 0 {
        let ended = many(it.too_slow, "subscription has", "subscriptions have");
        found.push((Level::Note, format!("{ended} ended as too slow")));
    }
    found
}

pub(super) fn of_service(it: &ServiceStat, rates: &Rates) -> Vec<Trouble> {
    let mut found = Vec::new();
    if it.pending > 0 {
        let calls = many(it.pending, "call waits", "calls wait");
        let text = match it.servers {
            0 => format!("{calls} and nobody serves"),
            servers => format!(
                "{calls}; {} serve {} at a time",
                many(servers, "server", "servers"),
                it.running
            ),
        };
        found.push((Level::Bad, text));
    }
    let [.., late, expired] = rates.service(it.name.as_str());
    let missed = late.unwrap_or_default() + expired.unwrap_or_default();
    if missed > 0.0 {
        found.push((Level::Warn, format!("{missed:.1} calls a second miss their deadline")));
    }
    found
}

pub(super) fn of_client(it: &ClientStat, rates: &Rates) -> Vec<Trouble> {
    let mut found = Vec::new();
    let [_, bytes_out, ..] = rates.client(it.sender.session);
    // What waits for one who reads is on its way.
    if it.unsent_bytes >= UNREAD_BYTES && bytes_out == Some(0.0) {
        let text = format!("does not read: {} wait to be written to it", size(it.unsent_bytes));
        found.push((Level::Bad, text));
    }
    if it.parked_bytes > 0 {
        let text = format!("its sends wait for room: {} of them are here", size(it.parked_bytes));
        found.push((Level::Warn, text));
    }
    if !it.connected {
        let leases = many(it.leases, "delivery", "deliveries");
        found.push((Level::Warn, format!("is away; {leases} wait for it to come back")));
    }
    found
}

pub(super) fn of_way(it: &Way) -> Vec<Trouble> {
    let mut found = Vec::new();
    let state = it.text("state");
    if state != "connected" {
        let why = match it.text("last_error") {
            "" => String::new(),
            error => format!(": {error}"),
        };
        let since = Duration::from_millis(it.count("since_ms"));
        let level = if state == "paused" { Level::Note } else { Level::Bad };
        found.push((level, format!("{state} for {}{why}", age(since))));
    }
    if it.count("held_topics") > 0 {
        let held = many(it.count("held_topics"), "topic is", "topics are");
        found.push((Level::Bad, format!("{held} held up; {} wait", size(it.count("lag_bytes")))));
    }
    let denied = it.status["denied"].as_array().map_or(0, Vec::len);
    if denied > 0 {
        let text = format!(
            "the other broker does not let {} through",
            many(denied as u64, "name", "names")
        );
        found.push((Level::Warn, text));
    }
    found
}
