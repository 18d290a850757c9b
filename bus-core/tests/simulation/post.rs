//! Every message that was ever made, by the number in its payload.
//!
//! Whatever comes out of the bus is compared with what went in: type, headers and payload.

use std::cell::RefCell;
use std::rc::Rc;

use bus_core::{Message, MessageType};

/// All messages of a run; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Post(Rc<RefCell<Vec<Message>>>);

impl Post {
    /// A new message with at least so many bytes.
    pub fn make(&self, kind: u64, length: usize) -> (u64, Message) {
        let mut all = self.0.borrow_mut();
        let number = all.len() as u64 + 1;
        let mut payload = vec![(number * 31) as u8; length.max(8)];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        let kind = MessageType::new(kind).expect("types begin with 1");
        let mut message = Message::new(kind, payload);
        if number.is_multiple_of(5) {
            message = message.with_header("number", number.to_string()).expect("a short header");
        }
        all.push(message.clone());
        (number, message)
    }

    /// The number of a message, which must be as it was made.
    pub fn number(&self, message: &Message) -> u64 {
        let number = self.number_of_payload(message);
        assert!(self.original(number) == *message, "message {number} was changed on its way");
        number
    }

    /// The number of a message that was labelled on its way to the dead letters.
    pub fn number_of_dead(&self, message: &Message) -> u64 {
        let number = self.number_of_payload(message);
        let original = self.original(number);
        let same = original.kind() == message.kind() && original.payload() == message.payload();
        assert!(same, "dead message {number} was changed on its way");
        assert!(message.headers().get("bus-dead-reason").is_some(), "{number} died of nothing");
        number
    }

    /// The number of a message, dead or alive.
    pub fn number_of_any(&self, message: &Message) -> u64 {
        match message.headers().get("bus-dead-reason") {
            Some(_) => self.number_of_dead(message),
            None => self.number(message),
        }
    }

    pub fn original(&self, number: u64) -> Message {
        self.0.borrow()[number as usize - 1].clone()
    }

    fn number_of_payload(&self, message: &Message) -> u64 {
        let bytes = message.payload().first_chunk::<8>().expect("a payload with a number");
        let number = u64::from_le_bytes(*bytes);
        let made = self.0.borrow().len() as u64;
        assert!((1..=made).contains(&number), "nobody has made message {number}");
        number
    }
}
