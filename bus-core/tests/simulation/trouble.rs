//! What goes wrong: cuts, crashes, goodbyes, restarts, and somebody with a wrong token.

use bus_core::ErrorKind;
use bus_core::session::{Hello, Resume, VERSION};
use bytes::Bytes;

use crate::broker::Broker;
use crate::line::End;
use crate::plan::Trouble;
use crate::world::World;

impl World {
    /// Makes trouble, and says when the next one comes.
    pub fn make_trouble(&mut self) {
        let pause = self.dice.within(self.plan.peace);
        self.trouble = Some(self.now.after(pause));
        let trouble = self.dice.weighted(&self.plan.troubles);
        self.log.say(|| format!("{trouble:?}"));
        match trouble {
            Trouble::Cut => self.cut(),
            Trouble::Crash => self.crash(),
            Trouble::Goodbye => self.goodbye_of_one(),
            Trouble::Restart => self.restart(),
            Trouble::Intruder => self.intrude(),
        }
    }

    fn cut(&mut self) {
        let numbers: Vec<u64> = self.lines.keys().copied().collect();
        if let Some(number) = numbers.get(self.dice.below(numbers.len()))
            && let Some(line) = self.lines.get_mut(number)
        {
            line.cut(self.now, &mut self.dice, &self.plan);
        }
    }

    /// A client's process is gone, without a word. Another one takes its place.
    fn crash(&mut self) {
        let index = self.dice.below(self.clients.len());
        if let Some(number) = self.clients[index].line
            && let Some(line) = self.lines.get_mut(&number)
        {
            line.crashed = self.dice.chance(self.plan.watched);
            line.cut(self.now, &mut self.dice, &self.plan);
        }
        let process = self.clients[index].process + 1;
        self.clients[index] = self.new_client(index, process);
    }

    /// A client says goodbye. If it is gone already another one takes its place.
    fn goodbye_of_one(&mut self) {
        let index = self.dice.below(self.clients.len());
        if self.clients[index].gone {
            let process = self.clients[index].process + 1;
            self.clients[index] = self.new_client(index, process);
        } else if self.clients[index].greeted && !self.clients[index].leaving {
            self.say_goodbye(index);
        }
    }

    pub fn say_goodbye(&mut self, index: usize) {
        self.clients[index].session.goodbye();
        self.clients[index].leaving = true;
        self.log.say(|| format!("client {index} says goodbye"));
    }

    /// The broker is gone with everything, and another one begins.
    fn restart(&mut self) {
        let epoch = self.broker.epoch + 1;
        self.broker =
            Broker::new(self.now, epoch, &self.plan, self.post.clone(), &self.log, self.bug);
        for line in self.lines.values_mut() {
            line.cut(self.now, &mut self.dice, &self.plan);
            line.close_broker_end(self.now);
        }
    }

    /// Somebody asks for a session that is not theirs.
    fn intrude(&mut self) {
        let sessions: Vec<_> = self.broker.slots.keys().copied().collect();
        let Some(session) = sessions.get(self.dice.below(sessions.len())) else { return };
        let token = match self.dice.chance(50) {
            true => Bytes::from_static(b"0123456789abcdef"),
            false => Bytes::new(),
        };
        let resume =
            Resume { epoch: self.broker.epoch, session: session.serial(), token, received: 0 };
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            name: "intruder".into(),
            grace: self.plan.peace,
            resume: Some(resume),
            lane_bytes: 0,
            rings: false,
            credential: None,
        };
        let answer = self.broker.attach(self.now, &hello, u64::MAX, &mut self.wire);
        let refused = answer.err().map(|failure| failure.kind());
        assert_eq!(refused, Some(ErrorKind::SessionDenied), "the intruder's answer");
    }

    /// No more trouble, and every line that is cut is known to be cut.
    pub fn end_trouble(&mut self) {
        self.trouble = None;
        let closed = self.lines.values().filter(|line| line.end == End::Closed).count();
        self.log.say(|| format!("trouble is over, {closed} lines are closed"));
    }
}
