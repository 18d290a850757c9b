//! A client of the bus: connect, open handles, watch, end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bus_core::router::{Answer, Command, RequestId};
use bus_core::session::{ChannelKind, ClientSession};
use bus_core::transport::{Link, Transport};
use bus_core::{BusUrl, ErrorKind, Name, Pattern};
use tokio::runtime;
use tokio::time::Instant;

use crate::admin::Admin;
use crate::connect::{Connected, connect, shake_hands};
use crate::consumer::check_credit;

use crate::driver::{Driver, establish};
use crate::error::Error;
use crate::events::Events;
use crate::handle::{Handle, OpenChannel, Shared, wait_assisted};
use crate::options::ClientOptions;
use crate::publisher::{Publisher, PublisherOptions};
use crate::queue::Queue;
use crate::queue_options::QueueOptions;
use crate::request::Service;
use crate::server::Server;
use crate::state::State;
use crate::subscribe_options::SubscribeOptions;
use crate::subscriber::Subscriber;

/// A client. Clones share one connection; it ends when the last clone and handle is dropped.
#[derive(Clone)]
pub struct Client {
    pub(crate) handle: Arc<Handle>,
    pub(crate) url: BusUrl,
}

/// How a client is connected, and why so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportInfo {
    /// The transport; none while the connection is being made again.
    pub transport: Option<Transport>,
    /// Why it is not a better one.
    pub reason: String,
}

impl Client {
    /// Connects with default options. The URL may be empty: then `BUS_URL` counts, else the
    /// places where brokers listen by default. Must be called on a tokio runtime, which drives
    /// the connection from then on. Cancelling gives the attempt up.
    ///
    /// # Errors
    /// `NoBroker` when none is reached, `InvalidUrl`, `PermissionDenied` when the broker is
    /// somebody else's, or what the broker refuses with.
    pub async fn connect(url: &str) -> Result<Client, Error> {
        Client::connect_with(url, ClientOptions::default()).await
    }

    /// Connects with these options.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(url: &str, options: ClientOptions) -> Result<Client, Error> {
        let url = match url {
            "" => std::env::var("BUS_URL")
                .ok()
                .filter(|url| !url.is_empty())
                .unwrap_or_else(|| "local:".into()),
            url => url.to_owned(),
        };
        Client::connect_to(url.parse()?, options).await
    }

    pub(crate) async fn connect_to(url: BusUrl, options: ClientOptions) -> Result<Client, Error> {
        runtime()?;
        let hello = ClientSession::default().hello(&options.name, options.grace);
        let connected = connect(&url, &hello, &options).await?;
        Client::over(url, options, connected)
    }

    /// A client over a link that is there already, as inside a broker or a test. It ends with
    /// the link.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn over_link(link: Box<dyn Link>, options: ClientOptions) -> Result<Client, Error> {
        let url = BusUrl::Mem(String::new());
        runtime()?;
        let hello = ClientSession::default().hello(&options.name, options.grace);
        let connected = shake_hands(link, &url, &hello, &options).await?;
        Client::over(url, options.reconnect(false), connected)
    }

    fn over(url: BusUrl, options: ClientOptions, connected: Connected) -> Result<Client, Error> {
        let shared = Shared::new(State::default());
        establish(&shared, &connected)?;
        let driver = Driver { shared: shared.clone(), url: url.clone(), options };
        runtime()?.spawn(driver.run(connected));
        Ok(Client { handle: Arc::new(Handle(shared)), url })
    }

    /// The URL that it was connected with.
    pub fn url(&self) -> &BusUrl {
        &self.url
    }

    /// How it is connected, and why so.
    pub fn transport(&self) -> TransportInfo {
        self.handle.with(|state| match state.transport {
            None => TransportInfo { transport: None, reason: "not connected now".into() },
            transport => TransportInfo { transport, reason: state.transport_reason.clone() },
        })
    }

    /// What happens to the client from now on.
    pub fn events(&self) -> Events {
        Events::new(self.handle.0.subscribe_events(), self.handle.clone())
    }

    /// Opens a topic for publishing; creates it if it is not there. Cancelling undoes it.
    ///
    /// # Errors
    /// `InvalidName`, `PermissionDenied`, `QuotaExceeded`.
    pub async fn publisher(&self, topic: &str) -> Result<Publisher, Error> {
        self.publisher_with(topic, PublisherOptions::default()).await
    }

    /// Opens a topic for publishing; these options count if that creates it.
    ///
    /// # Errors
    /// As [`Client::publisher`]; `AlreadyExists` if it must be new and is not.
    pub async fn publisher_with(
        &self,
        topic: &str,
        options: PublisherOptions,
    ) -> Result<Publisher, Error> {
        let topic = Name::new(topic)?;
        let name = topic.clone();
        let (channel, _) = self
            .open(ChannelKind::Publisher, None, move |request, channel| Command::OpenPublisher {
                request,
                channel,
                topic,
                options: options.topic,
                exclusive: options.exclusive,
            })
            .await?;
        Ok(Publisher::new(channel, name))
    }

    /// Subscribes to the topics that match a pattern, in every message type. What is published
    /// after this has returned is delivered. Cancelling undoes it.
    ///
    /// # Errors
    /// `InvalidName`, `PermissionDenied`, `QuotaExceeded`.
    pub async fn subscribe(&self, pattern: &str) -> Result<Subscriber, Error> {
        self.subscribe_with(pattern, SubscribeOptions::default()).await
    }

    /// Subscribes with these options.
    ///
    /// # Errors
    /// As [`Client::subscribe`]; `InvalidArgument` for options out of range.
    pub async fn subscribe_with(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscriber, Error> {
        let pattern = Pattern::new(pattern)?;
        let text = pattern.as_str().to_owned();
        let options = options.finish()?;
        let (window, shares) = (options.window_bytes, options.group.is_some());
        let (channel, _) = self
            .open(ChannelKind::Subscription, Some(text), move |request, channel| {
                Command::Subscribe { request, channel, pattern, options }
            })
            .await?;
        Ok(Subscriber::new(channel, window, shares))
    }

    /// Opens a queue; creates it with default options if it is not there. Cancelling undoes
    /// the opening, not the creation.
    ///
    /// # Errors
    /// `InvalidName`, `PermissionDenied`, `QuotaExceeded`.
    pub async fn queue(&self, name: &str) -> Result<Queue, Error> {
        self.queue_with(name, QueueOptions::default()).await
    }

    /// Opens or creates a queue; the limits count if this creates it.
    ///
    /// # Errors
    /// As [`Client::queue`]; `NotFound` or `AlreadyExists` as the options ask.
    pub async fn queue_with(&self, name: &str, options: QueueOptions) -> Result<Queue, Error> {
        let name = Name::new(name)?;
        let shown = name.clone();
        let (channel, opened) = self
            .open(ChannelKind::Queue, None, move |request, channel| Command::OpenQueue {
                request,
                channel,
                name,
                open: options.open,
                options: options.limits,
            })
            .await?;
        Ok(Queue::new(Arc::new(channel), shown, opened))
    }

    /// Opens a service for calling. It need not be served yet. Cancelling undoes it.
    ///
    /// # Errors
    /// `InvalidName`, `QuotaExceeded`.
    pub async fn service(&self, name: &str) -> Result<Service, Error> {
        let name = Name::new(name)?;
        let shown = name.clone();
        let open = |request, channel| Command::OpenService { request, channel, name };
        let (channel, _) = self.open(ChannelKind::Caller, None, open).await?;
        Ok(Service::new(channel, shown))
    }

    /// Calls a service once. For more calls keep a [`Client::service`]. Cancelling gives it up.
    ///
    /// # Errors
    /// As [`Service::call`].
    pub async fn request(
        &self,
        service: &str,
        message: impl Into<bus_core::Message>,
        timeout: Duration,
    ) -> Result<crate::Reply, Error> {
        self.service(service).await?.call(message, timeout).await
    }

    /// Serves a name: at most `credit` calls at a time (1 to 4096) are handed to this server.
    /// Cancelling undoes it.
    ///
    /// # Errors
    /// `InvalidName`, `PermissionDenied`, `QuotaExceeded`, `InvalidArgument` for the credit.
    pub async fn serve(&self, name: &str, credit: u32) -> Result<Server, Error> {
        self.serve_with(name, credit, None).await
    }

    /// Serves a name that others may use as the mode says (write is to call). Cancelling undoes
    /// it.
    ///
    /// # Errors
    /// As [`Client::serve`].
    pub async fn serve_with(
        &self,
        name: &str,
        credit: u32,
        mode: Option<u16>,
    ) -> Result<Server, Error> {
        check_credit(credit)?;
        let name = Name::new(name)?;
        let shown = name.clone();
        let open = |request, channel| Command::Serve { request, channel, name, credit, mode };
        let (channel, _) = self.open(ChannelKind::Server, None, open).await?;
        Ok(Server::new(channel, shown))
    }

    /// Looks at and repairs what is there.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// How long the broker takes to answer. Cancelling is harmless.
    ///
    /// # Errors
    /// When the client ends before the answer.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        let word = self.handle.with(|state| state.check().map(|()| state.start_ping()))?;
        let _forget = OnDrop(|| self.handle.with(|state| state.forget_pong(word)));
        wait_assisted(&self.handle, |cx| self.handle.with(|state| state.poll_pong(word, cx)))
            .await?;
        Ok(start.elapsed())
    }

    /// Sends a control request and waits for its answer.
    pub(crate) async fn call(
        &self,
        make: impl FnOnce(RequestId) -> Command,
    ) -> Result<Answer, Error> {
        call(&self.handle, make).await
    }

    async fn open(
        &self,
        kind: ChannelKind,
        pattern: Option<String>,
        make: impl FnOnce(RequestId, u32) -> Command,
    ) -> Result<(OpenChannel, Opened), Error> {
        open(&self.handle, kind, pattern, make).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Client({})", self.url)
    }
}

/// The runtime that this is called on.
fn runtime() -> Result<runtime::Handle, Error> {
    runtime::Handle::try_current().map_err(|error| {
        let text = "connecting must be done on a tokio runtime, which drives the connection";
        Error::new(ErrorKind::InvalidArgument, text).with_source(error)
    })
}

/// What is known of a handle when it has been opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opened {
    /// Opening it has created its object.
    pub created: bool,
    /// It is a queue that lives at another broker.
    pub hosted: bool,
}

/// Opens a channel. Cancelling closes it again.
pub(crate) async fn open(
    handle: &Arc<Handle>,
    kind: ChannelKind,
    pattern: Option<String>,
    make: impl FnOnce(RequestId, u32) -> Command,
) -> Result<(OpenChannel, Opened), Error> {
    let opened = handle.with(|state| {
        state.check()?;
        let (channel, request) = state.session.open(kind, make)?;
        let serial = state.add_inbox(channel, pattern);
        state.expect_reply(request);
        Ok::<_, Error>((channel, serial, request))
    });
    let (channel, serial, request) = opened?;
    let channel = OpenChannel { handle: handle.clone(), channel, serial };
    let answer = wait_reply(handle, request).await?;
    let opened = match answer {
        Answer::Opened { created, hosted, .. } => Opened { created, hosted },
        _ => Opened::default(),
    };
    Ok((channel, opened))
}

/// Sends a control request and waits for its answer. Cancelling leaves the request to be done.
pub(crate) async fn call(
    handle: &Handle,
    make: impl FnOnce(RequestId) -> Command,
) -> Result<Answer, Error> {
    let request = handle.with(|state| {
        state.check()?;
        let request = state.session.request(make);
        state.expect_reply(request);
        Ok::<_, Error>(request)
    })?;
    wait_reply(handle, request).await
}

pub(crate) async fn wait_reply(handle: &Handle, request: RequestId) -> Result<Answer, Error> {
    let _forget = OnDrop(|| handle.with(|state| state.forget_reply(request)));
    wait_assisted(handle, |cx| handle.with(|state| state.poll_reply(request, cx))).await
}

/// Does something when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
