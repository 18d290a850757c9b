//! With which certificates a side shows itself, and whom it believes.
//!
//! TLS 1.3 and the bus protocol, nothing else. Sessions are not resumed: a connection is always
//! checked against the authorities of now, and after a reload nobody comes in by the old ones.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::chain::ShortChains;
use super::pem::{self, InvalidTlsFile, TlsFile};
use crate::transport::{ClientCertificates, TlsClientFiles, TlsServerFiles};

/// The protocol inside, as TLS names it.
pub(super) const PROTOCOL: &[u8] = b"busbar/1";

/// With what a broker accepts TLS. What is made of it shares it, also what is exchanged later.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<Mutex<Arc<ServerConfig>>>);

impl TlsServer {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(files: &TlsServerFiles) -> Result<TlsServer, InvalidTlsFile> {
        Ok(TlsServer(Arc::new(Mutex::new(Arc::new(server_config(files)?)))))
    }

    /// Reads the files anew. Connections from now on are accepted with what they contain; others
    /// stay.
    ///
    /// # Errors
    /// When one of them cannot be used: then nothing has changed.
    pub fn reload(&self, files: &TlsServerFiles) -> Result<(), InvalidTlsFile> {
        self.exchange(&TlsServer::new(files)?);
        Ok(())
    }

    /// Accepts from now on with what another one accepts with, which was read beforehand.
    pub fn exchange(&self, other: &TlsServer) {
        let config = other.config();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// With what a client connects over TLS.
#[derive(Clone, Debug)]
pub struct TlsClient {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: Option<String>,
}

impl TlsClient {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(files: &TlsClientFiles) -> Result<TlsClient, InvalidTlsFile> {
        let authorities = match &files.authority {
            Some(path) => pem::authorities(TlsFile::Authority, path)?,
            None => system_authorities(),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()));
        let builder = only_this_version(builder.with_protocol_versions(&[&TLS13]));
        let builder = builder.with_root_certificates(authorities);
        let mut config = match &files.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(pem::own_certificates(certificate)?, pem::key(key)?)
                .map_err(|error| InvalidTlsFile::new(TlsFile::Key, key, unfit(&error)))?,
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_secret_extraction = true;
        Ok(TlsClient { config: Arc::new(config), server_name: files.server_name.clone() })
    }
}

fn server_config(files: &TlsServerFiles) -> Result<ServerConfig, InvalidTlsFile> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = only_this_version(builder.with_protocol_versions(&[&TLS13]));
    let builder = match (files.client_certificates, &files.client_authority) {
        (ClientCertificates::None, _) => builder.with_no_client_auth(),
        (_, None) => {
            let reason = "without client_authority no client certificate can be checked";
            return Err(InvalidTlsFile::new(TlsFile::Certificate, &files.certificate, reason));
        }
        (asks, Some(path)) => {
            const FILE: TlsFile = TlsFile::ClientAuthority;
            let authorities = Arc::new(pem::authorities(FILE, path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider);
            let verifier = match asks {
                ClientCertificates::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build();
            let verifier = verifier.map_err(|error| InvalidTlsFile::new(FILE, path, error))?;
            builder.with_client_cert_verifier(Arc::new(ShortChains(verifier)))
        }
    };
    let certificates = pem::own_certificates(&files.certificate)?;
    let mut config = builder
        .with_single_cert(certificates, pem::key(&files.key)?)
        .map_err(|error| InvalidTlsFile::new(TlsFile::Key, &files.key, unfit(&error)))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    Ok(config)
}

/// The cryptography. Of its ciphers the one with the least work comes first: both sides have
/// instructions for it, and a key of 128 bits is enough.
pub(super) fn provider() -> CryptoProvider {
    #[cfg(not(feature = "tls-aws-lc"))]
    let mut provider = rustls::crypto::ring::default_provider();
    #[cfg(feature = "tls-aws-lc")]
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let first =
        |suite: &SupportedCipherSuite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(first);
    provider
}

/// SHA-256, by the same cryptography.
pub(super) fn sha256(bytes: &[u8]) -> Option<[u8; 32]> {
    let suites = provider().cipher_suites;
    let suite = suites.iter().find(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    let hash = suite?.tls13()?.common.hash_provider.hash(bytes);
    hash.as_ref().try_into().ok()
}

fn only_this_version<T>(builder: Result<T, rustls::Error>) -> T {
    // It fails for a provider without a cipher of TLS 1.3: both of them have three, and a test
    // makes both configurations.
    builder.expect("the provider has ciphers of TLS 1.3")
}

/// What the system trusts. Where it trusts nobody, no broker is believed, and the failure says so.
fn system_authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

fn unfit(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "it is not the key of the certificate".into(),
        error => format!("it cannot be used: {error}"),
    }
}
