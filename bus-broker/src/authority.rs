//! A private authority, and the certificates that it gives: for trying TLS out, and for small sites.
//!
//! All of it lies in one folder. Keys are files that their owner alone can read, and nothing is
//! overwritten unless that is asked for. Nothing here says who may do what.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bus_core::sys::{file_mode, folder_mode};
use bus_core::transport::Moment;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks of other hosts may be behind this one by so much.
const BEFORE: Duration = Duration::from_secs(3600);
/// The longest validity that is given, in days.
pub const DAYS_MAX: u32 = 36_500;
/// Bytes of a user's name in a certificate: what a common name can have.
const USER_BYTES_MAX: usize = 64;

/// Why certificates were not made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file or folder cannot be read or written.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is there already, and would be lost.
    #[error("{} is there already, and is not overwritten unless --force is given", .path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A certificate cannot be for that.
    #[error("`{name}` cannot stand in a certificate: {reason}")]
    Name {
        /// What was asked for.
        name: String,
        /// Why not.
        reason: String,
    },
    /// There is no authority that was made here.
    #[error("{}: {reason}", .path.display())]
    NotOurs {
        /// Where it was looked for.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The cryptography fails.
    #[error("no certificate could be made: {0}")]
    Library(#[from] rcgen::Error),
}

/// A certificate and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The certificate (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM), which its owner alone can read.
    pub key: PathBuf,
    /// From when on it is valid.
    pub not_before: Moment,
    /// Until when.
    pub not_after: Moment,
}

/// How certificates are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Making {
    /// How long they are valid, in days: at most [`DAYS_MAX`].
    pub days: u32,
    /// Whether files that are there already are overwritten.
    pub force: bool,
}

/// An authority that lies in a folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one in this folder, which is made too.
    ///
    /// # Errors
    /// When there is one, or its files cannot be written.
    pub fn create(folder: &Path, making: Making) -> Result<(Authority, Certified), AuthorityError> {
        let failed = |error| AuthorityError::File { path: folder.to_owned(), error };
        let mut builder = fs::DirBuilder::new();
        folder_mode(builder.recursive(true), 0o700).create(folder).map_err(failed)?;
        let key = KeyPair::generate()?;
        let mut params = authority_params(&key);
        let validity = validity(&mut params, making);
        let made = params.self_signed(&key)?.pem();
        let certified = write(folder, "authority", &made, &key, validity, making)?;
        let issuer = Issuer::new(params, key);
        Ok((Authority { folder: folder.to_owned(), issuer }, certified))
    }

    /// The one that was made in this folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> Result<Authority, AuthorityError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => AuthorityError::NotOurs {
                    path: path.clone(),
                    reason: "there is no authority; make one with `bus cert authority`".into(),
                },
                _ => AuthorityError::File { path: path.clone(), error },
            })
        };
        let (certificate, key) = (read("authority.pem")?, read("authority.key")?);
        let not_ours = |reason: &str| AuthorityError::NotOurs {
            path: folder.join("authority.pem"),
            reason: reason.into(),
        };
        // What it says of a malformed key could contain parts of it.
        let key = KeyPair::from_pem(&key).map_err(|_| not_ours("its key cannot be read"))?;
        let params = authority_params(&key);
        let name = bus_core::transport::common_name(certificate.as_bytes());
        if name.is_none() || name != Some(authority_name(&key)) {
            return Err(not_ours("it was not made by `bus cert authority`, or has another key"));
        }
        Ok(Authority { folder: folder.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// The file of its certificate: for everybody who is to believe what it certifies.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// A certificate for a broker that is reached by these names or addresses, in files of this
    /// name.
    ///
    /// # Errors
    /// When one of the names is none, or the files cannot be written.
    pub fn server(
        &self,
        file: &str,
        names: &[String],
        making: Making,
    ) -> Result<Certified, AuthorityError> {
        for name in names {
            if !is_host(name) {
                let reason = "it is neither a host's name nor an address".into();
                return Err(AuthorityError::Name { name: name.clone(), reason });
            }
        }
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(file, params, making)
    }

    /// A certificate for a client of this user, in files of that name: its common name is the
    /// user, and it has the URI `busbar:user:USER`.
    ///
    /// # Errors
    /// When that is no name of a user, or the files cannot be written.
    pub fn client(&self, user: &str, making: Making) -> Result<Certified, AuthorityError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if user.is_empty() || user.len() > USER_BYTES_MAX || !user.chars().all(fits) {
            let reason = "a user's name has 1 to 64 letters, digits, dots, dashes and underscores";
            return Err(AuthorityError::Name { name: user.into(), reason: reason.into() });
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        params.subject_alt_names = vec![SanType::URI(format!("busbar:user:{user}").try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(user, params, making)
    }

    fn issue(
        &self,
        file: &str,
        mut params: CertificateParams,
        making: Making,
    ) -> Result<Certified, AuthorityError> {
        if file == "authority" || file.starts_with('.') || file.contains('/') {
            let reason = "the files could not bear that name".into();
            return Err(AuthorityError::Name { name: file.into(), reason });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let validity = validity(&mut params, making);
        let key = KeyPair::generate()?;
        let made = params.signed_by(&key, &self.issuer)?.pem();
        write(&self.folder, file, &made, &key, validity, making)
    }
}

/// Whether it is an address, or the name of a host or of all hosts of a domain (`*.example`).
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(fits)
    };
    let hosts = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && hosts.split('.').all(is_label))
}

/// What an authority with this key is; so its certificate need not be read to know it.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, authority_name(key));
    params
}

/// Two authorities never have the same name, so that nobody takes one for the other.
fn authority_name(key: &KeyPair) -> String {
    let digits = key.public_key_raw().iter().rev().take(8).map(|byte| format!("{byte:02x}"));
    format!("Busbar private authority {}", digits.collect::<String>())
}

/// Sets from when and until when it is valid, to the second.
fn validity(params: &mut CertificateParams, making: Making) -> (Moment, Moment) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Duration::from_secs(now.as_secs());
    let (from, until) = (now.saturating_sub(BEFORE), now + DAY * making.days.min(DAYS_MAX));
    params.not_before = (SystemTime::UNIX_EPOCH + from).into();
    params.not_after = (SystemTime::UNIX_EPOCH + until).into();
    (Moment::from_unix(from.as_secs()), Moment::from_unix(until.as_secs()))
}

fn write(
    folder: &Path,
    name: &str,
    certificate: &str,
    key: &KeyPair,
    (not_before, not_after): (Moment, Moment),
    making: Making,
) -> Result<Certified, AuthorityError> {
    let paths = [format!("{name}.key"), format!("{name}.pem")].map(|name| folder.join(name));
    for path in &paths {
        if !making.force && path.symlink_metadata().is_ok() {
            return Err(AuthorityError::Exists { path: path.clone() });
        }
    }
    let [key_path, certificate_path] = paths;
    put(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
    put(&certificate_path, certificate.as_bytes(), 0o644)?;
    Ok(Certified { certificate: certificate_path, key: key_path, not_before, not_after })
}

/// Writes a file anew, and exchanges it at once for what was there: nobody reads half of it.
fn put(path: &Path, content: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let failed = |error| AuthorityError::File { path: path.to_owned(), error };
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let options = file_mode(options.write(true).create_new(true), mode);
    let mut file = options.open(&new).map_err(failed)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let put = written.and_then(|()| fs::rename(&new, path));
    put.map_err(|error| {
        // The error that is told is the first one.
        let _ = fs::remove_file(&new);
        failed(error)
    })
}
