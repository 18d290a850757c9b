//! Groups on both sides of a bridge: each broker's members share what reaches their broker.

use std::time::Duration;

use bus_client::{Client, SubscribeOptions, Subscriber};
use futures::FutureExt;

use crate::stage::*;

async fn member(client: &Client) -> Subscriber {
    let options = SubscribeOptions::default().group("work");
    client.subscribe_with("news.a", options).await.expect("subscribes")
}

/// What two members hear until they have so many from this one on, in order; each has had some of it.
async fn shared(members: &mut [Subscriber; 2], from: u64, count: usize) -> Vec<u64> {
    let mut heard = Vec::new();
    let mut busy = [false; 2];
    while heard.len() < count {
        let [one, other] = members;
        let (index, next) = tokio::time::timeout(PATIENCE, async {
            tokio::select! {
                next = one.next() => (0, next),
                next = other.next() => (1, next),
            }
        })
        .await
        .expect("in time");
        let next = number(&next.expect("goes on").expect("a message"));
        if next >= from {
            heard.push(next);
            busy[index] = true;
        }
    }
    assert_eq!(busy, [true; 2], "one of them had nothing to do");
    heard.sort_unstable();
    heard
}

#[tokio::test]
async fn a_group_on_two_brokers_gets_each_message_once_on_each_of_them() {
    let there = broker("there", Vec::new()).await;
    let here = broker("here", vec![bridge("b", &there.urls()[0], &["news.>"], &[])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let publisher = near.publisher("news.a").await.expect("opens");
    let mut alone = far.subscribe("news.a").await.expect("subscribes");
    let next = find_way(&publisher, &mut alone, 0).await;
    let mut here_members = [member(&near).await, member(&near).await];
    let mut there_members = [member(&far).await, member(&far).await];
    publish(&publisher, next..next + 1000).await;
    let wanted: Vec<u64> = (next..next + 1000).collect();
    assert_eq!(shared(&mut here_members, next, 1000).await, wanted);
    assert_eq!(shared(&mut there_members, next, 1000).await, wanted);
    hears_all(&mut alone, next..next + 1000).await;
    tokio::time::timeout(Duration::from_secs(10), far.ping()).await.expect("in time").expect("ok");
    for member in here_members.iter_mut().chain(&mut there_members) {
        assert!(member.next().now_or_never().is_none(), "something came twice");
    }
}
