//! Agents in zones: their own zone's nodes first, the others when too few of those are left, with every policy of ours.

use lars_shard::PolicyConfig;
use lars_simulator::{Figures, Policy, Scenario, run};
use std::time::Instant;

/// Ten nodes, five in each zone; of zone a so many die at 10 s.
fn figures(policy: &str, dead: &str, agent_zones: &str) -> Figures {
    let group = |zone| {
        format!(
            "[[nodes]]\ncount = 5\nworkers = 8\nservice_ms = {{ kind = 'exponential', mean = 10 }}\nzone = '{zone}'\n"
        )
    };
    let text = format!(
        "name = 'zones'\nduration_s = 40\nwarmup_s = 20\nrate_per_s = 300\ntimeout_ms = 1000\nagents = 2\n{agent_zones}\n{}{}[[events]]\n\
         at_s = 10\nnodes = {dead}\ndo = 'black_hole'\n",
        group("a"),
        group("b")
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let policy = Policy::named(policy, &PolicyConfig::default()).expect("a policy");
    run(&scenario, &policy, 1, Instant::now(), false)
        .expect("a run")
        .figures
}

fn share_of_b(figures: &Figures) -> f64 {
    figures.share_of_calls[5..].iter().flatten().sum()
}

#[test]
fn own_zone_takes_all_until_too_few_of_it_are_left() {
    let one_dead = figures("classic", "[0]", "agent_zones = ['a']");
    assert!(share_of_b(&one_dead) < 0.001, "{}", share_of_b(&one_dead));
    // Two of five: 60% are left, and all nodes that live are used alike.
    let two_dead = figures("classic", "[0, 1]", "agent_zones = ['a']");
    // 5 of 8 living nodes, less what probes take and the moments in which a dead node is tried again.
    assert!(
        (0.4..0.65).contains(&share_of_b(&two_dead)),
        "{}",
        share_of_b(&two_dead)
    );
    let none = figures("classic", "[0]", "");
    assert!(
        (share_of_b(&none) - 5.0 / 9.0).abs() < 0.1,
        "{}",
        share_of_b(&none)
    );
    let both = figures("classic", "[0]", "agent_zones = ['a', 'b']");
    assert!((share_of_b(&both) - 0.5).abs() < 0.05, "{}", share_of_b(&both));
}
