//! The broker's own client: what it tells about itself under `$bus.`.
//!
//! `$bus.stat` is a service that answers with the broker's figures as JSON; `$bus.events` is a
//! topic on which clients that come and go are told, a JSON object each. Both go through the
//! router as everything else does; only the names are reserved.

use std::time::Duration;

use bus_client::{
    Client, ClientOptions, Message, MessageType, Publisher, PublisherOptions, Server,
};
use bus_core::transport::mem_pair;
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::bridge::SharedBridges;
use crate::bridge_service;
use crate::connection;
use crate::event_kinds;
use crate::hub::SharedHub;
use crate::registry::ClientInfo;

/// Events that wait to be published; beyond that they are counted and left out.
const EVENTS_MAX: usize = 1024;
/// Calls to `$bus.stat` at a time.
const CALLS: u32 = 16;

/// Something that happened at the broker.
#[derive(Debug)]
pub(crate) enum SystemEvent {
    /// A client has connected.
    Connected(ClientInfo),
    /// A client's connection has ended.
    Disconnected(ClientInfo),
    /// A direction of a bridge stands otherwise than before, or has something to tell.
    Bridge { bridge: String, what: &'static str, reason: Option<String> },
    /// Another configuration was taken over, or nothing of it was, for this reason.
    Reload { failure: Option<String> },
}

impl SystemEvent {
    /// Its word, which `EVENT_KINDS` has.
    fn kind(&self) -> &'static str {
        match self {
            SystemEvent::Connected(_) => event_kinds::CONNECTED,
            SystemEvent::Disconnected(_) => event_kinds::DISCONNECTED,
            SystemEvent::Bridge { .. } => event_kinds::BRIDGE,
            SystemEvent::Reload { .. } => event_kinds::RELOAD,
        }
    }
}

/// Where events go in, and where they come out.
pub(crate) fn events() -> (mpsc::Sender<SystemEvent>, mpsc::Receiver<SystemEvent>) {
    mpsc::channel(EVENTS_MAX)
}

/// The broker's own client, with its names open: whoever connects finds them.
pub(crate) struct System {
    publisher: Publisher,
    stat: Server,
    bridges: Server,
    // The others end with it.
    _client: Client,
}

impl System {
    /// Opens the names, each of which is in use from then on.
    ///
    /// # Errors
    /// When one cannot be had, which would be a mistake of the broker's.
    pub async fn open(hub: &SharedHub) -> Result<System, bus_client::Error> {
        let (near, far) = mem_pair();
        tokio::task::spawn_local(connection::serve_own(hub.clone(), far));
        let options = ClientOptions::default().name("broker").grace(Duration::ZERO);
        let client = Client::over_link(near, options).await?;
        let options = PublisherOptions::default().mode(0o744);
        Ok(System {
            publisher: client.publisher_with("$bus.events", options).await?,
            stat: client.serve_with("$bus.stat", CALLS, Some(0o722)).await?,
            bridges: bridge_service::open(&client).await?,
            _client: client,
        })
    }

    /// Answers and tells for as long as the broker runs.
    pub async fn run(
        self,
        hub: SharedHub,
        bridges: SharedBridges,
        events: mpsc::Receiver<SystemEvent>,
    ) {
        let System { publisher, stat, bridges: server, _client } = self;
        let bridging = bridge_service::serve(server, &hub, &bridges);
        let all = futures::future::try_join3(tell(publisher, events), answer(stat, &hub), bridging);
        match all.await {
            Ok(_) => debug!("the broker's own client has ended"),
            Err(error) => warn!(%error, "the broker's own client has ended"),
        }
    }
}

async fn tell(
    publisher: Publisher,
    mut events: mpsc::Receiver<SystemEvent>,
) -> Result<(), bus_client::Error> {
    while let Some(event) = events.recv().await {
        let text = describe(&event);
        publisher.publish(Message::new(MessageType::ONE, text.to_string())).await?;
    }
    Ok(())
}

fn describe(event: &SystemEvent) -> serde_json::Value {
    let kind = event.kind();
    let info = match event {
        SystemEvent::Connected(info) | SystemEvent::Disconnected(info) => info,
        SystemEvent::Bridge { bridge, what, reason } => {
            return json!({ "event": kind, "bridge": bridge, "state": what, "reason": reason });
        }
        SystemEvent::Reload { failure } => {
            let state = if failure.is_some() { "refused" } else { "done" };
            return json!({ "event": kind, "state": state, "reason": failure });
        }
    };
    let sender = &info.sender;
    json!({
        "event": kind,
        "session": sender.session,
        "name": sender.name,
        "pid": sender.pid,
        "uid": sender.uid,
        "user": sender.user.as_ref().map(ToString::to_string),
        "transport": info.transport.to_string(),
        "address": info.address,
        "no_lanes": info.no_lanes,
    })
}

async fn answer(mut server: Server, hub: &SharedHub) -> Result<(), bus_client::Error> {
    while let Some(call) = server.next().await {
        let info = hub.borrow().info();
        let text = json!({
            "name": info.name,
            "version": info.version,
            "pid": info.pid,
            // A string, as `bus stat` has it: many readers of JSON keep only 53 bits of a number.
            "epoch": format!("{:016x}", info.epoch),
            "uptime_ms": u64::try_from(info.uptime.as_millis()).unwrap_or(u64::MAX),
            "sessions": info.sessions,
            "queues": info.queues,
            "topics": info.topics,
            "services": info.services,
            "messages": info.messages,
            "bytes": info.bytes,
            "listeners": info.listeners,
            "lanes": info.lanes,
            "lanes_refused": info.lanes_refused,
            "lanes_refusal": info.lanes_refusal,
            "events_left_out": hub.borrow().events_left_out,
        });
        call?.reply(text.to_string())?;
    }
    Ok(())
}
