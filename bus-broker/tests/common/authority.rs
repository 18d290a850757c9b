//! An authority for the tests of one process, and what brokers and clients need of it.
//!
//! Its files lie in the folder that cargo keeps for tests, one for each process.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bus_broker::{Authority, Making, TlsServerFiles};
use bus_client::ClientOptions;
use bus_core::transport::{TlsClient, TlsClientFiles};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("authority-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let making = Making { days: 1, force: true };
    let (authority, _) = Authority::create(&folder, making).expect("the folder is cargo's");
    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    authority.server("server", &names, making).expect("good names");
    folder
});

/// What a broker on loopback shows.
pub fn server_files() -> TlsServerFiles {
    TlsServerFiles {
        certificate: FOLDER.join("server.pem"),
        key: FOLDER.join("server.key"),
        ..TlsServerFiles::default()
    }
}

/// Options of a client that trusts it.
pub fn trusting(options: ClientOptions) -> ClientOptions {
    options.tls_authority(FOLDER.join("authority.pem"))
}

/// What a bare link connects with.
pub fn bare_client() -> TlsClient {
    let authority = Some(FOLDER.join("authority.pem"));
    TlsClient::new(&TlsClientFiles { authority, ..TlsClientFiles::default() }).expect("good files")
}

/// The file of the authority itself.
pub fn file() -> PathBuf {
    FOLDER.join("authority.pem")
}
