//! Certificates and keys out of files, whole or not at all.
//!
//! A file is refused in one sentence, which names it and says what is wrong. What a key consists
//! of is told to nobody.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::date::Moment;
use super::x509;

/// Bytes of a file of certificates: all authorities of a system have a quarter of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// The authorities that a broker's certificate may come from.
    Authority,
    /// The authorities that a client's certificate may come from.
    ClientAuthority,
    /// The certificate that this side shows.
    Certificate,
    /// Its private key.
    Key,
}

impl Display for TlsFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            TlsFile::Authority => "the authority's certificate",
            TlsFile::ClientAuthority => "the client authority's certificate",
            TlsFile::Certificate => "the certificate",
            TlsFile::Key => "the key",
        })
    }
}

/// Why files of certificates and keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} {}: {reason}", .path.display())]
pub struct InvalidTlsFile {
    file: TlsFile,
    path: PathBuf,
    reason: String,
    /// See `InvalidTlsFile::is_out_of_date`.
    out_of_date: bool,
}

impl InvalidTlsFile {
    pub(super) fn new(file: TlsFile, path: &Path, reason: impl Display) -> InvalidTlsFile {
        let (path, reason) = (path.to_owned(), reason.to_string());
        InvalidTlsFile { file, path, reason, out_of_date: false }
    }

    /// Whether all is well but for the time: a certificate has expired, or is not valid yet.
    pub fn is_out_of_date(&self) -> bool {
        self.out_of_date
    }

    /// What it is for.
    pub fn file(&self) -> TlsFile {
        self.file
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The certificates of a file, at least one.
pub(super) fn certificates(
    file: TlsFile,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, InvalidTlsFile> {
    let wrong = |reason: &dyn Display| InvalidTlsFile::new(file, path, reason);
    let text = read(path).map_err(|error| wrong(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Err(error) => Err(wrong(&format_args!("it is not PEM: {error}"))),
        Ok(found) if found.is_empty() => Err(wrong(&"it contains no certificate (PEM)")),
        Ok(found) => Ok(found),
    }
}

/// A certificate that this side shows to others, with those behind it. It must be valid now.
pub(super) fn own_certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, InvalidTlsFile> {
    let found = certificates(TlsFile::Certificate, path)?;
    let now = Moment::from_unix(UnixTime::now().as_secs());
    for certificate in &found {
        let wrong = |reason| InvalidTlsFile::new(TlsFile::Certificate, path, reason);
        let reason = match x509::facts(certificate) {
            None => return Err(wrong("it is no X.509 certificate".to_owned())),
            Some(facts) if facts.not_after < now => {
                format!("it has expired on {}", facts.not_after)
            }
            Some(facts) if now < facts.not_before => {
                format!("it is not valid before {}: is the clock right?", facts.not_before)
            }
            Some(_) => continue,
        };
        return Err(InvalidTlsFile { out_of_date: true, ..wrong(reason) });
    }
    Ok(found)
}

/// The private key of a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, InvalidTlsFile> {
    let wrong = |reason: &dyn Display| InvalidTlsFile::new(TlsFile::Key, path, reason);
    let text = read(path).map_err(|error| wrong(&error))?;
    // What it says of a malformed key could contain parts of it.
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| wrong(&"it contains no private key (PEM, without a passphrase)"))
}

/// The authorities of a file.
pub(super) fn authorities(file: TlsFile, path: &Path) -> Result<RootCertStore, InvalidTlsFile> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file, path)? {
        store.add(certificate).map_err(|error| InvalidTlsFile::new(file, path, error))?;
    }
    Ok(store)
}

/// The common name of the first certificate in a text (PEM), if it has exactly one. Nobody vouches
/// for it.
pub fn common_name(text: &[u8]) -> Option<String> {
    let certificate = CertificateDer::from_pem_slice(text).ok()?;
    x509::facts(&certificate)?.common_name
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}
