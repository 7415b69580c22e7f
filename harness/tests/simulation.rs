//! Simulations of the whole path hold every promise, and find every bug that is planted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use harness::simulate::plant::Bug;
use harness::simulate::{Counters, MUST_HAPPEN, run};

#[test]
fn whatever_goes_wrong_all_promises_hold() {
    let mut counters = Counters::default();
    let mut failed = vec![];
    for seed in 0..200 {
        match run(seed, None) {
            Ok(found) => counters.merge(&found),
            Err(why) => failed.push(why),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| counters.get(what) == 0).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}\n{counters}");
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in [3, 17, 101] {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

#[test]
fn every_planted_bug_is_found() {
    let found = Bug::ALL.map(|bug| {
        let why = (0..2_000).find_map(|seed| run(seed, Some(bug)).err());
        println!("{bug:?}: {}", why.as_deref().unwrap_or("NOT FOUND"));
        (bug, why)
    });
    assert!(found.iter().all(|(_, why)| why.is_some()), "{found:#?}");
}

/// A store that was put back to before it was first opened has nothing of the writer that writes on.
#[test]
fn seeds_that_found_something_find_nothing_more() {
    for seed in [1_442, 4_023, 4_846, 5_414] {
        run(seed, None).unwrap_or_else(|why| panic!("{why}"));
    }
}
