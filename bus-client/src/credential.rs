//! Where a token may be sent: only where nobody but its broker can read it.
//!
//! It is decided over the connection that was made, not over what a URL promises, and before
//! anything is written.

use std::borrow::Cow;
use std::net::IpAddr;

use bus_core::session::Hello;
use bus_core::transport::{Link, Transport};
use bus_core::{BusUrl, ErrorKind};

use crate::error::Error;
use crate::knob::Knob;
use crate::options::ClientOptions;

/// What to open this connection with.
pub(crate) fn introduce<'a>(
    hello: &'a Hello,
    options: &ClientOptions,
    link: &dyn Link,
    url: &BusUrl,
) -> Result<Cow<'a, Hello>, Error> {
    let Some(token) = &options.token else { return Ok(Cow::Borrowed(hello)) };
    match options.insecure || is_private(link.transport(), link.peer().ip) {
        true => Ok(Cow::Owned(Hello { credential: Some(token.clone()), ..hello.clone() })),
        false => Err(Error::new(
            ErrorKind::Insecure,
            format!(
                "{url}: everybody on the way could read the token, so that it was not sent: use tls://, a broker on this machine, or no token, unless it may be read"
            ),
        )
        .with_knob(Some(Knob::Insecure))),
    }
}

/// Whether nobody else can read what goes over a link.
fn is_private(transport: Transport, ip: Option<IpAddr>) -> bool {
    match transport {
        Transport::Tcp => ip.is_some_and(|ip| ip.to_canonical().is_loopback()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_connections_to_other_hosts_are_open_to_others() {
        let check = |transport, ip: &str, expected| {
            assert_eq!(is_private(transport, ip.parse().ok()), expected, "{transport} to {ip:?}");
        };
        check(Transport::Tcp, "192.0.2.1", false);
        check(Transport::Tcp, "2001:db8::1", false);
        check(Transport::Tcp, "", false);
        check(Transport::Tcp, "127.9.9.9", true);
        check(Transport::Tcp, "::1", true);
        check(Transport::Tcp, "::ffff:127.0.0.1", true);
        check(Transport::Tcp, "::ffff:192.0.2.1", false);
        check(Transport::Tls, "192.0.2.1", true);
        check(Transport::Local, "", true);
        check(Transport::Mem, "", true);
    }
}
