//! What `bus serve` does when it is told to read its files again (SIGHUP).
//!
//! Certificates, users and the policy are taken over in turn, each wholly or not at all. Whatever is
//! wrong, the broker goes on with what it had.

use bus_broker::{Broker, BrokerConfig, ReloadError};
use tokio::signal::unix::{Signal, SignalKind};
use tracing::error;

use crate::exit::{Problem, say};
use crate::output::Out;
use crate::serve::{Args, catch, configure, tell};
use crate::session::LaneArgs;

/// The signal that asks for it. Where nothing could be read again it is left as it was.
pub struct HangUps(Option<Signal>);

impl HangUps {
    /// Catches it from now on.
    pub fn new(args: &Args, config: &BrokerConfig) -> Result<HangUps, Problem> {
        let has_files = args.config.is_some() || config.tls_files().is_some();
        has_files.then(|| catch(SignalKind::hangup())).transpose().map(HangUps)
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Reads everything again that can change while a broker runs.
pub async fn run(out: &mut Out, broker: &Broker, args: &Args, lanes: LaneArgs) {
    let config = match configure(args, lanes) {
        Ok(config) => config,
        Err(Problem::Said(_, text)) => {
            return error!("{text}; the broker goes on with what it had");
        }
        Err(_) => return,
    };
    // Nothing is taken over of a file of which something cannot be.
    if let Err(error) = config.check_bridges() {
        return error!("{error}; the broker goes on with what it had");
    }
    // Whether certificates may be asked of fewer clients can depend on the new users, and the other
    // way round: so they have a second turn.
    let early = exchange(broker, &config).await;
    users_and_policy(out, broker, config.clone()).await;
    let exchanged = match early {
        Err(ReloadError::Insecure { .. }) => exchange(broker, &config).await,
        early => early,
    };
    match (exchanged, config.tls_files()) {
        (Err(error), _) => error!("certificates are not exchanged, those in use stay: {error}"),
        (Ok(()), Some(files)) => {
            say(format_args!("certificates are read again: {}", files.certificate.display()));
        }
        (Ok(()), None) => {}
    }
}

/// Exchanges the certificates, if the configuration names any.
async fn exchange(broker: &Broker, config: &BrokerConfig) -> Result<(), ReloadError> {
    match config.tls_files() {
        Some(files) => broker.reload_certificates(files).await,
        None => Ok(()),
    }
}

async fn users_and_policy(out: &mut Out, broker: &Broker, config: BrokerConfig) {
    match broker.reload(config).await {
        Ok(reloaded) => {
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
        }
        Err(error) => error!("{error}"),
    }
}
