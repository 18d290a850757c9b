//! Protobuf messages of the application by calls that block: the handles of [`crate::TypedQueue`]
//! and its like.
//!
//! Each is a raw handle and a type number; what a payload means is decided where the async handles
//! decide it. Opening one registers the type's name and number at the broker.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bus_core::{MessageType, Selector};

use super::delivery::{Ack, Delivery};
use super::queue::Queue;
use super::topic::{Publisher, Subscriber, late};
use crate::error::Error;
use crate::receipt::Receipt;
use crate::received::Received;
use crate::typed::{decode, encode, number_of, reason_of};

/// Publishes messages of one protobuf type. Clones share one handle.
pub struct TypedPublisher<T> {
    publisher: Publisher,
    kind: MessageType,
    marker: PhantomData<fn(T)>,
}

/// Receives messages of one protobuf type; others are passed over and counted. As an iterator it
/// yields messages, and what came with them, until the subscription ends.
pub struct TypedSubscriber<T> {
    subscriber: Subscriber,
    kind: MessageType,
    others: u64,
    marker: PhantomData<fn() -> T>,
}

/// Sends and receives messages of one protobuf type over a queue. Clones share one handle.
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

impl Publisher {
    /// For messages of a protobuf type.
    ///
    /// # Errors
    /// As [`crate::Publisher::typed`].
    pub fn typed<T: prost::Message + prost::Name>(&self) -> Result<TypedPublisher<T>, Error> {
        self.typed_as(number_of::<T>())
    }

    /// For messages of a protobuf type, under this number.
    ///
    /// # Errors
    /// As [`Publisher::typed`].
    pub fn typed_as<T: prost::Message + prost::Name>(
        &self,
        kind: MessageType,
    ) -> Result<TypedPublisher<T>, Error> {
        self.declare::<T>(kind)?;
        Ok(TypedPublisher { publisher: self.clone(), kind, marker: PhantomData })
    }
}

impl<T: prost::Message> TypedPublisher<T> {
    /// Publishes; as [`Publisher::publish`].
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn publish(&self, value: &T) -> Result<(), Error> {
        self.publisher.publish(encode(self.kind, value))
    }

    /// Publishes, and waits until the broker has accepted it; as [`Publisher::publish_confirmed`].
    ///
    /// # Errors
    /// As [`Publisher::publish_confirmed`].
    pub fn publish_confirmed(&self, value: &T) -> Result<Receipt, Error> {
        self.publisher.publish_confirmed(encode(self.kind, value))
    }

    /// The raw publisher.
    pub fn raw(&self) -> &Publisher {
        &self.publisher
    }
}

impl Subscriber {
    /// For messages of a protobuf type. Subscribe with `Selector::Eq` of its number to have the
    /// broker leave out the others.
    ///
    /// # Errors
    /// As [`crate::Subscriber::typed`]; the subscription ends then.
    pub fn typed<T: prost::Message + prost::Name + Default>(
        self,
    ) -> Result<TypedSubscriber<T>, Error> {
        self.typed_as(number_of::<T>())
    }

    /// For messages of a protobuf type, under this number.
    ///
    /// # Errors
    /// As [`Subscriber::typed`].
    pub fn typed_as<T: prost::Message + prost::Name + Default>(
        self,
        kind: MessageType,
    ) -> Result<TypedSubscriber<T>, Error> {
        self.declare::<T>(kind)?;
        Ok(TypedSubscriber { subscriber: self, kind, others: 0, marker: PhantomData })
    }
}

impl<T: prost::Message + prost::Name + Default> TypedSubscriber<T> {
    /// The next message of the type, and what came with it; an error `TimedOut` if none comes
    /// within this time, after which it goes on; `None` after the subscription has ended.
    pub fn next_timeout(&mut self, limit: Duration) -> Option<Result<(T, Received), Error>> {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            match self.subscriber.next_timeout(left)? {
                Ok(received) => match self.take(received) {
                    // Others may come for ever.
                    None if start.elapsed() >= limit => return Some(Err(late(limit))),
                    None => {}
                    taken => return taken,
                },
                // The time that is said is that of the whole call.
                Err(error) if error.kind() == bus_core::ErrorKind::TimedOut => {
                    return Some(Err(late(limit)));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Messages of other types that were passed over.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// The raw subscriber.
    pub fn raw(&self) -> &Subscriber {
        &self.subscriber
    }

    /// What was received, if it is of the type.
    fn take(&mut self, received: Received) -> Option<Result<(T, Received), Error>> {
        if received.kind() != self.kind {
            self.others += 1;
            return None;
        }
        Some(decode(received.payload()).map(|value| (value, received)))
    }
}

/// A payload that is not of the type is a `Decode` error, after which the next one can be asked for.
impl<T: prost::Message + prost::Name + Default> Iterator for TypedSubscriber<T> {
    type Item = Result<(T, Received), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(limit) = self.subscriber.limit() {
            return self.next_timeout(limit);
        }
        loop {
            match self.subscriber.next()? {
                Ok(received) => match self.take(received) {
                    None => {}
                    taken => return taken,
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Queue {
    /// For messages of a protobuf type.
    ///
    /// # Errors
    /// As [`crate::Queue::typed`].
    pub fn typed<T: prost::Message + prost::Name + Default>(&self) -> Result<TypedQueue<T>, Error> {
        self.typed_as(number_of::<T>())
    }

    /// For messages of a protobuf type, under this number.
    ///
    /// # Errors
    /// As [`Queue::typed`].
    pub fn typed_as<T: prost::Message + prost::Name + Default>(
        &self,
        kind: MessageType,
    ) -> Result<TypedQueue<T>, Error> {
        self.declare::<T>(kind)?;
        Ok(TypedQueue { queue: self.clone(), kind, marker: PhantomData })
    }
}

impl<T: prost::Message + prost::Name + Default> TypedQueue<T> {
    /// Sends; as [`Queue::send`].
    ///
    /// # Errors
    /// As [`Queue::send`].
    pub fn send(&self, value: &T) -> Result<Receipt, Error> {
        self.queue.send(encode(self.kind, value))
    }

    /// Sends with a deadline; as [`Queue::send_timeout`].
    ///
    /// # Errors
    /// As [`Queue::send_timeout`].
    pub fn send_timeout(&self, value: &T, limit: Duration) -> Result<Receipt, Error> {
        self.queue.send_timeout(encode(self.kind, value), limit)
    }

    /// Receives the next message of this type; as [`Queue::receive`].
    ///
    /// # Errors
    /// As [`Queue::receive`]; `Decode` when the payload is not of the type: the message goes to the
    /// dead letters then, with that reason.
    pub fn receive(&self) -> Result<TypedDelivery<T>, Error> {
        decoded(self.queue.receive(Selector::Eq(self.kind))?)
    }

    /// As [`TypedQueue::receive`], but waits at most so long.
    ///
    /// # Errors
    /// As [`TypedQueue::receive`], and `TimedOut`.
    pub fn receive_timeout(&self, limit: Duration) -> Result<TypedDelivery<T>, Error> {
        decoded(self.queue.receive_timeout(Selector::Eq(self.kind), limit)?)
    }

    /// The raw queue.
    pub fn raw(&self) -> &Queue {
        &self.queue
    }
}

/// A delivery with its value; one that has none is rejected.
fn decoded<T: prost::Message + prost::Name + Default>(
    delivery: Delivery,
) -> Result<TypedDelivery<T>, Error> {
    match decode(delivery.payload()) {
        Ok(value) => Ok(TypedDelivery { value, delivery }),
        Err(error) => {
            delivery.reject(reason_of(&error))?;
            Err(error)
        }
    }
}

impl<T> TypedDelivery<T> {
    /// Acknowledges; as [`Delivery::ack`].
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    pub fn ack(self) -> Result<Ack, Error> {
        self.delivery.ack()
    }
}

impl<T> Clone for TypedPublisher<T> {
    fn clone(&self) -> TypedPublisher<T> {
        let (publisher, kind) = (self.publisher.clone(), self.kind);
        TypedPublisher { publisher, kind, marker: PhantomData }
    }
}

impl<T> Clone for TypedQueue<T> {
    fn clone(&self) -> TypedQueue<T> {
        TypedQueue { queue: self.queue.clone(), kind: self.kind, marker: PhantomData }
    }
}

impl<T> fmt::Debug for TypedPublisher<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::TypedPublisher({:?})", self.publisher.topic())
    }
}

impl<T> fmt::Debug for TypedSubscriber<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::TypedSubscriber({:?})", self.subscriber)
    }
}

impl<T> fmt::Debug for TypedQueue<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocking::TypedQueue({:?})", self.queue.name())
    }
}
