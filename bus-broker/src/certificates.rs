//! The certificates that a broker's TLS listeners use, and how they are exchanged.
//!
//! New ones are read and checked wholly before they replace what is in use: whatever is wrong
//! with them, the listeners go on with the old ones.

#[cfg(feature = "tls")]
use bus_core::transport::TlsServer;
use bus_core::transport::TlsServerFiles;

use crate::broker::StartError;
use crate::config::BrokerConfig;
use crate::reload::ReloadError;

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

    /// What listeners accept with.
    pub fn server(&self) -> Option<&TlsServer> {
        self.server.as_ref()
    }

    /// Reads these files, which may be others than before, and uses them from now on.
    pub fn reload(&self, files: &TlsServerFiles) -> Result<(), ReloadError> {
        let Some(server) = &self.server else { return Err(ReloadError::NoListener) };
        server.reload(files).map_err(|error| ReloadError::Certificate(error.to_string()))
    }
}

#[cfg(not(feature = "tls"))]
impl Certificates {
    /// There are none in a broker that was built without TLS.
    pub fn read(_config: &BrokerConfig) -> Result<Certificates, StartError> {
        Ok(Certificates {})
    }

    /// Nothing to exchange.
    pub fn reload(&self, _files: &TlsServerFiles) -> Result<(), ReloadError> {
        Err(ReloadError::NoListener)
    }
}
