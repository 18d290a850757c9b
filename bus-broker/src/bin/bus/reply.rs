//! `bus reply`: serve a name. The reply is the request itself, what a command makes of it, or
//! always the same.

use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use bus_client::{Call, Message, Server};
use bus_core::sys::{kill_group, shell};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::task::{JoinSet, LocalSet};

use crate::exit::{Exit, Problem, say};
use crate::message::MessageArgs;
use crate::serve::Signals;
use crate::{session, value};

/// Characters of a failed command's words that the caller is told.
const REASON_CHARS: usize = 200;

/// Time beyond a call's deadline: that it is over the broker tells the caller, not the command.
const MARGIN: Duration = Duration::from_millis(50);

/// Flags of `reply`.
#[derive(clap::Args)]
pub struct Args {
    /// The service
    service: String,
    /// Reply with the request itself
    #[arg(long, conflicts_with_all = ["exec", "body", "file"])]
    echo: bool,
    /// Run this with the shell for each request: the payload is its input, its output the reply
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["body", "file"])]
    exec: Option<String>,
    #[command(flatten)]
    message: MessageArgs,
    /// End after so many requests; 0 is never
    #[arg(long, short = 'n', value_name = "N", default_value_t = 0)]
    count: u64,
    /// Requests that are served at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    credit: u32,
    /// Who may call: octal bits as of a file; write is to call
    #[arg(long, value_parser = value::mode)]
    mode: Option<u16>,
}

enum How {
    Echo,
    Exec(String),
    Fixed(Message),
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let how = match args.exec {
        _ if args.echo => How::Echo,
        Some(command) => How::Exec(command),
        None => How::Fixed(args.message.message().await?),
    };
    // Caught, so that commands which still run are ended.
    let mut signals = Signals::new()?;
    let local = LocalSet::new();
    let work = session::with_client(url, session::lasting("reply"), async |client| {
        session::tell_events(client);
        let mut server = client.serve_with(&args.service, args.credit, args.mode).await?;
        tokio::select! {
            result = serve(&mut server, Rc::new(how), args.count) => result,
            () = signals.next() => Ok(()),
        }
    });
    local.run_until(work).await
}

async fn serve(server: &mut Server, how: Rc<How>, count: u64) -> Result<(), Problem> {
    let mut calls = JoinSet::new();
    let mut taken = 0;
    while count == 0 || taken < count {
        let Some(call) = server.next().await else { break };
        taken += 1;
        calls.spawn_local(answer(call?, how.clone()));
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
    Ok(())
}

async fn answer(call: Call, how: Rc<How>) {
    let result = match &*how {
        How::Echo => {
            let message = call.message().clone();
            call.reply(message)
        }
        How::Fixed(message) => call.reply(message.clone()),
        How::Exec(command) => match execute(command, &call).await {
            Ok(output) => {
                let reply = Message::new(call.kind(), output);
                call.reply(reply)
            }
            Err(Problem::Said(_, reason)) => call.fail(reason),
            Err(_) => call.fail("the command failed"),
        },
    };
    if let Err(error) = result {
        say(error);
    }
}

/// Runs the command, at most as long as the caller waits.
async fn execute(command: &str, call: &Call) -> Result<Vec<u8>, Problem> {
    let failed = |text: String| Problem::new(Exit::Failed, text);
    let mut child = Command::from(shell(command))
        .env("BUS_TYPE", call.kind().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot run the shell: {error}")))?;
    let mut group = Group::of(&child);
    let input = child.stdin.take();
    let write = async {
        if let Some(mut input) = input {
            // A command need not read its input.
            let _ = input.write_all(call.payload()).await;
        }
    };
    let run = async { tokio::join!(write, child.wait_with_output()).1 };
    let limit = call.timeout() + MARGIN;
    let Ok(output) = tokio::time::timeout(limit, run).await else {
        return Err(failed("the command took longer than the caller waits".into()));
    };
    let output = output.map_err(|error| failed(format!("the command was lost: {error}")))?;
    group.0 = None;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words: String = words.trim().chars().take(REASON_CHARS).collect();
    let colon = if words.is_empty() { "" } else { ": " };
    Err(failed(format!("the command ended with {}{colon}{words}", output.status)))
}

/// The processes of a command that still runs; dropping this ends them all, not the shell alone.
struct Group(Option<u32>);

impl Group {
    fn of(child: &Child) -> Group {
        Group(child.id())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            kill_group(leader);
        }
    }
}
