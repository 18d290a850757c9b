//! Why a broker does not start.
//!
//! Each sentence says what is to be done about it, in the words of the configuration and of the command line.

use std::io;
use std::net::SocketAddr;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be had.
    #[error("cannot listen on {url}: {error}")]
    Listen {
        /// Which.
        url: String,
        /// Why.
        error: io::Error,
    },
    /// Anybody on the network could do anything.
    #[error(
        "{url} is reachable from other hosts, and nobody can show there who he is: listen on loopback, configure users who show credentials ([[user]]; over tcp:// that is a token), listen on tls:// with client_certificates = \"required\", or say --insecure if everybody on that network may use this bus"
    )]
    Insecure {
        /// Which.
        url: String,
    },
    /// Not built in this version.
    #[error(
        "{url}: this version cannot listen there (unsupported): it can on local:, tcp:// and tls://"
    )]
    Unsupported {
        /// Which.
        url: String,
    },
    /// A TLS listener has nothing to show.
    #[error(
        "{url}: there is no certificate to listen with: name it and its key in [tls] of the configuration, or with --tls-server-cert and --tls-server-key (`bus cert` makes some for trying it out)"
    )]
    NoCertificate {
        /// Which.
        url: String,
    },
    /// The files of certificates and keys cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// Two of its listeners would have one address.
    #[error("{url} is named twice among the listeners: leave one of them out")]
    Twice {
        /// Which.
        url: String,
    },
    /// A file that a bridge names cannot be used.
    #[error("{0}")]
    BridgeFile(String),
    /// A bridge cannot be run.
    #[error("{0}")]
    Bridge(String),
    /// Sockets that were handed over cannot be used, or belong to no listener.
    #[error("sockets that were handed over cannot be used: {0}")]
    HandedOver(String),
    /// Other hosts could see what goes on.
    #[error(
        "metrics on {address} could be read from other hosts: take a loopback address, or say --metrics-open (metrics_open in the configuration) if they may"
    )]
    MetricsOpen {
        /// Where.
        address: SocketAddr,
    },
    /// It could open the files that it needs itself, and hardly one more.
    #[error(
        "this process may have {limit} files open, of which the broker itself needs {own}: nobody could connect; let it have {needed} at the least, and four more for each client (ulimit -n, or LimitNOFILE= of a service)"
    )]
    Descriptors {
        /// The limit.
        limit: u64,
        /// What the broker has open when it has begun to listen.
        own: u64,
        /// The least limit with which it starts.
        needed: u64,
    },
    /// The operating system refuses a thread, or randomness.
    #[error("cannot start the broker: {0}")]
    System(#[from] io::Error),
}
