//! Tests of records: two sides that have shaken hands in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use rustls::pki_types::ServerName;

use super::*;
use crate::transport::tls::engine::Engine;
use crate::transport::{ClientCertificates, TlsClient, TlsClientFiles, TlsServer, TlsServerFiles};

/// The connecting side and the accepting one.
fn pair() -> (Records, Records) {
    let home = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (home.path().join("a.pem"), home.path().join("a.key"));
    let made = rcgen::generate_simple_self_signed(["a.test".into()]).expect("a certificate");
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let client = TlsClientFiles { authority: Some(certificate.clone()), ..Default::default() };
    let client = TlsClient::new(&client).expect("good files");
    let client_certificates = ClientCertificates::None;
    let server = TlsServerFiles { certificate, key, client_authority: None, client_certificates };
    let server = TlsServer::new(&server).expect("good files");
    let name = ServerName::try_from("a.test").expect("a name");
    let mut near = Engine::client(client.config.clone(), name).expect("a connection");
    let mut far = Engine::server(server.config()).expect("a connection");
    let (mut up, mut down) = (Vec::new(), Vec::new());
    while near.handshake().is_some_and(|state| state.is_handshaking())
        || far.handshake().is_some_and(|state| state.is_handshaking())
    {
        advance(&mut near, &mut down, &mut up);
        advance(&mut far, &mut up, &mut down);
    }
    (finished(near), finished(far))
}

fn advance(engine: &mut Engine, incoming: &mut Vec<u8>, outgoing: &mut Vec<u8>) {
    loop {
        let (used, step) = engine.step(incoming, &mut |_| panic!("nothing is said"), outgoing);
        incoming.drain(..used);
        if step.expect("a good peer") != Step::Again {
            return;
        }
    }
}

fn finished(mut engine: Engine) -> Records {
    engine.finish_handshake().expect("it is over");
    match engine {
        Engine::Records(records) => *records,
        _ => panic!("it has keys"),
    }
}

/// Seals a word for itself.
fn sealed(records: &mut Records, word: &'static [u8]) -> Vec<Vec<u8>> {
    let (slices, mut out) = ([Bytes::from_static(word)], Vec::new());
    records.seal(&mut Source::new(&slices), &mut out).expect("a cipher");
    let (mut rest, mut found) = (&out[..], Vec::new());
    while let Ok(Some(length)) = sealed_length(rest) {
        let (record, behind) = rest.split_at(HEADER_BYTES + length);
        found.push(record.to_vec());
        rest = behind;
    }
    assert_eq!(rest, b"", "all of it is records");
    found
}

/// Opens one record, or less.
fn opened(records: &mut Records, record: &[u8]) -> (Result<Step, Error>, Vec<u8>) {
    let mut bytes = record.to_vec();
    let Opened { used, plain, step } = records.open(&mut bytes);
    let is_whole = whole_record(record).is_some();
    assert!(step.is_err() || used == if is_whole { record.len() } else { 0 });
    (step, bytes[..plain].to_vec())
}

/// How often one side announces new keys in a hundred words, if it may seal so many records with the same.
fn renewals(sealed_max: u64) -> usize {
    let (mut near, mut far) = pair();
    near.sealed_max = sealed_max;
    let mut renewals = 0;
    for _ in 0..100 {
        let mut on_the_way: VecDeque<_> = sealed(&mut near, b"a word").into();
        assert!(near.sealer.number() < sealed_max, "too many with the same key");
        let word = on_the_way.pop_back().expect("a record");
        for renewal in on_the_way {
            assert_eq!(opened(&mut far, &renewal), (Ok(Step::Waits), Vec::new()));
            renewals += 1;
        }
        assert_eq!(opened(&mut far, &word), (Ok(Step::Waits), b"a word".to_vec()));
        // The other direction has keys of its own.
        let answer = sealed(&mut far, b"a reply");
        assert_eq!(answer.len(), 1);
        assert_eq!(opened(&mut near, &answer[0]), (Ok(Step::Waits), b"a reply".to_vec()));
    }
    renewals
}

#[test]
fn keys_are_renewed_before_they_have_sealed_as_much_as_they_may() {
    assert_eq!(renewals(10), 11);
    assert_eq!(renewals(u64::MAX), 0);
}

#[test]
fn a_peer_that_asks_for_new_keys_gets_them_once_and_before_the_next_word() {
    let (mut near, mut far) = pair();
    for _ in 0..3 {
        let mut ask = KEY_UPDATE;
        ask[4] = 1;
        let mut asked = Vec::new();
        near.sealer.seal(ContentType::Handshake, &[&ask], &mut asked).expect("a cipher");
        // What it announces by itself is not sent.
        near.renew_keys(&mut Vec::new()).expect("there are more");
        assert_eq!(opened(&mut far, &asked), (Ok(Step::Waits), Vec::new()));
    }
    let answer = sealed(&mut far, b"a word");
    assert_eq!(answer.len(), 2);
    assert_eq!(opened(&mut near, &answer[0]), (Ok(Step::Waits), Vec::new()));
    assert_eq!(opened(&mut near, &answer[1]), (Ok(Step::Waits), b"a word".to_vec()));
    assert_eq!(sealed(&mut far, b"a word").len(), 1);
}

#[test]
fn nothing_is_given_on_of_a_record_of_which_a_bit_was_changed() {
    let (mut near, mut far) = pair();
    let record = sealed(&mut near, b"a word").remove(0);
    // Behind kind and version, whose meaning is fixed, and the length, which says where it ends.
    for place in HEADER_BYTES..record.len() {
        let mut changed = record.clone();
        changed[place] ^= 1;
        assert_eq!(opened(&mut far, &changed), (Err(Error::DecryptError), Vec::new()));
    }
    for length in 0..record.len() {
        assert_eq!(whole_record(&record[..length]), None);
        assert_eq!(opened(&mut far, &record[..length]), (Ok(Step::Waits), Vec::new()));
    }
    assert_eq!(whole_record(&record), Some(record.len()));
    assert_eq!(opened(&mut far, &record), (Ok(Step::Waits), b"a word".to_vec()));
    // A second time it is not the next one.
    assert_eq!(opened(&mut far, &record), (Err(Error::DecryptError), Vec::new()));
}

#[test]
fn records_are_opened_without_gaps_and_the_rest_is_left() {
    let (mut near, mut far) = pair();
    let mut all = Vec::new();
    for word in [&b"one"[..], b"two", b"three"] {
        all.extend(sealed(&mut near, word).concat());
    }
    // One that brings nothing, in between; and zeros behind what another one brings.
    near.sealer.seal(ContentType::ApplicationData, &[], &mut all).expect("a cipher");
    near.sealer.seal(ContentType::Unknown(0), &[b"four\x17\0\0"], &mut all).expect("a cipher");
    let (whole, last) = (all.len(), sealed(&mut near, b"five").remove(0));
    all.extend_from_slice(&last[..last.len() - 1]);
    let opened = far.open(&mut all);
    assert_eq!(opened, Opened { used: whole, plain: 15, step: Ok(Step::Waits) });
    assert_eq!(&all[..15], b"onetwothreefour");
    let mut rest = [&all[whole..], &last[last.len() - 1..], &[23, 3, 3, 0xff, 0xff]].concat();
    // What stands before an error counts.
    let opened = far.open(&mut rest);
    assert_eq!((opened.plain, opened.step), (4, Err(Error::PeerSentOversizedRecord)));
    assert_eq!(&rest[..4], b"five");
    let mut zeros = Vec::new();
    near.sealer.seal(ContentType::Unknown(0), &[&[0; 9]], &mut zeros).expect("a cipher");
    assert_eq!(far.open(&mut zeros).step, Err(PeerMisbehaved::IllegalTlsInnerPlaintext.into()));
}

#[test]
fn a_farewell_ends_and_what_is_wrong_is_explained_unless_the_peer_has_said_it() {
    let (mut near, mut far) = pair();
    let (mut farewell, mut told) = (Vec::new(), Vec::new());
    near.say_farewell(&mut farewell).expect("a cipher");
    assert_eq!(opened(&mut far, &farewell), (Ok(Step::Closed), Vec::new()));
    far.explain(&Error::DecryptError, &mut told).expect("a cipher");
    let heard = Error::AlertReceived(AlertDescription::BadRecordMac);
    assert_eq!(opened(&mut near, &told), (Err(heard.clone()), Vec::new()));
    told.clear();
    near.explain(&heard, &mut told).expect("there is nothing to say");
    assert_eq!(told, b"");
}
