//! `bus cert`, and a broker and verbs that use what it makes.

use std::fs;

use rustix::process::Signal;

use crate::stage::{CONFLICT, DENIED, DONE, FILE, NOTHING, Process, USAGE, bus, command, run};

/// A folder with an authority, a broker's certificate, and one of a client.
pub async fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tls").display().to_string();
    let outcome = bus(&["cert", "authority", &path]).await;
    outcome.check(DONE, &["authority.pem", "authority.key", "secret", "valid:", "UTC"]);
    bus(&["cert", "server", &path, "127.0.0.1", "localhost"]).await.check(DONE, &["server.pem"]);
    bus(&["cert", "client", &path, "ada"]).await.check(DONE, &["ada.pem", "ada.key"]);
    folder
}

pub fn file(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join("tls").join(name).display().to_string()
}

#[tokio::test]
async fn certificates_are_made_once() {
    let folder = made().await;
    let path = folder.path().join("tls").display().to_string();
    bus(&["cert", "authority", &path]).await.check(CONFLICT, &["authority.key", "--force"]);
    bus(&["cert", "client", &path, "ada"]).await.check(CONFLICT, &["ada.key", "--force"]);
    bus(&["cert", "client", &path, "ada", "--force", "--days", "2"]).await.check(DONE, &["ada"]);
    bus(&["cert", "server", &path, "bus.example", "--as", "far"]).await.check(DONE, &["far.pem"]);
    bus(&["cert", "client", &path, "a b"]).await.check(USAGE, &["`a b`"]);
    bus(&["cert", "client", "/nowhere", "ada"]).await.check(NOTHING, &["bus cert authority"]);
    bus(&["cert", "client", &path, "x", "--days", "0"]).await.check(USAGE, &["--days"]);
}

#[tokio::test]
async fn a_broker_and_its_clients_use_what_was_made() {
    let folder = made().await;
    let config = folder.path().join("bus.toml").display().to_string();
    let [ca, cert, key] = ["authority.pem", "server.pem", "server.key"].map(|it| file(&folder, it));
    let text = format!(
        "listen = [\"tls://127.0.0.1:0\"]\n[tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n\
         client_authority = \"{ca}\"\nclient_certificates = \"required\"\n"
    );
    fs::write(&config, &text).expect("a file");
    let outcome = bus(&["serve", "-c", &config, "--check"]).await;
    outcome.check(DONE, &["[tls]", "client_certificates = \"required\""]);
    let mut broker = Process::start(&["serve", "-c", &config]);
    let url = broker.line().await.replace("listening on ", "");
    assert!(url.starts_with("tls://127.0.0.1:"), "{url}");
    let [ada, ada_key] = ["ada.pem", "ada.key"].map(|it| file(&folder, it));
    bus(&["--url", &url, "ping"]).await.check(DENIED, &["--tls-ca"]);
    bus(&["--url", &url, "ping", "--tls-ca", &ca]).await.check(DENIED, &["--tls-cert"]);
    let both = ["--tls-cert", &ada, "--tls-key", &ada_key];
    let flags = ["--tls-ca", &ca, "--url", &url];
    let with = |verb: &[&'static str]| [verb, &flags[..], &both[..]].concat();
    bus(&with(&["create", "jobs"])).await.check(DONE, &[]);
    bus(&with(&["send", "jobs", "hello"])).await.check(DONE, &[]);
    let mut by_environment = command();
    by_environment.env("BUS_URL", &url).env("BUS_TLS_CA", &ca).args(["recv", "jobs"]);
    by_environment.env("BUS_TLS_CERT", &ada).env("BUS_TLS_KEY", &ada_key);
    run(by_environment, b"").await.check(DONE, &["hello"]);
    let outcome = bus(&with(&["bench", "--seconds", "0.1"])).await;
    outcome.check(DONE, &[]);
    let half = [&["ping"], &flags[..], &both[..2]].concat();
    bus(&half).await.check(USAGE, &["--tls-key"]);
}

#[tokio::test]
async fn hanging_up_reads_certificates_again() {
    let folder = made().await;
    let path = folder.path().join("tls").display().to_string();
    let [ca, cert, key] = ["authority.pem", "server.pem", "server.key"].map(|it| file(&folder, it));
    let mut broker = Process::start(&[
        "serve",
        "-l",
        "tls://127.0.0.1:0",
        "--tls-server-cert",
        &cert,
        "--tls-server-key",
        &key,
    ]);
    let url = broker.line().await.replace("listening on ", "");
    let old_ca = folder.path().join("old.pem").display().to_string();
    fs::copy(&ca, &old_ca).expect("copies");
    bus(&["--url", &url, "--tls-ca", &old_ca, "ping"]).await.check(DONE, &[]);
    // A bad file is told, and changes nothing.
    let good = fs::read(&key).expect("it is there");
    fs::write(&key, "nothing").expect("a file");
    broker.signal(Signal::HUP);
    let told = broker.word().await;
    assert!(told.contains("no private key") && told.contains("nothing was taken over"), "{told}");
    bus(&["--url", &url, "--tls-ca", &old_ca, "ping"]).await.check(DONE, &[]);
    fs::write(&key, good).expect("a file");
    // Another authority, and what it certifies.
    bus(&["cert", "authority", &path, "--force"]).await.check(DONE, &[]);
    bus(&["cert", "server", &path, "127.0.0.1", "--force"]).await.check(DONE, &[]);
    bus(&["--url", &url, "--tls-ca", &ca, "ping"]).await.check(DENIED, &["authority"]);
    broker.signal(Signal::HUP);
    assert!(broker.word().await.contains("certificates are read again"));
    bus(&["--url", &url, "--tls-ca", &ca, "ping"]).await.check(DONE, &[]);
    bus(&["--url", &url, "--tls-ca", &old_ca, "ping"]).await.check(DENIED, &["authority"]);
}

#[tokio::test]
async fn each_port_tells_who_is_wrong_there() {
    let folder = made().await;
    let [ca, cert, key] = ["authority.pem", "server.pem", "server.key"].map(|it| file(&folder, it));
    let mut broker = Process::start(&[
        "serve",
        "-v",
        "-l",
        "tls://127.0.0.1:0",
        "-l",
        "tcp://127.0.0.1:0",
        "--tls-server-cert",
        &cert,
        "--tls-server-key",
        &key,
    ]);
    let tls = broker.line().await.replace("listening on ", "");
    let tcp = broker.line().await.replace("listening on ", "");
    let outcome = bus(&["--url", &tls.replacen("tls:", "tcp:", 1), "ping"]).await;
    outcome.check(1, &["this port speaks TLS: use tls://"]);
    let told = broker.word().await;
    assert!(told.contains("handshake failed") && told.contains("does not speak TLS"), "{told}");
    let outcome = bus(&["--url", &tcp.replacen("tcp:", "tls:", 1), "--tls-ca", &ca, "ping"]).await;
    outcome.check(1, &["does not speak TLS: use tcp://"]);
    let told = broker.word().await;
    assert!(told.contains("the client speaks TLS, and this listener does not"), "{told}");
}

#[tokio::test]
async fn mistakes_with_certificates_are_named() {
    let folder = made().await;
    let [cert, key] = ["server.pem", "server.key"].map(|it| file(&folder, it));
    let serve = |more: &[&'static str]| {
        let mut all = vec!["serve", "-l", "tls://127.0.0.1:0"];
        all.extend(more);
        all
    };
    bus(&serve(&[])).await.check(USAGE, &["tls://127.0.0.1:0", "--tls-server-cert", "bus cert"]);
    bus(&serve(&["--tls-server-cert", "/nowhere"])).await.check(USAGE, &["--tls-server-key"]);
    let missing = ["--tls-server-cert", "/nowhere", "--tls-server-key", "/nowhere"];
    bus(&serve(&missing)).await.check(FILE, &["/nowhere", "No such file"]);
    bus(&serve(&["--tls-cert", "/nowhere"]))
        .await
        .check(USAGE, &["--tls-cert", "--tls-server-cert"]);
    let files =
        ["serve", "-l", "tls://0.0.0.0:0", "--tls-server-cert", &cert, "--tls-server-key", &key];
    bus(&files).await.check(DENIED, &["tls://0.0.0.0:0", "required", "--insecure"]);
    let asking = [&files[..], &["--tls-clients", "required"]].concat();
    bus(&asking).await.check(USAGE, &["--tls-client-ca"]);
}

#[tokio::test]
async fn hanging_up_takes_over_certificates_and_users_together() {
    let folder = made().await;
    let config = folder.path().join("bus.toml").display().to_string();
    let [ca, cert, key] = ["authority.pem", "server.pem", "server.key"].map(|it| file(&folder, it));
    let write = |clients: &str, key: &str, users: &[&str]| {
        let users = users.iter().map(|name| {
            format!("[[user]]\nname = \"{name}\"\ncertificate = \"busbar:user:{name}\"\n")
        });
        let text = format!(
            "listen = [\"tls://0.0.0.0:0\"]\n[tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n\
             client_authority = \"{ca}\"\nclient_certificates = \"{clients}\"\n{}",
            users.collect::<String>()
        );
        fs::write(&config, text).expect("a file");
    };
    write("required", &key, &[]);
    let mut broker = Process::start(&["serve", "-c", &config]);
    let url = broker.line().await.replace("listening on ", "").replace("0.0.0.0", "127.0.0.1");
    let ping = ["--url", &url, "--tls-ca", &ca, "ping"];
    bus(&ping).await.check(DENIED, &["--tls-cert"]);
    // Fewer must show a certificate, which is allowed for the sake of the new users.
    write("optional", &key, &["ada"]);
    broker.signal(Signal::HUP);
    let told = broker.line().await;
    assert!(told.contains("users: 1; ") && told.contains("restart: nothing"), "{told}");
    while !broker.word().await.contains("certificates are read again") {}
    bus(&ping).await.check(DONE, &[]);
    let [ada, ada_key] = ["ada.pem", "ada.key"].map(|it| file(&folder, it));
    let as_ada = [&ping[..4], &["--tls-cert", &ada, "--tls-key", &ada_key]].concat();
    bus(&[&as_ada[..], &["ls", "--clients"]].concat()).await.check(DONE, &[" ada "]);
    // With bad certificates nothing is taken over, users neither.
    write("optional", "/nowhere", &["eve"]);
    broker.signal(Signal::HUP);
    while !broker.word().await.contains("/nowhere") {}
    bus(&[&as_ada[..], &["ls", "--clients"]].concat()).await.check(DONE, &[" ada "]);
    // Without users nobody could be known any more: nothing of that counts.
    write("optional", &key, &[]);
    broker.signal(Signal::HUP);
    while !broker.word().await.contains("no [[user]] would be left") {}
    bus(&[&as_ada[..], &["ls", "--clients"]].concat()).await.check(DONE, &[" ada "]);
}
