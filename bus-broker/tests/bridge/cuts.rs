//! A bridge whose connection is cut, whose other broker ends, or which an operator stops.

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
