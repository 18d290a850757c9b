//! Blocking clients whose broker is replaced by another one while they wait.

use bus_client::blocking::Client;
use bus_client::{ErrorKind, Selector};

use crate::Stage;

#[test]
fn thread_that_waits_is_told_at_once_when_the_broker_dies() {
    let mut stage = Stage::new();
    let options = bus_client::ClientOptions::default().reconnect(false);
    let url = stage.broker.url("shm");
    let client = Client::connect_with(&url, options).expect("connects");
    let queue = client.queue("jobs").expect("opens");
    let waiting = std::thread::spawn(move || queue.receive(Selector::Any).map(drop));
    while client.admin().queues("jobs").expect("answers")[0].waiting == 0 {
        std::thread::yield_now();
    }
    stage.runtime.block_on(stage.broker.replace());
    let lost = waiting.join().expect("does not panic").expect_err("nobody is there");
    assert_eq!(lost.kind(), ErrorKind::Disconnected, "{lost}");
}
