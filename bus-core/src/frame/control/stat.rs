//! Listings and statistics: records, field by field.

use bus_proto::v1;

use super::convert::{Convert, record, required};
use crate::error::Failure;
use crate::router::{
    BrokerInfo, ClientStat, GroupStat, HostedStat, Listing, MemberStat, QueueStat, ServiceStat,
    SubscriptionStat, TopicStat, Touch, TypeCount,
};

record! {
    Listing as Listing { queues, topics, services, clients, subscriptions, next }
    QueueStat as QueueStat {
        name, id, access, creator, options, messages, bytes, leased, accepted, delivered, acked,
        redelivered, dead, dropped, blocked, waiting, handles, last_send, last_receive, types,
        retired, hosted
    }
    TopicStat as TopicStat {
        name, id, access, creator, options, published, delivered, dropped, too_slow, publishers,
        subscribers, held, backlog_bytes, kept, last_publish, groups, subscriptions
    }
    SubscriptionStat as SubscriptionStat {
        id, pattern, group, policy, member, topics, backlog_messages, backlog_bytes,
        backlog_bytes_max, lost, holds, window_bytes
    }
    GroupStat as GroupStat {
        name, pattern, members, backlog_messages, backlog_bytes, first
    }
    MemberStat as MemberStat { sender, selector, connected, under_way_bytes }
    ServiceStat as ServiceStat {
        name, access, servers, pending, running, requests, replies, late, expired
    }
    ClientStat as ClientStat {
        sender, transport, connected, channels, leases, bytes_in, bytes_out, frames_in,
        frames_out, parked_bytes, unsent_bytes, no_lanes
    }
    HostedStat as HostedStat { bridge, home, reachable, broker, trouble }
    TypeCount as TypeCount { name, messages; kind: r#type }
    Touch as Touch { sender; age: age_ms }
    BrokerInfo as BrokerInfo {
        name, version, pid, epoch, sessions, queues, topics, services, messages, bytes, listeners,
        lanes, lanes_refused, lanes_refusal;
        uptime: uptime_ms
    }
}

required! { MemberStat as MemberStat }
