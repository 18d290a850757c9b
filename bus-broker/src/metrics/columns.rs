//! What stands in each table. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_client::{ClientStat, QueueStat, ServiceStat, TopicStat};
use serde_json::{Value, json};

use super::counted::Rates;
use super::look::Look;
use super::table::{Column, Kind, Row};
use crate::words::age;

/// Types that are shown of a queue.
const TYPES_SHOWN: usize = 3;
/// As `Transport` calls lanes.
const LANES: &str = "shared memory";
const WAYS: [&str; 6] = ["out", "in", "out_queues", "in_queues", "out_services", "in_services"];

/// One direction of a bridge.
pub(super) struct Way {
    pub bridge: String,
    pub way: &'static str,
    url: String,
    pub status: Value,
}

/// Everybody who is the same user.
#[derive(Debug, Default)]
pub(super) struct User {
    name: String,
    clients: u64,
    away: u64,
    lanes: u64,
    leases: u64,
    unsent_bytes: u64,
    parked_bytes: u64,
    sessions: Vec<u64>,
}

pub(super) const QUEUES: &[Column<QueueStat>] = &[
    ("name", "Queue", Kind::Text, "Its name", |it, _| json!(name_of(it))),
    ("messages", "Waiting", Kind::Count, "Messages that wait", |it, _| here(it, it.messages)),
    (
        "full",
        "Full",
        Kind::Percent,
        "Of its limit in messages or bytes, whichever is nearer",
        |it, _| {
            let part = |now: u64, max: u64| now as f64 * 100.0 / (max as f64).max(1.0);
            let options = &it.options;
            here(it, part(it.messages, options.count_max).max(part(it.bytes, options.bytes_max)))
        },
    ),
    ("bytes", "Bytes", Kind::Bytes, "What those that wait count", |it, _| here(it, it.bytes)),
    ("in", "In/s", Kind::Rate, "Messages accepted in a second", |it, rates| {
        here(it, rates.queue(it.id)[0])
    }),
    ("out", "Out/s", Kind::Rate, "Deliveries made in a second", |it, rates| {
        here(it, rates.queue(it.id)[1])
    }),
    ("leased", "Leased", Kind::Count, "Deliveries that are not settled", |it, _| {
        here(it, it.leased)
    }),
    ("blocked", "Blocked", Kind::Count, "Sends that wait for room", |it, _| here(it, it.blocked)),
    ("waiting", "Receivers", Kind::Count, "Receivers that wait", |it, _| json!(it.waiting)),
    ("dead", "Dead", Kind::Count, "Messages that went to the dead letters", |it, _| {
        here(it, it.dead)
    }),
    ("taken", "Taken", Kind::Age, "How long ago something was taken", |it, _| {
        json!(it.last_receive.as_ref().map(|touch| touch.age.as_millis() as u64))
    }),
    ("types", "Types", Kind::Text, "Types that wait, with how many of each", |it, _| {
        json!(types_of(it))
    }),
];

pub(super) const TOPICS: &[Column<TopicStat>] = &[
    ("name", "Topic", Kind::Text, "Its name", |it, _| json!(it.name.as_str())),
    ("in", "Published/s", Kind::Rate, "Messages accepted in a second", |it, rates| {
        json!(rates.topic(it.id)[0])
    }),
    (
        "out",
        "Delivered/s",
        Kind::Rate,
        "Messages handed to subscriptions in a second",
        |it, rates| json!(rates.topic(it.id)[1]),
    ),
    (
        "lost",
        "Dropped/s",
        Kind::Rate,
        "Messages dropped for slow subscribers in a second",
        |it, rates| json!(rates.topic(it.id)[2]),
    ),
    ("held", "Held", Kind::Count, "Messages that wait for a slow subscriber", |it, _| {
        json!(it.held)
    }),
    ("backlog", "Backlog", Kind::Bytes, "Bytes that wait for slow subscribers", |it, _| {
        json!(it.backlog_bytes)
    }),
    ("publishers", "Publishers", Kind::Count, "Open publishers", |it, _| json!(it.publishers)),
    ("subscribers", "Subscribers", Kind::Count, "Subscriptions that match", |it, _| {
        json!(it.subscribers)
    }),
    ("dropped", "Dropped", Kind::Count, "Messages dropped so far", |it, _| json!(it.dropped)),
    ("slow", "Too slow", Kind::Count, "Subscriptions that ended as too slow", |it, _| {
        json!(it.too_slow)
    }),
    ("kept", "Kept", Kind::Count, "Last messages kept for late joiners", |it, _| json!(it.kept)),
    ("last", "Last", Kind::Age, "How long ago something was published", |it, _| {
        json!(it.last_publish.as_ref().map(|touch| touch.age.as_millis() as u64))
    }),
];

pub(super) const SERVICES: &[Column<ServiceStat>] = &[
    ("name", "Service", Kind::Text, "Its name", |it, _| json!(it.name.as_str())),
    ("in", "Calls/s", Kind::Rate, "Calls in a second", |it, rates| {
        json!(rates.service(it.name.as_str())[0])
    }),
    ("out", "Replies/s", Kind::Rate, "Replies in a second", |it, rates| {
        json!(rates.service(it.name.as_str())[1])
    }),
    ("servers", "Servers", Kind::Count, "Who serves it", |it, _| json!(it.servers)),
    ("pending", "Pending", Kind::Count, "Calls that wait for a server", |it, _| json!(it.pending)),
    ("running", "Running", Kind::Count, "Calls that are being served", |it, _| json!(it.running)),
    ("late", "Late", Kind::Count, "Replies that came too late", |it, _| json!(it.late)),
    ("expired", "Expired", Kind::Count, "Calls past their deadline", |it, _| json!(it.expired)),
];

pub(super) const CLIENTS: &[Column<ClientStat>] = &[
    ("name", "Client", Kind::Text, "Its name, its user and its process", |it, _| {
        json!(it.sender.to_string())
    }),
    ("in", "In/s", Kind::ByteRate, "Bytes read from it in a second", |it, rates| {
        json!(rates.client(it.sender.session)[0])
    }),
    ("out", "Out/s", Kind::ByteRate, "Bytes written to it in a second", |it, rates| {
        json!(rates.client(it.sender.session)[1])
    }),
    ("transport", "Over", Kind::Text, "How it is connected", |it, _| json!(transport_of(it))),
    ("leases", "Leases", Kind::Count, "Deliveries that it has not settled", |it, _| {
        json!(it.leases)
    }),
    ("parked", "Parked", Kind::Bytes, "Bytes of its sends that wait for room", |it, _| {
        json!(it.parked_bytes)
    }),
    ("unsent", "Unread", Kind::Bytes, "Bytes that wait to be written to it", |it, _| {
        json!(it.unsent_bytes)
    }),
    ("channels", "Channels", Kind::Count, "Open channels", |it, _| json!(it.channels)),
    ("session", "Session", Kind::Count, "The number of its session", |it, _| {
        json!(it.sender.session)
    }),
];

pub(super) const LANE_CLIENTS: &[Column<ClientStat>] = &[
    ("name", "Client", Kind::Text, "Its name, its user and its process", |it, _| {
        json!(it.sender.to_string())
    }),
    ("in", "Frames in/s", Kind::Rate, "Frames taken from it in a second", |it, rates| {
        json!(rates.client(it.sender.session)[2])
    }),
    ("out", "Frames out/s", Kind::Rate, "Frames made for it in a second", |it, rates| {
        json!(rates.client(it.sender.session)[3])
    }),
    ("transport", "Over", Kind::Text, "How it is connected", |it, _| json!(transport_of(it))),
    ("bytes_in", "Bytes in/s", Kind::ByteRate, "Bytes read from it in a second", |it, rates| {
        json!(rates.client(it.sender.session)[0])
    }),
    ("bytes_out", "Bytes out/s", Kind::ByteRate, "Bytes written to it in a second", |it, rates| {
        json!(rates.client(it.sender.session)[1])
    }),
    ("unsent", "Unread", Kind::Bytes, "Bytes that wait for room in its lane", |it, _| {
        json!(it.unsent_bytes)
    }),
    ("why", "Why not", Kind::Text, "Why it was refused the lanes that it asked for", |it, _| {
        json!(it.no_lanes)
    }),
];

pub(super) const BRIDGES: &[Column<Way>] = &[
    ("name", "Bridge", Kind::Text, "Its name, and the way", |it, _| json!(it.label())),
    ("state", "State", Kind::Text, "How it stands", |it, _| json!(it.text("state"))),
    ("since", "Since", Kind::Age, "For how long", |it, _| it.status["since_ms"].clone()),
    ("round", "Round trip", Kind::Micros, "How long the other broker takes to answer", |it, _| {
        it.status["round_trip_us"].clone()
    }),
    ("sent", "Carried", Kind::Count, "Messages or calls brought over", |it, _| {
        json!(it.count("published") + it.count("done"))
    }),
    ("lag", "Waiting", Kind::Count, "Messages that wait in it, or are under way", |it, _| {
        json!(it.count("lag_messages") + it.count("under_way"))
    }),
    ("lag_bytes", "Bytes", Kind::Bytes, "What those count", |it, _| it.status["lag_bytes"].clone()),
    ("lost", "Lost", Kind::Count, "Dropped, refused, given up, missed or failed", |it, _| {
        let keys = ["dropped", "refused", "abandoned", "missed", "failed"];
        json!(keys.iter().map(|key| it.count(key)).sum::<u64>())
    }),
    ("held", "Held", Kind::Count, "Topics that are held up", |it, _| {
        it.status["held_topics"].clone()
    }),
    ("again", "Reconnects", Kind::Count, "Connections made anew", |it, _| {
        it.status["reconnects"].clone()
    }),
    ("url", "Where", Kind::Text, "Where the other broker is", |it, _| json!(it.url)),
    ("error", "Last error", Kind::Text, "What has gone wrong last", |it, _| {
        let over = it.status["last_error_over_ms"].as_u64();
        match (it.status["last_error"].as_str(), over) {
            (Some(error), Some(over)) => {
                json!(format!("(over for {}) {error}", age(Duration::from_millis(over))))
            }
            (Some(error), None) => json!(error),
            (None, _) => Value::Null,
        }
    }),
];

pub(super) const USERS: &[Column<User>] = &[
    ("name", "User", Kind::Text, "By the configuration, or by the kernel's word", |it, _| {
        json!(it.name)
    }),
    ("clients", "Clients", Kind::Count, "Sessions", |it, _| json!(it.clients)),
    ("in", "In/s", Kind::ByteRate, "Bytes read from them in a second", |it, rates| {
        it.rate(rates, 0)
    }),
    ("out", "Out/s", Kind::ByteRate, "Bytes written to them in a second", |it, rates| {
        it.rate(rates, 1)
    }),
    ("lanes", "On lanes", Kind::Count, "Those on lanes in shared memory", |it, _| json!(it.lanes)),
    ("away", "Away", Kind::Count, "Those whose connection is lost", |it, _| json!(it.away)),
    ("leases", "Leases", Kind::Count, "Deliveries that they have not settled", |it, _| {
        json!(it.leases)
    }),
    ("parked", "Parked", Kind::Bytes, "Bytes of their sends that wait for room", |it, _| {
        json!(it.parked_bytes)
    }),
    ("unsent", "Unread", Kind::Bytes, "Bytes that wait to be written to them", |it, _| {
        json!(it.unsent_bytes)
    }),
];

impl Way {
    /// Every direction of every bridge.
    pub fn all(look: &Look) -> Vec<Way> {
        let of_one = |it: &Value| {
            let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
            let way =
                |way| Way { bridge: text("name"), way, url: text("url"), status: it[way].clone() };
            WAYS.map(way)
        };
        look.bridges().iter().flat_map(of_one).filter(|it| it.status.is_object()).collect()
    }

    pub fn text(&self, key: &str) -> &str {
        self.status[key].as_str().unwrap_or_default()
    }

    pub fn count(&self, key: &str) -> u64 {
        self.status[key].as_u64().unwrap_or_default()
    }
}

impl User {
    /// All who have a session.
    pub fn all(look: &Look) -> Vec<User> {
        let mut all: BTreeMap<String, User> = BTreeMap::new();
        for it in &look.clients {
            let name = match (&it.sender.user, it.sender.uid) {
                (Some(user), _) => user.to_string(),
                (None, Some(uid)) => format!("uid {uid}"),
                (None, None) => "anonymous".to_owned(),
            };
            let user = all.entry(name.clone()).or_insert(User { name, ..User::default() });
            user.clients += 1;
            user.away += u64::from(!it.connected);
            user.lanes += u64::from(it.transport == LANES);
            user.leases += it.leases;
            user.unsent_bytes += it.unsent_bytes;
            user.parked_bytes += it.parked_bytes;
            user.sessions.push(it.sender.session);
        }
        all.into_values().collect()
    }

    fn rate(&self, rates: &Rates, index: usize) -> Value {
        let known = self.sessions.iter().filter_map(|session| rates.client(*session)[index]);
        json!(known.reduce(|sum, one| sum + one))
    }
}

/// Whether it is on lanes, or was refused them.
pub(super) fn is_about_lanes(it: &ClientStat) -> bool {
    it.transport == LANES || !it.no_lanes.is_empty()
}

impl Row for QueueStat {
    fn key(&self) -> String {
        self.id.to_string()
    }
    fn label(&self) -> String {
        name_of(self)
    }
}

impl Row for TopicStat {
    fn key(&self) -> String {
        self.id.to_string()
    }
    fn label(&self) -> String {
        self.name.to_string()
    }
}

impl Row for ServiceStat {
    fn key(&self) -> String {
        self.name.to_string()
    }
    fn label(&self) -> String {
        self.name.to_string()
    }
}

impl Row for ClientStat {
    fn key(&self) -> String {
        self.sender.session.to_string()
    }
    fn label(&self) -> String {
        self.sender.to_string()
    }
}

impl Row for Way {
    fn key(&self) -> String {
        self.label()
    }
    fn label(&self) -> String {
        format!("{} {}", self.bridge, self.way)
    }
}

impl Row for User {
    fn key(&self) -> String {
        self.name.clone()
    }
    fn label(&self) -> String {
        self.name.clone()
    }
}

/// What is known of a queue only where it lives.
fn here(queue: &QueueStat, value: impl serde::Serialize) -> Value {
    if queue.hosted.is_some() { Value::Null } else { json!(value) }
}

fn name_of(queue: &QueueStat) -> String {
    match (queue.retired, &queue.hosted) {
        (true, _) => format!("{} (retired)", queue.name),
        (_, Some(hosted)) if hosted.broker.is_empty() => format!("{} (elsewhere)", queue.name),
        (_, Some(hosted)) => format!("{} (at {})", queue.name, hosted.broker),
        _ => queue.name.to_string(),
    }
}

fn types_of(queue: &QueueStat) -> String {
    let mut shown: Vec<String> = Vec::new();
    for it in queue.types.iter().take(TYPES_SHOWN) {
        let name = match it.name.as_str() {
            "" => format!("type {}", it.kind),
            name => name.to_owned(),
        };
        shown.push(format!("{name} \u{d7}{}", it.messages));
    }
    if queue.types.len() > TYPES_SHOWN {
        shown.push("\u{2026}".to_owned());
    }
    shown.join(", ")
}

fn transport_of(client: &ClientStat) -> &str {
    match client.transport.as_str() {
        _ if !client.connected => "away",
        LANES => "lanes",
        other => other,
    }
}
