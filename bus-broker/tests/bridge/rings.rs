//! Bridges that form loops, and parallel ones: each message arrives once.

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
