//! Connected pairs of links, made as broker and client make them; and reading and writing.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bus_core::shm::{LANE_BYTES_DEFAULT, LaneOffer};
use bus_core::sys::{AsFd, OwnedFd};
use bus_core::transport::{
    Bells, Link, LocalListener, MemConnector, MemListener, TcpListener, TlsClient, TlsListener,
    Transport, connect_local, connect_tcp, connect_tls, make_bell, mem_listener, take_bell,
};
use bytes::{Bytes, BytesMut};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::certificates::Authority;

/// Two ends of one connection.
pub struct Pair {
    pub near: Box<dyn Link>,
    pub far: Box<dyn Link>,
}

/// A listener, and the way to it.
pub struct Listening {
    pub transport: Transport,
    /// Which sides of lanes have a bell: the one that connects, the one that accepts.
    bells: [bool; 2],
    listener: Listener,
    _home: TempDir,
}

enum Listener {
    Mem(MemConnector, Mutex<MemListener>),
    Local(LocalListener),
    Tcp(SocketAddr, Mutex<TcpListener>),
    Tls(SocketAddr, Mutex<TlsListener>, TlsClient),
}

impl Listening {
    pub async fn start(transport: Transport) -> Listening {
        let home = tempfile::tempdir().expect("a temporary folder");
        let listener = match transport {
            Transport::Mem => {
                let (connector, listener) = mem_listener();
                Listener::Mem(connector, Mutex::new(listener))
            }
            Transport::Local | Transport::SharedMemory => {
                let path = home.path().join("bus.sock");
                Listener::Local(LocalListener::bind(&path).expect("a socket"))
            }
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                Listener::Tcp(listener.local_addr().expect("an address"), Mutex::new(listener))
            }
            Transport::Tls => {
                let authority = Authority::new();
                let server = authority.server(&authority.broker(&["127.0.0.1"]));
                let listener = TlsListener::bind("127.0.0.1:0", server).await.expect("a port");
                let address = listener.local_addr().expect("an address");
                Listener::Tls(address, Mutex::new(listener), authority.trusting(None))
            }
        };
        Listening { transport, bells: [false; 2], listener, _home: home }
    }

    /// The same, where lanes have bells on these sides.
    pub fn with_bells(self, bells: [bool; 2]) -> Listening {
        Listening { bells, ..self }
    }

    pub async fn connect(&self) -> Box<dyn Link> {
        let connected = match &self.listener {
            Listener::Mem(connector, _) => connector.connect().await,
            Listener::Local(listener) => connect_local(listener.path()).await,
            Listener::Tcp(address, _) => connect_tcp(&address.to_string()).await,
            Listener::Tls(address, _, client) => connect_tls(&address.to_string(), client).await,
        };
        connected.expect("connects")
    }

    pub async fn accept(&self) -> Box<dyn Link> {
        match &self.listener {
            Listener::Mem(_, listener) => listener.lock().await.accept().await.expect("goes on"),
            Listener::Local(listener) => listener.accept().await.expect("accepts"),
            Listener::Tcp(_, listener) => listener.lock().await.accept().await.expect("accepts"),
            Listener::Tls(_, listener, _) => listener.lock().await.accept().await.expect("accepts"),
        }
    }

    /// Accepts, and does what a link does before it is ready to be written to.
    async fn accept_ready(&self) -> Box<dyn Link> {
        let mut link = self.accept().await;
        poll_fn(|cx| link.poll_writable(cx)).await.expect("goes on");
        link
    }

    pub async fn pair(&self) -> Pair {
        let (mut near, mut far) = tokio::join!(self.connect(), self.accept_ready());
        // As after a handshake: no descriptor is expected any more.
        for link in [&mut near, &mut far] {
            let none = link.carrier().map(|carrier| carrier.take_descriptors());
            assert!(none.is_none_or(|none| none.is_some_and(|none| none.is_empty())));
            link.establish();
        }
        match self.transport {
            Transport::SharedMemory => over_lanes(near, far, self.bells),
            _ => Pair { near, far },
        }
    }
}

/// Exchanges both ends for lanes, as a handshake does.
fn over_lanes(mut near: Box<dyn Link>, mut far: Box<dyn Link>, bells: [bool; 2]) -> Pair {
    let offers = [(); 2].map(|()| LaneOffer::new(LANE_BYTES_DEFAULT).expect("memory"));
    let handed = offers.each_ref().map(|offer| {
        offer.descriptors().map(|file| file.try_clone_to_owned().expect("a descriptor"))
    });
    let [mine, theirs] = offers;
    let join = |offer: LaneOffer, [lane, cursor]: &[OwnedFd; 2]| {
        offer.join(lane.as_fd(), cursor.as_fd(), LANE_BYTES_DEFAULT).expect("a good peer")
    };
    let [near_bells, far_bells] = hand_over_bells(bells);
    let (outgoing, incoming) = join(mine, &handed[1]);
    let near = near.carrier().expect("a local socket").upgrade(outgoing, incoming, near_bells);
    let (outgoing, incoming) = join(theirs, &handed[0]);
    let far = far.carrier().expect("a local socket").upgrade(outgoing, incoming, far_bells);
    Pair { near: near.expect("exchanged"), far: far.expect("exchanged") }
}

/// What either side has when these sides have made one.
fn hand_over_bells(bells: [bool; 2]) -> [Bells; 2] {
    let [near, far] = bells.map(|has| has.then(|| make_bell().expect("an eventfd")));
    let handed = |bell: &Option<OwnedFd>| {
        let copy = bell.as_ref().map(|bell| bell.try_clone().expect("a descriptor"));
        copy.map(|copy| take_bell(copy).expect("it is one"))
    };
    let (near_rings, far_rings) = (handed(&far), handed(&near));
    [Bells { own: near, theirs: near_rings }, Bells { own: far, theirs: far_rings }]
}

pub fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Writes all of these slices, waiting as often as it must, until they are out.
pub async fn write_all(link: &mut dyn Link, mut slices: Vec<Bytes>) -> io::Result<()> {
    loop {
        slices.retain(|slice| !slice.is_empty());
        if slices.is_empty() {
            return poll_fn(|cx| link.poll_flush(cx)).await;
        }
        poll_fn(|cx| link.poll_writable(cx)).await?;
        let written = link.try_write(&slices);
        if would_block(&written) {
            continue;
        }
        let mut count = written?;
        assert!(count > 0, "a write of nothing is no success");
        for slice in &mut slices {
            let part = count.min(slice.len());
            drop(slice.split_to(part));
            count -= part;
        }
    }
}

/// Reads once, at most about so much; nothing at the end.
pub async fn read_some(link: &mut dyn Link, room: usize) -> io::Result<BytesMut> {
    loop {
        poll_fn(|cx| link.poll_readable(cx)).await?;
        let mut buffer = BytesMut::with_capacity(room);
        let read = link.try_read(&mut buffer);
        if would_block(&read) {
            continue;
        }
        assert_eq!(read?, buffer.len());
        return Ok(buffer);
    }
}

/// Reads exactly so much.
pub async fn read_exactly(link: &mut dyn Link, length: usize) -> BytesMut {
    let mut all = BytesMut::new();
    while all.len() < length {
        let part = read_some(link, length - all.len()).await.expect("goes on");
        assert!(!part.is_empty(), "ended after {} of {length} bytes", all.len());
        all.unsplit(part);
    }
    assert_eq!(all.len(), length);
    all
}

/// Writes until nothing goes any more; gives how much went.
pub fn fill(link: &mut dyn Link, piece: &Bytes) -> usize {
    let mut total = 0;
    loop {
        match link.try_write(std::slice::from_ref(piece)) {
            Ok(count) => total += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return total,
            Err(error) => panic!("the link has ended: {error}"),
        }
    }
}

/// Bytes that differ from place to place, the same each time.
pub fn pattern(length: usize) -> Bytes {
    let bytes = (0..length as u64).map(|place| (place.wrapping_mul(0x9e37_79b9) >> 13) as u8);
    bytes.collect::<Vec<u8>>().into()
}

/// A generator of no quality, which is the same everywhere (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
