//! The table `[tls]` of the broker's file.
//!
//! It says where certificates lie and who must have one. Whether the files are any good is found
//! out when they are read.

use std::fmt::Write as _;
use std::path::PathBuf;

use bus_core::transport::{ClientCertificates, TlsServerFiles};

use super::{Entry, Reader, Wrong};

/// Keys of `[tls]`.
pub(super) const KEYS: &[&str] = &["certificate", "key", "client_authority", "client_certificates"];

/// Reads the table.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Result<TlsServerFiles, Wrong> {
    let table = entry.table()?;
    let mut files = TlsServerFiles::default();
    reader.table(table, "tls", KEYS, |_, entry| {
        match entry.key {
            "certificate" => files.certificate = path(entry)?,
            "key" => files.key = path(entry)?,
            "client_authority" => files.client_authority = Some(path(entry)?),
            _ => files.client_certificates = client_certificates(entry)?,
        }
        Ok(())
    });
    // What is wrong may be what would be missed here.
    if reader.first.is_some() {
        return Ok(files);
    }
    let missing = |key: &str| entry.wrong(format!("`{key}` is missing of [tls]"));
    if files.certificate.as_os_str().is_empty() {
        return missing("certificate");
    }
    if files.key.as_os_str().is_empty() {
        return missing("key");
    }
    if files.client_certificates != ClientCertificates::None && files.client_authority.is_none() {
        return entry.wrong(format!(
            "`tls.client_certificates` is \"{}\", and `client_authority` is missing: nobody could be checked",
            files.client_certificates
        ));
    }
    Ok(files)
}

/// Writes the table.
pub(super) fn render(files: &TlsServerFiles, out: &mut String) {
    let quoted = |path: &PathBuf| toml::Value::from(path.to_string_lossy().as_ref()).to_string();
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "\n[tls]\ncertificate = {}\nkey = {}",
        quoted(&files.certificate),
        quoted(&files.key)
    );
    if let Some(authority) = &files.client_authority {
        let _ = writeln!(out, "client_authority = {}", quoted(authority));
    }
    let _ = writeln!(out, "client_certificates = \"{}\"", files.client_certificates);
}

fn path(entry: &Entry<'_>) -> Result<PathBuf, Wrong> {
    const EXPECTED: &str = "the path of a file (PEM)";
    match entry.string(EXPECTED)? {
        "" => entry.expected(EXPECTED),
        path => Ok(path.into()),
    }
}

fn client_certificates(entry: &Entry<'_>) -> Result<ClientCertificates, Wrong> {
    const EXPECTED: &str = "\"none\", \"optional\" or \"required\"";
    entry.string(EXPECTED)?.parse().or_else(|_| entry.expected(EXPECTED))
}
