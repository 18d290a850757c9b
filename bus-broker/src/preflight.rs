//! What can be known of a configuration before anything listens: one way, for a broker that starts and for whoever asks
//! beforehand whether it would.
//!
//! Nothing is bound, made or begun here. Files are read and names of hosts are looked up, which may take for ever: this is
//! nothing for a thread on which others wait. What comes out first here is what a start would say.

use std::path::PathBuf;

use bus_core::transport::default_path;
use bus_core::{BusUrl, ErrorKind, Failure};

use crate::bridge::Bridges;
use crate::certificates::Certificates;
use crate::config::BrokerConfig;
use crate::start_error::StartError;
use crate::{handed_over, listen};

impl BrokerConfig {
    /// Whether a broker would start with it, as far as that can be known without listening anywhere: the same error, in
    /// the same words. Whether its addresses are free is not tried. Reads the files that it names, and looks
    /// up the hosts.
    ///
    /// # Errors
    /// Those of [`Broker::start`](crate::Broker::start).
    pub fn check(&self) -> Result<(), StartError> {
        preflight(self).map(drop)
    }
}

/// Looks at all of it; the answer is what its files hold.
///
/// # Errors
/// When a broker would not start with it.
pub(crate) fn preflight(config: &BrokerConfig) -> Result<Certificates, StartError> {
    let is_open = |address: &std::net::SocketAddr| !address.ip().is_loopback();
    if let Some(address) = config.metrics.filter(|at| is_open(at) && !config.metrics_open) {
        return Err(StartError::MetricsOpen { address });
    }
    let certificates = Certificates::read(config)?;
    let listeners: Vec<String> = config.listen.iter().map(shown).collect();
    Bridges::check(&config.bridges, &listeners).map_err(of_bridge)?;
    for (index, url) in config.listen.iter().enumerate() {
        listen::check(url, config, &certificates)?;
        if config.listen[..index].iter().any(|other| handed_over::is_same_place(url, other)) {
            return Err(StartError::Twice { url: shown(url) });
        }
    }
    Ok(certificates)
}

/// A bridge that cannot be run, and whether it is for the sake of its files.
pub(crate) fn of_bridge(failure: Failure) -> StartError {
    match failure.kind() {
        ErrorKind::Config => StartError::BridgeFile(failure.to_string()),
        _ => StartError::Bridge(failure.to_string()),
    }
}

/// As a listener says where it listens.
fn shown(url: &BusUrl) -> String {
    match url {
        BusUrl::Local(path) | BusUrl::Unix(path) => {
            let path: PathBuf = path.clone().unwrap_or_else(default_path);
            format!("local:{}", path.display())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(urls: &[&str]) -> BrokerConfig {
        let urls = urls.iter().map(|url| url.parse().expect("a URL"));
        BrokerConfig::default().listen_only(urls.collect())
    }

    #[test]
    fn one_address_twice_is_refused_under_all_of_its_names_and_free_ports_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().display().to_string();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("same")).expect("a link");
        let [one, other] = [format!("local:{place}/a"), format!("unix:{place}/same/a")];
        for twice in [
            [one.as_str(), one.as_str()],
            [one.as_str(), other.as_str()],
            ["local:", "local:"],
            ["tcp://127.0.0.1:7", "tcp://127.0.0.1:7"],
        ] {
            let refused = of(&twice).check();
            assert!(matches!(refused, Err(StartError::Twice { .. })), "{twice:?}: {refused:?}");
        }
        for apart in [
            [one.as_str(), "local:/nowhere/a"],
            ["tcp://127.0.0.1:0", "tcp://127.0.0.1:0"],
            ["tcp://127.0.0.1:7", "tcp://127.0.0.1:8"],
        ] {
            assert!(of(&apart).check().is_ok(), "{apart:?}");
        }
    }
}
