//! Who listens to what, as anybody may ask.

use bus_client::{
    Message, MessageType, PublisherOptions, SlowPolicy, SubscribeOptions, SubscriptionStat,
};
use futures::FutureExt;

use crate::bus::{Bus, everywhere, soon, until};

#[tokio::test]
async fn subscribers_are_listed_with_their_group_and_what_waits_for_them() {
    everywhere(async |bus: Bus| {
        let (far, near) = (bus.client().await, bus.client().await);
        let (topic, wide) = (bus.name("news.eu"), bus.name("*.eu"));
        let open = PublisherOptions::default().mode(0o777);
        let publisher = near.publisher_with(&topic, open).await.expect("the topic opens");
        let group = SubscribeOptions::default().group("workers");
        let first = far.subscribe_with(&wide, group.clone()).await.expect("subscribes");
        let mut second = near.subscribe_with(&wide, group).await.expect("subscribes");
        let small = SubscribeOptions::default().policy(SlowPolicy::DropOldest);
        let small = small.window_bytes(4096).backlog_bytes(4096);
        let slow = far.subscribe_with(&topic, small).await.expect("subscribes");
        let elsewhere = far.subscribe(&bus.name("other")).await.expect("subscribes");
        for _ in 0..200 {
            let sent = publisher.publish(Message::new(MessageType::ONE, vec![0; 100]));
            soon(sent).await.expect("published");
        }
        soon(publisher.flush()).await.expect("accepted");
        // One of the group takes what it gets, the other nothing.
        for _ in 0..100 {
            soon(second.next()).await.expect("goes on").expect("a message");
        }
        // Whoever wants the next one says what it has used up.
        assert!(second.next().now_or_never().is_none(), "each got half of them");
        let admin = bus.client().await.admin();
        let listed = async || {
            let mut found = admin.subscriptions(&topic).await.expect("a list");
            found.sort_by_key(|it| (it.group.is_some(), it.member.sender.session));
            found
        };
        let under_way = |it: &SubscriptionStat| it.member.under_way_bytes;
        until("one has used up all of it", async || {
            listed().await.last().is_some_and(|last| under_way(last) == 0)
        })
        .await;
        let found = listed().await;
        let [alone, one, other] = &found[..] else { panic!("{found:?}") };
        assert_eq!((alone.pattern.as_str(), &alone.group), (topic.as_str(), &None));
        assert_eq!((alone.policy, alone.holds), (SlowPolicy::DropOldest, false));
        assert!(alone.lost > 0 && alone.backlog_messages > 0, "{alone:?}");
        assert!(alone.member.under_way_bytes > alone.window_bytes / 2, "{alone:?}");
        for member in [one, other] {
            assert_eq!(member.group.as_ref().map(|it| it.as_str()), Some("workers"));
            assert_eq!((member.pattern.as_str(), member.lost), (wide.as_str(), 0));
        }
        let sessions = [one, other].map(|it| it.member.sender.session);
        // Who came first has the smaller number, and takes nothing.
        assert!(sessions[0] < sessions[1], "{found:?}");
        assert!(under_way(one) > 0, "{found:?}");
        let stat = admin.stat(&topic).await.expect("is there").topics.remove(0);
        assert_eq!((stat.subscribers, stat.groups.len()), (2, 1));
        assert_eq!(stat.subscriptions.len(), 1, "who is in no group");
        assert_eq!(stat.subscriptions[0].id, alone.id);
        drop((first, second, slow, elsewhere));
        until("they are gone", async || listed().await.is_empty()).await;
    })
    .await;
}

/// What `>` lists, and what the broker counts: the same, without the broker's own names.
#[tokio::test]
async fn counts_of_the_broker_are_those_of_its_lists() {
    everywhere(async |bus: Bus| {
        let client = bus.client().await;
        let admin = client.admin();
        let own = admin.topics("$bus.>").await.expect("a list").len();
        assert!(own > 0 && !admin.services("$bus.>").await.expect("a list").is_empty());
        // Tests share this broker, and others may open something meanwhile.
        until("both are the same", async || {
            let info = admin.broker().await.expect("answers");
            let lists = (admin.queues(">").await, admin.topics(">").await);
            let (Ok(queues), Ok(topics)) = lists else { return false };
            let services = admin.services(">").await.expect("a list");
            let clients = admin.clients().await.expect("a list");
            let listed = [queues.len(), topics.len(), services.len(), clients.len()];
            let counted = [info.queues, info.topics, info.services, info.sessions];
            listed.map(|it| it as u64) == counted
        })
        .await;
    })
    .await;
}
