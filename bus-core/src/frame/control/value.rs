//! Values that stand in more than one sort of message.

use bus_proto::v1;

use super::convert::{Convert, defaulted, record, required};
use crate::error::{ErrorKind, Failure};
use crate::message::Sender;
use crate::message_type::MessageType;
use crate::router::{Access, QueueOptions, TopicOptions};
use crate::selector::Selector;

record! {
    Sender as Sender { session, name, pid, uid, gid, user }
    Access as Access { owner, group, mode }
    QueueOptions as QueueOptions {
        bytes_max, count_max, deliveries_max, mode, lifetime, dead_letter; lease: lease_ms
    }
    TopicOptions as TopicOptions { keep_last, mode; hold: hold_ms }
}

required! { Sender as Sender Access as Access Failure as Failure }
defaulted! { QueueOptions as QueueOptions TopicOptions as TopicOptions }

impl Convert<v1::Failure> for Failure {
    fn to_wire(&self) -> v1::Failure {
        v1::Failure { kind: self.kind().code(), text: self.text().to_owned() }
    }

    fn from_wire(given: v1::Failure, _: &str) -> Result<Self, Failure> {
        Ok(Failure::new(ErrorKind::from_code(given.kind), given.text))
    }
}

/// A selector that is left out takes any type. One without a form has a form that is not
/// known here, and must not take more than was meant.
impl Convert<Option<v1::Selector>> for Selector {
    fn to_wire(&self) -> Option<v1::Selector> {
        use v1::selector::Form;
        let form = match self {
            Selector::Any => Form::Any(true),
            Selector::Eq(kind) => Form::Eq(kind.get()),
            Selector::Upto(kind) => Form::Upto(kind.get()),
            Selector::Except(kind) => Form::Except(kind.get()),
        };
        Some(v1::Selector { form: Some(form) })
    }

    fn from_wire(given: Option<v1::Selector>, field: &str) -> Result<Self, Failure> {
        use v1::selector::Form;
        let Some(given) = given else { return Ok(Selector::Any) };
        let kind = |number| MessageType::from_wire(number, field);
        match given.form {
            Some(Form::Any(_)) => Ok(Selector::Any),
            Some(Form::Eq(number)) => kind(number).map(Selector::Eq),
            Some(Form::Upto(number)) => kind(number).map(Selector::Upto),
            Some(Form::Except(number)) => kind(number).map(Selector::Except),
            None => Err(Failure::new(
                ErrorKind::Unsupported,
                format!(
                    "{field} has a form unknown in this version: known are any, eq, upto, except"
                ),
            )),
        }
    }
}
