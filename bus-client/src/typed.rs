//! Protobuf messages of the application, beside raw payloads.
//!
//! A message's type number is the hash of its full name, unless another one is given; name and
//! number are registered at the broker, and again after it was restarted, so that two names
//! never mix under one number.

use std::marker::PhantomData;
use std::time::Duration;

use bus_core::router::Command;
use bus_core::{ErrorKind, Message, MessageType, Selector};
use bytes::Bytes;

use crate::client::call;
use crate::delivery::{Ack, Delivery};
use crate::error::Error;
use crate::handle::Handle;
use crate::publisher::Publisher;
use crate::queue::Queue;
use crate::receipt::Receipt;
use crate::received::Received;
use crate::subscriber::Subscriber;

/// Publishes messages of one protobuf type.
#[derive(Debug)]
pub struct TypedPublisher<T> {
    publisher: Publisher,
    kind: MessageType,
    marker: PhantomData<fn(T)>,
}

/// Receives messages of one protobuf type; others are passed over and counted.
#[derive(Debug)]
pub struct TypedSubscriber<T> {
    subscriber: Subscriber,
    kind: MessageType,
    others: u64,
    marker: PhantomData<fn() -> T>,
}

/// Sends and receives messages of one protobuf type over a queue.
#[derive(Debug)]
pub struct TypedQueue<T> {
    queue: Queue,
    kind: MessageType,
    marker: PhantomData<fn() -> T>,
}

/// A received protobuf message, leased until it is settled.
#[derive(Debug)]
pub struct TypedDelivery<T> {
    /// The message.
    pub value: T,
    /// Its delivery.
    pub delivery: Delivery,
}

/// The type number that stands for a protobuf message.
pub(crate) fn number_of<T: prost::Name>() -> MessageType {
    MessageType::of_name(&T::full_name())
}

/// The value of a payload.
pub(crate) fn decode<T: prost::Message + prost::Name + Default>(
    payload: &Bytes,
) -> Result<T, Error> {
    T::decode(payload.clone()).map_err(|error| {
        let text =
            format!("a payload of {} bytes is not a `{}`: {error}", payload.len(), T::full_name());
        Error::new(ErrorKind::Decode, text).with_source(error)
    })
}

/// The message of a value.
pub(crate) fn encode<T: prost::Message>(kind: MessageType, value: &T) -> Message {
    Message::new(kind, value.encode_to_vec())
}

/// With what reason a message goes to the dead letters that could not be decoded.
pub(crate) fn reason_of(error: &Error) -> String {
    error.to_string().chars().take(200).collect()
}

/// Registers the name and number of a type.
pub(crate) async fn declare<T: prost::Name>(
    handle: &Handle,
    kind: MessageType,
) -> Result<(), Error> {
    let name = T::full_name();
    // Noted first: a session that is lost before the answer comes must not lose the name.
    let noted = handle.with(|state| state.session.note_type(kind, &name));
    let result = call(handle, |request| Command::Declare { request, kind, name }).await;
    if noted && result.is_err() {
        handle.with(|state| state.session.forget_type(kind));
    }
    result.map(|_| ())
}

impl Publisher {
    /// For messages of a protobuf type. Cancelling drops this handle; the name may be registered.
    ///
    /// # Errors
    /// `TypeClash` when its number stands for another name.
    pub async fn typed<T: prost::Message + prost::Name>(self) -> Result<TypedPublisher<T>, Error> {
        self.typed_as(number_of::<T>()).await
    }

    /// For messages of a protobuf type, under this number. Cancelling is the same.
    ///
    /// # Errors
    /// As [`Publisher::typed`].
    pub async fn typed_as<T: prost::Message + prost::Name>(
        self,
        kind: MessageType,
    ) -> Result<TypedPublisher<T>, Error> {
        declare::<T>(self.handle(), kind).await?;
        Ok(TypedPublisher { publisher: self, kind, marker: PhantomData })
    }
}

impl<T: prost::Message> TypedPublisher<T> {
    /// Publishes; as [`Publisher::publish`].
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish(&self, value: &T) -> Result<(), Error> {
        self.publisher.publish(encode(self.kind, value)).await
    }

    /// Publishes, and waits until the broker has accepted it; as [`Publisher::publish_confirmed`].
    ///
    /// # Errors
    /// As [`Publisher::publish_confirmed`].
    pub async fn publish_confirmed(&self, value: &T) -> Result<Receipt, Error> {
        self.publisher.publish_confirmed(encode(self.kind, value)).await
    }

    /// The raw publisher.
    pub fn raw(&self) -> &Publisher {
        &self.publisher
    }
}

impl Subscriber {
    /// For messages of a protobuf type. Subscribe with `Selector::Eq` of its number to have
    /// the broker leave out the others. Cancelling drops this handle; the name may be registered.
    ///
    /// # Errors
    /// `TypeClash` when its number stands for another name.
    pub async fn typed<T: prost::Message + prost::Name + Default>(
        self,
    ) -> Result<TypedSubscriber<T>, Error> {
        self.typed_as(number_of::<T>()).await
    }

    /// For messages of a protobuf type, under this number. Cancelling is the same.
    ///
    /// # Errors
    /// As [`Subscriber::typed`].
    pub async fn typed_as<T: prost::Message + prost::Name + Default>(
        self,
        kind: MessageType,
    ) -> Result<TypedSubscriber<T>, Error> {
        declare::<T>(self.handle(), kind).await?;
        Ok(TypedSubscriber { subscriber: self, kind, others: 0, marker: PhantomData })
    }
}

impl<T: prost::Message + prost::Name + Default> TypedSubscriber<T> {
    /// The next message, and what came with it; `None` after the subscription has ended.
    /// Cancelling loses nothing. A payload that is not of the type is a `Decode` error, after
    /// which the next one can be asked for.
    pub async fn next(&mut self) -> Option<Result<(T, Received), Error>> {
        loop {
            let received = match self.subscriber.next().await? {
                Ok(received) => received,
                Err(error) => return Some(Err(error)),
            };
            if received.kind() == self.kind {
                return Some(decode(received.payload()).map(|value| (value, received)));
            }
            self.others += 1;
        }
    }

    /// Messages of other types that were passed over.
    pub fn others(&self) -> u64 {
        self.others
    }
}

impl Queue {
    /// For messages of a protobuf type. Cancelling drops this handle; the name may be registered.
    ///
    /// # Errors
    /// `TypeClash` when its number stands for another name.
    pub async fn typed<T: prost::Message + prost::Name + Default>(
        self,
    ) -> Result<TypedQueue<T>, Error> {
        self.typed_as(number_of::<T>()).await
    }

    /// For messages of a protobuf type, under this number. Cancelling is the same.
    ///
    /// # Errors
    /// As [`Queue::typed`].
    pub async fn typed_as<T: prost::Message + prost::Name + Default>(
        self,
        kind: MessageType,
    ) -> Result<TypedQueue<T>, Error> {
        declare::<T>(self.handle(), kind).await?;
        Ok(TypedQueue { queue: self, kind, marker: PhantomData })
    }
}

impl<T: prost::Message + prost::Name + Default> TypedQueue<T> {
    /// Sends; as [`Queue::send`].
    ///
    /// # Errors
    /// As [`Queue::send`].
    pub async fn send(&self, value: &T) -> Result<Receipt, Error> {
        self.queue.send(encode(self.kind, value)).await
    }

    /// Sends with a deadline; as [`Queue::send_timeout`].
    ///
    /// # Errors
    /// As [`Queue::send_timeout`].
    pub async fn send_timeout(&self, value: &T, limit: Duration) -> Result<Receipt, Error> {
        self.queue.send_timeout(encode(self.kind, value), limit).await
    }

    /// Receives the next message of this type; as [`Queue::receive`].
    ///
    /// # Errors
    /// As [`Queue::receive`]; `Decode` when the payload is not of the type: the message goes
    /// to the dead letters then, with that reason.
    pub async fn receive(&self) -> Result<TypedDelivery<T>, Error> {
        let delivery = self.queue.receive(Selector::Eq(self.kind)).await?;
        match decode(delivery.payload()) {
            Ok(value) => Ok(TypedDelivery { value, delivery }),
            Err(error) => {
                delivery.reject(reason_of(&error)).await?;
                Err(error)
            }
        }
    }

    /// The raw queue.
    pub fn raw(&self) -> &Queue {
        &self.queue
    }
}

impl<T> TypedDelivery<T> {
    /// Acknowledges; as [`Delivery::ack`].
    pub fn ack(self) -> Ack {
        self.delivery.ack()
    }
}
