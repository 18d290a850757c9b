//! A broker that listens with TLS: who gets in, what others are told, and how certificates change.
//!
//! What can be wrong with a certificate is tested beside the transport; here is what becomes of it
//! in a broker and its clients.

#[path = "common/authority.rs"]
mod authority;

use std::time::Duration;

use bus_broker::{
    Authority, AuthorityError, Broker, BrokerConfig, ClientCertificates, Making, StartError,
    TlsServerFiles,
};
use bus_client::{Client, ClientEvent, ClientOptions, ErrorKind, TlsFailure, Transport};
use bus_core::BusUrl;
use futures::FutureExt;

use authority::{server_files, trusting};

const MAKING: Making = Making { days: 1, force: false };

fn options() -> ClientOptions {
    ClientOptions::default().reconnect(false)
}

fn url(text: &str) -> BusUrl {
    text.parse().expect("a URL")
}

/// A broker on both kinds of port; its `tls:` URL comes first.
async fn start(files: TlsServerFiles) -> Broker {
    let config = BrokerConfig::default()
        .listen(url("tls://127.0.0.1:0"))
        .listen(url("tcp://127.0.0.1:0"))
        .tls(files);
    Broker::start(config).await.expect("starts")
}

/// The same, which asks for certificates of this authority.
async fn start_asking(authority: &Authority, how: ClientCertificates) -> Broker {
    let client_authority = Some(authority.certificate());
    start(TlsServerFiles { client_authority, client_certificates: how, ..server_files() }).await
}

fn made() -> (tempfile::TempDir, Authority) {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, _) = Authority::create(folder.path(), MAKING).expect("it is empty");
    (folder, authority)
}

#[tokio::test]
async fn a_client_with_the_right_authority_gets_in() {
    let broker = start(server_files()).await;
    let client = Client::connect_with(&broker.urls()[0], trusting(options())).await;
    let client = client.expect("connects");
    assert_eq!(client.transport().transport, Some(Transport::Tls));
    let queue = client.queue("q").await.expect("opens");
    queue.send(vec![7; 64 << 20]).await.expect("the longest message goes through");
    let delivery = queue.receive(bus_client::Selector::Any).await.expect("comes");
    assert!(delivery.payload().len() == 64 << 20 && delivery.payload().iter().all(|it| *it == 7));
}

#[tokio::test]
async fn what_is_said_last_arrives_before_the_connection_ends() {
    let broker = start(server_files()).await;
    let reader = Client::connect(broker.url()).await.expect("connects");
    for round in 0..5_u8 {
        let name = format!("t{round}");
        let mut subscriber = reader.subscribe(&name).await.expect("subscribes");
        let client = Client::connect_with(&broker.urls()[0], trusting(options())).await;
        let client = client.expect("connects");
        let open = bus_client::PublisherOptions::default().mode(0o777);
        let topic = client.publisher_with(&name, open).await.expect("opens");
        for number in 0..40_u8 {
            topic.publish(vec![number; 20_000]).await.expect("is handed over");
        }
        client.drain(Duration::from_secs(10)).await;
        for number in 0..40 {
            let found = subscriber.next().await.expect("goes on").expect("a message");
            assert_eq!(found.payload()[0], number);
        }
    }
}

#[tokio::test]
async fn each_mistake_has_its_kind_and_says_what_to_do() {
    let (folder, authority) = made();
    let broker = start_asking(&authority, ClientCertificates::Required).await;
    let [tls, tcp] = broker.urls() else { panic!("it listens at two places") };
    let swapped = |url: &str| match url.strip_prefix("tls:") {
        Some(rest) => format!("tcp:{rest}"),
        None => url.replacen("tcp:", "tls:", 1),
    };
    let missing = options().tls_authority(folder.path().join("missing"));
    let stranger = trusting(options()).tls_server_name("bus.example");
    let check = async |url: &str, options: ClientOptions, kind: ErrorKind, words: &[&str]| {
        let error = Client::connect_with(url, options).await.expect_err("a mistake");
        assert_eq!(error.kind(), kind, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "`{error}` does not say `{word}`");
        }
        error.tls_failure().cloned()
    };
    let found =
        check(tls, options(), ErrorKind::Untrusted, &[tls, "ClientOptions::tls_authority"]).await;
    assert_eq!(found, Some(TlsFailure::UnknownAuthority));
    let found = check(
        tls,
        trusting(options()),
        ErrorKind::Untrusted,
        &[tls, "ClientOptions::tls_certificate"],
    )
    .await;
    assert_eq!(found, Some(TlsFailure::NoClientCertificate));
    let found = check(tls, stranger, ErrorKind::Untrusted, &["`bus.example`", "`127.0.0.1`"]).await;
    assert!(matches!(found, Some(TlsFailure::WrongName { .. })), "{found:?}");
    check(tls, missing, ErrorKind::Config, &["missing", "authority"]).await;
    let words = ["does not speak TLS", "use tcp://"];
    let found = check(&swapped(tcp), trusting(options()), ErrorKind::Protocol, &words).await;
    assert_eq!(found, Some(TlsFailure::NotTls));
    let words = ["this port speaks TLS: use tls://"];
    let found = check(&swapped(tls), options(), ErrorKind::Protocol, &words).await;
    assert_eq!(found, None, "the broker says so");
    let ada = authority.client("ada", MAKING).expect("a good name");
    let good = trusting(options()).tls_certificate(&ada.certificate, &ada.key);
    Client::connect_with(tls, good).await.expect("nothing is wrong with this one");
    // The name is only checked by who connects: without that it would get in by another one.
    let named = trusting(options()).tls_certificate(ada.certificate, ada.key);
    Client::connect_with(tls, named.tls_server_name("localhost")).await.expect("its other name");
}

#[tokio::test]
async fn certificates_are_exchanged_while_clients_stay() {
    let (_folder, authority) = made();
    let broker = start(server_files()).await;
    let old = Client::connect_with(&broker.urls()[0], trusting(options())).await.expect("connects");
    let mut events = old.events();
    let bad = TlsServerFiles { key: authority.certificate(), ..server_files() };
    let told = broker.reload_certificates(&bad).await.expect_err("that is no key").to_string();
    assert!(told.contains("no private key"), "{told}");
    Client::connect_with(&broker.urls()[0], trusting(options())).await.expect("as before");
    let names = ["127.0.0.1".to_owned()];
    let renewed = authority.server("server", &names, MAKING).expect("a good name");
    let files = TlsServerFiles {
        certificate: renewed.certificate,
        key: renewed.key,
        ..TlsServerFiles::default()
    };
    broker.reload_certificates(&files).await.expect("good files");
    let refused = Client::connect_with(&broker.urls()[0], trusting(options())).await;
    assert_eq!(refused.expect_err("another authority").kind(), ErrorKind::Untrusted);
    let new = options().tls_authority(authority.certificate());
    Client::connect_with(&broker.urls()[0], new).await.expect("connects");
    old.queue("q").await.expect("it has not noticed").send("a").await.expect("sends");
    let told = events.next().now_or_never();
    assert!(!matches!(told, Some(Some(ClientEvent::Disconnected { .. }))), "{told:?}");
    // A broker without TLS has nothing to exchange.
    let plain = Broker::start(BrokerConfig::default()).await.expect("starts");
    plain.reload_certificates(&files).await.expect_err("nobody would use them");
}

#[tokio::test]
async fn a_listener_for_other_hosts_asks_who_they_are_or_needs_a_word() {
    let (_folder, authority) = made();
    let everywhere = || BrokerConfig::default().listen(url("tls://0.0.0.0:0"));
    let files = |how| TlsServerFiles {
        client_authority: Some(authority.certificate()),
        client_certificates: how,
        ..server_files()
    };
    for how in [ClientCertificates::None, ClientCertificates::Optional] {
        let refused = Broker::start(everywhere().tls(files(how))).await.err();
        assert!(matches!(refused, Some(StartError::Insecure { .. })), "{refused:?}");
        let told = Broker::start(everywhere().tls(files(how)).insecure(true)).await;
        told.expect("the word was said");
    }
    let required = files(ClientCertificates::Required);
    Broker::start(everywhere().tls(required.clone())).await.expect("it asks everybody");
    // That counts for its own port only.
    let plain = BrokerConfig::default().listen(url("tcp://0.0.0.0:0")).tls(required);
    let refused = Broker::start(plain).await.err();
    assert!(matches!(refused, Some(StartError::Insecure { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_listener_without_good_certificates_does_not_start() {
    let config = || BrokerConfig::default().listen(url("tls://127.0.0.1:0"));
    let refused = Broker::start(config()).await.err().expect("it has none");
    assert!(matches!(refused, StartError::NoCertificate { .. }), "{refused:?}");
    let bad = TlsServerFiles { key: "/nowhere".into(), ..server_files() };
    let refused = Broker::start(config().tls(bad)).await.err().expect("no key");
    assert!(refused.to_string().contains("/nowhere"), "{refused}");
}

#[tokio::test]
async fn whoever_says_nothing_over_tls_is_sent_away() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let broker = start(server_files()).await;
    let address = broker.urls()[0].strip_prefix("tls://").expect("it is the first one");
    // Nothing, and the beginning of a record.
    for word in [&b""[..], &[22, 3, 1, 1, 0, 1]] {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        stream.write_all(word).await.expect("there is room");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
        // With an end, or a reset: something of it was not read.
        let _ = ended.await.expect("two seconds, and what a busy machine adds");
    }
    Client::connect_with(&broker.urls()[0], trusting(options())).await.expect("others get in");
}

#[test]
fn an_authority_overwrites_nothing_and_keeps_its_keys() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, authority) = made();
    let again = Authority::create(folder.path(), MAKING).err();
    assert!(matches!(again, Some(AuthorityError::Exists { .. })), "{again:?}");
    let ada = authority.client("ada", MAKING).expect("a good name");
    let again = authority.client("ada", MAKING).err();
    assert!(matches!(again, Some(AuthorityError::Exists { .. })), "{again:?}");
    let before = std::fs::read(&ada.key).expect("it is there");
    let renewed = Authority::open(folder.path()).expect("it is there");
    renewed.client("ada", Making { force: true, ..MAKING }).expect("it was said");
    assert_ne!(std::fs::read(&ada.key).expect("it is there"), before);
    for name in ["authority.key", "ada.key"] {
        let found = std::fs::metadata(folder.path().join(name)).expect("it is there");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
    for user in ["", "a/b", "../ada", "authority", ".hidden", "a b", &"x".repeat(65)] {
        let refused = authority.client(user, MAKING).err();
        assert!(matches!(refused, Some(AuthorityError::Name { .. })), "{user}: {refused:?}");
    }
    let refused = authority.server("s", &["not a name".into()], MAKING).err();
    assert!(matches!(refused, Some(AuthorityError::Name { .. })), "{refused:?}");
    // Of another key's authority nothing is made.
    let (other, _) = made();
    std::fs::copy(other.path().join("authority.key"), folder.path().join("authority.key"))
        .expect("copies");
    let refused = Authority::open(folder.path()).err();
    assert!(matches!(refused, Some(AuthorityError::NotOurs { .. })), "{refused:?}");
    let nothing = Authority::open(&folder.path().join("none")).err();
    assert!(matches!(nothing, Some(AuthorityError::NotOurs { .. })), "{nothing:?}");
}
