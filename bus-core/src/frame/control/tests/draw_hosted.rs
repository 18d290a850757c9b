//! Draws what is asked of hosted queues, and what their homes say.

use super::super::Notice;
use super::draw::Draw;
use crate::limits::LEASE_MAX;
use crate::router::*;

impl Draw {
    pub(super) fn hosted_commands(&mut self) -> Vec<Command> {
        let (request, channel) = (self.id32(), self.channel());
        let open = self.one(&[OpenMode::Open, OpenMode::OpenOrCreate, OpenMode::Create]);
        let mut commands = vec![
            BridgeCommand::OpenHome { request, channel, name: self.name(), open },
            BridgeCommand::HostQueue {
                request,
                channel,
                name: self.name(),
                mode: self.mode(),
                hops: self.hops(),
            },
            BridgeCommand::NameSender { origin: self.id32(), sender: self.sender() },
        ];
        let says = self.home_says();
        commands.extend(says.into_iter().map(|tell| BridgeCommand::Hosted { channel, tell }));
        let mut commands: Vec<_> = commands.into_iter().map(Command::Bridge).collect();
        commands.push(Command::Forsake(self.forsaken()));
        commands
    }

    fn home_says(&mut self) -> Vec<HostedTell> {
        vec![
            HostedTell::Recall { lease: self.id64() },
            HostedTell::Ended { receiver: self.id64(), failure: self.failure() },
            HostedTell::Closed { receiver: self.id64() },
            HostedTell::Credited { receiver: self.id64() },
            HostedTell::Accepted { first: self.id64(), count: self.id32() },
            HostedTell::Failed { ticket: self.id64(), failure: self.failure() },
            HostedTell::Settled { first: self.id64(), count: self.id32() },
            HostedTell::Unsettled { lease: self.id64(), failure: self.failure() },
            HostedTell::Done { request: self.id32(), result: Ok(()) },
            HostedTell::Done { request: self.id32(), result: Err(self.failure()) },
            HostedTell::Reach { up: self.flag(), hops: self.hops() },
            HostedTell::Lost,
            HostedTell::Called { broker: self.text(40), bridge: self.text(40) },
            HostedTell::Denied { failure: self.failure() },
            HostedTell::Away { reason: self.text(255) },
        ]
    }

    pub(super) fn home_asks(&mut self) -> Vec<Notice> {
        let (request, channel) = (self.id32(), self.channel());
        let asks = vec![
            HostedAsk::Consume { receiver: self.id64(), options: self.consume_options() },
            HostedAsk::Credit { receiver: self.id64(), credit: self.id32() % 4096 },
            HostedAsk::Close { receiver: self.id64() },
            HostedAsk::Withdraw { ticket: self.id64() },
            HostedAsk::Taken { first: self.id64() / 2, count: self.id32() % 1024 },
            HostedAsk::Ack { first: self.id64() / 2, count: self.id32() % 1024 },
            HostedAsk::Nack { request, lease: self.id64(), delay: self.duration(0, LEASE_MAX) },
            HostedAsk::Extend { request, lease: self.id64(), by: self.duration(0, LEASE_MAX) },
            HostedAsk::Reject { request, lease: self.id64(), reason: self.text(255) },
            HostedAsk::Return(self.forsaken()),
            HostedAsk::Anew,
            HostedAsk::Peek { request, selector: self.selector(), index: self.id64() },
        ];
        let way = Notice::HomeWay { channel, hops: self.hops() };
        let asks = asks.into_iter().map(|ask| Notice::HomeAsk { channel, ask });
        asks.chain([way]).collect()
    }

    fn forsaken(&mut self) -> Forsaken {
        Forsaken {
            unmarked: self.list(Draw::id64),
            marked: self.list(Draw::id64),
            suspect: self.flag(),
        }
    }
}
