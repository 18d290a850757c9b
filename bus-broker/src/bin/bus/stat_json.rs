//! Statistics as JSON, for `ls` and `stat`. Keys are stable: scripts read them.

use bus_client::{
    Access, BrokerInfo, ClientStat, GroupStat, MemberStat, QueueStat, ServiceStat,
    SubscriptionStat, TopicStat, Touch,
};
use serde_json::{Value, json};

use crate::show::sender_json;

/// A queue.
pub fn queue(stat: &QueueStat) -> Value {
    let types = stat
        .types
        .iter()
        .map(|row| json!({ "type": row.kind.get(), "name": row.name, "messages": row.messages }));
    let mut told = json!({
        "name": stat.name.as_str(),
        "id": stat.id,
        "access": access(&stat.access),
        "creator": sender_json(&stat.creator),
        "bytes_max": stat.options.bytes_max,
        "count_max": stat.options.count_max,
        "lease_ms": stat.options.lease.as_millis(),
        "deliveries_max": stat.options.deliveries_max,
        "lifetime": format!("{:?}", stat.options.lifetime).to_lowercase(),
        "dead_letter": stat.options.dead_letter.as_ref().map(|name| name.as_str()),
        "messages": stat.messages,
        "bytes": stat.bytes,
        "leased": stat.leased,
        "blocked": stat.blocked,
        "waiting": stat.waiting,
        "handles": stat.handles,
        "accepted": stat.accepted,
        "delivered": stat.delivered,
        "acked": stat.acked,
        "redelivered": stat.redelivered,
        "dead": stat.dead,
        "dropped": stat.dropped,
        "last_send": touch(&stat.last_send),
        "last_receive": touch(&stat.last_receive),
        "types": types.collect::<Vec<_>>(),
        "retired": stat.retired,
        "hosted": stat.hosted.as_ref().map(|hosted| json!({
            "bridge": hosted.bridge,
            "home_epoch": hosted.home.map(|epoch| format!("{epoch:016x}")),
            "reachable": hosted.reachable,
            "broker": hosted.broker,
            "trouble": (!hosted.trouble.is_empty()).then_some(&hosted.trouble),
        })),
    });
    if stat.hosted.is_some() {
        // Known at its home alone; what stands for them here would mislead.
        for key in KNOWN_AT_HOME {
            told[key] = Value::Null;
        }
    }
    told
}

/// What is not known of a queue that lives at another broker.
const KNOWN_AT_HOME: [&str; 15] = [
    "bytes_max",
    "count_max",
    "lease_ms",
    "deliveries_max",
    "lifetime",
    "dead_letter",
    "messages",
    "bytes",
    "accepted",
    "delivered",
    "acked",
    "redelivered",
    "dead",
    "dropped",
    "types",
];

/// A topic.
pub fn topic(stat: &TopicStat) -> Value {
    json!({
        "name": stat.name.as_str(),
        "id": stat.id,
        "access": access(&stat.access),
        "creator": sender_json(&stat.creator),
        "keep_last": stat.options.keep_last,
        "hold_ms": stat.options.hold.as_millis(),
        "published": stat.published,
        "delivered": stat.delivered,
        "dropped": stat.dropped,
        "too_slow": stat.too_slow,
        "publishers": stat.publishers,
        "subscribers": stat.subscribers,
        "held": stat.held,
        "backlog_bytes": stat.backlog_bytes,
        "kept": stat.kept,
        "last_publish": touch(&stat.last_publish),
        "groups": stat.groups.iter().map(group).collect::<Vec<_>>(),
        "subscriptions": stat.subscriptions.iter().map(subscription).collect::<Vec<_>>(),
    })
}

fn group(stat: &GroupStat) -> Value {
    let member = |member: &MemberStat| {
        json!({
            "sender": sender_json(&member.sender),
            "selector": member.selector.to_string(),
            "connected": member.connected,
            "under_way_bytes": member.under_way_bytes,
        })
    };
    json!({
        "name": stat.name.as_str(),
        "pattern": stat.pattern.as_str(),
        "members": stat.members,
        "backlog_messages": stat.backlog_messages,
        "backlog_bytes": stat.backlog_bytes,
        "first": stat.first.iter().map(member).collect::<Vec<_>>(),
    })
}

/// A subscriber.
pub fn subscription(stat: &SubscriptionStat) -> Value {
    json!({
        "id": stat.id,
        "pattern": stat.pattern.as_str(),
        "group": stat.group.as_ref().map(|group| group.as_str()),
        "policy": stat.policy.word(),
        "sender": sender_json(&stat.member.sender),
        "selector": stat.member.selector.to_string(),
        "connected": stat.member.connected,
        "under_way_bytes": stat.member.under_way_bytes,
        "window_bytes": stat.window_bytes,
        "topics": stat.topics,
        "backlog_messages": stat.backlog_messages,
        "backlog_bytes": stat.backlog_bytes,
        "backlog_bytes_max": stat.backlog_bytes_max,
        "lost": stat.lost,
        "holds": stat.holds,
    })
}

/// A service.
pub fn service(stat: &ServiceStat) -> Value {
    json!({
        "name": stat.name.as_str(),
        "access": access(&stat.access),
        "servers": stat.servers,
        "pending": stat.pending,
        "running": stat.running,
        "requests": stat.requests,
        "replies": stat.replies,
        "late": stat.late,
        "expired": stat.expired,
    })
}

/// A client.
pub fn client(stat: &ClientStat) -> Value {
    json!({
        "sender": sender_json(&stat.sender),
        "transport": stat.transport,
        "no_lanes": stat.no_lanes,
        "connected": stat.connected,
        "channels": stat.channels,
        "leases": stat.leases,
        "bytes_in": stat.bytes_in,
        "bytes_out": stat.bytes_out,
        "frames_in": stat.frames_in,
        "frames_out": stat.frames_out,
        "parked_bytes": stat.parked_bytes,
        "unsent_bytes": stat.unsent_bytes,
    })
}

/// The broker.
pub fn broker(info: &BrokerInfo) -> Value {
    json!({
        "name": info.name,
        "version": info.version,
        "pid": info.pid,
        // A string: it has 64 bits, and many readers of JSON keep only 53.
        "epoch": format!("{:016x}", info.epoch),
        "uptime_ms": info.uptime.as_millis(),
        "listeners": info.listeners,
        "sessions": info.sessions,
        "queues": info.queues,
        "topics": info.topics,
        "services": info.services,
        "messages": info.messages,
        "bytes": info.bytes,
        "lanes": info.lanes,
        "lanes_refused": info.lanes_refused,
        "lanes_refusal": info.lanes_refusal,
    })
}

fn access(access: &Access) -> Value {
    json!({
        "owner": access.owner,
        "group": access.group,
        "mode": format!("{:04o}", access.mode),
    })
}

fn touch(touch: &Option<Touch>) -> Value {
    match touch {
        None => Value::Null,
        Some(touch) => {
            json!({ "sender": sender_json(&touch.sender), "age_ms": touch.age.as_millis() })
        }
    }
}
