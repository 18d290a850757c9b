//! A blocking client: connect, open handles, watch, end.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use bus_core::{BusUrl, Message};

use super::admin::Admin;
use super::engine::Engine;
use super::events::Events;
use super::queue::Queue;
use super::service::{Server, Service};
use super::topic::{Publisher, Subscriber};
use crate::client::{self, TransportInfo};
use crate::drain::DrainReport;
use crate::error::Error;
use crate::options::ClientOptions;
use crate::publisher::PublisherOptions;
use crate::queue_options::QueueOptions;
use crate::request::Reply;
use crate::subscribe_options::SubscribeOptions;

/// A client whose calls block. Clones share one connection; it ends when the last clone and handle
/// is dropped.
#[derive(Clone)]
pub struct Client {
    inner: client::Client,
    // Dropped after the client: then the goodbye is there to be written.
    engine: Engine,
}

impl Client {
    /// Connects with default options, as [`crate::Client::connect`] does.
    ///
    /// # Errors
    /// As there, and `Io` when there is no thread or descriptor to be had.
    pub fn connect(url: &str) -> Result<Client, Error> {
        Client::connect_with(url, ClientOptions::default())
    }

    /// Connects with these options.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_with(url: &str, options: ClientOptions) -> Result<Client, Error> {
        Client::open(client::Client::connect_with(url, options))
    }

    /// Connects as the process that has started this one has provided for: as
    /// [`crate::Client::inherited`] does.
    ///
    /// # Errors
    /// As there.
    pub fn inherited() -> Result<Client, Error> {
        Client::inherited_with(ClientOptions::default())
    }

    /// As [`Client::inherited`], with these options.
    ///
    /// # Errors
    /// As there.
    pub fn inherited_with(options: ClientOptions) -> Result<Client, Error> {
        Client::open(client::Client::inherited_with(options))
    }

    /// Leaves the programs that this command starts a connection to the same broker: as
    /// [`crate::Client::leave_to`] does.
    ///
    /// # Errors
    /// As there.
    pub fn leave_to(&self, command: &mut Command) -> Result<(), Error> {
        self.inner.leave_to(command)
    }

    fn open(
        connecting: impl Future<Output = Result<client::Client, Error>>,
    ) -> Result<Client, Error> {
        let engine = Engine::start()?;
        let inner = engine.wait(connecting)?;
        engine.connected(&inner.handle.0);
        Ok(Client { inner, engine })
    }

    /// The same client, but its calls take at most so long, and so do those of what it opens.
    pub fn within(&self, limit: Duration) -> Client {
        Client { inner: self.inner.clone(), engine: self.engine.within(limit) }
    }

    /// The URL that it was connected with.
    pub fn url(&self) -> &BusUrl {
        self.inner.url()
    }

    /// How it is connected, and why so.
    pub fn transport(&self) -> TransportInfo {
        self.inner.transport()
    }

    /// What happens to the client from now on.
    pub fn events(&self) -> Events {
        Events::new(self.inner.events(), self.engine.clone())
    }

    /// Opens a topic for publishing; creates it if it is not there.
    ///
    /// # Errors
    /// As [`crate::Client::publisher`].
    pub fn publisher(&self, topic: &str) -> Result<Publisher, Error> {
        self.publisher_with(topic, PublisherOptions::default())
    }

    /// Opens a topic for publishing; these options count if that creates it.
    ///
    /// # Errors
    /// As [`crate::Client::publisher_with`].
    pub fn publisher_with(
        &self,
        topic: &str,
        options: PublisherOptions,
    ) -> Result<Publisher, Error> {
        let opened = self.open_handle(topic, self.inner.publisher_with(topic, options))?;
        Ok(Publisher::new(opened, self.engine.clone()))
    }

    /// Subscribes to the topics that match a pattern, in every message type.
    ///
    /// # Errors
    /// As [`crate::Client::subscribe`].
    pub fn subscribe(&self, pattern: &str) -> Result<Subscriber, Error> {
        self.subscribe_with(pattern, SubscribeOptions::default())
    }

    /// Subscribes with these options.
    ///
    /// # Errors
    /// As [`crate::Client::subscribe_with`].
    pub fn subscribe_with(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscriber, Error> {
        let opened = self.open_handle(pattern, self.inner.subscribe_with(pattern, options))?;
        Ok(Subscriber::new(opened, self.engine.clone()))
    }

    /// Opens a queue; creates it with default options if it is not there.
    ///
    /// # Errors
    /// As [`crate::Client::queue`].
    pub fn queue(&self, name: &str) -> Result<Queue, Error> {
        self.queue_with(name, QueueOptions::default())
    }

    /// Opens or creates a queue; the limits count if this creates it.
    ///
    /// # Errors
    /// As [`crate::Client::queue_with`].
    pub fn queue_with(&self, name: &str, options: QueueOptions) -> Result<Queue, Error> {
        let opened = self.open_handle(name, self.inner.queue_with(name, options))?;
        Ok(Queue::new(opened, self.engine.clone()))
    }

    /// Opens a service for calling. It need not be served yet.
    ///
    /// # Errors
    /// As [`crate::Client::service`].
    pub fn service(&self, name: &str) -> Result<Service, Error> {
        let opened = self.open_handle(name, self.inner.service(name))?;
        Ok(Service::new(opened, self.engine.clone()))
    }

    /// Calls a service once, and waits at most so long for the reply. For more calls keep a
    /// [`Client::service`].
    ///
    /// # Errors
    /// As [`Service::call`].
    pub fn request(
        &self,
        service: &str,
        message: impl Into<Message>,
        timeout: Duration,
    ) -> Result<Reply, Error> {
        self.service(service)?.call(message, timeout)
    }

    /// Serves a name: at most `credit` calls at a time (1 to 4096) are handed to this server.
    ///
    /// # Errors
    /// As [`crate::Client::serve`].
    pub fn serve(&self, name: &str, credit: u32) -> Result<Server, Error> {
        self.serve_with(name, credit, None)
    }

    /// Serves a name that others may use as the mode says (write is to call).
    ///
    /// # Errors
    /// As [`Client::serve`].
    pub fn serve_with(&self, name: &str, credit: u32, mode: Option<u16>) -> Result<Server, Error> {
        let opened = self.open_handle(name, self.inner.serve_with(name, credit, mode))?;
        Ok(Server::new(opened, self.engine.clone()))
    }

    /// Looks at and repairs what is there.
    pub fn admin(&self) -> Admin {
        Admin::new(self.inner.admin(), self.engine.clone())
    }

    /// How long the broker takes to answer.
    ///
    /// # Errors
    /// When the client ends before the answer.
    pub fn ping(&self) -> Result<Duration, Error> {
        self.engine.call(|| "asking the broker".into(), self.inner.ping())
    }

    /// Waits until everything that was sent or published has its verdict and is written, at most
    /// so long; then ends the client, with all of its clones and handles. Says what was not
    /// delivered.
    pub fn drain(self, limit: Duration) -> DrainReport {
        self.engine.wait(self.inner.drain(limit))
    }

    fn open_handle<T>(
        &self,
        name: &str,
        opening: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.engine.call(|| format!("opening `{name}`"), opening)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::{:?}", self.inner)
    }
}
