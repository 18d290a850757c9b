//! What is wrong with certificates, as each side tells it.

use bus_core::transport::{ClientCertificates, TlsClient, TlsFailure, TlsServer};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};

use crate::certificates::{Authority, Pair};
use crate::foreign::{client_config, meet_foreign_client, meet_foreign_server, server_config};
use crate::meeting::{Outcome, failure, meet};

/// A listener that asks its clients for certificates.
fn asking(authority: &Authority, broker: &Pair, how: ClientCertificates) -> TlsServer {
    let mut files = authority.server_files(broker);
    files.client_certificates = how;
    TlsServer::new(&files).expect("good files")
}

/// Two authorities, the files of which are all good.
fn good() -> (Authority, Pair) {
    let authority = Authority::new();
    let broker = authority.broker(&["127.0.0.1", "bus.example"]);
    (authority, broker)
}

fn assert_told(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "`{told}` does not say `{word}`");
    }
}

#[tokio::test]
async fn both_sides_are_who_their_certificates_say() {
    let (authority, broker) = good();
    let ada = authority.client_with("ada", |params| {
        let uri = "busbar:user:ada".try_into().expect("a URI");
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
    });
    for how in [ClientCertificates::Optional, ClientCertificates::Required] {
        let Outcome { client, broker } =
            meet(&asking(&authority, &broker, how), &authority.trusting(Some(&ada))).await;
        let (client, broker) = (client.expect("connects"), broker.expect("accepts"));
        let seen = broker.peer().certificate.as_ref().expect("it was shown");
        assert_eq!(seen.common_name.as_deref(), Some("ada"));
        assert_eq!(seen.uris, ["busbar:user:ada"]);
        assert_eq!(seen.fingerprint_text().len(), 64);
        let shown = client.peer().certificate.as_ref().expect("a broker always has one");
        assert_eq!(shown.dns_names, ["bus.example"]);
        assert_ne!(shown.fingerprint, seen.fingerprint);
        assert_eq!(
            (client.peer().credentials.as_ref(), broker.peer().credentials.as_ref()),
            (None, None)
        );
    }
}

#[tokio::test]
async fn who_need_not_show_a_certificate_is_nobody_in_particular() {
    let (authority, broker) = good();
    for how in [ClientCertificates::None, ClientCertificates::Optional] {
        let met = meet(&asking(&authority, &broker, how), &authority.trusting(None)).await;
        assert_eq!(met.broker.expect("accepts").peer().certificate, None);
        met.client.expect("connects");
    }
    // One that is not asked for is not shown.
    let ada = authority.client("ada");
    let met = meet(&authority.server(&broker), &authority.trusting(Some(&ada))).await;
    assert_eq!(met.broker.expect("accepts").peer().certificate, None);
}

/// A broker's certificate that is spoilt so is refused by the client, and the broker hears of it.
async fn spoilt_broker(
    spoil: impl FnOnce(&mut CertificateParams),
    expected: impl FnOnce(&TlsFailure) -> bool,
    client_says: &[&str],
    broker_says: &[&str],
) {
    let authority = Authority::new();
    let good = authority.broker(&["127.0.0.1"]);
    let server = authority.server(&good);
    let client = authority.trusting(None);
    meet(&server, &client).await.client.expect("the good one is taken");
    let bad = authority.broker_with(&["127.0.0.1"], spoil);
    // What this side would not show is shown all the same: its clock may be wrong.
    let server = server_config(&bad, &[b"busbar/1"]);
    let met = meet_foreign_server(server, &client).await;
    let (found, told) = failure(met.client);
    assert!(expected(&found), "{found:?}");
    assert_told(&told, client_says);
    assert_told(&met.server.expect_err("it is told"), broker_says);
}

#[tokio::test]
async fn an_expired_broker_is_refused_and_it_is_told_since_when() {
    spoilt_broker(
        |params| params.not_after = date_time_ymd(2026, 3, 1),
        |found| matches!(found, TlsFailure::Expired { since } if since.to_string() == "2026-03-01 00:00:00 UTC"),
        &["expired on 2026-03-01 00:00:00 UTC", "renewed"],
        &["CertificateExpired"],
    )
    .await;
}

#[tokio::test]
async fn a_broker_that_is_not_valid_yet_is_refused_and_it_is_told_from_when_on() {
    spoilt_broker(
        |params| params.not_before = date_time_ymd(2101, 1, 1),
        |found| matches!(found, TlsFailure::NotYetValid { from } if from.to_string().starts_with("2101-01-01")),
        &["not valid before 2101-01-01", "clock"],
        &["Certificate"],
    )
    .await;
}

#[tokio::test]
async fn a_clients_certificate_does_not_make_a_broker() {
    spoilt_broker(
        |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        |found| matches!(found, TlsFailure::BadCertificate { .. }),
        &["cannot be used"],
        &["UnsupportedCertificate"],
    )
    .await;
}

#[tokio::test]
async fn a_broker_of_another_name_is_refused_and_its_names_are_told() {
    let authority = Authority::new();
    let other = authority.broker(&["bus.example", "10.1.2.3"]);
    let server = authority.server(&other);
    let met = meet(&server, &authority.trusting(None)).await;
    let (found, told) = failure(met.client);
    let TlsFailure::WrongName { wanted, names } = &found else { panic!("{found:?}") };
    assert_eq!((wanted.as_str(), names.len()), ("127.0.0.1", 2), "{names:?}");
    assert_told(&told, &["`127.0.0.1`", "`bus.example`", "which one to expect"]);
    let (found, told) = failure(met.broker);
    assert!(matches!(found, TlsFailure::CertificateRefused { .. }), "{found:?}");
    assert_told(&told, &["does not accept", "another name"]);
    // Nothing but the name was wrong.
    let mut files = authority.client_files(None);
    files.server_name = Some("bus.example".into());
    let client = TlsClient::new(&files).expect("good files");
    meet(&server, &client).await.client.expect("connects by the right name");
}

#[tokio::test]
async fn a_broker_of_an_unknown_authority_is_refused() {
    let (authority, broker) = good();
    let server = authority.server(&broker);
    let met = meet(&server, &Authority::new().trusting(None)).await;
    let (found, told) = failure(met.client);
    assert_eq!(found, TlsFailure::UnknownAuthority);
    assert_told(&told, &["authority", "give that authority's certificate"]);
    let (found, told) = failure(met.broker);
    assert!(matches!(found, TlsFailure::CertificateRefused { .. }), "{found:?}");
    assert_told(&told, &["does not accept this broker's certificate", "authority"]);
    meet(&server, &authority.trusting(None)).await.client.expect("the right one is believed");
}

#[tokio::test]
async fn the_systems_authorities_do_not_vouch_for_a_private_one() {
    let (authority, broker) = good();
    let client = TlsClient::new(&bus_core::transport::TlsClientFiles::default());
    let met = meet(&authority.server(&broker), &client.expect("no file is needed")).await;
    assert_eq!(failure(met.client).0, TlsFailure::UnknownAuthority);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let (authority, broker) = good();
    let server = asking(&authority, &broker, ClientCertificates::Required);
    let met = meet(&server, &authority.trusting(None)).await;
    let (found, told) = failure(met.client);
    assert_eq!(found, TlsFailure::NoClientCertificate);
    assert_told(&told, &["requires a client certificate", "with its key"]);
    let (found, told) = failure(met.broker);
    assert_eq!(found, TlsFailure::NoClientCertificate);
    assert_told(&told, &["shown no certificate", "required"]);
}

#[tokio::test]
async fn authorities_may_stand_between_a_client_and_the_one_that_is_trusted() {
    let (authority, broker) = good();
    let server = asking(&authority, &broker, ClientCertificates::Required);
    let near = authority.between().between().between();
    let ada = near.client("ada");
    let met = meet(&server, &authority.trusting(Some(&ada))).await;
    met.client.expect("three are well within what is taken");
    // More than are kept, and more than are looked at, however short they are.
    let mut last = near.between();
    for _ in 0..8 {
        last = last.between();
    }
    let short = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".repeat(9);
    let own = std::fs::read_to_string(&ada.certificate).expect("a file");
    std::fs::write(&ada.certificate, own + &short).expect("a file");
    let cases = [
        (last.client("eve"), "more than 4166 bytes"),
        (ada, "cannot be used: more than 8 certificates"),
    ];
    for (pair, words) in cases {
        let config = client_config(&authority, Some(&pair), &[b"busbar/1"]);
        assert_told(&failure(meet_foreign_client(&server, config).await.broker).1, &[words]);
    }
}

#[tokio::test]
async fn a_bad_client_certificate_is_refused_even_where_none_is_required() {
    let (authority, broker) = good();
    let strangers = Authority::new();
    let old = authority.client_with("old", |params| params.not_after = date_time_ymd(2026, 3, 1));
    let early =
        authority.client_with("early", |params| params.not_before = date_time_ymd(2101, 1, 1));
    let eve = strangers.client("eve");
    let usage = authority.client_with("usage", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let cases: [(&Pair, &[&str], &[&str]); 4] = [
        (
            &old,
            &["does not accept this client's certificate", "expired"],
            &["expired on 2026-03-01"],
        ),
        (&early, &["does not accept this client's certificate"], &["not valid before 2101"]),
        (&eve, &["does not accept", "authority that is not trusted there"], &["client_authority"]),
        (&usage, &["does not accept"], &["cannot be used"]),
    ];
    for how in [ClientCertificates::Optional, ClientCertificates::Required] {
        let server = asking(&authority, &broker, how);
        for (pair, client_says, broker_says) in &cases {
            let client = client_config(&authority, Some(pair), &[b"busbar/1"]);
            let met = meet_foreign_client(&server, client).await;
            assert_told(&failure(met.broker).1, broker_says);
            // Our own client would show it as well, if its clock were wrong.
            if let Ok(client) = TlsClient::new(&authority.client_files(Some(pair))) {
                let (found, told) = failure(meet(&server, &client).await.client);
                assert!(matches!(found, TlsFailure::CertificateRefused { .. }), "{found:?}");
                assert_told(&told, client_says);
            }
        }
    }
}
