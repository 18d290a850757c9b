//! A blocking publisher is told whether somebody listens.

use bus_client::ErrorKind;

use crate::{SHORT, SOON, Stage};

#[test]
fn publisher_waits_for_who_listens_and_for_his_end() {
    let stage = Stage::new();
    for scheme in ["shm", "unix"] {
        let (near, far) = (stage.client(scheme), stage.client(scheme));
        let publisher = near.publisher(&format!("news.{scheme}")).expect("opens");
        assert!(!publisher.is_matched().expect("is told"));
        let late = publisher.within(SHORT).matched().expect_err("nobody listens");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let mut changes = publisher.within(SOON).matching();
        assert!(!changes.next().expect("goes on").expect("is told"));
        let waits = publisher.clone();
        let waiting = std::thread::spawn(move || waits.within(SOON).matched());
        let subscriber = far.subscribe(&format!("news.{scheme}")).expect("subscribes");
        waiting.join().expect("no panic").expect("is told");
        assert!(changes.next().expect("goes on").expect("is told"));
        drop(subscriber);
        assert!(!changes.next().expect("goes on").expect("is told"));
        // One that has no time left goes on later.
        let mut hasty = publisher.within(SHORT).matching();
        assert!(!hasty.next().expect("goes on").expect("is told"));
        let late = hasty.next().expect("goes on").expect_err("nobody comes");
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        assert!(hasty.next().expect("goes on").is_err());
    }
}
