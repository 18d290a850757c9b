//! Clients that believe too much, and what the tests of failures are worth: what our own client
//! refuses lets one of these in, and for that reason alone.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::certificates::Authority;
use crate::foreign::{client_config, meet_foreign_client};
use crate::meeting::meet;

/// What somebody does not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blind {
    Nothing,
    Names,
    Authorities,
}

#[derive(Debug)]
struct Credulous {
    inner: Arc<WebPkiServerVerifier>,
    blind: Blind,
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
        let (inner, blind) = (&self.inner, self.blind);
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if blind == Blind::Names =>
            {
                Ok(ServerCertVerified::assertion())
            }
            Err(Error::InvalidCertificate(UnknownIssuer)) if blind == Blind::Authorities => {
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A client that trusts this authority, but for what it does not look at.
fn credulous(authority: &Authority, blind: Blind) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.path()).expect("a file")).expect("good");
    let mut config = client_config(authority, None, &[b"busbar/1"]);
    let provider = config.crypto_provider().clone();
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let inner = inner.build().expect("there is an authority");
    config.dangerous().set_certificate_verifier(Arc::new(Credulous { inner, blind }));
    config
}

#[tokio::test]
async fn a_client_that_does_not_look_is_let_in_where_ours_refuses() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let good = authority.server(&authority.broker(&["127.0.0.1"]));
    let misnamed = authority.server(&authority.broker(&["bus.example"]));
    let unknown = strangers.server(&strangers.broker(&["127.0.0.1"]));
    let cases = [
        (&good, true, [true, true, true]),
        (&misnamed, false, [false, true, false]),
        (&unknown, false, [false, false, true]),
    ];
    for (server, ours, theirs) in cases {
        let met = meet(server, &authority.trusting(None)).await;
        assert_eq!((met.client.is_ok(), met.broker.is_ok()), (ours, ours));
        for (blind, expected) in
            [Blind::Nothing, Blind::Names, Blind::Authorities].into_iter().zip(theirs)
        {
            let met = meet_foreign_client(server, credulous(&authority, blind)).await;
            let found = (met.client.is_ok(), met.broker.is_ok());
            assert_eq!(found, (expected, expected), "blind to {blind:?}");
        }
    }
}
