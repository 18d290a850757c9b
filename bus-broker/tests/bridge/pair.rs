//! Two brokers and one bridge.

use bus_client::Message;

use crate::stage::*;

#[tokio::test]
async fn what_is_wanted_there_crosses_in_order_and_nothing_else_does() {
    let there = broker("there", Vec::new()).await;
    let here = broker("here", vec![bridge("b", &there.urls()[0], &["news.>"], &[])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut subscriber = far.subscribe("news.a").await.expect("subscribes");
    let publisher = near.publisher("news.a").await.expect("opens");
    let unwanted = near.publisher("news.b").await.expect("opens");
    let private = near.publisher("private").await.expect("opens");
    let next = find_way(&publisher, &mut subscriber, 0).await;
    let mut others = far.subscribe("private").await.expect("subscribes");
    publish(&unwanted, 0..50).await;
    publish(&private, 0..50).await;
    publish(&publisher, next..next + 5000).await;
    hears_all(&mut subscriber, next..next + 5000).await;
    let topics = far.admin().topics(">").await.expect("lists");
    let names: Vec<String> = topics.iter().map(|topic| topic.name.to_string()).collect();
    assert!(!names.contains(&"news.b".to_owned()), "{names:?}");
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(20), others.next()).await;
    assert!(nothing.is_err(), "what is not on the bridge has crossed it");
}

#[tokio::test]
async fn prefixes_change_on_both_ways_and_headers_and_types_stay() {
    let there = broker("there", Vec::new()).await;
    let way = bridge("b", &there.urls()[0], &["up.*"], &["down.*"]).prefixes("site", "plant.a");
    let here = broker("here", vec![way]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut up = far.subscribe("plant.a.up.x").await.expect("subscribes");
    let mut down = near.subscribe("site.down.x").await.expect("subscribes");
    let rising = near.publisher("site.up.x").await.expect("opens");
    let falling = far.publisher("plant.a.down.x").await.expect("opens");
    find_way(&rising, &mut up, 0).await;
    find_way(&falling, &mut down, 0).await;
    let kind = bus_client::MessageType::new(77).expect("a type");
    let message = Message::new(kind, vec![9; 300_000]).with_header("key", "value").expect("short");
    rising.publish(message.clone()).await.expect("publishes");
    let received = up.next().await.expect("goes on").expect("a message");
    assert_eq!(*received.message(), message);
    assert_eq!(received.topic(), "plant.a.up.x");
    falling.publish(message.clone()).await.expect("publishes");
    let received = down.next().await.expect("goes on").expect("a message");
    assert_eq!((received.message(), received.topic()), (&message, "site.down.x"));
}
