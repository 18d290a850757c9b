//! A process that comes and goes, and is killed in the middle of a frame.
//!
//! It is this test's own program, started again; in an ordinary run its test does nothing.

use std::time::Duration;

use bus_broker::Broker;
use bus_core::session::{Hello, Resume};
use bus_core::transport::frame_bytes;
use bus_core::{Header, Kind};

use crate::child::{Process, say, task};
use crate::figures::Figures;
use crate::measure::{TASK, flood};
use crate::raw::{Raw, honest, resuming};

const MARK: &str = "done";
/// How often it comes and goes.
const TIMES: usize = 300;

#[test]
fn child_process() {
    let Some(url) = task() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        match url.strip_prefix(TASK) {
            Some(task) => flood(task).await,
            None => come_and_go(&url).await,
        }
    });
}

async fn come_and_go(url: &str) {
    for _ in 0..TIMES {
        drop(Raw::established(url).await);
    }
    // One session that is resumed again and again.
    let lasting = Hello { grace: Duration::from_secs(300), ..honest() };
    let mut raw = Raw::connect(url).await;
    let welcome = raw.hello(&lasting).await.expect("the broker takes it");
    for _ in 0..TIMES {
        drop(raw);
        raw = Raw::connect(url).await;
        let resume: Option<Resume> = resuming(&welcome).resume;
        let hello = Hello { resume, ..lasting.clone() };
        assert!(raw.hello(&hello).await.expect("it is its own").resumed);
    }
    let frame = frame_bytes(Header::new(Kind::Publish, 0, 1), &[1; 100_000]);
    raw.bytes(frame.slice(..50_000)).await;
    say(MARK);
    std::future::pending().await
}

/// While the process lives the broker holds next to nothing for it, and after it nothing.
pub async fn comes_and_goes_and_is_killed(broker: &Broker, url: &str, before: &Figures) {
    let mut child = Process::start(None, url).expect("it is this user's");
    assert_eq!(child.line().await.as_deref(), Some(MARK), "it has ended too early");
    let during = Figures::with_sessions(broker, before.sessions() + 1).await;
    // Its one connection, and the pipe to it.
    during.hold_no_more_than(before, 6);
    child.kill().await;
    let after = Figures::with_sessions(broker, before.sessions()).await;
    assert_eq!(after.sessions(), before.sessions(), "the session of a killed process stays");
}
