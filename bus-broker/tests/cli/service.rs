//! `bus serve` as a service: what its manager is told, and what it is given.

use std::fs;

use bus_core::sys::monotonic_clock;
use rustix::process::Signal;

use crate::activator::{Activator, Ear};
use crate::stage::{DONE, USAGE, bus};

/// The number behind such a word.
fn number(lines: &[String], word: &str) -> u128 {
    let line = lines.iter().find_map(|line| line.strip_prefix(word)).expect("it is there");
    line.parse().expect("a number")
}

async fn hears_all(ear: Ear, address: &str) {
    let activator = Activator::new();
    let [local, tcp] = activator.urls();
    let path = activator.directory.path().join("bus.toml");
    let text = format!("listen = [\"{local}\", \"{tcp}\"]\n");
    fs::write(&path, &text).expect("a file");
    let file = path.display().to_string();
    let mut service = activator.start(&["--config", &file], &[("NOTIFY_SOCKET", address)]);
    let ready = ear.hears().await;
    assert_eq!(ready, ["READY=1".to_owned(), format!("STATUS=listening on {local}, {tcp}")]);
    for url in [&local, &tcp] {
        bus(&["--url", url, "ping"]).await.check(DONE, &[]);
    }
    let before = monotonic_clock().as_micros();
    service.signal(Signal::HUP);
    let reloading = ear.hears().await;
    assert_eq!(reloading[0], "RELOADING=1");
    let since = number(&reloading, "MONOTONIC_USEC=");
    assert!((before..=monotonic_clock().as_micros()).contains(&since), "{since} after {before}");
    assert_eq!(ear.hears().await, ["READY=1", "STATUS=the configuration was read again"]);
    fs::write(&path, "listen = [").expect("a file");
    service.signal(Signal::HUP);
    assert_eq!(ear.hears().await[0], "RELOADING=1");
    let refused = ear.hears().await;
    assert_eq!(refused[0], "READY=1");
    let status = "STATUS=the configuration was refused, the one before goes on: ";
    assert!(refused[1].starts_with(status) && refused[1].contains("not TOML"), "{refused:?}");
    bus(&["--url", &tcp, "ping"]).await.check(DONE, &[]);
    service.signal(Signal::TERM);
    let stopping = ear.hears().await;
    assert_eq!(stopping[0], "STOPPING=1");
    assert!(stopping[1].starts_with("STATUS=ending: "), "{stopping:?}");
    service.says("ended: ").await;
    assert_eq!(service.end().await.0, Some(0));
    assert!(activator.path().exists(), "the socket is not the broker's to remove");
    let left: Vec<_> = fs::read_dir(activator.directory.path()).expect("a folder").collect();
    assert!(left.iter().flatten().all(|it| it.path().extension() != Some("lock".as_ref())));
}

#[tokio::test]
async fn a_manager_hears_when_it_is_ready_reads_again_and_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    hears_all(Ear::at(&path), &path.display().to_string()).await;
}

#[tokio::test]
async fn a_manager_in_the_abstract_namespace_hears_the_same() {
    let name = format!("bus-test-{}", std::process::id());
    hears_all(Ear::abstract_at(&name), &format!("@{name}")).await;
}

#[tokio::test]
async fn signs_of_life_come_while_it_runs_and_none_while_it_is_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let (ear, address) = (Ear::at(&path), path.display().to_string());
    let activator = Activator::new();
    let [local, tcp] = activator.urls();
    let listen = ["-l", &local, "-l", &tcp];
    // Those of another process are none of its business: it says that it is ready, and then that it ends.
    let others =
        [("NOTIFY_SOCKET", address.as_str()), ("WATCHDOG_USEC", "2000"), ("WATCHDOG_PID", "1")];
    let service = activator.start(&listen, &others);
    assert_eq!(ear.hears().await[0], "READY=1");
    bus(&["--url", &tcp, "ping"]).await.check(DONE, &[]);
    service.signal(Signal::TERM);
    assert_eq!(ear.hears().await[0], "STOPPING=1");
    service.end().await;
    let own = [("NOTIFY_SOCKET", address.as_str()), ("WATCHDOG_USEC", "20000")];
    let service = activator.start(&listen, &own);
    let mut signs = 0;
    while signs < 20 {
        let heard = ear.hears().await;
        signs += usize::from(heard == ["WATCHDOG=1"]);
    }
    service.signal(Signal::STOP);
    while !ear.is_silent_for(std::time::Duration::from_millis(200)).await {}
    service.signal(Signal::CONT);
    while ear.hears().await != ["WATCHDOG=1"] {}
}

#[tokio::test]
async fn sockets_that_no_listener_wants_are_named_and_it_does_not_start() {
    let activator = Activator::new();
    let [local, tcp] = activator.urls();
    let service = activator.start(&["-l", &local], &[("LISTEN_FDNAMES", "first:second.socket")]);
    let (code, said) = service.end().await;
    assert_eq!(code, Some(USAGE), "{said}");
    assert!(said.contains("`second.socket` (descriptor 4)") && said.contains(&tcp), "{said}");
    assert!(!said.contains("`first`"), "{said}");
    // The control: with both of them it does, and with another listener of its own beside them.
    let own = format!("local:{}", activator.directory.path().join("own.sock").display());
    let mut service = activator.start(&["-l", &local, "-l", &tcp, "-l", &own], &[]);
    service.says(&format!("listening on {own}")).await;
    bus(&["--url", &own, "ping"]).await.check(DONE, &[]);
    service.signal(Signal::TERM);
    assert_eq!(service.end().await.0, Some(0));
    assert!(!activator.directory.path().join("own.sock").exists(), "that one was its own");
    // A count that makes no sense is no reason to take over what is open.
    let (code, said) = activator.start(&["-l", &local], &[("LISTEN_FDNAMES", "")]).end().await;
    assert_eq!(code, Some(USAGE), "{said}");
}
