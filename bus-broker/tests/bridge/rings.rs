//! Bridges that form loops, and parallel ones: each message arrives once.

use bus_client::Client;

use crate::stage::*;

#[tokio::test]
async fn two_bridges_that_lead_to_each_other_bring_each_message_once() {
    let one = broker("one", Vec::new()).await;
    let way = bridge("b", &one.urls()[0], &[">"], &[">"]);
    let again = bridge("c", &one.urls()[0], &[">"], &[">"]);
    let other = broker("other", vec![way, again]).await;
    let (near, far) = (client(&other).await, client(&one).await);
    let mut at_far = far.subscribe("a").await.expect("subscribes");
    let mut at_near = near.subscribe("a").await.expect("subscribes");
    let publisher = near.publisher("a").await.expect("opens");
    let next = find_way(&publisher, &mut at_far, 0).await;
    hears_all(&mut at_near, 0..next).await;
    publish(&publisher, next..next + 3000).await;
    hears_all(&mut at_far, next..next + 3000).await;
    hears_all(&mut at_near, next..next + 3000).await;
}

/// Three brokers in a triangle, with a second bridge on one side: each bridges both ways.
async fn triangle() -> [bus_broker::Broker; 3] {
    let one = broker("one", Vec::new()).await;
    let to_one = || bridge("to.one", &one.urls()[0], &[">"], &[">"]);
    let two = broker("two", vec![to_one()]).await;
    let to_two = bridge("to.two", &two.urls()[0], &[">"], &[">"]);
    let again = bridge("to.one.again", &one.urls()[0], &[">"], &[">"]);
    let three = broker("three", vec![to_one(), to_two, again]).await;
    [one, two, three]
}

#[tokio::test]
async fn a_triangle_with_parallel_bridges_brings_each_message_once_to_everybody() {
    let brokers = triangle().await;
    let mut clients = Vec::new();
    for broker in &brokers {
        clients.push(client(broker).await);
    }
    let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
    for (index, client) in clients.iter().enumerate() {
        let mut own = Vec::new();
        for topic in 0..3 {
            own.push(client.subscribe(&format!("t{topic}")).await.expect("subscribes"));
        }
        subscribers.push(own);
        publishers.push(client.publisher(&format!("t{index}")).await.expect("opens"));
    }
    let mut next = [0; 3];
    for index in 0..3 {
        for subscriber in subscribers.iter_mut().map(|own| &mut own[index]) {
            next[index] = find_way(&publishers[index], subscriber, next[index]).await;
        }
    }
    // Those whose way was found first have heard what was published for the others.
    for (index, publisher) in publishers.iter().enumerate() {
        publish(publisher, next[index]..next[index] + 2000).await;
    }
    for own in &mut subscribers {
        for (index, subscriber) in own.iter_mut().enumerate() {
            let from = next[index];
            let mut first = heard(subscriber).await;
            while first < from {
                let following = heard(subscriber).await;
                assert_eq!(following, first + 1);
                first = following;
            }
            assert_eq!(first, from);
            hears_all(subscriber, from + 1..from + 2000).await;
        }
    }
    let loops = async || {
        for client in &clients {
            if bridges_of(client).await.contains("\"loop\":true") {
                return true;
            }
        }
        false
    };
    until("no bridge says that there is a loop", loops).await;
}

#[tokio::test]
async fn a_loop_is_told_and_so_is_its_end() {
    let one = broker("one", Vec::new()).await;
    let ways = ["b", "c"].map(|name| bridge(name, &one.urls()[0], &[">"], &[]));
    let other = broker("other", ways.to_vec()).await;
    let (near, far) = (client(&other).await, client(&one).await);
    let mut at_far = far.subscribe("a").await.expect("subscribes");
    let publisher = near.publisher("a").await.expect("opens");
    find_way(&publisher, &mut at_far, 0).await;
    let loops = async || bridges_of(&near).await.contains("\"loop\":true");
    until("neither of two that run beside each other says so", async || {
        // The later one of the two may have come after all that was published before.
        publisher.publish("again").await.expect("publishes");
        loops().await
    })
    .await;
    let asked = serde_json::json!({ "action": "list" });
    let listed = ask_bridges(&near, asked).await;
    let all = listed["bridges"].as_array().expect("some").iter();
    // The one that stands by goes on alone when the other one has gone.
    let stays = all.clone().position(|bridge| bridge["out"]["loop"] == true).expect("one of them");
    let goes = all.map(|bridge| bridge["name"].clone()).nth(1 - stays).expect("two");
    ask_bridges(&near, serde_json::json!({ "action": "remove", "name": goes })).await;
    until("it is still said", async || !loops().await).await;
}

/// What a broker says of its bridges.
async fn bridges_of(client: &Client) -> String {
    let asked = br#"{"action":"list"}"#.to_vec();
    let reply = client.request("$bus.bridge", asked, PATIENCE).await.expect("answers");
    String::from_utf8_lossy(reply.payload()).into_owned()
}
