//! Where a token is sent, and where it is not: before a byte of it has left.

use std::net::{IpAddr, UdpSocket};

use bus_client::{Client, ClientOptions, ErrorKind};

use crate::broker::{home, soon};
use crate::stage::{config, start, tcp, token, try_connect};

/// An address of this machine that is not loopback, if it has one. No packet is sent for it.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[tokio::test]
async fn a_token_is_not_sent_where_others_can_read_it() {
    let Some(ip) = outer_address() else {
        eprintln!("skipped: this machine has no address beside loopback");
        return;
    };
    let listener = tokio::net::TcpListener::bind((ip, 0)).await.expect("an address of its own");
    let address = listener.local_addr().expect("it has one");
    let url = format!("tcp://{address}");
    let connecting = Client::connect_with(&url, ClientOptions::default().token(token('a')));
    let listening = async {
        let (mut stream, _) = listener.accept().await.expect("it connects");
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await.expect("reads");
        bytes
    };
    let (connected, bytes) = soon(async { tokio::join!(connecting, listening) }).await;
    let error = connected.expect_err("it is not sent");
    assert_eq!(error.kind(), ErrorKind::Insecure);
    assert!(error.to_string().contains("tls://"), "{error}");
    assert!(bytes.is_empty(), "{} bytes were sent", bytes.len());
    drop(listener);
    // Whoever says so sends it all the same.
    let broker = start(config().listen(format!("tcp://{ip}:0").parse().expect("a URL"))).await;
    let options = ClientOptions::default().token(token('a')).insecure(true);
    Client::connect_with(&broker.urls()[1], options).await.expect("connects");
}

#[tokio::test]
async fn a_token_is_sent_within_the_machine() {
    let home = home();
    let local = format!("local:{}", home.path().join("bus.sock").display());
    let broker = start(config().listen(local.parse().expect("a URL"))).await;
    let unix = local.replacen("local:", "unix:", 1);
    for url in [tcp(&broker), broker.url(), &local, &unix] {
        let client = try_connect(url, Some(token('a'))).await.expect("connects");
        let queue = client.queue("q").await.expect("opens");
        queue.send("x").await.expect("sends");
        let delivery = queue.receive(bus_client::Selector::Any).await.expect("receives");
        let sender = delivery.sender();
        assert_eq!(sender.user.as_ref().map(|user| user.as_str()), Some("alice"), "{url}");
        if !url.starts_with("tcp:") {
            // What the kernel says of the uid stands.
            assert_eq!(sender.uid, Some(bus_core::sys::effective_uid()), "{url}");
        }
        delivery.ack().await.expect("acks");
        client.admin().remove(bus_client::Object::Queue, "q").await.expect("removes");
    }
}

#[test]
fn no_option_shows_a_token() {
    let options = ClientOptions::default().token(token('a'));
    assert!(!format!("{options:?}").contains("aaaa"));
}
