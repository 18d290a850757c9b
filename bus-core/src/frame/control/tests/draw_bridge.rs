//! Draws what only bridges ask and are told.

use std::sync::Arc;

use super::super::Notice;
use super::draw::Draw;
use crate::limits::HOPS_MAX;
use crate::router::*;

impl Draw {
    pub(super) fn bridge_commands(&mut self) -> Vec<Command> {
        let (request, channel) = (self.id32(), self.channel());
        let commands = vec![
            BridgeCommand::OpenRelay {
                request,
                channel,
                topic: self.name(),
                provenance: Arc::new(self.provenance()),
                reach: self.id64(),
            },
            BridgeCommand::Skip {
                channel,
                turn: self.id64(),
                sequence: self.id64(),
                lost: self.flag(),
                unconfirmed: self.id64(),
            },
            BridgeCommand::SubscribeBeyond {
                request,
                channel,
                pattern: self.pattern(),
                options: self.subscribe_options(),
                beyond: self.list(Draw::interest),
            },
            BridgeCommand::ChangeBeyond {
                request,
                channel,
                added: self.list(Draw::interest),
                removed: self.list(Draw::interest),
            },
            BridgeCommand::HoldBeyond { request, channel, topic: self.name(), hold: self.flag() },
            BridgeCommand::WatchInterest { request, channel, peer: self.id64() },
            BridgeCommand::ServeBeyond { request, channel, serve: self.serve_beyond() },
            BridgeCommand::OpenCaller {
                request,
                channel,
                name: self.name(),
                provenance: Arc::new(self.provenance()),
            },
            BridgeCommand::WatchServices {
                request,
                channel,
                peer: self.id64(),
                patterns: self.list(Draw::pattern),
            },
            BridgeCommand::AskPermit {
                request,
                channel,
                pattern: self.pattern(),
                services: self.flag(),
                part: self.flag(),
            },
        ];
        commands.into_iter().map(Command::Bridge).collect()
    }

    pub(super) fn provenance(&mut self) -> Provenance {
        Provenance {
            epoch: self.id64(),
            broker: self.text(64).into(),
            publisher: self.id64(),
            sender: Arc::new(self.sender()),
            hops: self.hops(),
        }
    }

    pub(super) fn relay_notice(&mut self) -> Notice {
        let (turn, mark) = (self.id64(), self.id64());
        let (active, known, elsewhere) = (self.flag(), self.flag(), self.flag());
        let state = RelayState { turn, active, mark, known, elsewhere };
        Notice::Relay { channel: self.channel(), state }
    }

    pub(super) fn wanted_notice(&mut self) -> Notice {
        Notice::Wanted {
            channel: self.channel(),
            added: self.list(Draw::interest),
            removed: self.list(Draw::interest),
            left_out: self.id64(),
            complete: self.flag(),
        }
    }

    fn interest(&mut self) -> Interest {
        Interest { pattern: self.pattern(), path: self.hops() }
    }

    fn serve_beyond(&mut self) -> ServeBeyond {
        ServeBeyond {
            name: self.name(),
            credit: self.credit(),
            bytes_max: self.id64(),
            mode: self.mode(),
            ways: self.list(Draw::hops),
        }
    }

    pub(super) fn hops(&mut self) -> Vec<Epoch> {
        let count = self.id64() as usize % (HOPS_MAX + 1);
        (0..count).map(|_| self.id64()).collect()
    }
}
