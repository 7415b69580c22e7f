//! Recursive views over tables that grow and shrink: from SQL through the engine, at every tick the answer of the batch oracle.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "recursive/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use world::{Random, Row, World};

const TABLES: &str = "
    CREATE EXTERNAL TABLE edge (a BIGINT, b BIGINT, w BIGINT) STORED AS CLOUDEVENTS LOCATION 'edge'
      OPTIONS ('mode' 'latest', 'key' 'a,b');
    CREATE EXTERNAL TABLE staff (id BIGINT, boss BIGINT, pay BIGINT) STORED AS CLOUDEVENTS LOCATION 'staff'
      OPTIONS ('mode' 'latest', 'key' 'id');
";

/// Over a graph that may have cycles: all of these come to an end.
const GRAPHS: &[(&str, &str)] = &[
    ("closure", "WITH RECURSIVE reach(a, b) AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM reach r JOIN edge e ON r.b = e.a) SELECT a, b FROM reach"),
    ("component", "WITH RECURSIVE pair(a, b) AS (SELECT a, b FROM edge UNION SELECT b, a FROM edge),
        reach(a, b) AS (SELECT a, a FROM pair UNION SELECT r.a, p.b FROM reach r JOIN pair p ON r.b = p.a)
        SELECT a AS node, min(b) AS component FROM reach GROUP BY a"),
    ("label", "WITH MUTUALLY RECURSIVE
        pair (a BIGINT, b BIGINT) AS (SELECT a, b FROM edge UNION SELECT b, a FROM edge),
        label (node BIGINT, component BIGINT) AS (
          SELECT node, min(component) FROM (
            SELECT a AS node, a AS component FROM pair
            UNION ALL SELECT p.b, l.component FROM label l JOIN pair p ON l.node = p.a) AS both_of GROUP BY node)
        SELECT node, component FROM label"),
    ("rings", "WITH MUTUALLY RECURSIVE
        label (node BIGINT, component BIGINT) AS (
          SELECT node, min(component) FROM (
            SELECT a AS node, a AS component FROM edge UNION ALL SELECT b, b AS component FROM edge
            UNION ALL SELECT e.b, l.component FROM label l JOIN edge e ON l.node = e.a
            UNION ALL SELECT e.a, l.component FROM label l JOIN edge e ON l.node = e.b) AS all_of GROUP BY node)
        SELECT component, count(*) AS members FROM label GROUP BY component HAVING count(*) > 2"),
    ("shortest", "WITH MUTUALLY RECURSIVE
        far (node BIGINT, cost BIGINT) AS (
          SELECT node, min(cost) FROM (
            SELECT CAST(0 AS BIGINT) AS node, CAST(0 AS BIGINT) AS cost
            UNION ALL SELECT e.b, f.cost + e.w FROM far f JOIN edge e ON f.node = e.a) AS ways GROUP BY node)
        SELECT node, cost FROM far"),
    ("alternating", "WITH MUTUALLY RECURSIVE
        even (n BIGINT) AS (SELECT CAST(0 AS BIGINT) UNION SELECT e.b FROM odd o JOIN edge e ON o.n = e.a),
        odd (n BIGINT) AS (SELECT DISTINCT e.b FROM even v JOIN edge e ON v.n = e.a)
        SELECT even.n AS n, odd.n AS also FROM even LEFT JOIN odd ON even.n = odd.n"),
    ("squaring", "WITH MUTUALLY RECURSIVE
        reach (a BIGINT, b BIGINT) AS (SELECT a, b FROM edge UNION SELECT x.a, y.b FROM reach x JOIN reach y ON x.b = y.a)
        SELECT a, count(*) AS n FROM reach GROUP BY a"),
    ("unreached", "WITH MUTUALLY RECURSIVE
        reach (n BIGINT) AS (SELECT CAST(0 AS BIGINT) UNION SELECT e.b FROM reach r JOIN edge e ON r.n = e.a)
        SELECT a, b FROM edge WHERE NOT EXISTS (SELECT 1 FROM reach WHERE reach.n = edge.a)"),
    ("steps", "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 3)
        walk (n BIGINT, steps BIGINT) AS (
          SELECT CAST(0 AS BIGINT), CAST(0 AS BIGINT) UNION ALL SELECT e.b, k.steps + 1 FROM walk k JOIN edge e ON k.n = e.a)
        SELECT n, steps FROM walk"),
    ("flip", "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 5)
        out_of (n BIGINT) AS (SELECT a FROM edge WHERE NOT EXISTS (SELECT 1 FROM out_of o WHERE o.n = edge.b))
        SELECT n FROM out_of"),
    ("totals", "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 4)
        total (n BIGINT, top BIGINT) AS (SELECT count(*), max(top) FROM (SELECT n + 1 AS top FROM total UNION ALL SELECT w FROM edge) AS x)
        SELECT n, top FROM total"),
    ("bounded walk", "WITH RECURSIVE walk(n, steps) AS (
        SELECT a, CAST(0 AS BIGINT) FROM edge WHERE a = 0
        UNION ALL SELECT e.b, k.steps + 1 FROM walk k JOIN edge e ON k.n = e.a AND e.w > 1 WHERE k.steps < 4)
        SELECT n, steps, count(*) AS ways FROM walk GROUP BY n, steps"),
    ("best first", "WITH RECURSIVE walk(n, steps) AS (
        SELECT CAST(0 AS BIGINT), CAST(0 AS BIGINT)
        UNION ALL (SELECT e.b, k.steps + 1 FROM walk k JOIN edge e ON k.n = e.a WHERE k.steps < 5 ORDER BY e.w, e.b LIMIT 2))
        SELECT n, steps FROM walk"),
    ("new only", "WITH RECURSIVE seen(n) AS (
        SELECT CAST(0 AS BIGINT)
        UNION (SELECT e.b FROM seen s LEFT JOIN edge e ON s.n = e.a WHERE e.w < 4 OR e.w IS NULL))
        SELECT n FROM seen"),
];

/// Over a tree.
const TREES: &[(&str, &str)] = &[
    ("depth", "WITH RECURSIVE chart(id, boss, depth) AS (
        SELECT id, boss, CAST(0 AS BIGINT) FROM staff WHERE boss IS NULL
        UNION ALL SELECT s.id, s.boss, c.depth + 1 FROM chart c JOIN staff s ON s.boss = c.id)
        SELECT id, depth FROM chart"),
    ("below", "WITH RECURSIVE above(id, chief) AS (
        SELECT id, id FROM staff UNION ALL SELECT s.id, a.chief FROM above a JOIN staff s ON s.boss = a.id)
        SELECT chief, count(*) AS people, sum(s.pay) AS pay FROM above JOIN staff s ON s.id = above.id GROUP BY chief"),
    ("path", "WITH RECURSIVE chart(id, path) AS (
        SELECT id, CAST(id AS TEXT) FROM staff WHERE boss IS NULL
        UNION ALL SELECT s.id, c.path || '/' || CAST(s.id AS TEXT) FROM chart c JOIN staff s ON s.boss = c.id)
        SELECT id, path FROM chart"),
];

fn declare(world: &mut World, views: &[(&str, &str)], suffix: &str) {
    for (name, query) in views {
        world.declare(&format!("CREATE MATERIALIZED VIEW \"{name}{suffix}\" AS {query}"));
    }
}

/// The smallest node of each node's component.
fn components(edges: &BTreeSet<Row>) -> BTreeMap<i64, i64> {
    fn root(parent: &BTreeMap<i64, i64>, mut node: i64) -> i64 {
        while parent[&node] != node {
            node = parent[&node];
        }
        node
    }
    let mut parent: BTreeMap<i64, i64> = BTreeMap::new();
    for edge in edges {
        let (a, b) = (edge[0].unwrap(), edge[1].unwrap());
        parent.entry(a).or_insert(a);
        parent.entry(b).or_insert(b);
        let (a, b) = (root(&parent, a), root(&parent, b));
        parent.insert(a.max(b), a.min(b));
    }
    parent.keys().map(|node| (*node, root(&parent, *node))).collect()
}

fn graph_change(random: &mut Random, nodes: u64) -> (Row, bool) {
    let row = vec![
        Some(random.below(nodes) as i64),
        Some(random.below(nodes) as i64),
        Some(random.below(6) as i64),
    ];
    (row, random.below(5) < 2)
}

fn graphs(seed: u64, workers: usize, ticks: u64) {
    println!("seed {seed}, {workers} workers");
    let (mut world, mut random) = (World::new(workers, TABLES), Random(seed));
    declare(&mut world, GRAPHS, "");
    for time in 1..=ticks {
        if time == ticks / 2 {
            declare(&mut world, &GRAPHS[..6], " later");
        }
        for _ in 0..1 + random.below(6) {
            let (row, gone) = graph_change(&mut random, 9);
            world.change("edge", row, gone);
        }
        world.tick();
        let expected: BTreeSet<Vec<i64>> = components(world.rows("edge"))
            .into_iter()
            .map(|(node, component)| vec![node, component])
            .collect();
        for view in ["component", "label"] {
            assert_eq!(world.integers(view), expected, "{view} at {time}");
        }
        world.check();
    }
    assert_eq!(world.live.len(), GRAPHS.len() + 6);
    world.engine.shutdown();
}

#[test]
fn graphs_are_followed_by_one_worker() {
    graphs(1, 1, 16);
}

#[test]
fn graphs_are_followed_by_two_workers() {
    graphs(2, 2, 12);
}

#[test]
fn graphs_are_followed_by_four_workers() {
    graphs(3, 4, 8);
}

#[test]
fn an_edge_deleted_splits_a_component_and_an_edge_added_merges_two() {
    for workers in [1, 2] {
        let mut world = World::new(workers, TABLES);
        declare(&mut world, &GRAPHS[1..4], "");
        for i in 0..20 {
            world.change("edge", vec![Some(i), Some(i + 1), Some(1)], false);
        }
        world.tick();
        assert_eq!(world.integers("rings"), BTreeSet::from([vec![0, 21]]));
        world.change("edge", vec![Some(9), Some(10), Some(1)], true);
        world.tick();
        assert_eq!(world.integers("rings"), BTreeSet::from([vec![0, 10], vec![10, 11]]));
        world.check();
        world.change("edge", vec![Some(20), Some(3), Some(1)], false);
        world.tick();
        assert_eq!(world.integers("rings"), BTreeSet::from([vec![0, 21]]));
        world.check();
        world.engine.shutdown();
    }
}

#[test]
fn trees_are_followed() {
    for workers in [1, 2, 4] {
        let (mut world, mut random) = (World::new(workers, TABLES), Random(workers as u64));
        declare(&mut world, TREES, "");
        for _ in 0..8 {
            for _ in 0..12 {
                // A boss has a smaller number, so that there is no circle.
                let id = random.below(30) as i64;
                let boss = (id > 0 && random.below(6) > 0).then(|| random.below(id as u64) as i64);
                let pay = Some(random.below(100) as i64);
                world.change("staff", vec![Some(id), boss, pay], random.below(6) == 0);
            }
            world.tick();
            world.check();
        }
        world.engine.shutdown();
    }
}

#[test]
fn a_recursion_that_does_not_end_is_a_failure_that_goes_when_its_cause_goes() {
    let mut world = World::new(1, TABLES);
    declare(
        &mut world,
        &[
            (
                "count",
                "WITH MUTUALLY RECURSIVE (ERROR AT RECURSION LIMIT 20) up (n BIGINT) AS (SELECT CAST(0 AS BIGINT) UNION SELECT up.n + e.w FROM up JOIN edge e ON e.a = up.n * 0) SELECT n FROM up",
            ),
            (
                "divided",
                "WITH RECURSIVE walk(n, d) AS (SELECT CAST(0 AS BIGINT), CAST(0 AS BIGINT) UNION ALL SELECT e.b, 10 / e.w FROM walk k JOIN edge e ON k.n = e.a WHERE k.n < 1) SELECT n, d FROM walk",
            ),
        ],
        "",
    );
    world.change("edge", vec![Some(0), Some(1), Some(0)], false);
    world.tick();
    assert_eq!(world.failures(), vec!["divided"]);
    world.change("edge", vec![Some(0), Some(1), Some(2)], false);
    world.change("edge", vec![Some(1), Some(0), Some(2)], false);
    world.tick();
    assert_eq!(world.failures(), vec!["count"]);
    world.change("edge", vec![Some(1), Some(0), Some(2)], true);
    world.change("edge", vec![Some(0), Some(1), Some(0)], true);
    world.change("edge", vec![Some(1), Some(2), Some(1)], false);
    world.tick();
    assert_eq!(world.failures(), Vec::<&str>::new());
    world.check();
    world.engine.shutdown();
}

#[test]
fn constants_recur_without_tables() {
    let mut world = World::new(2, TABLES);
    declare(
        &mut world,
        &[
            (
                "series",
                "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 50) SELECT n FROM t",
            ),
            (
                "fibonacci",
                "WITH RECURSIVE f(n, a, b) AS (SELECT 1, 0, 1 UNION ALL SELECT n + 1, b, a + b FROM f WHERE n < 20) SELECT n, a FROM f",
            ),
            (
                "unions",
                "WITH RECURSIVE t(n) AS (SELECT id FROM (VALUES (1), (2)) AS v(id) UNION SELECT n + 1 FROM t WHERE n < 4) SELECT n FROM t",
            ),
            (
                "nested",
                "WITH RECURSIVE o AS (SELECT 1 AS a UNION ALL (WITH RECURSIVE i AS (SELECT 1 AS a UNION ALL SELECT a + 2 AS a FROM i WHERE a < 3) SELECT o.a + 2 AS a FROM o JOIN i ON o.a = i.a WHERE i.a < 4)) SELECT a FROM o",
            ),
            (
                "nulls",
                "WITH RECURSIVE t(a, b) AS (SELECT 0 AS a, 0 AS b UNION ALL SELECT b AS a, CAST(NULL AS INT) AS b FROM t WHERE a IS NOT NULL) SELECT * FROM t",
            ),
        ],
        "",
    );
    world.tick();
    assert_eq!(world.integers("series"), (1..=50).map(|n| vec![n]).collect());
    assert!(world.integers("fibonacci").contains(&vec![20, 4181]));
    world.check();
    world.engine.shutdown();
}
