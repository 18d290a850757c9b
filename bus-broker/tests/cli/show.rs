//! `bus demo` and `bus bench`, in short.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, timeout};

use crate::stage::{DONE, PATIENCE, Stage, UNREACHABLE, bus, command};

#[tokio::test]
async fn demo_shows_the_main_job_and_leaves_nothing() {
    let outcome = bus(&["demo"]).await;
    outcome.check(
        DONE,
        &[
            "broker, process",
            "topic demo.prices",
            "shared memory",
            "local socket",
            "tcp",
            "all in order",
            "queue demo.jobs",
            "selects <=3",
            "got 1 ",
            "all 48 acknowledged",
        ],
    );
    assert!(outcome.err.is_empty(), "{outcome:#?}");
    let socket = outcome.out.split("local:").nth(1).and_then(|rest| rest.split(' ').next());
    let directory = std::path::Path::new(socket.expect("a path")).parent().expect("a directory");
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[tokio::test]
async fn bench_measures_over_any_url() {
    let stage = Stage::new().await;
    for url in [&stage.url, &stage.tcp] {
        let outcome = bus(&["bench", url, "--seconds", "0.2", "--size", "1KiB", "--json"]).await;
        let report = outcome.json();
        assert_eq!(report["own_broker"], false);
        assert_eq!(report["one_way"]["lost"], 0);
        assert_eq!(report["one_way"]["out_of_order"], 0);
        assert!(report["one_way"]["messages_per_second"].as_u64() > Some(0), "{report}");
        let trip = &report["round_trip"];
        // Faster than a microsecond would be a mistake in measuring.
        assert!(trip["p50_ns"].as_u64() > Some(1000), "{report}");
        assert!(trip["p99_ns"].as_u64() >= trip["p50_ns"].as_u64(), "{report}");
    }
    let topics = stage.bus(&["ls", "--topics", "--json"]).await.json();
    assert_eq!(topics["topics"].as_array().map(Vec::len), Some(0), "its topics are gone");
    let nobody = bus(&["bench", "tcp://127.0.0.1:1"]).await;
    nobody.check(UNREACHABLE, &["tcp://127.0.0.1:1"]);
}

#[tokio::test]
async fn demo_that_is_killed_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = command();
    command.arg("demo").env("TMPDIR", directory.path());
    let mut demo = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.expect("it says something");
    assert!(first.expect("text").expect("a line").starts_with("broker, process"));
    demo.kill().await.expect("it runs");
    let left = || std::fs::read_dir(directory.path()).expect("a directory").count();
    let deadline = Instant::now() + PATIENCE;
    while left() > 0 {
        assert!(Instant::now() < deadline, "its folder stays");
        tokio::task::yield_now().await;
    }
}
