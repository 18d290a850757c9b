//! Authorities and certificates for tests, made on the fly in a temporary folder.
//!
//! Nothing of it is kept: each test has its own. The makers take what a good certificate would
//! have, and a closure that spoils it.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::PathBuf;

use bus_core::transport::{
    ClientCertificates, TlsClient, TlsClientFiles, TlsServer, TlsServerFiles,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// An authority, and the files of those whom it has certified.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    home: TempDir,
    /// Its own certificate, and those behind it, if it is not the first one.
    chain: String,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Authority {
        Authority::made(None)
    }

    /// One that is certified by this one.
    pub fn between(&self) -> Authority {
        Authority::made(Some(self))
    }

    fn made(by: Option<&Authority>) -> Authority {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        // No two have the same name, so that nobody looks for a signature of the wrong one.
        let name = format!("an authority {:x?}", &key.public_key_raw()[1..9]);
        params.distinguished_name.push(DnType::CommonName, name);
        let made = match by {
            None => params.self_signed(&key),
            Some(by) => params.signed_by(&key, &by.issuer),
        };
        let pem = made.expect("a certificate").pem();
        std::fs::write(home.path().join("authority.pem"), &pem).expect("a file");
        let chain = by.map(|by| pem + &by.chain).unwrap_or_default();
        Authority { issuer: Issuer::new(params, key), home, chain }
    }

    /// The file of its own certificate.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("authority.pem")
    }

    /// A broker's certificate for these names.
    pub fn broker(&self, names: &[&str]) -> Pair {
        self.broker_with(names, |_| {})
    }

    pub fn broker_with(&self, names: &[&str], spoil: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = params(names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        spoil(&mut params);
        self.issue("broker", &params)
    }

    /// A client's certificate.
    pub fn client(&self, user: &str) -> Pair {
        self.client_with(user, |_| {})
    }

    pub fn client_with(&self, user: &str, spoil: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        spoil(&mut params);
        self.issue(user, &params)
    }

    fn issue(&self, name: &str, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        let home = self.home.path();
        let pair = Pair {
            certificate: home.join(format!("{name}.pem")),
            key: home.join(format!("{name}.key")),
        };
        std::fs::write(&pair.certificate, made.pem() + &self.chain).expect("a file");
        std::fs::write(&pair.key, key.serialize_pem()).expect("a file");
        pair
    }

    /// What a broker with this certificate accepts with, and asks nobody for one.
    pub fn server(&self, pair: &Pair) -> TlsServer {
        TlsServer::new(&self.server_files(pair)).expect("good files")
    }

    pub fn server_files(&self, pair: &Pair) -> TlsServerFiles {
        TlsServerFiles {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
            client_authority: Some(self.path()),
            client_certificates: ClientCertificates::None,
        }
    }

    /// A client that trusts this authority.
    pub fn trusting(&self, certificate: Option<&Pair>) -> TlsClient {
        TlsClient::new(&self.client_files(certificate)).expect("good files")
    }

    pub fn client_files(&self, certificate: Option<&Pair>) -> TlsClientFiles {
        TlsClientFiles {
            authority: Some(self.path()),
            certificate: certificate.map(|pair| (pair.certificate.clone(), pair.key.clone())),
            server_name: None,
        }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("good names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params
}
