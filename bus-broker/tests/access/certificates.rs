//! Certificates of clients beside tokens, on one TLS listener: who is taken for whom, and what
//! becomes of whoever is taken out of the file.

use std::path::PathBuf;

use bus_broker::{Authority, Broker, BrokerConfig, ClientCertificates, Making, ReloadError};
use bus_client::{Client, ClientOptions, Delivery, ErrorKind, QueueOptions, Selector};
use bus_core::transport::TlsServerFiles;
use sha2::{Digest, Sha256};

use crate::broker::{failed, soon};
use crate::changes::reason;
use crate::raw::authority::{server_files, trusting};
use crate::stage::{ALICE_UID, config, hash, start, token, try_connect, user};

const ALICE: &str = "[[user]]\nname = \"alice\"\ncertificate = \"alice\"\nuid = 61301\n";

/// The file of a broker that asks for certificates, and takes whoever has none.
fn file(users: &str) -> BrokerConfig {
    let server = server_files();
    let digits: String = hash('b').bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        r#"listen = ["tls://127.0.0.1:0"]
[tls]
certificate = "{}"
key = "{}"
client_authority = "{}"
client_certificates = "optional"
{users}
[[user]]
name = "bob"
token = "sha256:{digits}"
[[allow]]
user = "bob"
send = ["jobs.>"]
[[allow]]
user = "anonymous"
send = ["jobs.>"]
"#,
        server.certificate.display(),
        server.key.display(),
        authority().display(),
    );
    bus_broker::parse_config(&text).expect("a good file")
}

/// What the policy grants her.
const GRANTED: &str = "[[allow]]\nuser = \"alice\"\ncreate = [\"jobs.>\"]\nsend = [\"jobs.>\"]\nreceive = [\"jobs.>\"]\n";

fn authority() -> PathBuf {
    server_files().certificate.with_file_name("authority.pem")
}

/// Options of a client with a certificate of this user; each test takes users of its own.
fn certified(name: &str) -> ClientOptions {
    let folder = authority().parent().expect("a folder").to_owned();
    let authority = Authority::open(&folder).expect("it is there");
    let made = authority.client(name, Making { days: 1, force: true }).expect("a good name");
    plain().tls_certificate(made.certificate, made.key)
}

fn plain() -> ClientOptions {
    trusting(ClientOptions::default().name("tool"))
}

async fn connect(broker: &Broker, options: ClientOptions) -> Client {
    Client::connect_with(&broker.urls()[0], options).await.expect("connects")
}

fn sender(delivery: &Delivery) -> (Option<String>, Option<u32>) {
    let sender = delivery.sender();
    (sender.user.as_ref().map(ToString::to_string), sender.uid)
}

/// SHA-256 of what stands between the first and the last line, as other programs work it out.
fn fingerprint(pem: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let digit = |c: char| DIGITS.find(c).map(|at| at as u32);
    let digits: Vec<u32> = text.chars().filter_map(digit).collect();
    let four = |four: &[u32]| {
        let bits = (0..4).fold(0, |all, at| all << 6 | four.get(at).copied().unwrap_or(0));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    let bytes: Vec<u8> = digits.chunks(4).flat_map(four).collect();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn certificates_tokens_and_neither_meet_on_one_listener() {
    let broker = start(file(&format!("{ALICE}{GRANTED}"))).await;
    let alice = connect(&broker, certified("alice")).await;
    let bob = connect(&broker, plain().token(token('b'))).await;
    let nobody = connect(&broker, plain()).await;
    let open = QueueOptions::default().mode(0o722);
    let jobs = alice.queue_with("jobs.a", open).await.expect("she may create it");
    let users = [("alice", &alice), ("bob", &bob), ("", &nobody)];
    for (name, client) in users {
        client.queue("jobs.a").await.expect("opens").send("one").await.expect("all may send");
        let delivery = soon(jobs.receive(Selector::Any)).await.expect("she may receive");
        let user = (!name.is_empty()).then(|| name.to_owned());
        assert_eq!(sender(&delivery), (user, (name == "alice").then_some(ALICE_UID)));
        delivery.ack().await.expect("acks");
    }
    // Her rights are those of the policy, and the others' are theirs.
    let denied = ErrorKind::PermissionDenied;
    assert_eq!(failed(alice.queue("mail").await), denied);
    for client in [&bob, &nobody] {
        assert_eq!(failed(client.queue("jobs.new").await), denied);
        let queue = client.queue("jobs.a").await.expect("opens");
        assert_eq!(failed(queue.receive(Selector::Any).await), denied);
    }
    // A token goes before the certificate.
    let both = connect(&broker, certified("alice").token(token('b'))).await;
    both.queue("jobs.a").await.expect("opens").send("two").await.expect("bob may");
    let delivery = soon(jobs.receive(Selector::Any)).await.expect("she may receive");
    assert_eq!(sender(&delivery).0.as_deref(), Some("bob"));
    delivery.ack().await.expect("acks");
    // Out of the file she is nobody: her connection ends, and no other one.
    let reloaded = broker.reload(file("")).await.expect("taken over");
    assert_eq!((reloaded.users, reloaded.ended), (1, 1));
    assert!(reloaded.need_restart.is_empty(), "{reloaded:?}");
    assert_eq!(reason(&alice).await, ErrorKind::Unauthenticated);
    for client in [&bob, &nobody, &both] {
        client.ping().await.expect("goes on");
    }
    let again = connect(&broker, certified("alice")).await;
    assert_eq!(failed(again.queue("jobs.b").await), denied, "she is anonymous now");
}

#[tokio::test]
async fn a_fingerprint_means_one_certificate_and_not_its_name() {
    let carol = certified("carol");
    let pem = authority().with_file_name("carol.pem");
    let digits = fingerprint(&std::fs::read_to_string(pem).expect("it was made"));
    let users = format!("[[user]]\nname = \"singer\"\ncertificate = \"sha256:{digits}\"\n");
    let broker = start(file(&users)).await;
    let singers = async |client: &Client| {
        let listed = client.admin().clients().await.expect("lists");
        listed
            .iter()
            .filter(|it| it.sender.user.as_ref().is_some_and(|it| it.as_str() == "singer"))
            .count()
    };
    let first = connect(&broker, carol).await;
    assert_eq!(singers(&first).await, 1);
    // Another certificate for the same name is not hers.
    let second = connect(&broker, certified("carol")).await;
    assert_eq!(singers(&second).await, 1);
}

#[tokio::test]
async fn certificates_are_not_asked_of_fewer_where_nobody_else_would_be_known() {
    let files = |client_certificates| TlsServerFiles {
        client_authority: Some(authority()),
        client_certificates,
        ..server_files()
    };
    let everywhere = || BrokerConfig::default().listen("tls://0.0.0.0:0".parse().expect("a URL"));
    let required = files(ClientCertificates::Required);
    let broker = start(everywhere().tls(required.clone())).await;
    let optional = files(ClientCertificates::Optional);
    let refused = broker.reload_certificates(&optional).await;
    assert!(matches!(refused, Err(ReloadError::Insecure { .. })), "{refused:?}");
    // With users it may be, and then they may not go.
    let with_users = everywhere().tls(optional.clone()).user(user("bob").token(hash('b')));
    broker.reload(with_users).await.expect("taken over");
    broker.reload_certificates(&optional).await.expect("there are users");
    let refused = broker.reload(everywhere().tls(optional)).await;
    assert!(matches!(refused, Err(ReloadError::Insecure { .. })), "{refused:?}");
    broker.reload_certificates(&required).await.expect("it asks everybody again");
    broker.reload(everywhere().tls(required)).await.expect("nobody else is needed");
    // Plain TCP is as it was: the files of TLS say nothing of it.
    let plain = start(config()).await;
    try_connect(&plain.urls()[0], Some(token('a'))).await.expect("connects");
}
