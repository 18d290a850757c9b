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
const PEOPLE: &str = "AUN";
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

fn pick<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    all[dice.below(all.len() as u64) as usize]
}

/// One run. Says where the router and the oracle disagree.
fn run(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let mut bus = Bus::with(RouterConfig {
        queue_mode: 0o777,
        topic_mode: 0o777,
        service_mode: 0o777,
        ..RouterConfig::default()
    });
    bus.join('F', Identity { admin: true, ..user(0, 0) });
    for (letter, identity) in PEOPLE.chars().zip([named("alice"), user(7, 70), Identity::default()])
    {
        bus.join(letter, identity);
    }
    for (channel, text) in (0..).zip(NAMES) {
        bus.queue('F', channel, text, Default::default());
    }
    if let Some(fault) = fault {
        bus.router.plant(fault);
    }
    let people: Vec<char> = PEOPLE.chars().collect();
    let mut rules: Vec<Rule> = Vec::new();
    let mut held: Vec<(char, u32, &str)> = Vec::new();
    for step in 0..40u32 {
        if dice.chance(30) {
            rules = (0..dice.below(7))
                .map(|_| {
                    (
                        pick(&mut dice, &['A', 'U', 'N', '*']),
                        pick(&mut dice, Deed::ALL),
                        pick(&mut dice, PATTERNS),
                    )
                })
                .collect();
            bus.router.set_policy(Time::ZERO, policy(&rules));
            let told = bus.seen();
            let mut expected = Vec::new();
            held.retain(|(letter, channel, text)| {
                let stays = allowed_all(&rules, *letter, Deed::Subscribe, text);
                if !stays {
                    expected.push(format!("{letter} ended {channel} PermissionDenied"));
                }
                stays
            });
            let (mut found, mut wanted) = (told.clone(), expected);
            found.sort();
            wanted.sort();
            if found != wanted {
                return Err(format!("step {step}: {rules:?}: told {told:?}, not {wanted:?}"));
            }
        } else if dice.chance(30) {
            let (letter, text, channel) =
                (pick(&mut dice, &people), pick(&mut dice, PATTERNS), 100 + step);
            let told = bus.subscribe(letter, channel, text, SubscribeOptions::default());
            // Without a request there is no answer: whether it is there shows by closing it.
            assert!(told.is_empty(), "{told:?}");
            if allowed_all(&rules, letter, Deed::Subscribe, text) {
                held.push((letter, channel, text));
            }
        } else {
            let (letter, deed) = (pick(&mut dice, &people), pick(&mut dice, Deed::ALL));
            let text = pick(&mut dice, NAMES);
            let may = match deed {
                // The new queue stands one token deeper.
                Deed::Create => allowed(&rules, letter, deed, &format!("{text}.new")),
                _ => allowed(&rules, letter, deed, text),
            };
            if is_refused(&mut bus, letter, deed, text) == may {
                return Err(format!("step {step}: {letter} {deed} {text} with {rules:?}: {may}"));
            }
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
