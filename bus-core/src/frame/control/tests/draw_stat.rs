//! Draws listings and statistics.

use std::time::Duration;

use super::draw::Draw;
use crate::router::{
    Access, BrokerInfo, ClientStat, GroupStat, HostedStat, Listing, MemberStat, QueueStat,
    ServiceStat, SlowPolicy, SubscriptionStat, TopicStat, Touch, TypeCount,
};

impl Draw {
    pub(super) fn listing(&mut self) -> Listing {
        Listing {
            queues: self.list(Draw::queue_stat),
            topics: self.list(Draw::topic_stat),
            services: self.list(Draw::service_stat),
            clients: self.list(Draw::client_stat),
            subscriptions: self.list(Draw::subscription_stat),
            next: self.option(|draw| draw.name().to_string()),
        }
    }

    pub(super) fn broker_info(&mut self) -> BrokerInfo {
        BrokerInfo {
            name: self.text(20),
            version: self.text(20),
            pid: self.id32(),
            epoch: self.id64(),
            uptime: self.age(),
            sessions: self.id64(),
            queues: self.id64(),
            topics: self.id64(),
            services: self.id64(),
            messages: self.id64(),
            bytes: self.id64(),
            listeners: self.list(|draw| draw.text(40)),
            lanes: self.id64(),
            lanes_refused: self.id64(),
            lanes_refusal: self.text(40),
        }
    }

    fn queue_stat(&mut self) -> QueueStat {
        QueueStat {
            name: self.name(),
            id: self.id64(),
            access: self.access(),
            creator: self.sender(),
            options: self.queue_options(),
            messages: self.id64(),
            bytes: self.id64(),
            leased: self.id64(),
            accepted: self.id64(),
            delivered: self.id64(),
            acked: self.id64(),
            redelivered: self.id64(),
            dead: self.id64(),
            dropped: self.id64(),
            blocked: self.id64(),
            waiting: self.id64(),
            handles: self.id64(),
            last_send: self.option(Draw::touch),
            last_receive: self.option(Draw::touch),
            types: self.list(|draw| TypeCount {
                kind: draw.kind(),
                name: draw.text(20),
                messages: draw.id64(),
            }),
            retired: self.flag(),
            hosted: self.option(|draw| HostedStat {
                bridge: draw.text(40),
                home: draw.option(Draw::id64),
                reachable: draw.flag(),
                broker: draw.text(40),
                trouble: draw.text(200),
            }),
        }
    }

    fn topic_stat(&mut self) -> TopicStat {
        TopicStat {
            name: self.name(),
            id: self.id64(),
            access: self.access(),
            creator: self.sender(),
            options: self.topic_options(),
            published: self.id64(),
            delivered: self.id64(),
            dropped: self.id64(),
            too_slow: self.id64(),
            publishers: self.id64(),
            subscribers: self.id64(),
            held: self.id64(),
            backlog_bytes: self.id64(),
            kept: self.id64(),
            last_publish: self.option(Draw::touch),
            groups: self.list(|draw| GroupStat {
                name: draw.group(),
                pattern: draw.pattern(),
                members: draw.id64(),
                backlog_messages: draw.id64(),
                backlog_bytes: draw.id64(),
                first: draw.list(Draw::member_stat),
            }),
            subscriptions: self.list(Draw::subscription_stat),
        }
    }

    fn subscription_stat(&mut self) -> SubscriptionStat {
        use SlowPolicy::{Auto, DropOldest, End, Hold};
        SubscriptionStat {
            id: self.id64(),
            pattern: self.pattern(),
            group: self.option(Draw::group),
            policy: self.one(&[Auto, Hold, DropOldest, End]),
            member: self.member_stat(),
            topics: self.id64(),
            backlog_messages: self.id64(),
            backlog_bytes: self.id64(),
            backlog_bytes_max: self.id64(),
            lost: self.id64(),
            holds: self.flag(),
            window_bytes: self.id64(),
        }
    }

    fn member_stat(&mut self) -> MemberStat {
        MemberStat {
            sender: self.sender(),
            selector: self.selector(),
            connected: self.flag(),
            under_way_bytes: self.id64(),
        }
    }

    fn service_stat(&mut self) -> ServiceStat {
        ServiceStat {
            name: self.name(),
            access: self.access(),
            servers: self.id64(),
            pending: self.id64(),
            running: self.id64(),
            requests: self.id64(),
            replies: self.id64(),
            late: self.id64(),
            expired: self.id64(),
        }
    }

    fn client_stat(&mut self) -> ClientStat {
        ClientStat {
            sender: self.sender(),
            transport: self.text(20),
            connected: self.flag(),
            channels: self.id64(),
            leases: self.id64(),
            bytes_in: self.id64(),
            bytes_out: self.id64(),
            frames_in: self.id64(),
            frames_out: self.id64(),
            parked_bytes: self.id64(),
            unsent_bytes: self.id64(),
            no_lanes: self.text(40),
        }
    }

    fn access(&mut self) -> Access {
        Access {
            owner: self.option(Draw::id32),
            group: self.option(Draw::id32),
            mode: self.mode().unwrap_or(0),
        }
    }

    fn touch(&mut self) -> Touch {
        Touch { sender: self.sender(), age: self.age() }
    }

    fn age(&mut self) -> Duration {
        self.duration(0, Duration::from_secs(10_000_000))
    }
}
