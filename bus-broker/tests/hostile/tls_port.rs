//! What hostile peers say to a listener with TLS before there is any: junk, and half of a handshake.

use std::time::{Duration, Instant};

use bus_client::{Client, ClientOptions};
use bus_core::transport::connect_tls;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::SOON;
use crate::dice::Dice;
use crate::pair::Pair;
use crate::raw::authority;

/// Connections of random bytes.
const RANDOM_CONNECTIONS: u64 = 10_000;
/// How many of them there are at a time.
const AT_A_TIME: usize = 32;
const HALF_OPEN: usize = 600;

/// A listener with TLS, and how an honest client opens.
pub struct TlsPort {
    pub url: String,
    address: String,
    opening: Vec<u8>,
    seed: u64,
}

impl TlsPort {
    pub async fn new(url: &str, seed: u64) -> TlsPort {
        let address = url.strip_prefix("tls://").expect("its URL").to_owned();
        let ear = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = ear.local_addr().expect("an address").to_string();
        let client = authority::bare_client();
        let hearing = async {
            let (mut stream, _) = ear.accept().await.expect("accepts");
            let mut heard = vec![0; 8192];
            let count = stream.read(&mut heard).await.expect("it opens");
            heard.truncate(count);
            heard
        };
        let opening = tokio::select! {
            heard = hearing => heard,
            _ = connect_tls(&to, &client) => panic!("nobody has answered"),
        };
        TlsPort { url: url.to_owned(), address, opening, seed }
    }

    /// An honest client.
    pub async fn client(&self) -> Client {
        let options = authority::trusting(ClientOptions::default());
        Client::connect_with(&self.url, options).await.expect("connects")
    }

    /// An honest pair.
    pub async fn pair(&self) -> Pair {
        Pair::between(self.client().await, self.client().await, "tls").await
    }

    pub async fn warm_up(&self) {
        self.some_random(500).await;
        self.half_open(false).await;
    }

    /// All that is done to it.
    pub async fn attack(&self) {
        let began = Instant::now();
        self.random_bytes().await;
        self.half_open(true).await;
        eprintln!("over TLS: {:?}", began.elapsed());
    }

    pub async fn random_bytes(&self) {
        self.some_random(RANDOM_CONNECTIONS).await;
    }

    /// What an honest client says first.
    pub fn opening(&self) -> &[u8] {
        &self.opening
    }

    async fn some_random(&self, count: u64) {
        let mut running = FuturesUnordered::new();
        for number in 0..count {
            running.push(self.one_random(number));
            if running.len() >= AT_A_TIME {
                running.next().await;
            }
        }
        while running.next().await.is_some() {}
    }

    /// Random bytes, some behind the header of a record; handshakes that are cut, or changed.
    async fn one_random(&self, number: u64) {
        let mut dice = Dice::new(self.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let length = (dice.next() % 600) as usize;
        let mut bytes = match number % 4 {
            0 | 1 => dice.bytes(length),
            _ => self.opening.clone(),
        };
        let place = dice.next() as usize % self.opening.len();
        match number % 4 {
            1 if length >= 5 => bytes[..5].copy_from_slice(&[22, 3, 1, 0, dice.next() as u8]),
            2 => bytes.truncate(place),
            3 => bytes[place] ^= 1 << (dice.next() % 8),
            _ => {}
        }
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        // The broker may have had enough before all is written.
        let _ = stream.write_all(&bytes).await;
        if number.is_multiple_of(8) {
            // Some wait for what is said to them; the others are gone already.
            let _ = timeout(Duration::from_millis(50), stream.read(&mut [0; 4096])).await;
        }
    }

    /// Connections that say nothing, or half a word, are ended after the time for a handshake.
    async fn half_open(&self, wait: bool) {
        let began = Instant::now();
        let mut open = Vec::new();
        for number in 0..HALF_OPEN {
            let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
            let _ = stream.write_all(&self.opening[..number % self.opening.len()]).await;
            open.push(stream);
        }
        // Who says all of it is let in meanwhile.
        timeout(SOON, self.client()).await.expect("there is room for it");
        if !wait {
            return;
        }
        for mut stream in open {
            let ended = timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
            // An end, or a reset for what was not read.
            drop(ended.expect("half a handshake is ended"));
        }
        let took = began.elapsed().as_secs();
        assert!((2..8).contains(&took), "they were ended after {took} s");
    }
}
