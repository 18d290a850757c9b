//! `--lines`: messages that come as they come, for longer than a broker may live.

use std::process::Stdio;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::stage::{DONE, LOST, Outcome, PATIENCE, Process, Stage, command};

/// A verb that reads lines, whose input stays open.
struct Typing(Child);

impl Typing {
    fn start(stage: &Stage, arguments: &[&str]) -> Typing {
        let mut command: Command = command();
        command.args(["--url", &stage.url]).args(arguments).arg("--lines");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Typing(command.spawn().expect("the program starts"))
    }

    async fn line(&mut self, line: &str) {
        let input = self.0.stdin.as_mut().expect("piped");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
    }

    /// No more comes.
    async fn end(self) -> Outcome {
        let output = timeout(PATIENCE, self.0.wait_with_output()).await;
        let output = output.expect("it ends").expect("it runs");
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

async fn restart(stage: &mut Stage) {
    stage.broker.signal(Signal::KILL);
    stage.broker.end().await;
    stage.broker = Process::start(&["serve", "-l", &stage.url]);
    assert_eq!(stage.broker.line().await, format!("listening on {}", stage.url));
}

#[tokio::test]
async fn a_stream_of_publishes_outlives_its_broker_and_says_what_is_not_known() {
    let mut stage = Stage::new().await;
    let mut sub = stage.start(&["sub", "news", "--raw"]);
    stage.until_client("bus sub", 1).await;
    let mut typing = Typing::start(&stage, &["pub", "news"]);
    typing.line("one").await;
    assert_eq!(sub.line().await, "one");
    restart(&mut stage).await;
    stage.until_client("bus sub", 1).await;
    stage.until_client("bus pub", 1).await;
    typing.line("two").await;
    assert_eq!(sub.line().await, "two");
    let outcome = typing.end().await;
    assert!(outcome.err.contains("trying again"), "{outcome:?}");
    match outcome.code {
        // The first one was not confirmed when its broker was lost.
        LOST => assert!(outcome.err.contains("published 2 messages; of 1 of them"), "{outcome:?}"),
        code => assert_eq!(code, DONE, "{outcome:?}"),
    }
}

#[tokio::test]
async fn a_stream_of_sends_outlives_its_broker_and_ends_with_one_that_is_not_known() {
    let mut stage = Stage::new().await;
    let mut typing = Typing::start(&stage, &["send", "jobs", "--create"]);
    typing.line("one").await;
    assert_eq!(stage.good(&["recv", "jobs", "--create", "--raw"]).await, "one\n");
    restart(&mut stage).await;
    // It makes its queue again.
    stage.until_client("bus send", 1).await;
    stage.good(&["set", "jobs", "--count", "1"]).await;
    typing.line("two").await;
    stage.until(&["stat", "jobs", "--json"], |stat| stat["queues"][0]["messages"] == 1).await;
    // There is no room for this one: it is under way when its broker is lost.
    typing.line("three").await;
    stage.until(&["stat", "jobs", "--json"], |stat| stat["queues"][0]["blocked"] == 1).await;
    restart(&mut stage).await;
    let outcome = typing.end().await;
    outcome.check(LOST, &["sending to `jobs`", "is not known", "(messages accepted before: 2)"]);
}
