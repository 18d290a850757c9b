//! The certificates that a broker's TLS listeners use, and how they are exchanged.
//!
//! New ones are read and checked wholly before they replace what is in use: whatever is wrong
//! with them, the listeners go on with the old ones.

#[cfg(feature = "tls")]
use bus_core::transport::TlsServer;
use bus_core::transport::TlsServerFiles;

use crate::config::BrokerConfig;
use crate::reload::ReloadError;
use crate::start_error::StartError;

/// Of all TLS listeners of a broker.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    #[cfg(feature = "tls")]
    server: Option<TlsServer>,
}

#[cfg(feature = "tls")]
impl Certificates {
    /// Reads those of a configuration, if it names any.
    pub fn read(config: &BrokerConfig) -> Result<Certificates, StartError> {
        let server = config.tls.as_ref().map(TlsServer::new).transpose();
        let server = server.map_err(|error| StartError::Certificate(error.to_string()))?;
        Ok(Certificates { server })
    }

    /// Whether there are any, so that others can take their place.
    pub fn are_there(&self) -> bool {
        self.server.is_some()
    }

    /// What listeners accept with.
    pub fn server(&self) -> Option<&TlsServer> {
        self.server.as_ref()
    }

    /// Reads these files, which may be others than before, to be used later. Nothing has changed so far.
    ///
    /// # Errors
    /// When they cannot be used, or no listener would use them.
    pub fn read_anew(&self, files: &TlsServerFiles) -> Result<Certificates, ReloadError> {
        if self.server.is_none() {
            return Err(ReloadError::NoListener);
        }
        let server = TlsServer::new(files);
        let server = server.map_err(|error| ReloadError::Certificate(error.to_string()))?;
        Ok(Certificates { server: Some(server) })
    }

    /// Uses from now on what was read.
    pub fn exchange(&self, read: &Certificates) {
        if let (Some(server), Some(read)) = (&self.server, &read.server) {
            server.exchange(read);
        }
    }
}

#[cfg(not(feature = "tls"))]
impl Certificates {
    /// There are none in a broker that was built without TLS.
    pub fn read(_config: &BrokerConfig) -> Result<Certificates, StartError> {
        Ok(Certificates {})
    }

    /// There are none.
    pub fn are_there(&self) -> bool {
        false
    }

    /// Nothing to read.
    pub fn read_anew(&self, _files: &TlsServerFiles) -> Result<Certificates, ReloadError> {
        Err(ReloadError::NoListener)
    }

    /// Nothing to exchange.
    pub fn exchange(&self, _read: &Certificates) {}
}
