//! One suite that every transport must pass.
//!
//! A property is a function over a pair of connected links; each is run for every transport
//! there is. What only one transport can promise stands in `local`.

mod ends;
mod local;
mod suite;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bus_core::transport::{Link, LocalListener, TcpListener, connect_local, connect_tcp, mem_pair};
use bytes::{Bytes, BytesMut};

/// Two ends of a connection, and what must live as long.
pub struct Pair {
    pub near: Box<dyn Link>,
    pub far: Box<dyn Link>,
    _room: Option<Room>,
}

/// A directory that goes with the test.
pub struct Room(pub PathBuf);

impl Room {
    pub fn new(name: &str) -> Room {
        let unique = format!("bus-conformance-{}-{name}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique);
        std::fs::create_dir_all(&path).expect("a directory");
        // Paths of sockets are short: reach it by a link from a short place.
        let short = PathBuf::from(format!("/tmp/bc-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&short);
        std::os::unix::fs::symlink(&path, &short).expect("a link");
        Room(short)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Ok(path) = std::fs::read_link(&self.0) {
            let _ = std::fs::remove_dir_all(path);
        }
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A pair over each transport, for a property of this name.
pub async fn pairs(property: &str) -> Vec<(&'static str, Pair)> {
    let (near, far) = mem_pair();
    let mem = Pair { near, far, _room: None };

    let room = Room::new(property);
    let path = room.0.join("bus.sock");
    let listener = LocalListener::bind(&path).expect("listens");
    let (near, far) = tokio::join!(connect_local(&path), listener.accept());
    let (near, far) = (near.expect("connects"), far.expect("accepts"));
    let local = Pair { near, far, _room: Some(room) };

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let address = listener.local_addr().expect("an address").to_string();
    let (near, far) = tokio::join!(connect_tcp(&address), listener.accept());
    let tcp = Pair { near: near.expect("connects"), far: far.expect("accepts"), _room: None };
    vec![("mem", mem), ("local", local), ("tcp", tcp)]
}

/// Reads until there are so many bytes, or the link ends.
pub async fn read(link: &mut dyn Link, count: usize) -> io::Result<BytesMut> {
    let mut buffer = BytesMut::new();
    while buffer.len() < count {
        poll_fn(|cx| link.poll_readable(cx)).await?;
        buffer.reserve(64 * 1024);
        match link.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer)
}

/// Writes all of these slices.
pub async fn write(link: &mut dyn Link, mut slices: Vec<Bytes>) -> io::Result<()> {
    while !slices.is_empty() {
        poll_fn(|cx| link.poll_writable(cx)).await?;
        let mut count = match link.try_write(&slices) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        while let Some(first) = slices.first_mut() {
            let part = count.min(first.len());
            drop(first.split_to(part));
            count -= part;
            if !first.is_empty() {
                break;
            }
            slices.remove(0);
        }
    }
    Ok(())
}

/// Bytes that tell their place.
pub fn pattern(length: usize) -> Bytes {
    (0..length).map(|index| (index % 251) as u8).collect::<Vec<_>>().into()
}

/// A deadline that only a hang reaches.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("{what}: hangs"))
}
