//! What a peer's certificate says of it, and where certificates lie.
//!
//! Plain data, there with and without TLS: nothing here reads a file or believes a certificate.
//! Only what the peer's authority was checked for gets into a [`PeerCertificate`].

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

/// What the certificate of a peer says. It was issued by an authority that this side trusts, is
/// valid now, and the peer has its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The common name (CN) of its subject; none if there is none, or more than one.
    pub common_name: Option<String>,
    /// The names of hosts that it is for (subject alternative names of the kind DNS).
    pub dns_names: Vec<String>,
    /// The URIs that it is for (subject alternative names of the kind URI).
    pub uris: Vec<String>,
    /// SHA-256 over the whole certificate.
    pub fingerprint: [u8; 32],
}

impl PeerCertificate {
    /// The fingerprint as people write it: 64 hexadecimal digits.
    pub fn fingerprint_text(&self) -> String {
        self.fingerprint.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Whether a listener asks its clients for certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It does not ask.
    #[default]
    None,
    /// It asks; a client may have none, but no bad one.
    Optional,
    /// Whoever has none is refused.
    Required,
}

/// A text is none of the three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none, optional or required")]
pub struct InvalidClientCertificates;

impl FromStr for ClientCertificates {
    type Err = InvalidClientCertificates;

    fn from_str(text: &str) -> Result<ClientCertificates, InvalidClientCertificates> {
        match text {
            "none" => Ok(ClientCertificates::None),
            "optional" => Ok(ClientCertificates::Optional),
            "required" => Ok(ClientCertificates::Required),
            _ => Err(InvalidClientCertificates),
        }
    }
}

impl fmt::Display for ClientCertificates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ClientCertificates::None => "none",
            ClientCertificates::Optional => "optional",
            ClientCertificates::Required => "required",
        })
    }
}

/// The files of a broker that listens with TLS, all of them PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsServerFiles {
    /// Its certificate, and behind it those between it and its authority.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The authorities of its clients' certificates.
    pub client_authority: Option<PathBuf>,
    /// Whether clients must have one.
    pub client_certificates: ClientCertificates,
}

/// The files of a client that connects with TLS, all of them PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsClientFiles {
    /// The authorities that the broker's certificate may come from; without it those that the
    /// system trusts.
    pub authority: Option<PathBuf>,
    /// The client's certificate, and its private key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The name that must stand in the broker's certificate; without it the URL's host.
    pub server_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_certificates_are_asked_for_round_trips() {
        for text in ["none", "optional", "required"] {
            let parsed: ClientCertificates = text.parse().expect("one of the words");
            assert_eq!(parsed.to_string(), text);
        }
        assert!("maybe".parse::<ClientCertificates>().is_err());
    }
}
