//! Whether a bridge can be run as its settings are, before anything is begun or replaced.
//!
//! Nothing is read or connected to here (files: `files`). Invariant: what is found sound gives links,
//! exchanges and queues without an error.

use std::net::{IpAddr, SocketAddr};

use bus_client::BusUrl;
use bus_core::bridge::Route;
use bus_core::{HOSTED_QUEUES_MAX, Name, Pattern, RESERVED, SERVICE_PATTERNS_MAX};

use super::fault::{BridgeFault, InvalidBridge, LINGER_MAX, SPOOL_BYTES_MIN, Setting};
use super::settings::BridgeConfig;

/// Patterns of one direction: each is compared with each other one, and has a window of its own.
const PATTERNS_MAX: usize = 1024;

type Sound = Result<(), BridgeFault>;

impl BridgeConfig {
    /// Whether it can be run as it is, as far as can be told without its files and the other broker.
    ///
    /// # Errors
    /// When nothing goes over it, its settings contradict each other, or one of them cannot work.
    pub fn check(&self) -> Result<(), InvalidBridge> {
        let all = || {
            self.check_address()?;
            self.check_prefixes()?;
            self.check_patterns()?;
            self.check_queues()?;
            self.check_keeping()
        };
        all().map_err(|fault| self.invalid(fault))
    }

    /// Whether it leads to another broker than the one that listens there, as far as addresses tell.
    pub(super) fn check_target(&self, listeners: &[String]) -> Result<(), InvalidBridge> {
        match listeners.iter().find(|listener| leads_to(&self.url, listener)) {
            Some(own) => Err(self.invalid(BridgeFault::Itself(Some(own.clone())))),
            None => Ok(()),
        }
    }

    /// What is wrong with it, as it is told.
    pub(crate) fn invalid(&self, fault: BridgeFault) -> InvalidBridge {
        let (bridge, url) = (self.name.to_string(), self.url.to_string());
        InvalidBridge { bridge, url, words: self.words, fault }
    }

    fn check_address(&self) -> Sound {
        let tls = &self.tls;
        let is_tls = matches!(self.url, BusUrl::Tls(_));
        if matches!(self.url, BusUrl::Mem(_)) {
            return Err(BridgeFault::InProcess);
        }
        if is_tls && cfg!(not(feature = "tls")) {
            return Err(BridgeFault::NoTls);
        }
        let for_tls = [
            (Setting::Authority, tls.authority.is_some()),
            (Setting::Certificate, tls.certificate.is_some()),
            (Setting::ServerName, tls.server_name.is_some()),
        ];
        if let Some((setting, _)) = for_tls.iter().find(|(_, is_set)| *is_set && !is_tls) {
            return Err(BridgeFault::NotTls(*setting));
        }
        let shows_token = self.token.is_some() || self.token_file.is_some();
        if shows_token && !self.insecure && is_plain_and_far(&self.url) {
            return Err(BridgeFault::PlainToken);
        }
        #[cfg(feature = "tls")]
        if let BusUrl::Tls(address) = &self.url {
            let name = tls.server_name.as_deref();
            let setting = if name.is_some() { Setting::ServerName } else { Setting::Url };
            bus_core::transport::check_server_name(address, name)
                .map_err(|error| BridgeFault::Bad(setting, error.to_string()))?;
        }
        Ok(())
    }

    fn prefixes_by_setting(&self) -> [(Setting, &str); 2] {
        [(Setting::LocalPrefix, &self.local_prefix), (Setting::RemotePrefix, &self.remote_prefix)]
    }

    fn check_prefixes(&self) -> Sound {
        for (setting, prefix) in self.prefixes_by_setting() {
            if prefix.is_empty() {
                continue;
            }
            check_not_reserved(setting, prefix)?;
            Name::new(prefix).map_err(|error| BridgeFault::Bad(setting, error.to_string()))?;
        }
        Ok(())
    }

    fn check_patterns(&self) -> Sound {
        let all = [
            (Setting::Out, &self.outgoing, PATTERNS_MAX),
            (Setting::In, &self.incoming, PATTERNS_MAX),
            (Setting::OutServices, &self.services_out, SERVICE_PATTERNS_MAX),
            (Setting::InServices, &self.services_in, SERVICE_PATTERNS_MAX),
        ];
        let queues = self.outgoing_queues.len() + self.incoming_queues.len();
        if queues == 0 && all.iter().all(|(_, patterns, _)| patterns.is_empty()) {
            return Err(BridgeFault::Empty);
        }
        for (setting, patterns, max) in all {
            if patterns.len() > max {
                return Err(BridgeFault::TooMany(setting, patterns.len(), max));
            }
            self.check_each(setting, patterns)?;
            if let Some((one, other)) = overlap(patterns) {
                return Err(BridgeFault::Overlap(setting, one.to_string(), other.to_string()));
            }
        }
        Ok(())
    }

    fn check_each(&self, setting: Setting, patterns: &[Pattern]) -> Sound {
        for pattern in patterns {
            check_not_reserved(setting, pattern.as_str())?;
            for (prefix, text) in self.prefixes_by_setting() {
                let behind = |reason: String| BridgeFault::Behind(setting, prefix, reason);
                Route::new(pattern, text, "").map_err(|error| behind(error.to_string()))?;
            }
        }
        Ok(())
    }

    fn check_queues(&self) -> Sound {
        let all = [
            (Setting::OutQueues, &self.outgoing_queues),
            (Setting::InQueues, &self.incoming_queues),
        ];
        for (setting, names) in all {
            if names.len() > HOSTED_QUEUES_MAX {
                return Err(BridgeFault::TooMany(setting, names.len(), HOSTED_QUEUES_MAX));
            }
            for (index, name) in names.iter().enumerate() {
                if names[..index].contains(name) {
                    return Err(BridgeFault::Twice(setting, name.to_string()));
                }
                for (prefix, text) in self.prefixes_by_setting() {
                    if !text.is_empty() {
                        Name::new(&format!("{text}.{name}")).map_err(|error| {
                            BridgeFault::Behind(setting, prefix, error.to_string())
                        })?;
                    }
                }
            }
        }
        match self.outgoing_queues.iter().find(|name| self.incoming_queues.contains(name)) {
            Some(both) => Err(BridgeFault::TwoHomes(both.to_string())),
            None => Ok(()),
        }
    }

    fn check_keeping(&self) -> Sound {
        let (each, all) = (self.source_bytes, self.total_bytes);
        for (setting, bytes) in [(Setting::Spool, all), (Setting::SpoolEach, each)] {
            if bytes < SPOOL_BYTES_MIN {
                return Err(BridgeFault::SpoolTooSmall(setting, bytes));
            }
        }
        if each > all {
            return Err(BridgeFault::SpoolEachTooLarge(each, all));
        }
        if self.linger > LINGER_MAX {
            return Err(BridgeFault::LingerTooLong(self.linger));
        }
        Ok(())
    }
}

fn check_not_reserved(setting: Setting, text: &str) -> Sound {
    match text.split('.').next() == Some(RESERVED) {
        true => {
            let text = format!("`{RESERVED}.` belongs to each broker itself: it is not bridged");
            Err(BridgeFault::Bad(setting, text))
        }
        false => Ok(()),
    }
}

/// Two of them that match the same.
fn overlap(patterns: &[Pattern]) -> Option<(&Pattern, &Pattern)> {
    patterns.iter().enumerate().find_map(|(index, pattern)| {
        let mut before = patterns[..index].iter();
        before.find(|other| other.intersection(pattern).is_some()).map(|other| (other, pattern))
    })
}

/// Whether everybody on the way can read what goes there, as far as the URL tells: of a name it is not known
/// where it leads.
fn is_plain_and_far(url: &BusUrl) -> bool {
    let BusUrl::Tcp(address) = url else { return false };
    let address = address.parse::<SocketAddr>().map(|address| address.ip().to_canonical());
    address.is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Whether a URL is surely one of a listener of these: links in the file system, and other names of hosts are
/// not followed.
fn leads_to(url: &BusUrl, listener: &str) -> bool {
    let Ok(listener) = listener.parse::<BusUrl>() else { return false };
    if let (Some(path), Some(own)) = (url.path(), listener.path()) {
        return path == own;
    }
    let (to, own) = match (url, &listener) {
        (BusUrl::Tcp(to), BusUrl::Tcp(own)) | (BusUrl::Tls(to), BusUrl::Tls(own)) => (to, own),
        _ => return false,
    };
    let to = to.replace("localhost:", "127.0.0.1:");
    match (to.parse::<SocketAddr>(), own.parse::<SocketAddr>()) {
        (Ok(to), Ok(own)) => to.port() == own.port() && is_own(to.ip(), own.ip()),
        _ => to == *own,
    }
}

/// Whether an address is one that a listener has: one on all addresses has those of this machine.
fn is_own(to: IpAddr, listener: IpAddr) -> bool {
    let (to, listener) = (to.to_canonical(), listener.to_canonical());
    let is_here = to.is_loopback() || to.is_unspecified();
    to == listener || (is_here && (listener.is_unspecified() || to.is_unspecified()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_listener_leads_to_its_broker() {
        let check = |url: &str, listener: &str, expected: bool| {
            let url: BusUrl = url.parse().expect("a URL");
            assert_eq!(leads_to(&url, listener), expected, "{url} {listener}");
        };
        check("tcp://127.0.0.1:4550", "tcp://127.0.0.1:4550", true);
        check("tcp://localhost:4550", "tcp://127.0.0.1:4550", true);
        check("tcp://127.0.0.1:4550", "tcp://0.0.0.0:4550", true);
        check("tls://[::1]:4550", "tls://[::]:4550", true);
        check("tcp://bus.example:4550", "tcp://bus.example:4550", true);
        check("local:/a/b", "local:/a/b", true);
        check("unix:/a/b", "local:/a/b", true);
        check("tcp://127.0.0.1:4551", "tcp://127.0.0.1:4550", false);
        check("tcp://192.0.2.1:4550", "tcp://127.0.0.1:4550", false);
        check("tcp://192.0.2.1:4550", "tcp://0.0.0.0:4550", false);
        check("tls://127.0.0.1:4550", "tcp://127.0.0.1:4550", false);
        check("tcp://127.0.0.2:4550", "tcp://127.0.0.1:4550", false);
        check("local:/a/c", "local:/a/b", false);
        check("local:/a/b", "tcp://127.0.0.1:4550", false);
    }
}
