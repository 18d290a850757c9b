//! The router against models of it: the same random steps for both, compared after each.
//!
//! `queue_*` models queues exactly; `offers`, `topics` and `services` check what must always
//! hold; `planted_bugs` shows that the model catches what it is there for; the rest are single
//! cases of the contract and of rights.

mod batch_side;
mod batches;
mod bus;
mod contract_calls_beyond;
mod contract_caution;
mod contract_flow;
mod contract_groups;
mod contract_leases;
mod contract_permits;
mod contract_queues;
mod contract_relays;
mod contract_relays_wanted;
mod contract_topics;
mod dice;
mod events;
mod exchange_sides;
mod exchanges;
mod groups;
mod matching;
mod offers;
mod parcels;
mod planted_bugs;
mod policy;
mod policy_model;
mod queue_actions;
mod queue_caution;
mod queue_check;
mod queue_leases;
mod queue_model;
mod queue_recall;
mod queue_steps;
mod rights;
mod services;
mod stopping;
mod stopping_storm;
mod subscription_list;
mod topic_model;
mod topics;
mod upkeep;

use proptest::prelude::*;

/// Cases on demand: `cargo test -p bus-core --test router_model -- --ignored`.
const MANY: u64 = 100_000;

#[test]
fn queues_agree_with_the_model() {
    dice::run(0..1500, queue_steps::case, |steps| queue_check::check(steps, None));
}

#[test]
#[ignore = "takes minutes"]
fn queues_agree_with_the_model_for_long() {
    dice::run(0..MANY, queue_steps::case, |steps| queue_check::check(steps, None));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Other cases in each run; a failure names its seed.
    #[test]
    fn fresh_cases_pass(seed in any::<u64>()) {
        dice::run([seed], queue_steps::case, |steps| queue_check::check(steps, None));
    }
}
