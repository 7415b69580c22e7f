//! Every aggregate over a table whose rows come, change and go: at each tick the maintained view is what the batch oracle says.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
#[path = "aggregates/world.rs"]
mod world;

use world::{Cell, World, run};

/// Each stands for a view `SELECT k, <it> AS x FROM a GROUP BY k`, and for one without GROUP BY.
const CALLS: &[&str] = &[
    "count(*)",
    "count(v)",
    "count(DISTINCT v)",
    "count(DISTINCT 1)",
    "count(v, t)",
    "count(DISTINCT v, t)",
    "count(DISTINCT (v, t))",
    "count(NULL)",
    "sum(v)",
    "sum(i)",
    "sum(s)",
    "sum(d)",
    "sum(f)",
    "sum(DISTINCT v)",
    "sum(CASE WHEN v > 2 THEN 1 ELSE 0 END)",
    "sum(1)",
    "avg(v)",
    "avg(d)",
    "avg(f)",
    "avg(DISTINCT v)",
    "min(t)",
    "max(b)",
    "min(at)",
    "max(day)",
    "min(d)",
    "max(f)",
    "bool_and(b)",
    "bool_or(b)",
    "every(v > 1)",
    "bit_and(v)",
    "bit_or(i)",
    "bit_xor(s)",
    "bit_xor(DISTINCT v)",
    "stddev(v)",
    "stddev_samp(f)",
    "stddev_pop(d)",
    "var_samp(f)",
    "var_pop(v)",
    "variance(v)",
    "var_samp(DISTINCT v)",
    "covar_pop(v, f)",
    "covar_samp(f, i)",
    "corr(v, f)",
    "regr_slope(f, v)",
    "regr_intercept(f, v)",
    "regr_count(f, v)",
    "regr_avgx(f, v)",
    "regr_avgy(f, v)",
    "regr_sxx(f, v)",
    "regr_r2(f, v)",
    "regr_syy(f, v)",
    "regr_sxy(f, v)",
    "string_agg(t, ', ')",
    "string_agg(t, '' ORDER BY v DESC, i)",
    "string_agg(DISTINCT t, '-')",
    "string_agg(DISTINCT t, '-' ORDER BY t DESC)",
    "string_agg(t, ',') FILTER (WHERE v > 1)",
    "string_agg(t, u)",
    "string_agg(t, u ORDER BY i DESC)",
    "array_agg(v)",
    "array_agg(t ORDER BY v DESC NULLS LAST, i)",
    "array_agg(DISTINCT v)",
    "array_agg(DISTINCT v ORDER BY v DESC)",
    "array_agg(at ORDER BY at)",
    "array_agg(b ORDER BY i) FILTER (WHERE b)",
    "percentile_cont(0.3) WITHIN GROUP (ORDER BY v)",
    "percentile_cont(0.3) WITHIN GROUP (ORDER BY f DESC)",
    "percentile_cont(0) WITHIN GROUP (ORDER BY f)",
    "percentile_disc(0.5) WITHIN GROUP (ORDER BY v)",
    "percentile_disc(0.8) WITHIN GROUP (ORDER BY t DESC)",
    "approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY v)",
    "approx_median(v)",
    "median(f)",
    "median(v)",
    "median(DISTINCT v)",
    "mode() WITHIN GROUP (ORDER BY t)",
    "mode() WITHIN GROUP (ORDER BY v DESC)",
    "first_value(t ORDER BY v, i)",
    "first_value(t)",
    "last_value(t ORDER BY v NULLS FIRST)",
    "last_value(v ORDER BY at) IGNORE NULLS",
    "first_value(v ORDER BY t DESC) FILTER (WHERE v <> 2)",
    "nth_value(t, 2 ORDER BY v)",
    "nth_value(v, -1 ORDER BY f, i)",
    "arg_min(t, v)",
    "max_by(v, f)",
    "any_value(t)",
    "approx_distinct(t)",
    "max(v) FILTER (WHERE t = 'x')",
    "count(DISTINCT v) FILTER (WHERE t = 'x')",
];

const QUERIES: &[&str] = &[
    "SELECT k, t, count(*) AS n, grouping(k) AS gk, grouping(k, t) AS g FROM a GROUP BY ROLLUP (k, t)",
    "SELECT k, b, sum(v) AS s FROM a GROUP BY CUBE (k, b)",
    "SELECT k, t, b, max(v) AS m FROM a GROUP BY GROUPING SETS ((k, t), (b), (), (b))",
    "SELECT k, t, count(*) AS n FROM a GROUP BY k, ROLLUP (t)",
    "SELECT k FROM a GROUP BY ROLLUP (k)",
    "SELECT k, sum(v) AS s FROM a GROUP BY ROLLUP (k) HAVING grouping(k) = 0 AND sum(v) > 3",
    "SELECT v % 2 AS odd, count(*) AS n FROM a GROUP BY GROUPING SETS ((v % 2), ())",
    "SELECT k, t, count(*) AS n FROM a GROUP BY ALL",
    "SELECT k + 1 AS more, t, count(*) AS n FROM a GROUP BY 1, 2",
    "SELECT k + 1 AS more, count(*) AS n FROM a GROUP BY more",
    "SELECT count(*) AS n FROM a HAVING count(*) > 20",
    "SELECT count(DISTINCT v) AS dv, count(DISTINCT t) AS dt, sum(DISTINCT i) AS di, count(*) AS n FROM a",
    "SELECT k, sum(i) AS a, sum(CAST(i AS BIGINT)) AS b FROM a GROUP BY k",
    "SELECT k, sum(v) / count(*) AS mean, sum(v) + 1 AS more, sum(v) AS s FROM a GROUP BY k HAVING sum(v) > 2",
    "SELECT s, count(*) AS n FROM (SELECT k, sum(v) AS s FROM a GROUP BY k) AS x GROUP BY s",
    "SELECT k, sum(v) AS s FROM a GROUP BY k UNION ALL SELECT 1, 2",
    "SELECT k FROM a WHERE v = (SELECT sum(v) FROM a) OR k IN (SELECT sum(v) FROM a)",
    "SELECT k, array_agg(t) AS a, array_agg(v) AS b, string_agg(t, ',' ORDER BY t) AS c, first_value(v ORDER BY t) AS d FROM a GROUP BY k",
    "SELECT k, string_agg(t, ',' ORDER BY i) AS x, string_agg(u, ';' ORDER BY v DESC) AS y FROM a GROUP BY k",
    "SELECT min(p) AS lo, max(q) AS hi, count(DISTINCT p) AS n FROM (SELECT struct(v, t) AS p, make_array(v, i) AS q FROM a WHERE v IS NOT NULL AND i IS NOT NULL AND t IS NOT NULL) AS x",
    "SELECT k, string_agg(DISTINCT t, ',' ORDER BY t DESC) AS x, string_agg(DISTINCT u, ';') AS y, nth_value(v, 2 ORDER BY v) AS z FROM a GROUP BY k",
    "SELECT k, sum(i) AS a, sum(CAST(i AS BIGINT)) AS b, sum(i::DOUBLE) AS c FROM a GROUP BY k HAVING sum(CAST(i AS BIGINT)) > 1 ORDER BY sum(i::DOUBLE)",
    "SELECT min(at) AS a, array_agg(day) AS b, count(DISTINCT at) AS c, mode() WITHIN GROUP (ORDER BY day) AS d, first_value(at ORDER BY day) AS e FROM a",
    "SELECT count(*) AS n FROM (SELECT k, t FROM a GROUP BY k, t) AS x",
    "SELECT k, stddev(f) AS x, avg(f) AS y FROM a GROUP BY k HAVING stddev(f) > 1",
];

fn views() -> Vec<String> {
    let grouped = CALLS.iter().map(|call| format!("SELECT k, {call} AS x FROM a GROUP BY k"));
    let whole = CALLS.iter().map(|call| format!("SELECT {call} AS x FROM a"));
    grouped.chain(whole).chain(QUERIES.iter().map(|sql| sql.to_string())).collect()
}

#[test]
fn aggregates_are_what_the_batch_oracle_says_with_one_worker() {
    run(1, 1, 8, 30, &views());
}

#[test]
fn aggregates_are_what_the_batch_oracle_says_with_two_workers() {
    run(2, 2, 5, 30, &views());
}

#[test]
fn aggregates_are_what_the_batch_oracle_says_with_four_workers() {
    run(3, 4, 3, 120, &views());
}

/// A view of few rows: what it is after the inserts, and after all of them went.
fn check(sql: &str, rows: &[(i64, i64)], expected: &[&str], after: &[&str]) {
    let mut world = World::new(2, &[sql.to_string()]);
    let ids = || rows.iter().enumerate().map(|(id, (k, v))| (id as i64, Some((*k, *v))));
    world.feed(ids().collect());
    assert_eq!(texts(world.contents(0)), expected, "{sql}");
    world.feed(ids().map(|(id, _)| (id, None)).collect());
    assert_eq!(texts(world.contents(0)), after, "{sql} after all rows went");
    world.end();
}

fn texts(rows: Vec<Vec<Cell>>) -> Vec<String> {
    rows.iter().map(|row| row.iter().map(Cell::to_string).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn answers_are_those_of_postgresql() {
    let big = i64::MAX;
    check("SELECT sum(v) AS s FROM a", &[(1, big), (2, big)], &["18446744073709551614"], &["NULL"]);
    check(
        "SELECT count(*) AS n, sum(v) AS s, avg(v) AS m FROM a",
        &[(1, 5)],
        &["1 5 5.0000000000000000"],
        &["0 NULL NULL"],
    );
    check(
        "SELECT k, count(*) AS n FROM a GROUP BY ROLLUP (k)",
        &[(1, 5), (1, 6), (2, 7)],
        &["1 2", "2 1", "NULL 3"],
        &["NULL 0"],
    );
    check(
        "SELECT mode() WITHIN GROUP (ORDER BY v) AS m FROM a",
        &[(1, 2), (1, 3), (1, 3), (1, 2)],
        &["2"],
        &["NULL"],
    );
    check(
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY v) AS lo, percentile_disc(0.5) WITHIN GROUP (ORDER BY v DESC) AS hi FROM a",
        &[(1, 1), (1, 2), (1, 3), (1, 4)],
        &["2 3"],
        &["NULL NULL"],
    );
    check(
        "SELECT k, regr_r2(v, k) AS r, corr(v, k) AS c FROM a GROUP BY ROLLUP (k) HAVING k IS NULL",
        &[(1, 1), (2, 1)],
        &["NULL 1 NULL"],
        &["NULL NULL NULL"],
    );
    check("SELECT array_agg(v) AS l FROM a", &[(1, 3), (1, 1), (1, 3)], &["[1, 3, 3]"], &["NULL"]);
    check("SELECT sum(12 / v) FILTER (WHERE v <> 0) AS s FROM a", &[(1, 0), (1, 3)], &["4"], &["NULL"]);
    check("SELECT arg_max(k, v) AS x, min_by(k, v) AS y FROM a", &[(7, 3), (8, 1)], &["7 8"], &["NULL NULL"]);
}
