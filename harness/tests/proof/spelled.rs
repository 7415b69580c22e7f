//! The queries of the catalogue as PostgreSQL spells them, and the functions that it lacks.
use super::postgres_type;
use queries::{Catalogue, Declared};
use std::fmt::Write;

/// What PostgreSQL has to be told before the catalogue. The schema `proof` comes before its own, so that `now` is ours.
pub const FUNCTIONS: &str = "
CREATE SCHEMA bss;
CREATE SCHEMA proof;
SET search_path = bss, proof, pg_catalog;
SET statement_timeout = 0;
CREATE FUNCTION proof.date_bin(step interval, at timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
    $$ SELECT pg_catalog.date_bin(step, at, TIMESTAMP '1970-01-01') $$;
CREATE FUNCTION proof.array_sort(list anyarray) RETURNS anyarray LANGUAGE sql IMMUTABLE AS
    $$ SELECT array_agg(one ORDER BY one) FROM unnest(list) one $$;
CREATE FUNCTION proof.array_slice(list anyarray, first int, last int) RETURNS anyarray LANGUAGE sql IMMUTABLE AS
    $$ SELECT list[first:last] $$;
CREATE FUNCTION proof.array_has(list anyarray, one anyelement) RETURNS boolean LANGUAGE sql IMMUTABLE AS
    $$ SELECT one = ANY (list) $$;
CREATE FUNCTION proof.different(list anyarray) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$ SELECT count(DISTINCT one) FROM unnest(list) one $$;
CREATE FUNCTION proof.burnt() RETURNS TABLE (grant_id text, burnt numeric) LANGUAGE plpgsql AS $$
DECLARE
    used RECORD;
    held RECORD;
    free numeric;
BEGIN
    DROP TABLE IF EXISTS pg_temp.grants;
    CREATE TEMP TABLE grants AS
        SELECT p.bucket_id, p.unit, p.grant_id AS id, p.place, p.first, p.last, p.amount, p.amount AS rest
        FROM bss.entitlement_parts p WHERE p.grant_id IS NOT NULL;
    FOR used IN SELECT * FROM bss.entitlement_parts p WHERE p.grant_id IS NULL ORDER BY p.bucket_id, p.unit, p.first LOOP
        free := used.amount;
        FOR held IN
            SELECT g.id, g.rest FROM pg_temp.grants g
            WHERE g.bucket_id = used.bucket_id AND g.unit = used.unit AND g.first <= used.first AND used.first < g.last AND g.rest > 0
            ORDER BY g.place
        LOOP
            EXIT WHEN free <= 0;
            UPDATE pg_temp.grants g SET rest = g.rest - least(held.rest, free) WHERE g.id = held.id;
            free := free - least(held.rest, free);
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT g.id, sum(g.amount - g.rest) FROM pg_temp.grants g GROUP BY g.id;
END $$;";

/// What is said otherwise as a whole: PostgreSQL has no WITH MUTUALLY RECURSIVE.
const OWN: &[(&str, &str)] = &[(
    "fraud_components",
    "WITH RECURSIVE reached (customer_id, ring) AS (
        SELECT customer_id, customer_id FROM fraud_links
        UNION
        SELECT b.customer_id, r.ring FROM reached r
        JOIN fraud_links a ON a.customer_id = r.customer_id JOIN fraud_links b ON b.link = a.link
    ) SELECT customer_id, min(ring) FROM reached GROUP BY customer_id",
)];

/// What goes before the last SELECT of a view, where PostgreSQL says it otherwise: the view, how that begins, and what goes before.
const BEFORE: &[(&str, &str, &str)] = &[(
    "entitlement_grants",
    "SELECT g.grant_id,",
    "WITH burnings AS (SELECT grant_id, burnt FROM proof.burnt())\n",
)];

/// What one view says otherwise: the view, the words, and those of PostgreSQL.
const WORDS: &[(&str, &str, &str)] = &[
    // DISTINCT is not implemented for window functions.
    ("fraud_velocity", "count(DISTINCT instrument) OVER w", "proof.different(array_agg(instrument) OVER w)"),
    ("fraud_motifs", "count(DISTINCT a) OVER w", "proof.different(array_agg(a) OVER w)"),
    ("fraud_motifs", "count(DISTINCT b) OVER w", "proof.different(array_agg(b) OVER w)"),
];

/// `now()` is this time.
pub fn now(time_ms: u64) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION proof.now() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS \
         $$ SELECT TIMESTAMPTZ 'epoch' + {time_ms} * INTERVAL '1 millisecond' $$"
    )
}

/// The catalogue: a table for each that has rows, and views for the names of queries.
pub fn declared(catalogue: &Catalogue) -> Vec<String> {
    let mut statements = vec![];
    for entry in catalogue.entries() {
        let name = entry.declared.name();
        let schema = match &entry.declared {
            Declared::View { .. } => {
                statements.push(format!("CREATE VIEW bss.\"{name}\" AS {}", query(name, &entry.sql)));
                continue;
            }
            Declared::Table(mapping) => &mapping.table.schema,
            Declared::MaterializedView(compiled) => &compiled.view.schema,
        };
        let mut columns = String::new();
        for field in schema.fields() {
            let comma = if columns.is_empty() { "" } else { ", " };
            write!(columns, "{comma}\"{}\" {}", field.name(), postgres_type(field.data_type())).unwrap();
        }
        statements.push(format!("CREATE UNLOGGED TABLE bss.\"{name}\" ({columns})"));
    }
    statements
}

/// The query of a view.
pub fn query(view: &str, sql: &str) -> String {
    if let Some((_, own)) = OWN.iter().find(|(of, _)| *of == view) {
        return (*own).to_owned();
    }
    let (_, query) = sql.split_once(" AS\n").or_else(|| sql.split_once(" AS ")).unwrap();
    let mut query = query.trim().trim_end_matches(';').to_owned();
    if let Some((_, from, before)) = BEFORE.iter().find(|(of, _, _)| *of == view) {
        query = format!("{before}{}", &query[query.find(from).unwrap()..]);
    }
    for (_, from, to) in WORDS.iter().filter(|(of, _, _)| *of == view) {
        assert!(query.contains(from), "{view} does not say {from:?}");
        query = query.replace(from, to);
    }
    qualified(&extreme(&extreme(&windows(&query), "arg_max", "DESC"), "arg_min", "ASC"))
}

/// The place after the parenthesis that closes the one at `open`.
fn closed(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (place, c) in text[open..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + place + 1;
        }
    }
    panic!("a parenthesis is not closed: {}", &text[open..]);
}

/// What stands in parentheses, by its commas.
fn arguments(text: &str) -> Vec<&str> {
    let (mut list, mut depth, mut start) = (vec![], 0, 0);
    for (place, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                list.push(text[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    list.push(text[start..].trim());
    list
}

/// `HOP(rows, time, step, size)`: each row once for each window that it is in.
fn windows(query: &str) -> String {
    let Some(start) = query.find("HOP(") else { return query.to_owned() };
    let end = closed(query, start + 3);
    let list = arguments(&query[start + 4..end - 1]);
    let [rows, time, step, size] = list[..] else { panic!("HOP takes four: {list:?}") };
    // A name follows, or a clause.
    let named = query[end..].starts_with(' ');
    let name = if named { "" } else { " AS windows" };
    let hop = format!(
        "(SELECT r.*, w AS window_start, w + {size} AS window_end FROM {rows} r CROSS JOIN LATERAL \
         generate_series(date_bin({step}, r.{time} - {size}) + {step}, date_bin({step}, r.{time}), {step}) w){name}"
    );
    format!("{}{hop}{}", &query[..start], windows(&query[end..]))
}

/// `arg_max(x, y)`: the `x` of the row with the greatest `y`; of several the least `x`.
fn extreme(query: &str, function: &str, direction: &str) -> String {
    let Some(start) = query.find(&format!("{function}(")) else { return query.to_owned() };
    let open = start + function.len();
    let mut end = closed(query, open);
    let list = arguments(&query[open + 1..end - 1]);
    let [value, by] = list[..] else { panic!("{function} takes two: {list:?}") };
    let mut filter = format!("{by} IS NOT NULL");
    if query[end..].starts_with(" FILTER (") {
        let from = end + " FILTER ".len();
        end = closed(query, from);
        filter += &query[from..end].replacen("(WHERE ", " AND (", 1);
    }
    let call = format!("(array_agg({value} ORDER BY {by} {direction}, {value}) FILTER (WHERE {filter}))[1]");
    format!("{}{call}{}", &query[..start], extreme(&query[end..], function, direction))
}

/// `FROM rows QUALIFY place <= n`: a filter over rows that know their place.
fn qualified(query: &str) -> String {
    let Some(start) = query.find("QUALIFY ") else { return query.to_owned() };
    let over = start + query[start..].find("OVER (").unwrap() + "OVER ".len();
    let end = closed(query, over);
    let place = &query[start + "QUALIFY ".len()..end];
    let from = query[..start].rfind("FROM ").unwrap();
    let rows = query[from + "FROM ".len()..start].trim();
    assert!(!rows.contains(char::is_whitespace), "QUALIFY over more than one name: {rows}");
    format!(
        "{}FROM (SELECT *, {place} AS qualified FROM {rows}) {rows} WHERE qualified{}",
        &query[..from],
        &query[end..]
    )
}
