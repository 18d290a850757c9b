//! What `bus serve` does when it is told to read its files again (SIGHUP).
//!
//! All that can change while a broker runs is taken over together, or nothing is. Whatever is wrong, the broker goes
//! on with what it had. One reload at a time: who asks during one gets one more after it, however often he asks.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bus_broker::{Broker, BrokerConfig, Reloaded};
use bus_core::sys::HangUp;

use crate::exit::{Problem, say};
use crate::output::Out;
use crate::serve::{Args, configure, read_file, tell, uncaught};
use crate::session::LaneArgs;

/// For so long nobody must have written to the file. Whoever reads it in the middle would take half of it for
/// all of it, if what is there makes sense.
const SETTLED: Duration = Duration::from_millis(200);
/// How often that is waited for.
const ROUNDS_MAX: u32 = 25;

/// The signal that asks for it. Where nothing could be read again it is left as it was.
pub struct HangUps(HangUp);

impl HangUps {
    /// Catches it from now on.
    pub fn new(args: &Args, config: &BrokerConfig) -> Result<HangUps, Problem> {
        let has_files = args.config.is_some() || config.tls_files().is_some();
        let signal = if has_files { HangUp::new() } else { Ok(HangUp::left_alone()) };
        signal.map(HangUps).map_err(uncaught)
    }

    /// Waits for one. Those that come while nobody waits are one.
    pub async fn next(&mut self) {
        self.0.next().await;
    }
}

/// Reads everything again that can change while a broker runs. What is wrong is logged by the broker, and comes
/// back as well.
pub async fn run(broker: &Broker, args: Arc<Args>, lanes: LaneArgs) -> Result<Reloaded, String> {
    if let Some(path) = &args.config {
        until_settled(path).await;
    }
    let read = move || match read_again(&args, lanes) {
        Ok(config) => Ok(config),
        Err(Problem::Said(_, text)) => Err(text),
        Err(_) => Err("the configuration cannot be had".into()),
    };
    broker.reload_from(read).await.map_err(|error| error.to_string())
}

/// Tells what was taken over.
pub fn report(out: &mut Out, reloaded: &Reloaded) {
    let bridges = &reloaded.bridges;
    tell(
        out,
        format_args!(
            "read the configuration again: users: {}; allowances: {}; bridges begun: {}; bridges changed: {}; bridges ended: {}; bridges not as in the file: {}; sessions ended: {}; needs a restart: {}",
            reloaded.users,
            reloaded.allowances,
            bridges.begun,
            bridges.changed,
            bridges.ended,
            bridges.refused.len(),
            reloaded.ended,
            if reloaded.need_restart.is_empty() {
                "nothing".into()
            } else {
                reloaded.need_restart.join(", ")
            },
        ),
    );
    bridges.refused.iter().for_each(|reason| tell(out, reason));
    if let Some(path) = &reloaded.certificate {
        say(format_args!("certificates are read again: {}", path.display()));
    }
}

/// The same for the service manager, which shows it to whoever asks how the service stands.
pub fn in_a_sentence(reloaded: &Result<Reloaded, String>) -> String {
    match reloaded {
        Ok(reloaded) if reloaded.need_restart.is_empty() => {
            "the configuration was read again".into()
        }
        Ok(reloaded) => {
            let keys = reloaded.need_restart.join(", ");
            format!("the configuration was read again; these keys need a restart: {keys}")
        }
        Err(reason) => format!("the configuration was refused, the one before goes on: {reason}"),
    }
}

/// Waits until nobody has written to a file for a moment. It need not be there.
async fn until_settled(path: &Path) {
    for _ in 0..ROUNDS_MAX {
        // Not on this thread, which signals wait for.
        let found = tokio::fs::metadata(path).await.and_then(|found| found.modified());
        let age = found.ok().and_then(|then| SystemTime::now().duration_since(then).ok());
        match age.and_then(|age| SETTLED.checked_sub(age)) {
            Some(rest) => tokio::time::sleep(rest).await,
            None => return,
        }
    }
}

fn read_again(args: &Args, lanes: LaneArgs) -> Result<BrokerConfig, Problem> {
    let text = read_file(args)?;
    if let (Some(path), Some(true)) =
        (&args.config, text.as_ref().map(|text| text.trim().is_empty()))
    {
        let path = path.display();
        return Err(Problem::usage(format!(
            "the configuration {path} is empty, as one is that is just being written: let a comment stand in it if that is meant"
        )));
    }
    configure(args, lanes, text)
}
