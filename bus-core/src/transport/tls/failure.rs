//! Why TLS has not come to be between two peers, or has ended: for programs and for people.
//!
//! Each side tells what it can know: the same fault is `Expired` to whoever has seen the
//! certificate, and `CertificateRefused` to its owner. No sentence contains a secret, or a setting: what
//! settings are called is known to whoever shows it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::date::Moment;
use crate::transport::LinkError;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The peer's certificate, or one behind it, was valid until then.
    Expired {
        /// Its last moment.
        since: Moment,
    },
    /// The peer's certificate, or one behind it, is valid from then on.
    NotYetValid {
        /// Its first moment.
        from: Moment,
    },
    /// The broker's certificate is for other names.
    WrongName {
        /// The name that was connected to.
        wanted: String,
        /// Those that the certificate is for.
        names: Vec<String>,
    },
    /// The peer's certificate comes from an authority that this side does not trust.
    UnknownAuthority,
    /// The peer's certificate cannot be used for another reason.
    BadCertificate {
        /// Which.
        reason: String,
    },
    /// The broker requires a certificate, and the client has none.
    NoClientCertificate,
    /// The peer does not accept the certificate of this side.
    CertificateRefused {
        /// Why, as far as it says.
        reason: &'static str,
    },
    /// What the peer sends is not TLS.
    NotTls,
    /// The peer speaks TLS, but not the bus protocol.
    NoCommonProtocol,
    /// The peer does not speak TLS 1.3.
    OldVersion,
    /// The peer has said more than is kept of anybody before it is known who it is.
    TooLong {
        /// So many bytes at the most.
        bytes_max: usize,
    },
    /// The peer has ended the connection before TLS was agreed on.
    Ended,
    /// The connection has ended without the farewell of TLS: something may be missing.
    Truncated,
    /// Something else, as it happens between peers that do not keep to TLS.
    Other {
        /// What.
        reason: String,
    },
}

/// On which side of a connection somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connects.
    Client,
    /// It accepts.
    Broker,
}

/// A failure, and the side that tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    failure: TlsFailure,
    side: Side,
}

impl TlsFailure {
    /// The failure of TLS that is the cause of an error, if one is.
    pub fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsFailure> {
        let mut next = Some(error);
        while let Some(error) = next {
            let io = match error.downcast_ref::<LinkError>() {
                Some(LinkError::Io(error)) => Some(error),
                _ => error.downcast_ref::<io::Error>(),
            };
            let error = io.and_then(io::Error::get_ref).map_or(error, |inner| inner);
            if let Some(found) = error.downcast_ref::<TlsError>() {
                return Some(&found.failure);
            }
            next = error.source();
        }
        None
    }

    /// What the TLS library says.
    pub(super) fn from_library(error: &Error) -> TlsFailure {
        match error {
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::NoCertificatesPresented => TlsFailure::NoClientCertificate,
            Error::NoApplicationProtocol => TlsFailure::NoCommonProtocol,
            Error::PeerIncompatible(error) => of_peer(error),
            Error::AlertReceived(alert) => of_alert(*alert),
            error => TlsFailure::Other { reason: error.to_string() },
        }
    }

    /// Whether it is about whom to trust.
    pub fn is_about_trust(&self) -> bool {
        matches!(
            self,
            TlsFailure::Expired { .. }
                | TlsFailure::NotYetValid { .. }
                | TlsFailure::WrongName { .. }
                | TlsFailure::UnknownAuthority
                | TlsFailure::BadCertificate { .. }
                | TlsFailure::NoClientCertificate
                | TlsFailure::CertificateRefused { .. }
        )
    }

    /// Whether the connection was lost, and it may be made again with nothing changed.
    pub fn is_loss(&self) -> bool {
        matches!(self, TlsFailure::Ended | TlsFailure::Truncated)
    }

    fn tell_client(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::Expired { since } => write!(
                out,
                "the broker's certificate has expired on {since}: it must be renewed there, unless the clock here is wrong"
            ),
            TlsFailure::NotYetValid { from } => write!(
                out,
                "the broker's certificate is not valid before {from}: is the clock here right?"
            ),
            TlsFailure::WrongName { wanted, names } => write!(
                out,
                "the broker's certificate is not for `{wanted}`, but for {}: connect by such a name, or say which one to expect",
                listed(names)
            ),
            TlsFailure::UnknownAuthority => out.write_str(
                "the broker's certificate comes from an authority that is not trusted here: if it should be, give that authority's certificate",
            ),
            TlsFailure::BadCertificate { reason } => {
                write!(out, "the broker's certificate cannot be used: {reason}")
            }
            TlsFailure::NoClientCertificate => out.write_str(
                "the broker requires a client certificate: give one with its key",
            ),
            TlsFailure::CertificateRefused { reason } => {
                write!(out, "the broker does not accept this client's certificate: {reason}")
            }
            TlsFailure::NotTls => out.write_str(
                "that port does not speak TLS: use tcp://, or the port of a tls:// listener",
            ),
            TlsFailure::NoCommonProtocol => out.write_str(
                "that port speaks TLS, but not the bus protocol: is it the port of a broker?",
            ),
            TlsFailure::OldVersion => {
                out.write_str("that port does not speak TLS 1.3, and nothing older is used")
            }
            TlsFailure::TooLong { bytes_max } => {
                write!(out, "what that port says in its handshake is longer than {bytes_max} bytes")
            }
            TlsFailure::Ended => out.write_str(
                "the connection was closed before TLS was agreed on: is it the port of a tls:// listener?",
            ),
            TlsFailure::Truncated => {
                out.write_str("the connection has ended without the farewell of TLS")
            }
            TlsFailure::Other { reason } => write!(out, "TLS has failed: {reason}"),
        }
    }

    fn tell_broker(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::Expired { since } => {
                write!(out, "the client's certificate has expired on {since}: it must be renewed")
            }
            TlsFailure::NotYetValid { from } => write!(
                out,
                "the client's certificate is not valid before {from}: is the clock here right?"
            ),
            TlsFailure::WrongName { wanted, names } => {
                write!(out, "the client's certificate is not for `{wanted}`, but for {}", listed(names))
            }
            TlsFailure::UnknownAuthority => out.write_str(
                "the client's certificate comes from an authority that is not the client_authority of this listener",
            ),
            TlsFailure::BadCertificate { reason } => {
                write!(out, "the client's certificate cannot be used: {reason}")
            }
            TlsFailure::NoClientCertificate => {
                out.write_str("the client has shown no certificate, and one is required")
            }
            TlsFailure::CertificateRefused { reason } => {
                write!(out, "the client does not accept this broker's certificate: {reason}")
            }
            TlsFailure::NotTls => out.write_str(
                "the client does not speak TLS, and this listener nothing else: it should use tls://",
            ),
            TlsFailure::NoCommonProtocol => {
                out.write_str("the client speaks TLS, but does not offer the bus protocol")
            }
            TlsFailure::OldVersion => {
                out.write_str("the client does not speak TLS 1.3, and nothing older is used")
            }
            TlsFailure::TooLong { bytes_max } => write!(
                out,
                "before it is known who the client is, it says more than {bytes_max} bytes at once: is its chain of certificates very long?"
            ),
            TlsFailure::Ended => {
                out.write_str("the client has closed the connection before TLS was agreed on")
            }
            TlsFailure::Truncated => {
                out.write_str("the connection has ended without the farewell of TLS")
            }
            TlsFailure::Other { reason } => write!(out, "TLS has failed: {reason}"),
        }
    }
}

impl TlsError {
    pub(super) fn new(side: Side, failure: TlsFailure) -> TlsError {
        TlsError { failure, side }
    }

    /// What went wrong.
    pub fn failure(&self) -> &TlsFailure {
        &self.failure
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Side::Client => self.failure.tell_client(out),
            Side::Broker => self.failure.tell_broker(out),
        }
    }
}

impl StdError for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> io::Error {
        let kind = match &error.failure {
            TlsFailure::Ended | TlsFailure::Truncated => io::ErrorKind::UnexpectedEof,
            failure if failure.is_about_trust() => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

fn of_certificate(error: &CertificateError) -> TlsFailure {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            TlsFailure::Expired { since: Moment::from_unix(not_after.as_secs()) }
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            TlsFailure::NotYetValid { from: Moment::from_unix(not_before.as_secs()) }
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().map(|name| shown(name)).collect();
            TlsFailure::WrongName { wanted: expected.to_str().into_owned(), names }
        }
        CertificateError::UnknownIssuer => TlsFailure::UnknownAuthority,
        // A reason of our own.
        CertificateError::Other(error) => TlsFailure::BadCertificate { reason: error.to_string() },
        error => TlsFailure::BadCertificate { reason: error.to_string() },
    }
}

fn of_peer(error: &rustls::PeerIncompatible) -> TlsFailure {
    use rustls::PeerIncompatible as P;
    match error {
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled => TlsFailure::OldVersion,
        error => {
            TlsFailure::Other { reason: format!("the peers have nothing in common: {error:?}") }
        }
    }
}

fn of_alert(alert: AlertDescription) -> TlsFailure {
    let refused = |reason| TlsFailure::CertificateRefused { reason };
    match alert {
        AlertDescription::CertificateRequired => TlsFailure::NoClientCertificate,
        AlertDescription::NoApplicationProtocol => TlsFailure::NoCommonProtocol,
        AlertDescription::ProtocolVersion => TlsFailure::OldVersion,
        AlertDescription::UnknownCA => {
            refused("it comes from an authority that is not trusted there")
        }
        AlertDescription::CertificateExpired => refused("it has expired, or is not valid yet"),
        AlertDescription::CertificateRevoked => refused("it was revoked"),
        AlertDescription::UnsupportedCertificate => {
            refused("it is of a kind that is not supported")
        }
        AlertDescription::BadCertificate => refused("it is malformed, or for another name"),
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            refused("no reason was given")
        }
        alert => TlsFailure::Other { reason: format!("the peer says {alert:?}") },
    }
}

/// Names of a certificate that nobody vouches for, in a sentence.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "no name at all".into(),
        count if count > SHOWN => format!("{} and {} more", quoted.join(", "), count - SHOWN),
        _ => quoted.join(", "),
    }
}

/// A name as the TLS library gives it (`DnsName("a")`), as people write it.
fn shown(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    let inner = inner.trim_matches('"');
    inner.chars().filter(|c| !c.is_control()).take(255).collect()
}
