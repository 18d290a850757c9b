//! Calls over bridges, as the router treats them: which server gets a call, what is told as served,
//! and who may. The cases that a planted bug must break are run with it as well.

use std::sync::Arc;
use std::time::Duration;

use bus_core::router::{
    Allowance, BridgeCommand, Command, Deed, Fault, Identity, Output, Policy, Provenance, Router,
    RouterConfig, ServeBeyond, SessionEnd, SessionId, Who,
};
use bus_core::{ErrorKind, Failure, Pattern, Sender, Time};

use crate::bus::{message, name};

const OWN: u64 = 1;

/// A router whose sessions are called by letters.
struct Broker {
    router: Router,
    now: Time,
    sessions: Vec<(char, SessionId)>,
    tickets: u64,
}

impl Broker {
    fn new(fault: Option<Fault>) -> Broker {
        let mut router = Router::new(RouterConfig { epoch: OWN, ..RouterConfig::default() });
        if let Some(fault) = fault {
            router.plant(fault);
        }
        Broker { router, now: Time::ZERO, sessions: Vec::new(), tickets: 0 }
    }

    /// A session of a user for each letter; bridges are administrators.
    fn join(&mut self, letters: &str, admin: bool) {
        let sender = Sender { uid: Some(1), ..Sender::default() };
        let identity = Identity { sender, admin, ..Identity::default() };
        let grace = Duration::from_secs(10);
        for letter in letters.chars() {
            let session = self.router.open_session(self.now, identity.clone(), grace);
            self.sessions.push((letter, session.expect("a session")));
        }
    }

    fn id(&self, letter: char) -> SessionId {
        let found = self.sessions.iter().find(|(other, _)| *other == letter);
        found.expect("has joined").1
    }

    fn tell(&mut self, letter: char, command: Command) -> Vec<String> {
        self.router.handle(self.now, self.id(letter), command);
        self.told()
    }

    fn serve(&mut self, letter: char, credit: u32) -> Vec<String> {
        let name = name("s");
        self.tell(letter, Command::Serve { request: 9, channel: 0, name, credit, mode: None })
    }

    fn serve_beyond(&mut self, letter: char, ways: &[&[u64]]) -> Vec<String> {
        self.serve_with(letter, ways, u64::MAX)
    }

    fn serve_with(&mut self, letter: char, ways: &[&[u64]], bytes_max: u64) -> Vec<String> {
        let ways = ways.iter().map(|way| way.to_vec()).collect();
        let serve = ServeBeyond { name: name("s"), credit: 2, bytes_max, mode: None, ways };
        let command = BridgeCommand::ServeBeyond { request: 9, channel: 0, serve };
        self.tell(letter, Command::Bridge(command))
    }

    /// Opens the service for a caller elsewhere, whose calls have passed these.
    fn open(&mut self, letter: char, channel: u32, hops: &[u64]) -> Vec<String> {
        let Some(epoch) = hops.first().copied() else {
            return self
                .tell(letter, Command::OpenService { request: 9, channel, name: name("s") });
        };
        let (broker, sender, hops) = (Arc::from("far"), Arc::default(), hops.to_vec());
        let provenance = Arc::new(Provenance { epoch, broker, publisher: 3, sender, hops });
        let name = name("s");
        let command = BridgeCommand::OpenCaller { request: 9, channel, name, provenance };
        self.tell(letter, Command::Bridge(command))
    }

    fn call(&mut self, letter: char, channel: u32) -> Vec<String> {
        self.tickets += 1;
        let (ticket, message) = (self.tickets, message(1, self.tickets));
        let timeout = Duration::from_secs(5);
        self.tell(letter, Command::Call { channel, ticket, message, timeout })
    }

    fn reply(&mut self, letter: char, call: u64, result: Result<(), ErrorKind>) -> Vec<String> {
        let result = result.map(|()| message(2, call)).map_err(|kind| Failure::new(kind, "no"));
        self.tell(letter, Command::CallReply { call, result })
    }

    fn told(&mut self) -> Vec<String> {
        let effects = self.router.take_effects(Vec::new());
        let letter = |session: SessionId| {
            self.sessions.iter().find(|(_, other)| *other == session).map_or('?', |found| found.0)
        };
        effects.iter().map(|it| format!("{} {}", letter(it.session), short(&it.output))).collect()
    }

    /// Where a peer is told that the name is served.
    fn ways(&self, peer: u64) -> Vec<Vec<u64>> {
        let pattern = Pattern::new("s").expect("a pattern");
        let offered = self.router.served_for(peer, &[pattern]).interests.into_iter();
        offered.map(|one| one.path).collect()
    }
}

fn short(output: &Output) -> String {
    match output {
        Output::Invoke { call, relayed, .. } => {
            let provenance = relayed.as_ref().and_then(|source| source.provenance.as_ref());
            match provenance {
                Some(provenance) => format!("invoked {call} by way of {:?}", provenance.hops),
                None => format!("invoked {call}"),
            }
        }
        Output::Result { ticket, .. } => format!("result {ticket}"),
        Output::Failed { ticket, failure } => format!("failed {ticket} {:?}", failure.kind()),
        Output::GivenUp { call } => format!("given up {call}"),
        Output::Reply { result: Ok(_), .. } => "done".into(),
        Output::Reply { result: Err(failure), .. } => format!("{:?}", failure.kind()),
        Output::Wanted { added, removed, .. } => {
            format!("wanted {} more, {} less", added.len(), removed.len())
        }
        Output::Ended { failure, .. } => format!("ended {:?}", failure.kind()),
        other => format!("{other:?}"),
    }
}

/// Compares, so that a case can be run with a planted bug.
fn same(found: Vec<String>, expected: &[&str]) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
}

/// A call stays with who serves here, connected and busy; else it goes the shortest way.
fn here_goes_first(fault: Option<Fault>) -> Result<(), String> {
    let mut broker = Broker::new(fault);
    broker.join("AH", false);
    broker.join("FN", true);
    broker.open('A', 0, &[]);
    same(broker.call('A', 0), &["A failed 1 Unreachable"])?;
    broker.serve_beyond('F', &[&[7, 6]]);
    same(broker.call('A', 0), &["F invoked 1"])?;
    broker.serve_beyond('N', &[&[8, 7, 6], &[6]]);
    same(broker.call('A', 0), &["N invoked 2"])?;
    same(broker.call('A', 0), &["N invoked 3"])?;
    // It has as many as it may have; the other one is farther away and free.
    same(broker.call('A', 0), &["F invoked 4"])?;
    broker.serve('H', 1);
    same(broker.reply('F', 1, Ok(())), &["A result 2"])?;
    same(broker.call('A', 0), &["H invoked 5"])?;
    same(broker.call('A', 0), &[])?;
    same(
        broker.reply('H', 5, Err(ErrorKind::TooBig)),
        &["A failed 6 ServiceFailed", "H invoked 6"],
    )?;
    same(broker.call('A', 0), &[])?;
    // Who is away holds nobody up.
    broker.router.suspend(broker.now, broker.id('H'));
    same(broker.told(), &["F invoked 7"])
}

/// A call goes where it has not been, over any of the ways; else nobody serves.
fn passed_brokers_are_not_passed_again(fault: Option<Fault>) -> Result<(), String> {
    let mut broker = Broker::new(fault);
    broker.join("BFN", true);
    broker.serve_beyond('F', &[&[6]]);
    broker.serve_beyond('N', &[&[6, 7], &[9, 8, 7]]);
    broker.open('B', 1, &[6]);
    broker.open('B', 2, &[5, 7]);
    broker.open('B', 3, &[6, 7]);
    broker.open('B', 4, &(20..36).collect::<Vec<_>>());
    same(broker.call('B', 1), &["N invoked 1 by way of [6]"])?;
    same(broker.call('B', 2), &["F invoked 2 by way of [5, 7]"])?;
    same(broker.call('B', 3), &["B failed 3 Unreachable"])?;
    same(broker.call('B', 4), &["B failed 4 Unreachable"])?;
    if broker.router.relay_stat().loops != 2 {
        return Err("they were not counted".into());
    }
    // One that waits for the only way that it could take does not hold others up.
    same(broker.call('B', 1), &["N invoked 3 by way of [6]"])?;
    same(broker.call('B', 1), &[])?;
    same(broker.call('B', 2), &["F invoked 5 by way of [5, 7]"])?;
    // And has no server any more when that way is gone.
    same(broker.serve_beyond('N', &[&[6, 7]]), &["N done", "B failed 6 Unreachable"])
}

/// What is told as served is what is served, here and beyond, by the best way that avoids the peer.
fn what_is_served_is_told_until_it_is_not(fault: Option<Fault>) -> Result<(), String> {
    let mut broker = Broker::new(fault);
    broker.join("HFW", true);
    let patterns = vec![Pattern::new(">").expect("a pattern")];
    let watch = BridgeCommand::WatchServices { request: 9, channel: 0, peer: 4, patterns };
    same(broker.tell('W', Command::Bridge(watch)), &["W done", "W wanted 0 more, 0 less"])?;
    let ways = |broker: &Broker, peer: u64, expected: &[&[u64]]| {
        let found = broker.ways(peer);
        if found == expected { Ok(()) } else { Err(format!("{found:?} for {peer}")) }
    };
    broker.serve('H', 1);
    broker.serve_beyond('F', &[&[8, 6], &[5, OWN, 6]]);
    ways(&broker, 4, &[&[OWN], &[8, 6, OWN]])?;
    ways(&broker, 6, &[&[OWN]])?;
    broker.now = broker.now.after(Duration::from_millis(10));
    broker.router.advance(broker.now);
    same(broker.told(), &["W wanted 2 more, 0 less"])?;
    broker.tell('H', Command::Close { request: 0, channel: 0 });
    ways(&broker, 4, &[&[8, 6, OWN]])?;
    broker.serve_beyond('F', &[]);
    ways(&broker, 4, &[])?;
    broker.serve_beyond('F', &[&[6]]);
    broker.router.close_session(broker.now, broker.id('F'), SessionEnd::Lost);
    ways(&broker, 4, &[])?;
    broker.now = broker.now.after(Duration::from_millis(10));
    broker.router.advance(broker.now);
    same(broker.told(), &["W wanted 0 more, 2 less"])
}

type Case = fn(Option<Fault>) -> Result<(), String>;

const CASES: [Case; 3] =
    [here_goes_first, passed_brokers_are_not_passed_again, what_is_served_is_told_until_it_is_not];

#[test]
fn calls_travel_only_where_they_must_and_have_not_been() {
    for case in CASES {
        assert_eq!(case(None), Ok(()));
    }
}

#[test]
fn every_planted_bug_of_calls_is_caught() {
    for fault in Fault::OF_CALLS {
        let caught = CASES.iter().any(|case| case(Some(*fault)).is_err());
        assert!(caught, "{fault:?} was not caught");
    }
}

#[test]
fn a_bridge_is_told_of_callers_that_give_up_and_brings_what_was_said_beyond() {
    let mut broker = Broker::new(None);
    broker.join("A", false);
    broker.join("F", true);
    broker.open('A', 0, &[]);
    broker.serve_beyond('F', &[&[6]]);
    broker.call('A', 0);
    broker.call('A', 0);
    assert_eq!(broker.reply('F', 1, Err(ErrorKind::TooBig)), ["A failed 1 TooBig"]);
    let told = broker.tell('A', Command::Withdraw { ticket: 2 });
    assert_eq!(told, ["F given up 2", "A failed 2 Withdrawn"]);
    assert_eq!(broker.reply('F', 2, Err(ErrorKind::Withdrawn)), [""; 0]);
    broker.call('A', 0);
    broker.router.close_session(broker.now, broker.id('A'), SessionEnd::Goodbye);
    assert_eq!(broker.told(), ["F given up 3"]);
}

#[test]
fn what_a_bridge_is_given_is_bounded_in_bytes() {
    let mut broker = Broker::new(None);
    broker.join("A", false);
    broker.join("F", true);
    broker.open('A', 0, &[]);
    broker.serve_with('F', &[&[6]], 1);
    assert_eq!(broker.call('A', 0), ["F invoked 1"]);
    assert_eq!(broker.call('A', 0), [""; 0]);
    assert_eq!(broker.reply('F', 1, Ok(())), ["A result 1", "F invoked 2"]);
}

#[test]
fn only_bridges_serve_for_others_and_call_for_others() {
    let mut broker = Broker::new(None);
    broker.join("A", false);
    broker.join("F", true);
    assert_eq!(broker.serve_beyond('A', &[&[6]]), ["A PermissionDenied"]);
    assert_eq!(broker.open('A', 1, &[6]), ["A PermissionDenied"]);
    assert_eq!(broker.open('F', 1, &[6, OWN]), ["F Loop"]);
    assert_eq!(broker.serve_beyond('F', &[&[6; 17]]), ["F InvalidArgument"]);
    assert_eq!(broker.serve_beyond('F', &[&[6][..]; 65]), ["F InvalidArgument"]);
    let grant = |text: &str| {
        let pattern = Pattern::new(text).expect("a pattern");
        let all = Pattern::new(">").expect("a pattern");
        let allowance = Allowance::to(Who::Everybody).grant(Deed::Bridge, pattern);
        Policy::new(vec![allowance.grant(Deed::Call, all)])
    };
    broker.router.set_policy(broker.now, grant("x"));
    assert_eq!(broker.serve_beyond('A', &[&[6]]), ["A PermissionDenied"]);
    broker.router.set_policy(broker.now, grant("s"));
    assert_eq!(broker.serve_beyond('A', &[&[6]]), ["A done"]);
    assert_eq!(broker.open('A', 1, &[7]), ["A done"]);
    assert_eq!(broker.call('A', 1), ["A invoked 1 by way of [7]"]);
    // What it may not do any more ends.
    broker.router.set_policy(broker.now, grant("x"));
    assert_eq!(broker.told(), ["A failed 1 Unreachable", "A ended PermissionDenied"]);
    assert_eq!(broker.call('A', 1), ["A failed 2 PermissionDenied"]);
}
