//! A go-between that can cut, hold up and turn away: the same over every transport.
//!
//! It forwards bytes between links and knows nothing of frames; over TLS they are encrypted. Held-up bytes stay in it, and
//! whoever writes feels it as it would a slow network.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bus_core::transport::{
    Link, LocalListener, MemListener, TcpListener, mem_listener, register_mem,
};
use bytes::{Bytes, BytesMut};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::bus::home;
use crate::raw::dial;

/// Clients connect to its URL instead of the broker's.
pub struct Proxy {
    pub url: String,
    orders: watch::Sender<Orders>,
    refused: watch::Receiver<usize>,
    brought: watch::Receiver<usize>,
    _home: TempDir,
}

#[derive(Clone)]
struct Orders {
    target: String,
    /// Whether connections are forwarded, or ended as soon as they are made.
    open: bool,
    /// Counts the cuts: a connection lives through none.
    cuts: u64,
    /// Whether bytes go to the broker, and to the client.
    up: bool,
    down: bool,
    /// Counts the limits that were set, and the last one: bytes up, bytes down.
    limits: u64,
    limit: (usize, usize),
}

/// One way through the proxy, on one connection.
struct Way {
    held: Bytes,
    flows: bool,
    /// Bytes that still go; then the connection is cut.
    left: usize,
    /// Counts bytes that have gone.
    count: watch::Sender<usize>,
}

enum Acceptor {
    Mem(MemListener),
    Local(LocalListener),
    Tcp(TcpListener),
}

impl Proxy {
    /// A way to this URL, over the same transport.
    pub async fn start(tag: &str, target: &str) -> Proxy {
        let home = home();
        let (acceptor, url) = match tag {
            "mem" => {
                let (connector, listener) = mem_listener();
                (Acceptor::Mem(listener), register_mem(connector))
            }
            "local" | "lanes" => {
                let path = home.path().join("proxy.sock");
                let listener = LocalListener::bind(&path).expect("a socket");
                (Acceptor::Local(listener), format!("local:{}", path.display()))
            }
            _ => {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                (Acceptor::Tcp(listener), format!("{tag}://{address}"))
            }
        };
        let orders = Orders {
            target: target.to_owned(),
            open: true,
            cuts: 0,
            up: true,
            down: true,
            limits: 0,
            limit: (usize::MAX, usize::MAX),
        };
        let (orders, heard) = watch::channel(orders);
        let (count, refused) = watch::channel(0);
        let (bytes, brought) = watch::channel(0);
        tokio::spawn(accept(acceptor, heard, count, bytes));
        Proxy { url, orders, refused, brought, _home: home }
    }

    /// Ends all connections; new ones are forwarded again.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Ends the connections that there are after so many more bytes to the broker or to the
    /// client: most likely in the middle of a frame.
    pub fn cut_after(&self, to_broker: usize, to_client: usize) {
        self.orders.send_modify(|orders| {
            (orders.limits, orders.limit) = (orders.limits + 1, (to_broker, to_client));
        });
    }

    /// Ends all connections, and every new one, until [`Proxy::open`].
    pub fn close(&self) {
        self.orders.send_modify(|orders| (orders.open, orders.cuts) = (false, orders.cuts + 1));
    }

    pub fn open(&self) {
        self.orders.send_modify(|orders| orders.open = true);
    }

    /// Leads to another broker from now on.
    pub fn lead_to(&self, target: &str) {
        self.orders.send_modify(|orders| {
            (orders.target, orders.cuts) = (target.to_owned(), orders.cuts + 1);
        });
    }

    /// Holds up what goes to the broker, or to the client.
    pub fn hold_up(&self, to_broker: bool, to_client: bool) {
        self.orders.send_modify(|orders| (orders.up, orders.down) = (!to_broker, !to_client));
    }

    /// Bytes that clients have been brought.
    pub fn brought(&self) -> usize {
        *self.brought.borrow()
    }

    /// Waits until they have been brought more than that.
    pub async fn brought_more_than(&self, before: usize) {
        self.brought.clone().wait_for(|bytes| *bytes > before).await.expect("it runs");
    }

    /// Waits until so many connections have been turned away.
    pub async fn turned_away(&self, count: usize) {
        self.refused.clone().wait_for(|refused| *refused >= count).await.expect("it runs");
    }
}

async fn accept(
    mut acceptor: Acceptor,
    orders: watch::Receiver<Orders>,
    refused: watch::Sender<usize>,
    brought: watch::Sender<usize>,
) {
    loop {
        let near = match &mut acceptor {
            Acceptor::Mem(listener) => listener.accept().await.expect("the name is registered"),
            Acceptor::Local(listener) => listener.accept().await.expect("accepts"),
            Acceptor::Tcp(listener) => listener.accept().await.expect("accepts"),
        };
        let now = orders.borrow().clone();
        if !now.open {
            refused.send_modify(|count| *count += 1);
            continue;
        }
        let bare = now.target.replacen("tls:", "tcp:", 1);
        // Without a broker there, the client sees its connection end.
        if let Ok(far) = dial(&bare).await {
            tokio::spawn(forward(near, far, orders.clone(), brought.clone()));
        }
    }
}

/// Forwards until either side ends, or the connection is cut.
async fn forward(
    mut near: Box<dyn Link>,
    mut far: Box<dyn Link>,
    mut orders: watch::Receiver<Orders>,
    brought: watch::Sender<usize>,
) {
    let way = |count| Way { held: Bytes::new(), flows: true, left: usize::MAX, count };
    let (mut up, mut down) = (way(watch::Sender::new(0)), way(brought));
    let (cuts, mut limits) = (orders.borrow().cuts, orders.borrow().limits);
    loop {
        let now = orders.borrow_and_update().clone();
        if now.cuts != cuts {
            return;
        }
        if std::mem::replace(&mut limits, now.limits) != now.limits {
            (up.left, down.left) = now.limit;
        }
        (up.flows, down.flows) = (now.up, now.down);
        let moved = poll_fn(|cx| {
            let to_broker = poll_way(&mut *near, &mut *far, &mut up, cx);
            let to_client = poll_way(&mut *far, &mut *near, &mut down, cx);
            if to_broker.is_ready() || to_client.is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            () = moved => return,
        }
    }
}

/// Moves bytes one way. Ready when that has ended.
fn poll_way(
    from: &mut dyn Link,
    to: &mut dyn Link,
    way: &mut Way,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let is_late = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    loop {
        if way.left == 0 {
            return Poll::Ready(());
        }
        if way.held.is_empty() {
            std::task::ready!(from.poll_readable(cx)).ok();
            let mut buffer = BytesMut::with_capacity(64 * 1024);
            match from.try_read(&mut buffer) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => way.held = buffer.freeze(),
                Err(error) if is_late(&error) => continue,
                Err(_) => return Poll::Ready(()),
            }
        }
        if !way.flows {
            return Poll::Pending;
        }
        std::task::ready!(to.poll_writable(cx)).ok();
        match to.try_write(&[way.held.slice(..way.held.len().min(way.left))]) {
            Ok(count) => {
                way.left -= count;
                way.count.send_modify(|bytes| *bytes += count);
                drop(way.held.split_to(count));
            }
            Err(error) if is_late(&error) => {}
            Err(_) => return Poll::Ready(()),
        }
    }
}
