//! The broker's shell in small: a router, its sessions, and the books beside them.
//!
//! It does what the real shell does and nothing else: frames become commands, effects become
//! frames, sessions outlive their lines. Slips are bugs of a shell, planted to be caught.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_core::router::{
    Answer, Command, Effect, Fault, Identity, Listing, ObjectKind, Output, Router, RouterConfig,
    SessionEnd, SessionId,
};
use bus_core::session::{
    Action, Hello, ServerSession, SessionLimits, VERSION, Welcome, same_token,
};
use bus_core::{ErrorKind, Failure, Frame, FrameError, Kind, Pattern, Sender, Time};
use bytes::Bytes;

use crate::ledger::{Ledger, Listed};
use crate::log::Log;
use crate::plan::Plan;
use crate::post::Post;
use crate::wire::{Key, Wire};

/// The longest grace that this broker grants.
pub const GRACE_LIMIT: Duration = Duration::from_millis(800);

/// A bug in the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// Says that it has one frame less than it has.
    RepeatFrame,
    /// Says that it has one frame more than it has.
    SkipFrame,
    /// Repeats one frame that the client has.
    RewindTooFar,
    /// Loses the first frame after a resumption.
    LoseFrame,
    /// Does not look at confirmations.
    ForgetConfirm,
    /// Resumes whatever session is asked for.
    IgnoreToken,
    /// Still takes what comes over a line that was replaced.
    HearOldLine,
}

impl Slip {
    pub const ALL: &'static [Slip] = &[
        Slip::RepeatFrame,
        Slip::SkipFrame,
        Slip::RewindTooFar,
        Slip::LoseFrame,
        Slip::ForgetConfirm,
        Slip::IgnoreToken,
        Slip::HearOldLine,
    ];
}

/// A bug that a test has planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    Router(Fault),
    /// The same, while nobody looks at what the router says that it holds.
    Unlisted(Fault),
    Shell(Slip),
}

/// A session.
#[derive(Debug)]
pub struct Slot {
    pub state: ServerSession,
    token: Bytes,
    pub line: Option<u64>,
    loses: bool,
}

/// One run of the broker.
pub struct Broker {
    pub epoch: u64,
    pub router: Router,
    pub ledger: Ledger,
    pub slots: BTreeMap<SessionId, Slot>,
    monitor: SessionId,
    limits: SessionLimits,
    bug: Option<Bug>,
    log: Log,
    effects: Vec<Effect>,
}

/// How a connection goes on.
pub struct Attached {
    pub session: SessionId,
    pub welcome: Welcome,
    /// The line that this one replaces.
    pub replaced: Option<u64>,
}

impl Broker {
    pub fn new(
        now: Time,
        epoch: u64,
        plan: &Plan,
        post: Post,
        log: &Log,
        bug: Option<Bug>,
    ) -> Broker {
        let parked_bytes_max = plan.parked_bytes_max;
        let mut router = Router::new(RouterConfig { parked_bytes_max, ..RouterConfig::default() });
        if let Some(Bug::Router(fault) | Bug::Unlisted(fault)) = bug {
            router.plant(fault);
        }
        let own = Identity { system: true, admin: true, ..Identity::default() };
        let monitor = router.open_session(now, own, Duration::ZERO).expect("the first session");
        Broker {
            epoch,
            router,
            ledger: Ledger::new(post, parked_bytes_max),
            slots: BTreeMap::new(),
            monitor,
            limits: plan.limits,
            bug,
            log: log.clone(),
            effects: Vec::new(),
        }
    }

    fn slips(&self, slip: Slip) -> bool {
        self.bug == Some(Bug::Shell(slip))
    }

    pub fn key(&self, session: SessionId) -> Key {
        (self.epoch, session.serial())
    }

    /// A Hello has come over this line.
    pub fn attach(
        &mut self,
        now: Time,
        hello: &Hello,
        line: u64,
        wire: &mut Wire,
    ) -> Result<Attached, Failure> {
        hello.agree()?;
        let resumed = self.find_resumed(hello)?;
        let (session, not_resumed) = match &resumed {
            Ok(session) => (*session, String::new()),
            Err(reason) => (self.open(now, hello, line)?, reason.clone()),
        };
        let slips = [Slip::RepeatFrame, Slip::SkipFrame].map(|slip| self.slips(slip));
        let slot = self.slots.get_mut(&session).expect("found or opened just now");
        let replaced = slot.line.replace(line).filter(|old| *old != line);
        let mut received = slot.state.inbound.received();
        if resumed.is_ok() {
            received -= u64::from(slips[0] && received > 0);
            received += u64::from(slips[1]);
        }
        let welcome = Welcome {
            version: VERSION,
            epoch: self.epoch,
            session: session.serial(),
            token: slot.token.clone(),
            resumed: resumed.is_ok(),
            received,
            grace: hello.grace_within(GRACE_LIMIT),
            limits: self.limits,
            broker: "simulated".into(),
            pid: 1,
            not_resumed,
            lane_bytes: 0,
            no_lanes: String::new(),
            rings: false,
        };
        match (&resumed, &hello.resume) {
            (Ok(_), _) => self.log.count("resumed"),
            (_, Some(_)) => self.log.count("session lost"),
            _ => {}
        }
        if resumed.is_ok() {
            self.ledger.resume(now, session);
            self.router.resume(now, session);
            self.absorb(wire);
        }
        Ok(Attached { session, welcome, replaced })
    }

    fn find_resumed(&mut self, hello: &Hello) -> Result<Result<SessionId, String>, Failure> {
        let Some(resume) = &hello.resume else { return Ok(Err(String::new())) };
        if resume.epoch != self.epoch {
            return Ok(Err("the broker has been restarted".into()));
        }
        let (ignores, rewinds, loses) = (
            self.slips(Slip::IgnoreToken),
            self.slips(Slip::RewindTooFar),
            self.slips(Slip::LoseFrame),
        );
        let found = self.slots.iter_mut().find(|(id, _)| id.serial() == resume.session);
        let Some((id, slot)) = found else {
            return Ok(Err("the session's grace has passed".into()));
        };
        if !ignores && !same_token(&resume.token, &slot.token) {
            return Err(Failure::new(ErrorKind::SessionDenied, "not yours"));
        }
        slot.loses = loses;
        let received = resume.received - u64::from(rewinds && resume.received > 0);
        match slot.state.outbound.rewind(received) || rewinds {
            true => Ok(Ok(*id)),
            false => Err(Failure::new(ErrorKind::SessionDenied, "cannot go on there")),
        }
    }

    fn open(&mut self, now: Time, hello: &Hello, line: u64) -> Result<SessionId, Failure> {
        let grace = hello.grace_within(GRACE_LIMIT);
        let sender = Sender { name: hello.name.clone(), uid: Some(7), ..Sender::default() };
        let identity = Identity { sender, ..Identity::default() };
        let session = self.router.open_session(now, identity, grace)?;
        self.ledger.open_session(now, session, grace);
        let token = Bytes::from(format!("{:08}{line:08}", self.epoch));
        let slot = Slot { state: ServerSession::default(), token, line: Some(line), loses: false };
        self.slots.insert(session, slot);
        Ok(session)
    }

    /// A frame has come. `true` if it was a goodbye.
    pub fn frame(
        &mut self,
        now: Time,
        session: SessionId,
        frame: Frame,
        wire: &mut Wire,
    ) -> Result<bool, FrameError> {
        let forgets = self.slips(Slip::ForgetConfirm);
        let slot = self.slots.get_mut(&session).expect("the session of a line");
        if forgets && frame.header.kind == Kind::Confirm {
            return Ok(false);
        }
        if frame.header.kind.is_sequenced() && std::mem::take(&mut slot.loses) {
            return Ok(false);
        }
        match slot.state.frame(frame)? {
            Action::Command(command) => {
                let key = self.key(session);
                self.log.say(|| format!("    {session:?} asks {command:?}"));
                wire.command(key, &command);
                self.ledger.command(now, session, &command);
                wire.started(key, self.ledger.started());
                self.router.handle(now, session, command);
                self.absorb(wire);
                Ok(false)
            }
            Action::Refused => panic!("a request of a simulated client is refused unread"),
            Action::Nothing => Ok(false),
            Action::Goodbye => {
                self.close(now, session, SessionEnd::Goodbye, wire);
                Ok(true)
            }
        }
    }

    /// A line has ended. Its session is away; or over, if its process is known to be gone.
    pub fn detach(
        &mut self,
        now: Time,
        session: SessionId,
        line: u64,
        gone: bool,
        wire: &mut Wire,
    ) {
        let Some(slot) = self.slots.get_mut(&session) else { return };
        if slot.line != Some(line) {
            return;
        }
        slot.line = None;
        if gone {
            return self.close(now, session, SessionEnd::Lost, wire);
        }
        self.log.count("suspended");
        self.ledger.suspend(now, session);
        self.router.suspend(now, session);
        self.absorb(wire);
        if !self.router.has_session(session) {
            self.slots.remove(&session);
        }
    }

    fn close(&mut self, now: Time, session: SessionId, end: SessionEnd, wire: &mut Wire) {
        self.ledger.close_session(now, session, end);
        self.router.close_session(now, session, end);
        self.absorb(wire);
        self.slots.remove(&session);
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time, wire: &mut Wire) {
        self.ledger.advance(now);
        self.log.say(|| format!("    what is due: {:?}", self.ledger.expired()));
        self.router.advance(now);
        self.absorb(wire);
        let router = &self.router;
        self.slots.retain(|session, _| router.has_session(*session));
    }

    /// Effects go to the books, to the wire's, and into frames; then the books are compared.
    fn absorb(&mut self, wire: &mut Wire) {
        let mut effects = self.router.take_effects(std::mem::take(&mut self.effects));
        for effect in effects.drain(..) {
            self.log.say(|| format!("    {:?} is told {:?}", effect.session, effect.output));
            self.ledger.effect(&effect);
            count(&self.log, &effect.output);
            let key = self.key(effect.session);
            let Some(slot) = self.slots.get_mut(&effect.session) else { continue };
            if !matches!(effect.output, Output::Expired { .. }) {
                wire.tell(key, &effect.output);
            }
            slot.state.output(effect.output);
        }
        self.effects = effects;
        let listed = self.list();
        let looks = !matches!(self.bug, Some(Bug::Unlisted(_)));
        self.ledger.compare(&listed, looks);
    }

    fn list(&mut self) -> Listed {
        Listed {
            queues: self.page(ObjectKind::Queue).queues,
            topics: self.page(ObjectKind::Topic).topics,
            clients: self.page(ObjectKind::Client).clients,
            info: self.router.broker_info(),
        }
    }

    fn page(&mut self, object: ObjectKind) -> Listing {
        let pattern = Pattern::new(">").expect("the pattern of everything");
        let command = Command::List { request: 1, pattern, object, after: None };
        self.router.handle(self.ledger.now(), self.monitor, command);
        let mut effects = self.router.take_effects(Vec::new());
        match effects.pop().map(|effect| effect.output) {
            Some(Output::Reply { result: Ok(Answer::Listing(listing)), .. }) => *listing,
            other => panic!("no listing: {other:?}"),
        }
    }
}

/// Counts what there must be enough of.
fn count(log: &Log, output: &Output) {
    match output {
        Output::Failed { failure, .. } => log.count(&format!("failed: {}", failure.kind().word())),
        Output::Ended { failure, .. } => log.count(&format!("ended: {}", failure.kind().word())),
        Output::Lease { attempt: 1.., .. } => log.count("redelivered"),
        Output::Lease { auto_ack: true, .. } => log.count("leased with auto-ack"),
        Output::Lost { .. } => log.count("lost"),
        Output::Recall { .. } => log.count("recalled"),
        Output::Grant { .. } => log.count("granted"),
        Output::Credit { .. } => log.count("credited"),
        Output::Unsettled { .. } => log.count("unsettled"),
        Output::Result { .. } => log.count("result"),
        Output::Expired { .. } => log.count("grace has passed"),
        _ => {}
    }
}
