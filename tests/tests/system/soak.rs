//! A few seeds of the soak, always the same ones. `make soak SEEDS=n` runs others.

use gctb_system_tests::soak::{Plan, run};

#[test]
fn i1_i7_four_seeds_of_the_soak_hold_every_invariant() {
    let test = "i1_i7_four_seeds_of_the_soak_hold_every_invariant";
    // A topic made again under running consumers and wrong amounts; poison; returns that overtake their payments; response files
    // that are set aside whole.
    for seed in [1, 9, 15, 1095] {
        let plan = Plan::of(seed);
        // Shown where it fails.
        eprintln!("{plan}");
        if run(test, plan).is_none() {
            return;
        }
    }
}
