//! Certificates are exchanged while connections stay, and bad ones never.

use bus_core::transport::{ClientCertificates, TlsClient, TlsServer};
use rcgen::date_time_ymd;

use crate::certificates::Authority;
use crate::meeting::{Outcome, hear, meet, say};

#[tokio::test]
async fn new_connections_see_new_certificates_and_old_ones_stay() {
    let (authority, next) = (Authority::new(), Authority::new());
    let server = authority.server(&authority.broker(&["127.0.0.1"]));
    let Outcome { client, broker } = meet(&server, &authority.trusting(None)).await;
    let (mut client, mut broker) = (client.expect("connects"), broker.expect("accepts"));
    let renewed = next.broker(&["127.0.0.1"]);
    server.reload(&next.server_files(&renewed)).expect("good files");
    meet(&server, &next.trusting(None)).await.client.expect("connects");
    meet(&server, &authority.trusting(None)).await.client.err().expect("not by the old ones");
    for _ in 0..3 {
        say(&mut *client, b"still here").await.expect("goes on");
        hear(&mut *broker, b"still here").await.expect("goes on");
        say(&mut *broker, b"I am too").await.expect("goes on");
        hear(&mut *client, b"I am too").await.expect("goes on");
    }
}

#[tokio::test]
async fn who_is_let_in_is_exchanged_too() {
    let (authority, staff) = (Authority::new(), Authority::new());
    let mut files = authority.server_files(&authority.broker(&["127.0.0.1"]));
    files.client_certificates = ClientCertificates::Required;
    let server = TlsServer::new(&files).expect("good files");
    let ada = authority.trusting(Some(&authority.client("ada")));
    meet(&server, &ada).await.client.expect("she is let in");
    files.client_authority = Some(staff.path());
    server.reload(&files).expect("good files");
    // Also with what she remembers of the last time.
    meet(&server, &ada).await.client.err().expect("she is not any more");
}

#[tokio::test]
async fn bad_files_are_refused_with_a_reason_and_change_nothing() {
    let authority = Authority::new();
    let broker = authority.broker(&["127.0.0.1"]);
    let good = authority.server_files(&broker);
    let server = TlsServer::new(&good).expect("good files");
    let other = Authority::new();
    let old = other.broker_with(&["127.0.0.1"], |p| p.not_after = date_time_ymd(2026, 3, 1));
    let early = authority.client_with("early", |p| p.not_before = date_time_ymd(2101, 1, 1));
    let folder = tempfile::tempdir().expect("a folder");
    let junk = folder.path().join("junk.pem");
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\n!!!\n").expect("a file");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a file");
    let check = |change: &dyn Fn(&mut bus_core::transport::TlsServerFiles), words: &[&str]| {
        let mut files = good.clone();
        change(&mut files);
        let error = server.reload(&files).expect_err("a bad file");
        let told = error.to_string();
        let of_its_time = words.iter().any(|word| word.contains("2026") || word.contains("2101"));
        assert_eq!(error.is_out_of_date(), of_its_time, "{told}");
        for word in words {
            assert!(told.contains(word), "`{told}` does not say `{word}`");
        }
    };
    let strangers = Authority::new();
    let (missing, key) = (folder.path().join("missing"), strangers.broker(&["other"]).key);
    check(&|files| files.certificate = missing.clone(), &["missing", "No such file"]);
    check(&|files| files.certificate = junk.clone(), &["junk.pem", "not PEM"]);
    check(&|files| files.certificate = empty.clone(), &["empty.pem", "no certificate"]);
    check(&|files| files.certificate = good.key.clone(), &["no certificate"]);
    check(&|files| files.certificate = old.certificate.clone(), &["expired on 2026-03-01"]);
    check(&|files| files.certificate = early.certificate.clone(), &["not valid before 2101-01-01"]);
    check(&|files| files.key = key.clone(), &["not the key of the certificate"]);
    check(&|files| files.key = good.certificate.clone(), &["no private key"]);
    let required = ClientCertificates::Required;
    check(
        &|files| (files.client_certificates, files.client_authority) = (required, None),
        &["client_authority"],
    );
    check(
        &|files| {
            (files.client_certificates, files.client_authority) = (required, Some(empty.clone()));
        },
        &["client authority", "no certificate"],
    );
    meet(&server, &authority.trusting(None)).await.client.expect("the old ones are in use");
}

#[tokio::test]
async fn a_client_says_which_of_its_files_is_bad() {
    let authority = Authority::new();
    let ada = authority.client("ada");
    let eve = authority.client("eve");
    let mut files = authority.client_files(Some(&ada));
    TlsClient::new(&files).expect("good files");
    files.certificate = Some((ada.certificate.clone(), eve.key.clone()));
    let told = TlsClient::new(&files).expect_err("another's key").to_string();
    assert!(told.contains("eve.key") && told.contains("not the key"), "{told}");
    files.certificate = None;
    files.authority = Some(ada.key.clone());
    let told = TlsClient::new(&files).expect_err("no authority").to_string();
    assert!(told.contains("authority") && told.contains("no certificate"), "{told}");
}
