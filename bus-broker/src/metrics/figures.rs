//! What a look has found, told as families of samples. Pure.

use bus_client::{BrokerInfo, ClientStat, QueueStat, ServiceStat, SubscriptionStat, TopicStat};
use serde_json::Value;

use super::look::Look;
use super::subscribers::groups;
use super::text::{Kind, Page};
use crate::subscribers::each_subscription;

/// A family of what each object of a kind has: its name, what it is, what it means, its value.
type Row<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

const QUEUES: &[Row<QueueStat>] = &[
    ("busbar_queue_messages", Kind::Gauge, "Messages that wait.", |it| it.messages),
    ("busbar_queue_bytes", Kind::Gauge, "What those that wait count in bytes.", |it| it.bytes),
    ("busbar_queue_leased", Kind::Gauge, "Deliveries that are not settled.", |it| it.leased),
    ("busbar_queue_blocked", Kind::Gauge, "Sends that wait for room.", |it| it.blocked),
    ("busbar_queue_waiting", Kind::Gauge, "Receivers that wait.", |it| it.waiting),
    ("busbar_queue_handles", Kind::Gauge, "Open handles.", |it| it.handles),
    ("busbar_queue_accepted_total", Kind::Counter, "Messages accepted.", |it| it.accepted),
    ("busbar_queue_delivered_total", Kind::Counter, "Deliveries made.", |it| it.delivered),
    ("busbar_queue_acked_total", Kind::Counter, "Deliveries acknowledged.", |it| it.acked),
    (
        "busbar_queue_redelivered_total",
        Kind::Counter,
        "Deliveries of a message that had been delivered before.",
        |it| it.redelivered,
    ),
    ("busbar_queue_dead_total", Kind::Counter, "Messages that went to dead letters.", |it| it.dead),
    (
        "busbar_queue_dropped_total",
        Kind::Counter,
        "Messages purged, or dead with no room for dead letters.",
        |it| it.dropped,
    ),
    ("busbar_queue_bytes_max", Kind::Gauge, "The limit in bytes.", |it| it.options.bytes_max),
    ("busbar_queue_messages_max", Kind::Gauge, "The limit in messages.", |it| it.options.count_max),
];
/// Those of them that are known of a queue that lives at another broker.
const OF_HOSTED: &[&str] = &["busbar_queue_waiting", "busbar_queue_handles"];

const TOPICS: &[Row<TopicStat>] = &[
    ("busbar_topic_published_total", Kind::Counter, "Messages accepted.", |it| it.published),
    ("busbar_topic_delivered_total", Kind::Counter, "Messages handed to subscriptions.", |it| {
        it.delivered
    }),
    (
        "busbar_topic_dropped_total",
        Kind::Counter,
        "Messages dropped by the policy of a subscription.",
        |it| it.dropped,
    ),
    ("busbar_topic_too_slow_total", Kind::Counter, "Subscriptions that ended as too slow.", |it| {
        it.too_slow
    }),
    ("busbar_topic_publishers", Kind::Gauge, "Open publishers.", |it| it.publishers),
    ("busbar_topic_subscribers", Kind::Gauge, "Subscriptions that match.", |it| it.subscribers),
    ("busbar_topic_held", Kind::Gauge, "Messages that wait for a slow subscriber.", |it| it.held),
    ("busbar_topic_backlog_bytes", Kind::Gauge, "Bytes that wait for slow subscribers.", |it| {
        it.backlog_bytes
    }),
    ("busbar_topic_kept", Kind::Gauge, "Last messages kept.", |it| it.kept),
];

const SERVICES: &[Row<ServiceStat>] = &[
    ("busbar_service_servers", Kind::Gauge, "Servers.", |it| it.servers),
    ("busbar_service_pending", Kind::Gauge, "Calls that wait for a server.", |it| it.pending),
    ("busbar_service_running", Kind::Gauge, "Calls that are being served.", |it| it.running),
    ("busbar_service_requests_total", Kind::Counter, "Calls.", |it| it.requests),
    ("busbar_service_replies_total", Kind::Counter, "Replies.", |it| it.replies),
    ("busbar_service_late_total", Kind::Counter, "Replies that came too late.", |it| it.late),
    ("busbar_service_expired_total", Kind::Counter, "Calls past their deadline.", |it| it.expired),
];

const CLIENTS: &[Row<ClientStat>] = &[
    ("busbar_client_connected", Kind::Gauge, "Whether it is connected, or away.", |it| {
        u64::from(it.connected)
    }),
    ("busbar_client_channels", Kind::Gauge, "Open channels.", |it| it.channels),
    ("busbar_client_leases", Kind::Gauge, "Deliveries that are not settled.", |it| it.leases),
    ("busbar_client_bytes_in_total", Kind::Counter, "Bytes read from it.", |it| it.bytes_in),
    ("busbar_client_bytes_out_total", Kind::Counter, "Bytes written to it.", |it| it.bytes_out),
    ("busbar_client_frames_in_total", Kind::Counter, "Frames taken from it.", |it| it.frames_in),
    ("busbar_client_frames_out_total", Kind::Counter, "Frames made for it.", |it| it.frames_out),
    ("busbar_client_parked_bytes", Kind::Gauge, "Bytes that wait for room.", |it| it.parked_bytes),
    ("busbar_client_unsent_bytes", Kind::Gauge, "Bytes to be written.", |it| it.unsent_bytes),
];

/// Of subscriptions, each with its members.
type OfMembers = fn(&[SubscriptionStat]) -> u64;

const SUBSCRIPTIONS: &[(&str, Kind, &str, OfMembers)] = &[
    ("busbar_subscription_members", Kind::Gauge, "Members of the group, or one.", |it| {
        it.len() as u64
    }),
    ("busbar_subscription_topics", Kind::Gauge, "Topics that it is given something of.", |it| {
        it[0].topics
    }),
    ("busbar_subscription_backlog_messages", Kind::Gauge, "Messages that wait for it.", |it| {
        it[0].backlog_messages
    }),
    ("busbar_subscription_backlog_bytes", Kind::Gauge, "What they count in bytes.", |it| {
        it[0].backlog_bytes
    }),
    (
        "busbar_subscription_under_way_bytes",
        Kind::Gauge,
        "Bytes that were handed out and are not used up.",
        |it| it.iter().map(|member| member.member.under_way_bytes).sum(),
    ),
    ("busbar_subscription_lost_total", Kind::Counter, "Messages that it has missed.", |it| {
        it[0].lost
    }),
    ("busbar_subscription_holds", Kind::Gauge, "Whether publishers wait for it.", |it| {
        u64::from(it[0].holds)
    }),
];

/// Of each direction of a bridge for topics: the key in `$bus.bridge`.
const BRIDGES: &[(&str, Kind, &str, &str)] = &[
    ("busbar_bridge_lag_messages", Kind::Gauge, "Messages that wait in it.", "lag_messages"),
    ("busbar_bridge_lag_bytes", Kind::Gauge, "What they count in bytes.", "lag_bytes"),
    ("busbar_bridge_published_total", Kind::Counter, "Messages brought over.", "published"),
    ("busbar_bridge_dropped_total", Kind::Counter, "Messages its policy dropped.", "dropped"),
    ("busbar_bridge_refused_total", Kind::Counter, "Messages refused beyond.", "refused"),
    ("busbar_bridge_abandoned_total", Kind::Counter, "Messages given up.", "abandoned"),
    ("busbar_bridge_missed_total", Kind::Counter, "Messages that it was not given.", "missed"),
    ("busbar_bridge_held_topics", Kind::Gauge, "Topics that are held up.", "held_topics"),
    ("busbar_bridge_reconnects_total", Kind::Counter, "Connections made anew.", "reconnects"),
];

impl Look {
    /// Writes it down for a scraper. A page has a bound: what there is little of stands first.
    pub fn text(&self) -> String {
        let mut page = Page::new();
        self.write_broker(&mut page);
        self.write_bridges(&mut page);
        let name = |it: &QueueStat| match it.retired {
            // Others may have had that name before, and one may have it now.
            true => format!("{}#{}", it.name, it.id),
            false => it.name.to_string(),
        };
        let names: Vec<String> = self.queues.iter().map(name).collect();
        for (family, kind, help, value) in QUEUES {
            page.family(family, *kind, help);
            for (queue, name) in self.queues.iter().zip(&names) {
                if queue.hosted.is_none() || OF_HOSTED.contains(family) {
                    page.sample(&[("queue", name)], value(queue));
                }
            }
        }
        write(&mut page, TOPICS, &self.topics, |it, add| add(&[("topic", it.name.as_str())]));
        write(&mut page, SERVICES, &self.services, |it, add| add(&[("service", it.name.as_str())]));
        write(&mut page, CLIENTS, &self.clients, |it, add| {
            let (session, name) = (it.sender.session.to_string(), it.sender.name.to_string());
            add(&[("session", &session), ("client", &name), ("transport", &it.transport)]);
        });
        self.write_subscriptions(&mut page);
        page.finish()
    }

    fn write_broker(&self, page: &mut Page) {
        let BrokerInfo { name, version, pid, epoch, uptime, .. } = &self.broker;
        let (pid, epoch) = (pid.to_string(), format!("{epoch:016x}"));
        page.family("busbar_info", Kind::Gauge, "Which broker it is; always 1.");
        let labels = [("name", &**name), ("version", version), ("pid", &pid), ("epoch", &epoch)];
        page.sample(&labels, 1);
        let uptime = uptime.as_secs_f64();
        page.single("busbar_uptime_seconds", Kind::Gauge, "How long it has run.", uptime);
        let BrokerInfo { sessions, queues, topics, services, messages, bytes, lanes, .. } =
            self.broker;
        let refused = self.broker.lanes_refused;
        let subscribers = self.subscriptions.len() as u64;
        let groups = groups(&self.subscriptions) as u64;
        let left_out = self.more["events_left_out"].as_u64().unwrap_or_default();
        let all = [
            ("busbar_sessions", Kind::Gauge, "Sessions.", sessions),
            ("busbar_queues", Kind::Gauge, "Queues.", queues),
            ("busbar_topics", Kind::Gauge, "Topics.", topics),
            ("busbar_services", Kind::Gauge, "Services.", services),
            ("busbar_subscribers", Kind::Gauge, "Subscribers, members of groups too.", subscribers),
            ("busbar_groups", Kind::Gauge, "Groups that share a subscription.", groups),
            ("busbar_messages", Kind::Gauge, "Messages in queues, leased ones too.", messages),
            ("busbar_bytes", Kind::Gauge, "What those that wait count in bytes.", bytes),
            ("busbar_lanes", Kind::Gauge, "Clients on lanes in shared memory.", lanes),
            ("busbar_lanes_refused_total", Kind::Counter, "Lanes that were refused.", refused),
            ("busbar_events_left_out_total", Kind::Counter, "Events not published.", left_out),
        ];
        all.into_iter().for_each(|(name, kind, help, value)| page.single(name, kind, help, value));
    }

    /// A group once, with all its members; one that is alone with its client.
    fn write_subscriptions(&self, page: &mut Page) {
        for (family, kind, help, value) in SUBSCRIPTIONS {
            page.family(family, *kind, help);
            for members in each_subscription(&self.subscriptions) {
                let first = &members[0];
                let (id, group) = (first.id.to_string(), first.group.as_ref());
                let client = if group.is_some() { "" } else { &*first.member.sender.name };
                let labels = [
                    ("subscription", &*id),
                    ("pattern", first.pattern.as_str()),
                    ("group", group.map_or("", |it| it.as_str())),
                    ("client", client),
                ];
                page.sample(&labels, value(members));
            }
        }
    }

    fn write_bridges(&self, page: &mut Page) {
        let ways = || {
            let of_one = |bridge: &'_ Value| {
                ["out", "in"].map(|way| (bridge["name"].clone(), way, bridge[way].clone()))
            };
            self.bridges().iter().flat_map(of_one).filter(|(.., status)| status.is_object())
        };
        let all: Vec<(Value, &str, Value)> = ways().collect();
        page.family("busbar_bridge_connected", Kind::Gauge, "Whether it is connected.");
        for (name, way, status) in &all {
            let labels = [("bridge", name.as_str().unwrap_or_default()), ("way", way)];
            page.sample(&labels, u64::from(status["state"] == "connected"));
        }
        for (family, kind, help, key) in BRIDGES {
            page.family(family, *kind, help);
            for (name, way, status) in &all {
                let labels = [("bridge", name.as_str().unwrap_or_default()), ("way", way)];
                page.sample(&labels, status[key].as_u64().unwrap_or_default());
            }
        }
    }
}

/// All families of a kind of objects; `name` gives the labels of one of them.
fn write<T>(
    page: &mut Page,
    rows: &[Row<T>],
    all: &[T],
    name: impl Fn(&T, &mut dyn FnMut(&[(&str, &str)])),
) {
    for (family, kind, help, value) in rows {
        page.family(family, *kind, help);
        for one in all {
            name(one, &mut |labels| page.sample(labels, value(one)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bus_client::Sender;
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::subscribers::tests::subscriber;

    fn client(session: u64) -> ClientStat {
        ClientStat {
            sender: Sender { session, ..Sender::default() },
            transport: "tcp".into(),
            connected: true,
            channels: 1,
            leases: 0,
            bytes_in: 0,
            bytes_out: 0,
            frames_in: 0,
            frames_out: 0,
            parked_bytes: 0,
            unsent_bytes: 0,
            no_lanes: String::new(),
        }
    }

    fn look(clients: u64, subscriptions: u64) -> Look {
        let way = json!({ "state": "connected" });
        Look {
            at: Instant::now(),
            round_trip: Duration::ZERO,
            broker: BrokerInfo::default(),
            more: Value::Null,
            queues: Vec::new(),
            topics: Vec::new(),
            services: Vec::new(),
            clients: (0..clients).map(client).collect(),
            subscriptions: (0..subscriptions).map(subscriber).collect(),
            bridges: json!({ "bridges": [{ "name": "hq", "out": way, "in": way }] }),
        }
    }

    #[test]
    fn many_clients_and_subscribers_hide_no_bridge() {
        let text = look(4000, 2000).text();
        let of = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert!(!text.ends_with("busbar_dropped_series 0\n"), "it is too much for a page");
        assert_eq!((of("busbar_bridge_connected{"), of("busbar_bridge_reconnects_total{")), (2, 2));
        assert!(text.contains("\nbusbar_subscribers 2000\n"));
        // Of what there is most, the last is left out.
        assert_eq!(
            (of("busbar_client_connected{"), of("busbar_subscription_topics{")),
            (4000, 2000)
        );
        assert!(of("busbar_subscription_holds{") < 2000);
    }
}
