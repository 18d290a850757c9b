//! A bridge whose connection is cut, whose other broker ends, or which an operator stops.

use bus_broker::{Broker, BrokerConfig};

use crate::proxy::Proxy;
use crate::stage::*;

#[tokio::test]
async fn a_cut_loses_and_repeats_nothing_either_way() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let here = broker("here", vec![bridge("b", &proxy.url, &["out.>"], &["in.>"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let mut out = far.subscribe("out.a").await.expect("subscribes");
    let mut incoming = near.subscribe("in.a").await.expect("subscribes");
    let sends = near.publisher("out.a").await.expect("opens");
    let answers = far.publisher("in.a").await.expect("opens");
    let mut next = find_way(&sends, &mut out, 0).await;
    let mut back = find_way(&answers, &mut incoming, 0).await;
    for _ in 0..10 {
        publish(&sends, next..next + 500).await;
        publish(&answers, back..back + 500).await;
        proxy.cut();
        publish(&sends, next + 500..next + 1000).await;
        publish(&answers, back + 500..back + 1000).await;
        hears_all(&mut out, next..next + 1000).await;
        hears_all(&mut incoming, back..back + 1000).await;
        (next, back) = (next + 1000, back + 1000);
    }
}

#[tokio::test]
async fn a_broker_that_comes_back_is_found_and_told_again_what_is_wanted() {
    let there = broker("there", Vec::new()).await;
    let proxy = Proxy::start("tcp", &there.urls()[0]).await;
    let here = broker("here", vec![bridge("b", &proxy.url, &["out.>"], &[])]).await;
    let near = client(&here).await;
    let sends = near.publisher("out.a").await.expect("opens");
    let mut next = 0;
    let mut there = Some(there);
    for _ in 0..3 {
        let broker_there = there.take().expect("it runs");
        let far = client(&broker_there).await;
        let mut out = far.subscribe("out.a").await.expect("subscribes");
        next = find_way(&sends, &mut out, next).await;
        publish(&sends, next..next + 500).await;
        // What the boot before had not confirmed is not sent again: that is told as lost here.
        hears(&mut out, next..next + 500).await;
        next += 500;
        broker_there.drain(std::time::Duration::ZERO).await;
        let again = broker("there", Vec::new()).await;
        proxy.lead_to(&again.urls()[0]);
        there = Some(again);
    }
}

#[tokio::test]
async fn who_may_not_bridge_is_refused_and_the_reason_is_shown() {
    let open = BrokerConfig::default().listen(url("tcp://127.0.0.1:0"));
    let there = Broker::start(open).await.expect("starts");
    let way = bridge("b", &there.urls()[0], &["out.>"], &[]);
    let here = broker("here", vec![way]).await;
    let near = client(&here).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let text = ask_bridges(&near, serde_json::json!({ "action": "list" })).await.to_string();
        if text.contains("may not bridge brokers") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{text}");
    }
}
