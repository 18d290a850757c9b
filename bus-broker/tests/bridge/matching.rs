//! A publisher is told of those who listen beyond a bridge.

use crate::stage::*;

#[tokio::test]
async fn subscriber_beyond_a_bridge_makes_a_publisher_matched_and_its_end_unmatches_it() {
    let there = broker("there", Vec::new()).await;
    let here = broker("here", vec![bridge("b", &there.urls()[0], &["news.>"], &["back.>"])]).await;
    let (near, far) = (client(&here).await, client(&there).await);
    let publisher = near.publisher("news.a").await.expect("opens");
    let private = near.publisher("private").await.expect("opens");
    let back = far.publisher("back.a").await.expect("opens");
    for _ in 0..2 {
        let (mut near_by, mut far_off) = (publisher.matching(), back.matching());
        let mut told = async |next: bool| {
            for matching in [&mut near_by, &mut far_off] {
                let told = tokio::time::timeout(PATIENCE, matching.next()).await.expect("in time");
                assert_eq!(told.expect("goes on").expect("is told"), next);
            }
        };
        told(false).await;
        let one = far.subscribe("news.*").await.expect("subscribes");
        let other = near.subscribe("back.a").await.expect("subscribes");
        let hidden = far.subscribe("private").await.expect("subscribes");
        told(true).await;
        assert!(!private.is_matched().await.expect("is told"), "it is not on the bridge");
        drop((one, other, hidden));
        told(false).await;
    }
}
