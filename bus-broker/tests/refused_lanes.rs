//! Clients that ask for lanes and get none, although nothing is wrong with them: too many of one user
//! have some, or the system does not tell who they are. They go over their sockets, and are told why.
//!
//! Skipped by name where this user may not do what the test needs.

#[path = "common/broker.rs"]
mod broker;
#[path = "common/process.rs"]
mod process;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ErrorKind, Transport};

use broker::{BrokerProcess, open_folder};
use process::{Process, User, may_become_others, say};

/// The test that a child runs.
const CHILD: &str = "child_process";

/// Users that nobody is.
const ONE: User = User { uid: 61234, gid: 61234, group: None };
const OTHER: User = User { uid: 61235, gid: 61235, group: None };

#[tokio::test]
async fn child_process() {
    let Some(url) = process::task() else { return };
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = Client::connect(&url).await.expect("connects");
        client.ping().await.expect("answers");
        let info = client.transport();
        say(match info.transport {
            Some(Transport::SharedMemory) => "lanes".into(),
            other => format!("{other:?}: {}", info.reason),
        });
        clients.push(client);
    }
    say("done");
    std::future::pending::<()>().await;
}

/// What four clients of a user are told, one after the other, while those before them stay.
async fn told(user: User, url: &str) -> Option<(Process, Vec<String>)> {
    let mut child = Process::start(Some(user), url)?;
    let mut told = Vec::new();
    loop {
        match child.line().await.expect("it goes on").as_str() {
            "done" => return Some((child, told)),
            line => told.push(line.to_owned()),
        }
    }
}

#[tokio::test]
async fn user_with_too_many_lanes_goes_over_sockets_and_others_do_not() {
    if process::task().is_some() || !may_become_others() {
        return;
    }
    let home = open_folder();
    let path = home.path().join("bus.sock").display().to_string();
    let config = BrokerConfig::default().lanes_max(7, 3);
    let config = config.listen(format!("local:{path}").parse().expect("a URL"));
    let broker = Broker::start(config).await.expect("starts");
    let url = format!("local:{path}");
    let all = "Some(Local): the broker has 7 clients on lanes, which is the limit";
    let full = "Some(Local): this user has 3 clients on lanes, which is the limit";
    let Some((mut first, heard)) = told(ONE, &url).await else { return };
    assert_eq!(heard, ["lanes", "lanes", "lanes", full]);
    let Some((_second, heard)) = told(OTHER, &url).await else { return };
    assert_eq!(heard, ["lanes", "lanes", "lanes", full]);
    // Root and the broker's own user may have what is left for all.
    let last = Client::connect(&format!("shm:{path}")).await.expect("there is one place");
    let error = Client::connect(&format!("shm:{path}")).await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("7 clients on lanes, which is the limit"), "{error}");
    let info = last.admin().broker().await.expect("answers");
    assert_eq!((info.lanes, info.lanes_refused), (7, 3));
    // Whoever goes makes room.
    first.kill().await;
    while last.admin().broker().await.expect("answers").lanes > 4 {}
    let Some((_third, heard)) = told(ONE, &url).await else { return };
    assert_eq!(heard, ["lanes", "lanes", "lanes", all]);
    drop(broker);
}

#[tokio::test]
async fn client_whose_process_the_broker_cannot_know_goes_over_its_socket() {
    if process::task().is_some() {
        return;
    }
    let Some(broker) = BrokerProcess::start_in_a_namespace().await else { return };
    let client = Client::connect(&broker.url("local")).await.expect("connects");
    let info = client.transport();
    assert_eq!(info.transport, Some(Transport::Local));
    assert!(info.reason.contains("another namespace"), "{}", info.reason);
    client.ping().await.expect("answers");
    let error = Client::connect(&broker.url("shm")).await.expect_err("it must have them");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let log = broker.log();
    let line = log.lines().find(|line| line.contains("no shared memory"));
    assert!(line.is_some_and(|line| line.contains("another namespace")), "{log}");
    let stat = client.admin().broker().await.expect("answers");
    assert_eq!((stat.lanes, stat.lanes_refused), (0, 2));
    assert!(stat.lanes_refusal.contains("another namespace"), "{}", stat.lanes_refusal);
}
