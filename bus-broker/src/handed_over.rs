//! Sockets that were opened before the broker began, and to which of its listeners each belongs.
//!
//! The address decides, nothing else. All of them are looked at before anything listens: one that cannot be used, or
//! that no listener wants, is a mistake of the configuration, and the broker does not start beside it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use bus_core::BusUrl;
use bus_core::sys::{Inherited, Listening, OwnedFd, listening_address};
use bus_core::transport::default_path;

use crate::start_error::StartError;

/// Gives each of these listeners its socket, if there is one.
///
/// # Errors
/// When one of the sockets cannot be used, or is left over: all of them are named.
pub(crate) fn assign(
    sockets: Vec<Inherited>,
    listen: &[BusUrl],
) -> Result<Vec<Option<OwnedFd>>, StartError> {
    let mut given: Vec<Option<OwnedFd>> = listen.iter().map(|_| None).collect();
    let mut wrong = Vec::new();
    for socket in sockets {
        let Inherited { descriptor, number, name } = socket;
        let address = match listening_address(&descriptor) {
            Ok(address) => address,
            Err(reason) => {
                wrong.push(format!("`{name}` (descriptor {number}) {reason}"));
                continue;
            }
        };
        let wants = |(url, given): &(&BusUrl, &mut Option<OwnedFd>)| {
            given.is_none() && listens_at(url, &address)
        };
        match listen.iter().zip(&mut given).find(wants) {
            Some((_, place)) => *place = Some(descriptor),
            None => wrong.push(format!(
                "`{name}` (descriptor {number}) listens on {}, and no listener of the configuration does: add it there, or remove it from the socket's file",
                shown(&address)
            )),
        }
    }
    match wrong.is_empty() {
        true => Ok(given),
        false => Err(StartError::HandedOver(wrong.join("; "))),
    }
}

/// Whether that is the address of this listener.
fn listens_at(url: &BusUrl, address: &Listening) -> bool {
    match (url, address) {
        (BusUrl::Local(path) | BusUrl::Unix(path), Listening::Path(bound)) => {
            is_same_path(&path.clone().unwrap_or_else(default_path), bound)
        }
        (BusUrl::Tcp(host) | BusUrl::Tls(host), Listening::Network(bound)) => {
            host.to_socket_addrs().is_ok_and(|mut all| all.any(|one| one == *bound))
        }
        _ => false,
    }
}

/// Whether two listeners would have the same addresses and no other. Free ports are as many as are asked for, and who has
/// several addresses takes one that is free.
pub(crate) fn is_same_place(one: &BusUrl, other: &BusUrl) -> bool {
    match one {
        BusUrl::Local(path) | BusUrl::Unix(path) => {
            listens_at(other, &Listening::Path(path.clone().unwrap_or_else(default_path)))
        }
        BusUrl::Tcp(_) | BusUrl::Tls(_) => {
            let all = addresses(one);
            !all.is_empty() && all.iter().all(|at| at.port() != 0) && all == addresses(other)
        }
        BusUrl::Shm(_) | BusUrl::Mem(_) => false,
    }
}

/// Where a listener of TCP would listen: none of a host that nobody knows.
fn addresses(url: &BusUrl) -> BTreeSet<SocketAddr> {
    match url {
        BusUrl::Tcp(host) | BusUrl::Tls(host) => {
            host.to_socket_addrs().map(Iterator::collect).unwrap_or_default()
        }
        _ => BTreeSet::new(),
    }
}

/// One folder may have several names.
fn is_same_path(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
    let same_folder = || folder(one).is_some_and(|found| Some(found) == folder(other));
    one == other || (one.file_name() == other.file_name() && same_folder())
}

fn shown(address: &Listening) -> String {
    match address {
        Listening::Path(path) => format!("local:{}", path.display()),
        Listening::Network(address) => format!("tcp://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn inherited(number: i32, descriptor: impl Into<OwnedFd>) -> Inherited {
        Inherited { descriptor: descriptor.into(), number, name: format!("bus-{number}.socket") }
    }

    fn url(text: &str) -> BusUrl {
        text.parse().expect("a URL")
    }

    #[test]
    fn each_listener_gets_the_socket_with_its_address_and_the_others_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("same")).expect("a link");
        let local = UnixListener::bind(&path).expect("listens");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = tcp.local_addr().expect("an address").port();
        let listen = [
            url("tcp://127.0.0.1:0"),
            url(&format!("tls://localhost:{port}")),
            url(&format!("local:{}/same/a", folder.path().display())),
            url(&format!("local:{}/b", folder.path().display())),
        ];
        let given = assign(vec![inherited(3, local), inherited(4, tcp)], &listen);
        let given: Vec<bool> = given.expect("all fit").iter().map(Option::is_some).collect();
        assert_eq!(given, [false, true, true, false]);
    }

    #[test]
    fn sockets_that_cannot_be_used_and_those_left_over_are_all_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = tcp.local_addr().expect("an address");
        let twice = tcp.try_clone().expect("a copy");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let file = std::fs::File::create(folder.path().join("f")).expect("a file");
        let stream = std::net::TcpStream::connect(address).expect("connects");
        let local = UnixListener::bind(folder.path().join("other")).expect("listens");
        let all = vec![
            inherited(3, tcp),
            inherited(4, twice),
            inherited(5, udp),
            inherited(6, file),
            inherited(7, stream),
            inherited(8, local),
        ];
        let error = assign(all, &[url(&format!("tcp://{address}"))]).expect_err("a mistake");
        let told = error.to_string();
        for part in [
            "`bus-4.socket` (descriptor 4) listens on tcp://127.0.0.1:",
            "`bus-5.socket` (descriptor 5) is no stream socket",
            "`bus-6.socket` (descriptor 6) is no socket",
            "`bus-7.socket` (descriptor 7) does not listen",
            "`bus-8.socket` (descriptor 8) listens on local:",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("bus-3.socket"), "{told}");
    }
}
