//! Which listeners may be reached from other hosts.
//!
//! One rule, for a broker that starts and for one that takes over another configuration. It says
//! whether anybody can show who he is there; what he may do then is the policy's business.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use bus_core::BusUrl;
use bus_core::transport::ClientCertificates;

use crate::config::BrokerConfig;
use crate::start_error::StartError;
use crate::users::User;

/// The rule: a listener may be reached from other hosts if there are users who can show there who they
/// are, if TLS lets nobody in without a certificate, or if somebody has said that everybody may use
/// the bus (`insecure`). Over plain TCP users can show nothing but tokens; over TLS their
/// certificates too, if it asks for them.
pub(crate) fn is_permitted(url: &BusUrl, config: &BrokerConfig) -> bool {
    let can_show = |user: &User| {
        !user.tokens().is_empty() || (!user.certificates().is_empty() && asks(url, config))
    };
    config.insecure || config.users.iter().any(can_show) || asks_everybody(url, config)
}

/// Checks where a listener would listen; tells whether other hosts reach it.
///
/// # Errors
/// When they would, and may not.
pub(crate) fn check(
    url: &BusUrl,
    address: &str,
    config: &BrokerConfig,
) -> Result<bool, StartError> {
    let failed = |error: io::Error| StartError::Listen { url: url.to_string(), error };
    let mut resolved = address.to_socket_addrs().map_err(failed)?;
    let is_exposed = resolved.any(|address| !is_loopback(address.ip()));
    match is_exposed && !is_permitted(url, config) {
        true => Err(StartError::Insecure { url: url.to_string() }),
        false => Ok(is_exposed),
    }
}

/// The listeners that other hosts reach, of these that are there.
pub(crate) fn exposed(listeners: &[String]) -> impl Iterator<Item = BusUrl> {
    let parsed = listeners.iter().filter_map(|url| url.parse().ok());
    parsed.filter(|url: &BusUrl| {
        let (BusUrl::Tcp(address) | BusUrl::Tls(address)) = url else { return false };
        address.parse().is_ok_and(|address: SocketAddr| !is_loopback(address.ip()))
    })
}

/// Whether everybody who gets in there has shown a certificate.
pub(crate) fn asks_everybody(url: &BusUrl, config: &BrokerConfig) -> bool {
    client_certificates(url, config) == ClientCertificates::Required
}

/// Whether somebody can show a certificate there.
fn asks(url: &BusUrl, config: &BrokerConfig) -> bool {
    client_certificates(url, config) != ClientCertificates::None
}

fn client_certificates(url: &BusUrl, config: &BrokerConfig) -> ClientCertificates {
    match (url, &config.tls) {
        (BusUrl::Tls(_), Some(files)) => files.client_certificates,
        _ => ClientCertificates::None,
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

#[cfg(test)]
mod tests {
    use bus_core::UserName;
    use bus_core::transport::TlsServerFiles;

    use bus_core::Token;

    use crate::users::{CertificateMatch, TokenHash};

    use super::*;

    fn user() -> User {
        User::new(UserName::new("alice").expect("a name"))
    }

    #[test]
    fn other_hosts_reach_only_what_asks_them_who_they_are() {
        let none = BrokerConfig::default();
        let asking = |client_certificates| {
            none.clone().tls(TlsServerFiles { client_certificates, ..TlsServerFiles::default() })
        };
        let optional = asking(ClientCertificates::Optional);
        let required = asking(ClientCertificates::Required);
        let token = TokenHash::of(&Token::new(&"t".repeat(40)).expect("a token"));
        let named = user().certificate(CertificateMatch::Name("alice".into()));
        let insecure = none.clone().insecure(true);
        let cases = [
            (&none, false, false),
            (&optional, false, false),
            (&required, false, true),
            (&insecure, true, true),
            // Who has nothing to show is nobody.
            (&none.clone().user(user()), false, false),
            (&none.clone().user(user().token(token)), true, true),
            // A certificate can be shown where one is asked for, and not in the clear.
            (&none.clone().user(named.clone()), false, false),
            (&optional.clone().user(named.clone()), false, true),
            (&required.clone().user(named.clone()), false, true),
            (&none.clone().user(named.token(token)), true, true),
        ];
        for (config, tcp, tls) in cases {
            for (scheme, expected) in [("tcp", tcp), ("tls", tls)] {
                let open: BusUrl = format!("{scheme}://0.0.0.0:1").parse().expect("a URL");
                let checked = check(&open, "0.0.0.0:1", config);
                assert_eq!(checked.ok(), expected.then_some(true), "{scheme} with {config:?}");
                let inside = check(&open, "127.0.0.1:1", config);
                assert_eq!(inside.ok(), Some(false), "{scheme} with {config:?}");
            }
        }
    }

    #[test]
    fn listeners_on_loopback_and_in_the_machine_are_not_exposed() {
        let listeners = ["local:/x", "tcp://127.0.0.1:1", "tls://[::1]:1", "tls://[::]:1"];
        let listeners = listeners.map(String::from);
        let found = exposed(&listeners).map(|url| url.to_string());
        assert_eq!(found.collect::<Vec<_>>(), ["tls://[::]:1"]);
    }
}
