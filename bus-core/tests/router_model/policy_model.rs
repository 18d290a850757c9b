//! The policy against a stupid oracle: random allowances, changed again and again, while sessions
//! try things and hold subscriptions.
//!
//! The oracle matches names token by token over a list of all names there are, and knows nothing of
//! handles; so an answer that is kept for too long shows.

use bus_core::Time;
use bus_core::router::{
    Allowance, Deed, Fault, Identity, Policy, RouterConfig, SubscribeOptions, Who,
};

use crate::bus::{Bus, user};
use crate::dice::Dice;
use crate::policy::{alice, is_refused, named, pattern};

const PATTERNS: &[&str] = &["a.x", "a.y", "b.x", "a.*", "*.x", "a.>", ">", "b.>", "*"];
const NAMES: &[&str] = &["a.x", "a.y", "b.x"];
/// All that the oracle knows of the world of names.
const WORLD: &[&str] =
    &["a", "b", "c", "a.x", "a.y", "a.z", "b.x", "c.x", "a.x.q", "c.q.x", "b.z.z"];
const PEOPLE: &[char] = &['A', 'U', 'N'];
const SEEDS: u64 = 60;

/// An allowance: whom by letter, what, and where.
type Rule = (char, Deed, &'static str);

fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), name.split('.').collect());
    let same = |(wanted, given): (&&str, &&str)| *wanted == "*" || wanted == given;
    match pattern.split_last() {
        Some((&">", front)) => name.len() > front.len() && front.iter().zip(&name).all(same),
        _ => name.len() == pattern.len() && pattern.iter().zip(&name).all(same),
    }
}

fn allowed(rules: &[Rule], letter: char, deed: Deed, name: &str) -> bool {
    let fits = |rule: &&Rule| (rule.0 == letter || rule.0 == '*') && rule.1 == deed;
    rules.is_empty() || rules.iter().filter(fits).any(|rule| matches(rule.2, name))
}

fn allowed_all(rules: &[Rule], letter: char, deed: Deed, inner: &str) -> bool {
    let fits = |rule: &&Rule| (rule.0 == letter || rule.0 == '*') && rule.1 == deed;
    let contains = |rule: &Rule| {
        WORLD.iter().filter(|name| matches(inner, name)).all(|name| matches(rule.2, name))
    };
    rules.is_empty() || rules.iter().filter(fits).any(contains)
}

fn policy(rules: &[Rule]) -> Policy {
    let allowance = |rule: &Rule| {
        let who = match rule.0 {
            'A' => alice(),
            'U' => Who::Uid(7),
            'N' => Who::Anonymous,
            _ => Who::Everybody,
        };
        Allowance::to(who).grant(rule.1, pattern(rule.2))
    };
    Policy::new(rules.iter().map(allowance).collect())
}

/// A router, and what the oracle knows of it.
struct Pair {
    dice: Dice,
    bus: Bus,
    rules: Vec<Rule>,
    held: Vec<(char, u32, &'static str)>,
}

impl Pair {
    fn new(seed: u64, fault: Option<Fault>) -> Pair {
        let mut bus = Bus::with(RouterConfig {
            queue_mode: 0o777,
            topic_mode: 0o777,
            service_mode: 0o777,
            ..RouterConfig::default()
        });
        bus.join('F', Identity { admin: true, ..user(0, 0) });
        let people = [named("alice"), user(7, 70), Identity::default()];
        PEOPLE.iter().zip(people).for_each(|(letter, identity)| bus.join(*letter, identity));
        for (channel, text) in (0..).zip(NAMES) {
            bus.queue('F', channel, text, Default::default());
        }
        if let Some(fault) = fault {
            bus.router.plant(fault);
        }
        Pair { dice: Dice::new(seed), bus, rules: Vec::new(), held: Vec::new() }
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.dice.below(all.len() as u64) as usize]
    }

    /// Another policy: who is told what of a subscription.
    fn change(&mut self) -> Result<(), String> {
        let count = self.dice.below(7);
        let mut rule =
            |_| (self.pick(&['A', 'U', 'N', '*']), self.pick(Deed::ALL), self.pick(PATTERNS));
        self.rules = (0..count).map(&mut rule).collect();
        self.bus.router.set_policy(Time::ZERO, policy(&self.rules));
        let (mut told, mut expected) = (self.bus.seen(), Vec::new());
        let Pair { held, rules, .. } = self;
        held.retain(|(letter, channel, text)| {
            let stays = allowed_all(rules, *letter, Deed::Subscribe, text);
            if !stays {
                expected.push(format!("{letter} ended {channel} PermissionDenied"));
            }
            stays
        });
        told.sort();
        expected.sort();
        match told == expected {
            true => Ok(()),
            false => Err(format!("{rules:?}: told {told:?}, not {expected:?}")),
        }
    }

    /// A subscription that stays.
    fn hold(&mut self, channel: u32) {
        let (letter, text) = (self.pick(PEOPLE), self.pick(PATTERNS));
        // Without a request there is no answer.
        let told = self.bus.subscribe(letter, channel, text, SubscribeOptions::default());
        assert!(told.is_empty(), "{told:?}");
        if allowed_all(&self.rules, letter, Deed::Subscribe, text) {
            self.held.push((letter, channel, text));
        }
    }

    /// Something that is over at once.
    fn try_one(&mut self) -> Result<(), String> {
        let (letter, deed, text) = (self.pick(PEOPLE), self.pick(Deed::ALL), self.pick(NAMES));
        let may = match deed {
            // The new queue stands one token deeper.
            Deed::Create => allowed(&self.rules, letter, deed, &format!("{text}.new")),
            _ => allowed(&self.rules, letter, deed, text),
        };
        match is_refused(&mut self.bus, letter, deed, text) == may {
            true => Err(format!("{letter} {deed} {text} with {:?}: {may}", self.rules)),
            false => Ok(()),
        }
    }
}

/// One run. Says where the router and the oracle disagree.
fn run(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut pair = Pair::new(seed, fault);
    for step in 0..40 {
        match pair.dice.below(10) {
            0..3 => pair.change()?,
            3..5 => pair.hold(100 + step),
            _ => pair.try_one()?,
        }
    }
    Ok(())
}

#[test]
fn the_policy_agrees_with_its_oracle() {
    for seed in 0..SEEDS {
        assert_eq!(run(seed, None), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_policy_that_is_not_asked_again_is_caught() {
    let caught = (0..SEEDS).filter(|seed| run(*seed, Some(Fault::PolicyNotRechecked)).is_err());
    assert!(caught.count() > SEEDS as usize / 4);
}
