//! What the home of a hosted queue says is passed on to whom it concerns.
//!
//! Whoever hosts a queue is believed about that queue alone. An answer to what nobody asked, or
//! to somebody who is gone, does nothing.

use crate::arena::Id;
use crate::error::Failure;
use crate::router::Router;
use crate::router::command::{Channel, RequestId};
use crate::router::effect::Answer;
use crate::router::queue::Queue;
use crate::router::session::{Handle, Session};
use crate::selector::Selector;

use super::receivers::Delivered;
use super::{HostedAsk, HostedTell};

impl Router {
    /// A session tells what the home of a queue says, which it hosts on that channel.
    pub(in crate::router) fn hosted_tell(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        tell: HostedTell,
    ) {
        let Ok(Handle::Host { queue: id }) = self.ground.handle(session, channel) else { return };
        let id = *id;
        let Router { ground, queues, .. } = self;
        let Some(queue) = queues.get_mut(id) else { return };
        match tell {
            HostedTell::Lease { receiver, lease, attempt, sender, message } => {
                queue.hand_over(ground, Delivered { receiver, lease, attempt, sender, message });
            }
            HostedTell::LeaseParcel { receiver, first, sender, parcel } => {
                queue.hand_over_together(ground, receiver, first, &sender, parcel);
            }
            HostedTell::Recall { lease } => queue.hosted_recall(ground, lease),
            HostedTell::Ended { receiver, failure } => {
                let failure = queue.at_home(ground, failure);
                queue.double_over(ground, receiver, failure);
            }
            HostedTell::Closed { receiver } => queue.double_closed(receiver),
            HostedTell::Credited { receiver } => queue.credited(ground, receiver),
            HostedTell::Accepted { first, count } => {
                queue.home_verdict(ground, (first, u64::from(count)), &Ok(()));
            }
            HostedTell::Failed { ticket, failure } => {
                let failure = queue.at_home(ground, failure);
                queue.home_verdict(ground, (ticket, 1), &Err(failure));
            }
            HostedTell::Settled { first, count } => queue.hosted_settled(ground, first, count),
            HostedTell::Unsettled { lease, failure } => {
                let failure = queue.at_home(ground, failure);
                queue.hosted_unsettled(ground, lease, failure);
            }
            HostedTell::Done { request, result } => {
                let result = result.map_err(|failure| queue.at_home(ground, failure));
                self.home_answered(id, request, result.map(|()| Answer::Done { count: 1 }));
            }
            HostedTell::Peeked { request, peeked } => {
                self.home_answered(id, request, Ok(Answer::Peeked(peeked)));
            }
            HostedTell::Reach { up, hops } => self.home_reached(id, (session, channel), up, hops),
            HostedTell::Called { broker, bridge } => queue.home_called(&broker, &bridge),
            HostedTell::Denied { failure } => queue.denied_by_home(ground, failure),
            HostedTell::Away { reason } => queue.home_away(&reason),
            HostedTell::Lost => {
                queue.lose_home(ground);
                if let Some(hosting) = &queue.hosted {
                    hosting.ask(ground, HostedAsk::Anew);
                }
            }
        }
    }

    /// Home has answered a request.
    fn home_answered(&mut self, id: Id<Queue>, number: RequestId, result: Result<Answer, Failure>) {
        let hosting = self.queues.get_mut(id).and_then(|queue| queue.hosted.as_mut());
        let asked = hosting.and_then(|hosting| hosting.requests.remove(&number));
        if let Some((session, request)) = asked {
            self.ground.reply(session, request, result);
        }
    }

    /// Asks home to show a message.
    pub(in crate::router) fn peek_at_home(
        &mut self,
        session: Id<Session>,
        request: RequestId,
        id: Id<Queue>,
        (selector, index): (Selector, u64),
    ) {
        let refused = self.check_hosted_requests(session, id).err();
        let Router { ground, queues, .. } = self;
        let Some(queue) = queues.get_mut(id) else { return };
        let away = queue.hosted.as_ref().is_some_and(|hosting| !hosting.is_reachable(ground));
        let refused = refused
            .or_else(|| queue.check_way().err())
            .or_else(|| away.then(|| queue.unreachable(ground)));
        let Some(hosting) = &mut queue.hosted else { return };
        match refused {
            Some(failure) => ground.reply(session, request, Err(failure)),
            None => {
                let request = hosting.request_of(session, request);
                hosting.ask(ground, HostedAsk::Peek { request, selector, index });
            }
        }
    }
}
