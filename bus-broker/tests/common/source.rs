//! Connections from a chosen address: on loopback a peer can come from anywhere in 127.0.0.0/8.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use tokio::net::{TcpSocket, TcpStream};

/// Where attackers come from that are not at the address of the honest.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The first port that is taken there.
const FIRST: u16 = 1024;

/// Connects to this address from that one.
pub async fn connect_from(source: Ipv4Addr, address: &str) -> io::Result<TcpStream> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    if source == Ipv4Addr::LOCALHOST {
        return TcpStream::connect(address).await;
    }
    let address: SocketAddr = address.parse().expect("an address");
    loop {
        // One after the other: to look for a free one takes the system longer than all the rest.
        let port = NEXT.fetch_add(1, Relaxed) % (u16::MAX - FIRST) + FIRST;
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        let connected = match socket.bind((source, port).into()) {
            Ok(()) => socket.connect(address).await,
            Err(error) => Err(error),
        };
        match connected {
            Err(error) if is_taken(&error) => {}
            result => return result,
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
}
