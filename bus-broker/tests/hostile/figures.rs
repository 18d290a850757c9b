//! What a process uses: descriptors and resident memory, and the sessions of its broker.

use std::time::{Duration, Instant};

use bus_broker::Broker;
use bus_client::Client;

/// How much resident memory may stay behind: allocators keep some for later.
const SLACK_KIB: u64 = 8 * 1024;

/// Lanes of the honest pairs: two ends of two lanes of two clients, a quarter of a megabyte each.
const LANES_KIB: u64 = 2 * 1024;

#[derive(Debug)]
pub struct Figures {
    descriptors: usize,
    resident_kib: u64,
    lanes_kib: u64,
    sessions: u64,
}

impl Figures {
    /// The figures when so many sessions are left, and the descriptors of the others are closed
    /// as well; those of now if that does not come soon.
    pub async fn with_sessions(broker: &Broker, sessions: u64) -> Figures {
        let client = Client::connect(broker.url()).await.expect("connects");
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let first = Figures::now(&client).await;
            let mut steady = first.sessions == sessions;
            // A round trip each: the broker has done what it had to do meanwhile.
            for _ in 0..50 {
                let next = Figures::now(&client).await;
                steady &= (next.descriptors, next.sessions) == (first.descriptors, sessions);
            }
            if steady || Instant::now() > deadline {
                return first;
            }
        }
    }

    async fn now(client: &Client) -> Figures {
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("this is Linux").count();
        let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
        let kib = |key: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(key)).expect("it is told");
            let number = line.split_whitespace().nth(1).expect("a number");
            number.parse().expect("a number")
        };
        let sessions = client.admin().broker().await.expect("answers").sessions;
        let (resident_kib, lanes_kib) = (kib("RssAnon:"), kib("RssShmem:"));
        Figures { descriptors, resident_kib, lanes_kib, sessions }
    }

    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// At most so many descriptors more than before.
    pub fn hold_no_more_than(&self, before: &Figures, more: usize) {
        let limit = before.descriptors + more;
        assert!(self.descriptors <= limit, "{self:?}, and there were {before:?}");
    }

    pub fn are_back_at(&self, before: &Figures) {
        eprintln!("before {before:?}\nafter  {self:?}");
        assert_eq!(self.descriptors, before.descriptors, "descriptors have leaked");
        assert_eq!(self.sessions, before.sessions, "sessions have leaked");
        let limit = before.resident_kib + SLACK_KIB;
        assert!(self.resident_kib <= limit, "memory has grown beyond {limit} KiB");
        // Both ends are in this process; the honest ones go on filling theirs.
        let limit = before.lanes_kib + LANES_KIB;
        assert!(self.lanes_kib <= limit, "lanes have grown beyond {limit} KiB");
    }
}
