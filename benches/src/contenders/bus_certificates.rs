//! Certificates for the bus over TLS: made for each run, in its folder.
//!
//! The broker shows one, clients trust its authority and show none. Where the authority is
//! travels with the address that workers are given.

use std::path::Path;

use anyhow::Result;
use bus_broker::{Authority, ClientCertificates, Making, TlsServerFiles};
use bus_client::ClientOptions;
use bus_core::transport::TlsClientFiles;

/// Between the URL and the folder: no URL has a space.
const BETWEEN: char = ' ';

/// Makes an authority, and a certificate for a broker on loopback.
pub fn make(folder: &Path) -> Result<()> {
    let making = Making { days: 1, force: true };
    let (authority, _) = Authority::create(folder, making)?;
    authority.server("server", &["127.0.0.1".to_owned()], making)?;
    Ok(())
}

/// What the broker shows.
pub fn files(folder: &Path) -> TlsServerFiles {
    TlsServerFiles {
        certificate: folder.join("server.pem"),
        key: folder.join("server.key"),
        ..TlsServerFiles::default()
    }
}

/// The same as arguments of `bus serve`.
pub fn arguments(folder: &Path) -> impl Iterator<Item = String> {
    let files = files(folder);
    [("--tls-server-cert", files.certificate), ("--tls-server-key", files.key)]
        .into_iter()
        .flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()])
}

/// A URL, and where the authority is.
pub fn beside(url: &str, folder: &Path) -> String {
    format!("{url}{BETWEEN}{}", folder.display())
}

/// The URL again, and options that trust the authority, if there is one.
pub fn apart<'a>(address: &'a str, options: &ClientOptions) -> (&'a str, ClientOptions) {
    let options = options.clone();
    match address.split_once(BETWEEN) {
        Some((url, folder)) => {
            (url, options.tls_authority(Path::new(folder).join("authority.pem")))
        }
        None => (address, options),
    }
}

/// Makes one for a client as well, by the same authority.
pub fn make_mutual(folder: &Path) -> Result<()> {
    let making = Making { days: 1, force: true };
    let (authority, _) = Authority::create(folder, making)?;
    authority.server("server", &["127.0.0.1".to_owned()], making)?;
    authority.client("client", making)?;
    Ok(())
}

/// What the broker shows, if it asks for a client's too.
pub fn mutual_files(folder: &Path) -> TlsServerFiles {
    TlsServerFiles {
        client_authority: Some(folder.join("authority.pem")),
        client_certificates: ClientCertificates::Required,
        ..files(folder)
    }
}

/// What the client shows, and whom it trusts.
pub fn mutual_client(folder: &Path) -> TlsClientFiles {
    TlsClientFiles {
        authority: Some(folder.join("authority.pem")),
        certificate: Some((folder.join("client.pem"), folder.join("client.key"))),
        server_name: None,
    }
}
