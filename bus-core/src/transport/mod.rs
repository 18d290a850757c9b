//! Transports: how the bytes of frames get from one process to another.
//!
//! One trait for all of them, and one conformance suite (`tests/conformance`). A link moves
//! bytes in order, or ends; what the frames in them mean is not its business.

mod arrival;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/bell.rs")]
mod bell;
mod carrier;
mod certificate;
mod clear;
#[cfg(target_os = "linux")]
mod ear;
mod exchange;
#[cfg(target_os = "linux")]
mod lane;
#[cfg_attr(windows, path = "windows/local.rs")]
mod local;
mod mem;
mod pace;
#[cfg_attr(windows, path = "windows/path.rs")]
mod path;
mod pulse;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere/stream.rs")]
mod stream;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

pub use arrival::{Arrival, Greeting};
pub use bell::{Bells, could_stop_us, is_same_user, make_bell, take_bell};
pub use carrier::Carrier;
pub use certificate::{
    ClientCertificates, InvalidClientCertificates, PeerCertificate, TlsClientFiles, TlsServerFiles,
};
pub use clear::{is_tls, not_clear};
pub use exchange::{LinkError, frame_bytes, next_frame, write_frame};
pub use local::{LocalListener, connect_local};
pub use mem::{
    MemConnector, MemListener, connect_mem, mem_listener, mem_pair, register_mem, unregister_mem,
};
pub use pace::{Clock, InvalidWaiting, Pace, Waiting};
pub use path::{candidate_paths, default_path, folder_exists, prepare_directory};
pub use pulse::Pulse;
pub use tcp::{Backlog, TcpListener, connect_tcp};
#[cfg(feature = "tls")]
pub use tls::{
    InvalidServerName, InvalidTlsFile, Moment, Side, TlsClient, TlsError, TlsFailure, TlsFile,
    TlsListener, TlsServer, check_server_name, common_name, connect_tls,
};

use crate::session::Passage;
use crate::sys::Credentials;

/// One connection. Both halves belong to one task.
pub trait Link: Send {
    /// Ready when [`Link::try_read`] is worth trying.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends what has arrived, at most about the spare capacity; 0 when the peer has ended.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; anything else ends the link.
    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize>;

    /// Ready when [`Link::try_write`] is worth trying.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes from these slices in order, as much as goes now. A link may take a little more, which
    /// goes when it is polled for anything.
    ///
    /// # Errors
    /// `WouldBlock` when nothing goes; anything else ends the link.
    fn try_write(&mut self, slices: &[Bytes]) -> io::Result<usize>;

    /// Ready when everything that was taken is out of this process's hands, so that the link may be
    /// dropped.
    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// How far what was written has come; none where that cannot be told. It may be asked every few
    /// seconds: it is a system call.
    fn passage(&self) -> Option<Passage> {
        None
    }

    /// It is known who the peer is, and its handshake is over: from now on the link may spend on it
    /// what it spends on anybody. Before that a broker's link holds little.
    fn establish(&mut self) {}

    /// Which transport it is.
    fn transport(&self) -> Transport;

    /// Who is at the other end.
    fn peer(&self) -> &Peer;

    /// What this link can carry beside bytes: only local sockets can carry lanes.
    fn carrier(&mut self) -> Option<&mut dyn Carrier> {
        None
    }

    /// Its incoming side, if that can be looked at without a system call: only lanes can.
    fn direct(&mut self) -> Option<&mut dyn Direct> {
        None
    }
}

/// The incoming side of a link in this process's own memory, which can be waited for awake.
///
/// A link that was polled and is pending has asked its peer to be woken. Whoever looks by
/// itself says so with [`Direct::stay_awake`], and asks again with [`Direct::rest`] when it
/// stops: the task whose waker the link has is then woken as before.
pub trait Direct {
    /// Whether [`Link::try_read`] would bring something.
    ///
    /// # Errors
    /// What ends the link.
    fn look(&mut self) -> io::Result<bool>;

    /// The peer need not wake this side.
    fn stay_awake(&mut self);

    /// The peer must wake this side for what comes next. `false` if something is there by now.
    ///
    /// # Errors
    /// What ends the link.
    fn rest(&mut self) -> io::Result<bool>;
}

/// The transports there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Inside one process.
    Mem,
    /// Lanes in shared memory.
    SharedMemory,
    /// A local socket.
    Local,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl fmt::Display for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Transport::Mem => "mem",
            Transport::SharedMemory => "shared memory",
            Transport::Local => "local socket",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        })
    }
}

/// Who is at the other end of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// By the kernel's word; none for TCP and TLS.
    pub credentials: Option<Credentials>,
    /// Address, for people.
    pub address: String,
    /// Its host, if it came over the network.
    pub ip: Option<IpAddr>,
    /// What its certificate says, if it has shown one: over TLS only, and after the handshake.
    pub certificate: Option<PeerCertificate>,
}
