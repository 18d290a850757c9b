//! What the router tells about its objects.
//!
//! Plain values for `ls` and `stat`; nothing here is read back by the router.

use std::time::Duration;

use crate::group_name::GroupName;
use crate::message::Sender;
use crate::message_type::MessageType;
use crate::name::{Name, Pattern};
use crate::selector::Selector;

use super::command::{QueueOptions, SlowPolicy, TopicOptions};
use super::rights::Access;

/// One page of what there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Queues.
    pub queues: Vec<QueueStat>,
    /// Topics.
    pub topics: Vec<TopicStat>,
    /// Services.
    pub services: Vec<ServiceStat>,
    /// Clients.
    pub clients: Vec<ClientStat>,
    /// Subscriptions.
    pub subscriptions: Vec<SubscriptionStat>,
    /// Ask for what comes after this, if there is more.
    pub next: Option<String>,
}

/// Who did something last, and how long ago.
#[derive(Clone, Debug, PartialEq)]
pub struct Touch {
    /// Who.
    pub sender: Sender,
    /// How long ago.
    pub age: Duration,
}

/// A queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueStat {
    /// Its name.
    pub name: Name,
    /// Its number, never used again.
    pub id: u64,
    /// Owner, group and mode.
    pub access: Access,
    /// Who created it.
    pub creator: Sender,
    /// Its limits.
    pub options: QueueOptions,
    /// Messages that wait.
    pub messages: u64,
    /// What they count in bytes.
    pub bytes: u64,
    /// Deliveries that are not settled.
    pub leased: u64,
    /// Messages accepted since it was created.
    pub accepted: u64,
    /// Deliveries made.
    pub delivered: u64,
    /// Deliveries acknowledged.
    pub acked: u64,
    /// Deliveries of a message that had been delivered before.
    pub redelivered: u64,
    /// Messages that went to the dead letters.
    pub dead: u64,
    /// Messages dropped: purged, or dead with no room for dead letters.
    pub dropped: u64,
    /// Sends that wait for room.
    pub blocked: u64,
    /// Receivers that wait.
    pub waiting: u64,
    /// Open handles.
    pub handles: u64,
    /// The last send.
    pub last_send: Option<Touch>,
    /// The last delivery.
    pub last_receive: Option<Touch>,
    /// Messages that wait, for each type (the first hundred types).
    pub types: Vec<TypeCount>,
    /// Its name is taken away already.
    pub retired: bool,
    /// If it lives at another broker: where. Then messages, bytes, limits and what was counted since
    /// its creation are known there alone; what stands for them here means nothing.
    pub hosted: Option<HostedStat>,
}

/// Where a queue lives that a bridge hosts here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedStat {
    /// The client that hosts it, which is a bridge; empty while none does.
    pub bridge: String,
    /// The epoch of the broker where it lives, if that has been told.
    pub home: Option<u64>,
    /// Whether that can be reached.
    pub reachable: bool,
    /// What people call that broker, or where it is looked for, by the bridge's word; empty if that has
    /// not been told.
    pub broker: String,
    /// Why the queue cannot be used now, as who tries is told; empty if it can.
    pub trouble: String,
}

/// Messages of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeCount {
    /// The type.
    pub kind: MessageType,
    /// Its registered name, or empty.
    pub name: String,
    /// How many wait.
    pub messages: u64,
}

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicStat {
    /// Its name.
    pub name: Name,
    /// Its number, never used again.
    pub id: u64,
    /// Owner, group and mode.
    pub access: Access,
    /// Who created it.
    pub creator: Sender,
    /// Its options.
    pub options: TopicOptions,
    /// Messages accepted.
    pub published: u64,
    /// Messages handed to subscriptions.
    pub delivered: u64,
    /// Messages dropped by the policy of a subscription.
    pub dropped: u64,
    /// Subscriptions that ended as too slow.
    pub too_slow: u64,
    /// Open publishers.
    pub publishers: u64,
    /// Subscriptions that match.
    pub subscribers: u64,
    /// Messages that wait for a slow subscriber to let them in.
    pub held: u64,
    /// Bytes that wait for slow subscribers.
    pub backlog_bytes: u64,
    /// Last messages kept.
    pub kept: u64,
    /// The last publish.
    pub last_publish: Option<Touch>,
    /// The groups that share it, if this topic alone is asked for (the first 32).
    pub groups: Vec<GroupStat>,
    /// Its subscribers that are in no group, told to the same (the first 32).
    pub subscriptions: Vec<SubscriptionStat>,
}

/// A subscriber. Each member of a group has one, and what waits, waits for all of them together.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionStat {
    /// Its number, never used again. The members of a group have the same.
    pub id: u64,
    /// What it is subscribed to.
    pub pattern: Pattern,
    /// The group, if it is a member of one.
    pub group: Option<GroupName>,
    /// What happens when it does not keep up.
    pub policy: SlowPolicy,
    /// Who it is.
    pub member: MemberStat,
    /// Topics that it is given something of.
    pub topics: u64,
    /// Messages that wait for it.
    pub backlog_messages: u64,
    /// What they count in bytes.
    pub backlog_bytes: u64,
    /// So much may wait.
    pub backlog_bytes_max: u64,
    /// Messages that it has missed so far: dropped by its policy, or lost on the way here.
    pub lost: u64,
    /// Publishers wait for it.
    pub holds: bool,
    /// So much may be under way to it.
    pub window_bytes: u64,
}

/// Subscribers that share what a pattern matches.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStat {
    /// Its name.
    pub name: GroupName,
    /// What it is subscribed to.
    pub pattern: Pattern,
    /// How many members it has.
    pub members: u64,
    /// Messages that wait until a member can take them.
    pub backlog_messages: u64,
    /// What they count in bytes.
    pub backlog_bytes: u64,
    /// Its members (the first 32).
    pub first: Vec<MemberStat>,
}

/// A subscriber, or a member of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberStat {
    /// Who it is.
    pub sender: Sender,
    /// Which types it takes.
    pub selector: Selector,
    /// Whether it is connected: else it is given nothing.
    pub connected: bool,
    /// Bytes that it was given and has not said to have used up.
    pub under_way_bytes: u64,
}

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStat {
    /// Its name.
    pub name: Name,
    /// Owner, group and mode.
    pub access: Access,
    /// Servers.
    pub servers: u64,
    /// Calls that wait for a server.
    pub pending: u64,
    /// Calls that are being served.
    pub running: u64,
    /// Calls so far.
    pub requests: u64,
    /// Replies so far.
    pub replies: u64,
    /// Replies that came too late, and were dropped.
    pub late: u64,
    /// Calls whose deadline passed.
    pub expired: u64,
}

/// A client's session.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientStat {
    /// Who it is.
    pub sender: Sender,
    /// Its transport; empty while it is away.
    pub transport: String,
    /// Whether it is connected, or away in its grace.
    pub connected: bool,
    /// Open channels.
    pub channels: u64,
    /// Deliveries that it has not settled.
    pub leases: u64,
    /// Bytes read from it.
    pub bytes_in: u64,
    /// Bytes written to it.
    pub bytes_out: u64,
    /// Frames taken from it.
    pub frames_in: u64,
    /// Frames made for it.
    pub frames_out: u64,
    /// Bytes of its sends that wait for room.
    pub parked_bytes: u64,
    /// Bytes that wait to be written to it.
    pub unsent_bytes: u64,
    /// Why it has no shared memory, if it has asked for some.
    pub no_lanes: String,
}

/// About a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Its epoch: another one for each start.
    pub epoch: u64,
    /// How long it has run.
    pub uptime: Duration,
    /// Sessions.
    pub sessions: u64,
    /// Queues.
    pub queues: u64,
    /// Topics.
    pub topics: u64,
    /// Services.
    pub services: u64,
    /// Messages in queues, those that are delivered but not settled among them.
    pub messages: u64,
    /// What those that wait count in bytes.
    pub bytes: u64,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Clients on lanes in shared memory.
    pub lanes: u64,
    /// Connections that were refused lanes which they asked for.
    pub lanes_refused: u64,
    /// Why the last one was.
    pub lanes_refusal: String,
}
