//! An outlet brings a store to the engine's rows, each time to those of one time, whatever goes wrong between.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "outlets/world.rs"]
mod world;

use harness::outlets::outlet::{Act, Figures, Limits, Outlet};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sinks::Sink;
use sinks::model::{Fault, Model, Store};
use world::{Shape, World};

const LIMITS: Limits = Limits { keys_bytes: 1 << 20, quiet_ms: 0, pause_ms: (100, 30_000) };

/// Does one act; false where there is none. Pauses pass at once.
fn step(outlet: &mut Outlet, sink: &mut Model) -> bool {
    match outlet.act() {
        Act::Open => {
            let held = sink.open();
            outlet.opened(held);
        }
        Act::Apply(draft) => {
            let done = sink.apply(&draft.delivery());
            outlet.applied(done);
        }
        Act::Wait(pause) => {
            assert!(pause < 30_000);
            outlet.waited();
        }
        Act::Idle | Act::Stop => return false,
    }
    true
}

fn level(outlet: &mut Outlet, sink: &mut Model) {
    for _ in 0..1_000 {
        if !step(outlet, sink) {
            return;
        }
    }
    panic!("it does not come to rest: {:?}", outlet.state());
}

#[test]
fn changes_are_sent_by_key_and_the_first_rows_whole() {
    let (mut world, store) = (World::new(1), Store::default());
    let (mut outlet, mut sink) = (Outlet::new(None, LIMITS, 1), store.writer("p"));
    world.create("a", Shape::Keyed);
    for _ in 0..5 {
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        world.check(&store);
    }
    let deliveries = store.take_deliveries();
    assert_eq!(deliveries.len(), 5);
    assert_eq!(deliveries[0].parts, [("a".into(), None)]);
    assert!(
        deliveries[1..].iter().all(|one| one.parts.iter().all(|(_, keys)| keys.is_some())),
        "{deliveries:?}"
    );
    // Ticks that wait for a slow store become one delivery.
    (0..10).for_each(|_| outlet.offer(&world.tick()));
    level(&mut outlet, &mut sink);
    world.check(&store);
    assert_eq!(store.take_deliveries().len(), 1);
}

#[test]
fn a_delivery_whose_end_is_unknown_is_neither_lost_nor_built_upon() {
    for fault in [Fault::Before, Fault::After] {
        let (mut world, store) = (World::new(2), Store::default());
        let (mut outlet, mut sink) = (Outlet::new(None, LIMITS, 1), store.writer("p"));
        world.create("a", Shape::Keyed);
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        outlet.offer(&world.tick());
        store.fail([fault]);
        level(&mut outlet, &mut sink);
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        world.check(&store);
        let Figures { landed, lost, whole, .. } = outlet.figures();
        let expected = if fault == Fault::Before { (0, 1, 1) } else { (1, 0, 1) };
        assert_eq!((landed, lost, whole), expected, "{fault:?}");
    }
}

#[test]
fn a_store_that_was_restored_gets_all_rows() {
    let (mut world, store) = (World::new(3), Store::default());
    let (mut outlet, mut sink) = (Outlet::new(None, LIMITS, 1), store.writer("p"));
    world.create("a", Shape::Keyed);
    outlet.offer(&world.tick());
    level(&mut outlet, &mut sink);
    let dump = store.state();
    (0..3).for_each(|_| {
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
    });
    store.restore(dump);
    outlet.offer(&world.tick());
    level(&mut outlet, &mut sink);
    world.check(&store);
    assert_eq!((outlet.figures().moved, outlet.figures().whole), (1, 2));
}

#[test]
fn a_writer_that_was_replaced_stops_and_one_that_is_refused_says_why() {
    let (mut world, store) = (World::new(4), Store::default());
    let (mut outlet, mut sink) = (Outlet::new(None, LIMITS, 1), store.writer("p"));
    world.create("a", Shape::Keyed);
    outlet.offer(&world.tick());
    level(&mut outlet, &mut sink);
    store.writer("p").open().unwrap();
    outlet.offer(&world.tick());
    level(&mut outlet, &mut sink);
    let (word, why) = outlet.state();
    assert_eq!((word, why.unwrap()), ("stopped", "another writer has taken the store over"));
    let mut outlet = Outlet::new(None, LIMITS, 1);
    store.fail([Fault::Fatal]);
    level(&mut outlet, &mut sink);
    assert_eq!(outlet.state(), ("stopped", Some("the store refuses")));
}

#[test]
fn views_come_go_and_are_replaced() {
    let (mut world, store) = (World::new(5), Store::default());
    let chosen = ["a", "b"].map(Into::into).into();
    let (mut outlet, mut sink) = (Outlet::new(Some(chosen), LIMITS, 1), store.writer("p"));
    world.create("a", Shape::Keyed);
    world.create("c", Shape::Keyed);
    let mut go_on = |world: &mut World| {
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        world.check(&store);
        store.state().views.keys().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(go_on(&mut world), ["a"]);
    world.create("b", Shape::Keyless);
    assert_eq!(go_on(&mut world), ["a", "b"]);
    world.drop_view("a");
    assert_eq!(go_on(&mut world), ["b"]);
    // Another view of the same name, between two deliveries.
    world.drop_view("b");
    world.create("b", Shape::Keyed);
    assert_eq!(go_on(&mut world), ["b"]);
    // One that is being built has rows in the store from before: the store's time does not pass them.
    let time = store.state().time;
    world.drop_view("b");
    world.building("b", Shape::Keyed);
    go_on(&mut world);
    assert_eq!(store.state().time, time);
    world.create("b", Shape::Keyed);
    go_on(&mut world);
    assert!(store.state().time > time);
}

#[test]
fn too_many_keys_make_a_view_whole() {
    let (mut world, store) = (World::new(6), Store::default());
    let limits = Limits { keys_bytes: 4_000, ..LIMITS };
    let (mut outlet, mut sink) = (Outlet::new(None, limits, 1), store.writer("p"));
    world.create("a", Shape::Keyed);
    outlet.offer(&world.tick());
    level(&mut outlet, &mut sink);
    for _ in 0..200 {
        outlet.offer(&world.tick());
        assert!(outlet.waiting_bytes() <= 4_000);
    }
    level(&mut outlet, &mut sink);
    world.check(&store);
    assert_eq!((outlet.figures().forgotten, outlet.figures().whole), (1, 2));
}

#[test]
fn a_restart_goes_on_from_the_stores_time_where_the_engine_comes_by() {
    for (boundary, whole) in [(true, 0), (false, 1)] {
        let (mut world, store) = (World::new(7), Store::default());
        let (mut outlet, mut sink) = (Outlet::new(None, LIMITS, 1), store.writer("p"));
        world.create("a", Shape::Keyed);
        for _ in 0..4 {
            outlet.offer(&world.tick());
            level(&mut outlet, &mut sink);
        }
        let held = store.state().time.unwrap();
        (0..6).for_each(|_| _ = world.tick());
        let mut outlet = Outlet::new(None, LIMITS, 2);
        assert!(step(&mut outlet, &mut sink), "it opens the store before the replay");
        for mut offer in world.replay(if boundary { Some(held) } else { None }) {
            offer.restored = false;
            outlet.offer(&offer);
            assert!(!step(&mut outlet, &mut sink), "nothing is delivered before all is restored");
        }
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        world.check(&store);
        assert_eq!(outlet.figures().whole, whole, "{boundary}");
    }
}

/// What changes and changes back between the store's time and the next is in no row, and yet the store may have it.
#[test]
fn what_a_delivery_that_was_broken_off_may_have_changed_is_put_right() {
    let mut put_right = 0;
    for seed in 0..40 {
        let (mut world, store) = (World::new(seed), Store::default());
        let (mut outlet, mut sink) = (Outlet::new(None, LIMITS, 1), store.writer("p"));
        world.create("a", Shape::Keyed);
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        let held = store.state().time;
        store.fail([Fault::Within]);
        outlet.offer(&world.tick());
        step(&mut outlet, &mut sink);
        if store.state().begun.is_none() {
            continue;
        }
        // The process ends, and its ticks come back as one.
        let mut outlet = Outlet::new(None, LIMITS, 2);
        step(&mut outlet, &mut sink);
        (0..2).for_each(|_| _ = world.tick());
        let offers = world.replay(held);
        assert_eq!(outlet.begun().map(|(from, _)| Some(from)), Some(held), "seed {seed}");
        offers.iter().for_each(|offer| outlet.offer(offer));
        level(&mut outlet, &mut sink);
        assert_eq!((store.state().begun, outlet.begun()), (None, None), "seed {seed}");
        world.check(&store);
        put_right += 1;
    }
    assert!(put_right > 20, "{put_right}");
}

#[test]
fn a_store_filled_from_other_data_is_filled_anew() {
    let (mut world, store) = (World::new(8), Store::default());
    world.create("a", Shape::Keyed);
    for pipeline in ["p", "q"] {
        let (mut outlet, mut sink) = (Outlet::new(None, LIMITS, 1), store.writer(pipeline));
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        world.check(&store);
        assert_eq!(outlet.figures().whole, 1);
    }
}

/// One life of a store, with all that can go wrong, from one seed.
fn life(seed: u64) -> Figures {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut world, store) = (World::new(seed), Store::default());
    world.create("a", Shape::Keyed);
    world.create("b", Shape::Keyless);
    let limits = Limits { keys_bytes: 3_000, quiet_ms: 2, ..LIMITS };
    let (mut outlet, mut sink) = (Outlet::new(None, limits, seed), store.writer("p"));
    let (mut total, mut dumps, mut fenced) = (Figures::default(), vec![], vec![]);
    for _ in 0..120 {
        match random.random_range(0..100) {
            0..50 => outlet.offer(&world.tick()),
            50..80 => _ = step(&mut outlet, &mut sink),
            80..86 => {
                let faults = [Fault::None, Fault::Before, Fault::After, Fault::Within];
                store.fail(faults.into_iter().skip(random.random_range(0..4)));
            }
            86..88 => dumps.push(store.state()),
            88..90 if !dumps.is_empty() => {
                let dump = dumps[random.random_range(0..dumps.len())].clone();
                store.restore(dump);
            }
            90..92 => {
                world.drop_view("b");
                world.create("b", if random.random() { Shape::Keyed } else { Shape::Keyless });
            }
            92..94 => outlet.distrust(None),
            94..97 => {
                // Another life: its ticks are made again, some of them told as one. The old writer goes on a while.
                add(&mut total, outlet.figures());
                fenced.push((
                    std::mem::replace(&mut outlet, Outlet::new(None, limits, seed)),
                    std::mem::replace(&mut sink, store.writer("p")),
                ));
                step(&mut outlet, &mut sink);
                let boundary = store.state().time.filter(|_| random.random());
                for mut offer in world.replay(boundary) {
                    offer.restored = false;
                    outlet.offer(&offer);
                }
            }
            _ => {
                for (outlet, sink) in &mut fenced {
                    step(outlet, sink);
                }
            }
        }
        world.check(&store);
    }
    outlet.drain();
    for _ in 0..3 {
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        if outlet.state().0 == "stopped" {
            // An earlier writer's retry took the store over: the later one is started again.
            (outlet, sink) = (Outlet::new(None, limits, seed), store.writer("p"));
            fenced.clear();
        }
    }
    outlet.offer(&world.tick());
    level(&mut outlet, &mut sink);
    world.check(&store);
    assert_eq!(store.state().time, world.time(), "seed {seed}: {:?}", outlet.state());
    add(&mut total, outlet.figures());
    total
}

fn add(total: &mut Figures, more: Figures) {
    total.deliveries += more.deliveries;
    total.whole += more.whole;
    total.retries += more.retries;
    total.landed += more.landed;
    total.lost += more.lost;
    total.moved += more.moved;
    total.forgotten += more.forgotten;
}

#[test]
fn whatever_goes_wrong_the_store_has_the_rows_of_its_time() {
    let mut total = Figures::default();
    for seed in 0..200 {
        add(&mut total, life(seed));
    }
    let Figures { deliveries, whole, retries, landed, lost, moved, forgotten } = total;
    let each = [deliveries, whole, retries, landed, lost, moved, forgotten];
    assert!(each.iter().all(|count| *count > 0), "something never happened: {total:?}");
}
