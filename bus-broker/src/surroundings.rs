//! What a broker is given beside its configuration, by whoever starts it as a service.

use std::time::Duration;

use bus_core::sys::Inherited;

/// Sockets that listen already, and somebody who wants to know that the broker's thread is alive.
#[derive(Default)]
pub struct Surroundings {
    pub(crate) sockets: Vec<Inherited>,
    pub(crate) beat: Option<Beat>,
}

/// What is to be done on the broker's thread, and how often.
pub(crate) struct Beat {
    pub every: Duration,
    pub work: Box<dyn FnMut() + Send>,
}

impl Surroundings {
    /// Listens with these where they have the address of a listener of the configuration. They stay as they are when
    /// the broker ends: whoever has handed them over keeps them for the next one.
    pub fn sockets(mut self, sockets: Vec<Inherited>) -> Self {
        self.sockets = sockets;
        self
    }

    /// Does this every so often on the thread that routes messages, for as long as that does its work: a watchdog that
    /// is fed so notices a router that is stuck. It must not wait for anything.
    pub fn beat(mut self, every: Duration, work: impl FnMut() + Send + 'static) -> Self {
        self.beat = Some(Beat { every, work: Box::new(work) });
        self
    }
}

impl Beat {
    /// Goes on for ever.
    pub async fn go_on(mut self) {
        loop {
            (self.work)();
            tokio::time::sleep(self.every).await;
        }
    }
}
