//! Parent and child: a program inherits a ready connection, and needs to know no URL.
//!
//! Run it with `cargo run -p bus-examples --bin parent_and_child`. It brings its own broker, and starts
//! itself once more as its child.

use std::process::Command;
use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, INHERITED_VARIABLE, Selector, blocking};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    // A child that was left a connection has this in its environment.
    if std::env::var_os(INHERITED_VARIABLE).is_some() {
        return child();
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(parent())
}

/// Leaves its child a connection, gives it work, and hears of it.
async fn parent() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let url = format!("local:{}", directory.path().join("bus.sock").display());
    let _broker = Broker::start(BrokerConfig::default().listen(url.parse()?)).await?;
    let client = Client::connect(&url).await?;

    let mut command = Command::new(std::env::current_exe()?);
    // Only what this command starts gets it, whatever else is started meanwhile.
    client.leave_to(&mut command)?;
    let mut child = command.spawn()?;

    client.queue("down").await?.send("how are you?").await?;
    let up = client.queue("up").await?;
    let answer = up.receive_timeout(Selector::Any, PATIENCE).await?;
    println!("the child says: {}", String::from_utf8_lossy(answer.payload()));
    // To the broker the child is itself, and no part of its parent.
    assert_eq!(answer.sender().pid, Some(child.id()));
    answer.ack().await?;

    let status = child.wait()?;
    assert!(status.success(), "{status}");
    Ok(())
}

/// Takes what was left to it. It has no runtime, and might have one as well.
fn child() -> Result<()> {
    let client = blocking::Client::inherited()?;
    let asked = client.queue("down")?.receive_timeout(Selector::Any, PATIENCE)?;
    println!("the parent asks: {}", String::from_utf8_lossy(asked.payload()));
    let transport = client.transport().transport.ok_or("it has just connected")?;
    client.queue("up")?.send(format!("well, and connected over {transport}"))?;
    asked.ack()?.wait()?;
    Ok(())
}
