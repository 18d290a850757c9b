//! `$bus.bridge`: an operator adds, removes, pauses and looks at bridges while the broker runs.
//!
//! A service of the broker's own client, which only administrators may call. A call is a JSON
//! object, and so is its answer: `{"action": "list"}`, `{"action": "add", "config": TOML}`, or
//! `remove`, `pause` and `resume` with a `name`. What cannot be done is no answer: the call fails, with
//! the kind of what went wrong.

use bus_client::{Call, Client, Server};
use bus_core::sys::aside;
use bus_core::{ErrorKind, Failure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};

use crate::bridge::{BridgeConfig, Bridges, SharedBridges, Words};
use crate::config_file::parse_bridge;
use crate::hub::SharedHub;

/// Calls at a time.
const CALLS: u32 = 4;
/// Bridges that are begun at a time: one call is left for whoever looks, also while files hang.
const ADDS_MAX: usize = CALLS as usize - 1;
/// Only its owner may call it, and administrators.
const MODE: u16 = 0o700;

/// Opens the service: calls come in from now on.
pub(crate) async fn open(client: &Client) -> Result<Server, bus_client::Error> {
    client.serve_with("$bus.bridge", CALLS, Some(MODE)).await
}

/// Serves for as long as the broker runs.
pub(crate) async fn serve(
    mut server: Server,
    hub: &SharedHub,
    bridges: &SharedBridges,
) -> Result<(), bus_client::Error> {
    let mut adding = FuturesUnordered::new();
    loop {
        tokio::select! {
            call = server.next() => {
                let Some(call) = call else { return Ok(()) };
                let call = call?;
                match act(bridges, call.message().payload()) {
                    Ok(Done::Answer(answer)) => call.reply(answer.to_string())?,
                    Ok(Done::Adding(_)) if adding.len() >= ADDS_MAX => {
                        let failure = too_many();
                        call.fail_with(failure.kind(), failure.text())?;
                    }
                    Ok(Done::Adding(bridge)) => adding.push(add(hub, bridges, call, *bridge)),
                    Err(failure) => call.fail_with(failure.kind(), failure.text())?,
                }
            }
            Some(added) = adding.next() => added?,
        }
    }
}

/// What is to follow from a call.
enum Done {
    /// It is done, and this is the answer.
    Answer(Value),
    /// A bridge is to begin, when its files have been looked at.
    Adding(Box<BridgeConfig>),
}

/// Begins a bridge. Others go on while its files are read.
async fn add(
    hub: &SharedHub,
    bridges: &SharedBridges,
    call: Call,
    bridge: BridgeConfig,
) -> Result<(), bus_client::Error> {
    let (listeners, wanted) =
        (hub.borrow().listeners.clone(), bridge.clone().words(Words::Command));
    let checked = aside(move || Bridges::check(&[wanted], &listeners)).await;
    let checked =
        checked.unwrap_or_else(|error| Err(Failure::new(ErrorKind::Other, error.to_string())));
    match checked.and_then(|()| bridges.borrow_mut().add(hub, bridge, false)) {
        Ok(()) => call.reply(json!({ "done": true }).to_string()),
        Err(failure) => call.fail_with(failure.kind(), failure.text()),
    }
}

fn too_many() -> Failure {
    let text = format!(
        "{ADDS_MAX} bridges are being begun, which is the limit: their files are still being read"
    );
    Failure::new(ErrorKind::QuotaExceeded, text)
}

fn act(bridges: &SharedBridges, asked: &[u8]) -> Result<Done, Failure> {
    let wrong = |text: String| Failure::new(ErrorKind::InvalidArgument, text);
    let asked: Value = serde_json::from_slice(asked)
        .map_err(|error| wrong(format!("a call of $bus.bridge is a JSON object: {error}")))?;
    let text = |key: &str| {
        asked[key].as_str().ok_or_else(|| wrong(format!("the call lacks the text `{key}`")))
    };
    match text("action")? {
        "list" => {
            let all = bridges.borrow().list();
            let all = all.iter().map(|one| one.to_json()).collect::<Vec<_>>();
            return Ok(Done::Answer(json!({ "bridges": all })));
        }
        "add" => {
            let bridge = parse_bridge(text("config")?).map_err(|error| wrong(error.to_string()))?;
            bridges.borrow().check_name(bridge.name())?;
            return Ok(Done::Adding(Box::new(bridge)));
        }
        "remove" => bridges.borrow_mut().remove(text("name")?)?,
        "pause" => bridges.borrow_mut().pause(text("name")?, true)?,
        "resume" => bridges.borrow_mut().pause(text("name")?, false)?,
        other => {
            let text = format!(
                "`{}` is no action: known are list, add, remove, pause, resume",
                other.chars().take(40).collect::<String>()
            );
            return Err(wrong(text));
        }
    }
    Ok(Done::Answer(json!({ "done": true })))
}
