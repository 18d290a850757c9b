//! A broker that is stopped, as by a debugger, while its host goes on: who is connected to it over a network
//! notices, and goes on where he was when it does.
//!
//! How long that takes is tested in virtual time, where the heartbeat is; here a real process is stopped.

use std::fs;

use rustix::process::Signal;

use crate::bridge::{Other, until_out};
use crate::stage::{DONE, Process, Stage, UNREACHABLE};

#[tokio::test]
async fn a_stopped_broker_is_noticed_by_a_bridge_and_a_client_which_go_on_when_it_does() {
    let here = Stage::new().await;
    let path = here.directory.path().join("there.toml");
    let local = format!("local:{}", here.directory.path().join("there.sock").display());
    let file = format!(
        "listen = [\"{local}\", \"tcp://127.0.0.1:0\"]\n[[allow]]\nuser = \"*\"\npublish = \">\"\nsubscribe = \">\"\nbridge = \">\"\n"
    );
    fs::write(&path, file).expect("a file");
    let mut there = Process::start(&["serve", "--config", &path.display().to_string()]);
    there.line().await;
    let tcp = there.line().await;
    let tcp = tcp.strip_prefix("listening on ").expect("an address");

    let mut client = Process::start(&["--url", tcp, "sub", "news", "--raw"]);
    here.good(&["bridge", "add", "b", tcp, "--out", "news"]).await;
    // Since somebody there wants it.
    here.until_client("bridge b (out)", 1).await;
    here.good(&["pub", "news", "one"]).await;
    assert_eq!(client.line().await, "one");

    there.signal(Signal::STOP);
    here.good(&["pub", "news", "two"]).await;
    let told = client.word().await;
    assert!(told.contains("disconnected: the broker has stopped answering"), "{told}");
    until_out(&here, |out| {
        let error = out["last_error"].as_str().unwrap_or_default();
        out["state"] == "connecting" && error.contains("broker")
    })
    .await;
    here.good(&["pub", "news", "three"]).await;

    there.signal(Signal::CONT);
    let told = client.word().await;
    assert!(told.contains("connected again over tcp; nothing was lost"), "{told}");
    assert_eq!(client.line().await, "two");
    assert_eq!(client.line().await, "three");
    until_out(&here, |out| out["state"] == "connected" && out["missed"] == 0).await;
}

#[tokio::test]
async fn whoever_tries_to_send_to_a_home_that_is_stopped_is_told_what_he_waits_for() {
    let more = "send = \"jobs\"\nreceive = \"jobs\"";
    let (here, there) = (Stage::new().await, Other::allowing(more).await);
    there.bus(&["create", "jobs", "--mode", "0777"]).await.check(DONE, &[]);
    let token = there.token();
    let add = ["bridge", "add", "b", &there.tcp, "--remote-token-file", &token];
    here.good(&[&add[..], &["--in-queues", "jobs"]].concat()).await;
    here.until(&["stat", "jobs", "--json"], |stat| {
        stat["queues"][0]["hosted"]["reachable"] == true
    })
    .await;
    there.broker.signal(Signal::STOP);
    let mut tries = here.start(&["send", "jobs", "x", "--try"]);
    let told = tries.word().await;
    assert!(told.starts_with("bus: waits: queue `jobs` lives at broker"), "{told}");
    there.broker.signal(Signal::CONT);
    tries.end().await;
}

#[tokio::test]
async fn a_stopped_broker_keeps_nobody_for_longer_than_he_would_wait() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    stage.broker.signal(Signal::STOP);
    let at_once = ["--connect-timeout", "200ms"];
    for (arguments, limit) in [
        (vec!["recv", "jobs", "--wait", "1s"], "longer than 1s"),
        (vec!["request", "name", "x", "--timeout", "10ms"], "longer than 1s"),
        ([&at_once[..], &["send", "jobs", "x", "--timeout", "9s"]].concat(), "longer than 200ms"),
        ([&at_once[..], &["ls"]].concat(), "longer than 200ms"),
    ] {
        stage.bus(&arguments).await.check(UNREACHABLE, &[&stage.url, limit, "does not answer"]);
    }
    let told = stage.bus(&[&at_once[..], &["doctor", "--quiet"]].concat()).await;
    told.check(1, &["broken  connection", "somebody holds that address"]);
    stage.broker.signal(Signal::CONT);
}
