//! `$bus.bridge`: an operator adds, removes, pauses and looks at bridges while the broker runs.
//!
//! A service of the broker's own client, which only administrators may call. A call is a JSON
//! object, and so is its answer: `{"action": "list"}`, `{"action": "add", "config": TOML}`, or
//! `remove`, `pause` and `resume` with a `name`. What cannot be done is no answer: the call fails, with
//! the kind of what went wrong.

use bus_client::{Client, Server};
use bus_core::{ErrorKind, Failure};
use serde_json::{Value, json};

use crate::bridge::SharedBridges;
use crate::config_file::parse_bridge;
use crate::hub::SharedHub;

/// Calls at a time.
const CALLS: u32 = 4;
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
    while let Some(call) = server.next().await {
        let call = call?;
        match act(hub, bridges, call.message().payload()) {
            Ok(answer) => call.reply(answer.to_string())?,
            Err(failure) => call.fail_with(failure.kind(), failure.text())?,
        }
    }
    Ok(())
}

fn act(hub: &SharedHub, bridges: &SharedBridges, asked: &[u8]) -> Result<Value, Failure> {
    let wrong = |text: String| Failure::new(ErrorKind::InvalidArgument, text);
    let asked: Value = serde_json::from_slice(asked)
        .map_err(|error| wrong(format!("a call of $bus.bridge is a JSON object: {error}")))?;
    let text = |key: &str| {
        asked[key].as_str().ok_or_else(|| wrong(format!("the call lacks the text `{key}`")))
    };
    match text("action")? {
        "list" => {
            let all = bridges.borrow().list();
            return Ok(
                json!({ "bridges": all.iter().map(|one| one.to_json()).collect::<Vec<_>>() }),
            );
        }
        "add" => {
            let bridge = parse_bridge(text("config")?).map_err(|error| wrong(error.to_string()))?;
            bridges.borrow_mut().add(hub, bridge, false)?;
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
    Ok(json!({ "done": true }))
}
