//! What whoever connects can set, where a failure is about that.
//!
//! A failure says what is wrong; what the setting is called is known to the place that shows it: a
//! program's options, flags of a command, keys of a file.

use std::fmt;

/// A setting of whoever connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Knob {
    /// The authorities that the broker's certificate may come from.
    Authority,
    /// The certificate that is shown to the broker, with its key.
    Certificate,
    /// The key of that certificate.
    Key,
    /// The name that must stand in the broker's certificate.
    ServerName,
    /// Whether a token may travel where others can read it.
    Insecure,
}

impl Knob {
    /// All there are.
    pub const ALL: [Knob; 5] =
        [Knob::Authority, Knob::Certificate, Knob::Key, Knob::ServerName, Knob::Insecure];
}

impl fmt::Display for Knob {
    /// What it is called in [`ClientOptions`](crate::ClientOptions).
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Knob::Authority => "ClientOptions::tls_authority",
            Knob::Certificate | Knob::Key => "ClientOptions::tls_certificate",
            Knob::ServerName => "ClientOptions::tls_server_name",
            Knob::Insecure => "ClientOptions::insecure",
        })
    }
}

#[cfg(feature = "tls")]
impl Knob {
    /// The one that a failure of TLS is about, on the connecting side.
    pub(crate) fn of_failure(failure: &bus_core::transport::TlsFailure) -> Option<Knob> {
        use bus_core::transport::TlsFailure;
        match failure {
            TlsFailure::WrongName { .. } => Some(Knob::ServerName),
            TlsFailure::UnknownAuthority => Some(Knob::Authority),
            TlsFailure::NoClientCertificate | TlsFailure::CertificateRefused { .. } => {
                Some(Knob::Certificate)
            }
            _ => None,
        }
    }

    /// The one that names a file.
    pub(crate) fn of_file(file: bus_core::transport::TlsFile) -> Knob {
        use bus_core::transport::TlsFile;
        match file {
            TlsFile::Authority | TlsFile::ClientAuthority => Knob::Authority,
            TlsFile::Certificate => Knob::Certificate,
            TlsFile::Key => Knob::Key,
        }
    }
}
