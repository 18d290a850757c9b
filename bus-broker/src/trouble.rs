//! What is wrong with a thing, in words: who waits for whom, since when, and what that costs. Pure.
//!
//! The same sentences for the live page and for `bus top`. The broker notes no time of each message: how long something
//! has been stuck is told by what was taken last.

use std::time::Duration;

use bus_client::{ClientStat, QueueStat, ServiceStat, SubscriptionStat, TopicStat};
use serde_json::Value;

use crate::subscribers::SubscriberState;
use crate::words::{age, many, size};

/// What waits for so long without anybody who takes it is told.
const UNTAKEN: Duration = Duration::from_secs(10);
/// Deliveries that are not settled for so long, after the last one, are told: twice the usual lease.
const UNSETTLED: Duration = Duration::from_secs(60);
/// Less than that is no reason for a word.
const UNREAD_BYTES: u64 = 16 * 1024;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleLevel {
    /// Somebody waits.
    Bad,
    /// Somebody may wait soon, or something is lost.
    Warn,
    /// Something to know.
    Note,
}

/// What is wrong with a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How bad it is.
    pub level: TroubleLevel,
    /// What it is, without the name of the thing.
    pub text: String,
}

impl Trouble {
    /// Of a queue, of which so many messages die in a second.
    pub fn of_queue(it: &QueueStat, dead: Option<f64>) -> Vec<Trouble> {
        let mut found = Vec::new();
        if let Some(hosted) = it.hosted.as_ref().filter(|hosted| !hosted.trouble.is_empty()) {
            found.push(Trouble::new(TroubleLevel::Bad, hosted.trouble.clone()));
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
        let nobody =
            if it.waiting == 0 { "nobody waits to receive" } else { "receivers want others" };
        if it.blocked > 0 {
            let sends = many(it.blocked, "send waits", "sends wait");
            let full = format!(
                "{} of {} messages, {} of {}",
                it.messages,
                it.options.count_max,
                size(it.bytes),
                size(it.options.bytes_max)
            );
            found.push(Trouble::new(
                TroubleLevel::Bad,
                format!("{sends} for room ({full}); {nobody}; {}", last()),
            ));
        } else if it.messages > 0 && still >= UNTAKEN {
            let messages = many(it.messages, "message waits", "messages wait");
            found.push(Trouble::new(
                TroubleLevel::Warn,
                format!("{messages}; {nobody}; {}", last()),
            ));
        }
        if it.leased > 0 && taken.is_some_and(|taken| taken >= UNSETTLED) {
            let leased = many(it.leased, "delivery is", "deliveries are");
            found.push(Trouble::new(
                TroubleLevel::Warn,
                format!("{leased} not settled; {}", last()),
            ));
        }
        if it.dead > 0 {
            let level = if dead.is_some_and(|rate| rate > 0.0) {
                TroubleLevel::Warn
            } else {
                TroubleLevel::Note
            };
            let own = format!("{}.dead", it.name);
            let place = it.options.dead_letter.as_ref().map_or(own, ToString::to_string);
            let messages = many(it.dead, "message has gone", "messages have gone");
            found.push(Trouble::new(level, format!("{messages} to the dead letters in {place}")));
        }
        found
    }

    /// Of a topic, of which so many messages are dropped in a second.
    pub fn of_topic(it: &TopicStat, dropped: Option<f64>) -> Vec<Trouble> {
        let mut found = Vec::new();
        if it.held > 0 {
            let held = many(it.held, "message is", "messages are");
            let text = format!(
                "{held} held back for a slow subscriber; {} wait for {}",
                size(it.backlog_bytes),
                many(it.subscribers, "subscriber", "subscribers")
            );
            found.push(Trouble::new(TroubleLevel::Bad, text));
        }
        if let Some(rate) = dropped.filter(|rate| *rate > 0.0) {
            let text = format!("{rate:.0} messages a second are dropped for slow subscribers");
            found.push(Trouble::new(TroubleLevel::Warn, text));
        }
        if it.too_slow > 0 {
            let ended = many(it.too_slow, "subscription has", "subscriptions have");
            found.push(Trouble::new(TroubleLevel::Note, format!("{ended} ended as too slow")));
        }
        found
    }

    /// Of a service, of which so many calls miss their deadline in a second.
    pub fn of_service(it: &ServiceStat, missed: Option<f64>) -> Vec<Trouble> {
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
            found.push(Trouble::new(TroubleLevel::Bad, text));
        }
        if let Some(missed) = missed.filter(|missed| *missed > 0.0) {
            found.push(Trouble::new(
                TroubleLevel::Warn,
                format!("{missed:.1} calls a second miss their deadline"),
            ));
        }
        found
    }

    /// Of a client, to which so many bytes are written in a second, if that is known.
    pub fn of_client(it: &ClientStat, bytes_out: Option<f64>) -> Vec<Trouble> {
        let mut found = Vec::new();
        if it.unsent_bytes >= UNREAD_BYTES {
            let wait = format!("{} wait to be written to it", size(it.unsent_bytes));
            match bytes_out {
                None => found.push(Trouble::new(TroubleLevel::Note, wait)),
                // What waits for one who reads is on its way.
                Some(rate) if rate > 0.0 => {}
                Some(_) => {
                    found.push(Trouble::new(TroubleLevel::Bad, format!("does not read: {wait}")));
                }
            }
        }
        if it.parked_bytes > 0 {
            let text =
                format!("its sends wait for room: {} of them are here", size(it.parked_bytes));
            found.push(Trouble::new(TroubleLevel::Warn, text));
        }
        if !it.connected {
            let leases = many(it.leases, "delivery", "deliveries");
            found.push(Trouble::new(
                TroubleLevel::Warn,
                format!("is away; {leases} wait for it to come back"),
            ));
        }
        found
    }

    /// Of a direction of a bridge, as `$bus.bridge` tells of it.
    pub fn of_way(way: &Value) -> Vec<Trouble> {
        let text = |key: &str| way[key].as_str().unwrap_or_default();
        let count = |key: &str| way[key].as_u64().unwrap_or_default();
        let mut found = Vec::new();
        let state = text("state");
        if state != "connected" {
            let why = match text("last_error") {
                "" => String::new(),
                error => format!(": {error}"),
            };
            let since = Duration::from_millis(count("since_ms"));
            let level = if state == "paused" { TroubleLevel::Note } else { TroubleLevel::Bad };
            found.push(Trouble::new(level, format!("{state} for {}{why}", age(since))));
        }
        if count("held_topics") > 0 {
            let held = many(count("held_topics"), "topic is", "topics are");
            found.push(Trouble::new(
                TroubleLevel::Bad,
                format!("{held} held up; {} wait", size(count("lag_bytes"))),
            ));
        }
        let denied = way["denied"].as_array().map_or(0, Vec::len);
        if denied > 0 {
            let text = format!(
                "the other broker does not let {} through",
                many(denied as u64, "name", "names")
            );
            found.push(Trouble::new(TroubleLevel::Warn, text));
        }
        found
    }

    /// Of a subscriber, or of a group's members.
    pub fn of_subscription(members: &[SubscriptionStat]) -> Vec<Trouble> {
        let (mut found, Some(it)) = (Vec::new(), members.first()) else { return Vec::new() };
        let waiting = || {
            let waits = many(it.backlog_messages, "message waits", "messages wait");
            format!("{waits} for it ({} of {})", size(it.backlog_bytes), size(it.backlog_bytes_max))
        };
        let told = match SubscriberState::of(members) {
            SubscriberState::Holds => {
                Some((TroubleLevel::Bad, format!("holds publishers back; {}", waiting())))
            }
            SubscriberState::Away if it.backlog_messages == 0 => {
                Some((TroubleLevel::Note, "is away".to_owned()))
            }
            SubscriberState::Away => Some((TroubleLevel::Warn, format!("is away; {}", waiting()))),
            SubscriberState::Slow => Some((TroubleLevel::Warn, format!("is slow: {}", waiting()))),
            SubscriberState::Well => None,
        };
        found.extend(told.map(|(level, text)| Trouble::new(level, text)));
        if it.lost > 0 {
            let lost = many(it.lost, "message", "messages");
            found.push(Trouble::new(TroubleLevel::Note, format!("has missed {lost} so far")));
        }
        found
    }

    fn new(level: TroubleLevel, text: String) -> Trouble {
        Trouble { level, text }
    }
}

impl TroubleLevel {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            TroubleLevel::Bad => "bad",
            TroubleLevel::Warn => "warn",
            TroubleLevel::Note => "note",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscribers::tests::busy;

    #[test]
    fn subscribers_are_told_of_as_their_state_is() {
        let told = |it: &SubscriptionStat| {
            let found = Trouble::of_subscription(std::slice::from_ref(it));
            found.into_iter().map(|it| format!("{}: {}", it.level.word(), it.text)).next()
        };
        assert_eq!(told(&busy(100, 1000)), None, "for a moment that is so of everybody");
        let slow = busy(600, 1000);
        let expected = "warn: is slow: 6 messages wait for it (600 B of 1000 B)";
        assert_eq!(told(&slow).as_deref(), Some(expected));
        let (mut away, mut idle) = (slow, busy(0, 0));
        (away.member.connected, idle.member.connected) = (false, false);
        let expected = "warn: is away; 6 messages wait for it (600 B of 1000 B)";
        assert_eq!(told(&away).as_deref(), Some(expected));
        assert_eq!(told(&idle).as_deref(), Some("note: is away"));
        let holds = SubscriptionStat { holds: true, ..away };
        assert!(told(&holds).is_some_and(|it| it.starts_with("bad: holds publishers back; ")));
    }
}
