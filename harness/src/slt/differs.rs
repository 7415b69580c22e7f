//! Queries whose expected rows are not PostgreSQL's: what PostgreSQL answers to them, as it was asked, after the same statements.
use super::compare::{Match, compare};
use super::run::{Record, is_expected_ok, sql_of};
use super::script::{self, Effect};
use sqllogictest::QueryExpect;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A script of such queries, each after the statements on its tables; a comment says why the suite expects other rows.
const SCRIPT: &str = include_str!("differs.slt");
/// The same of queries whose rows SQL leaves open: PostgreSQL was asked with the order said.
const TIES: &str = include_str!("ties.slt");

/// What PostgreSQL answers: rows, or an error.
type Answer = Option<Vec<String>>;
/// A query, and the statements on its tables before it.
type Asked = (String, Vec<String>);

static ANSWERS: LazyLock<BTreeMap<Asked, Answer>> =
    LazyLock::new(|| [SCRIPT, TIES].into_iter().flat_map(answers).collect());

fn answers(script: &str) -> Vec<(Asked, Answer)> {
    let records: Vec<Record> = sqllogictest::parse(script).expect("a test reads it");
    let texts: Vec<&str> = records.iter().map(sql_of).collect();
    let uses = script::uses(&texts);
    let rows = |at: usize| match &records[at] {
        Record::Query { expected: QueryExpect::Results { results, .. }, .. } => Some(Some(results.clone())),
        Record::Query { expected: QueryExpect::Error(_), .. } => Some(None),
        _ => None,
    };
    (0..records.len()).filter_map(|at| Some((asked(&records, &uses, at), rows(at)?))).collect()
}

/// Whether these rows are what PostgreSQL answers to a query of which a suite expects others.
pub fn is_postgres(
    records: &[Record],
    uses: &[Vec<(String, usize)>],
    at: usize,
    rows: &[Vec<String>],
) -> bool {
    let answer = ANSWERS.get(&asked(records, uses, at)).and_then(Option::as_ref);
    answer.is_some_and(|lines| compare(rows, lines) != Match::Different)
}

/// Whether PostgreSQL refuses a query for which a suite expects rows.
pub fn is_refused_by_postgres(records: &[Record], uses: &[Vec<(String, usize)>], at: usize) -> bool {
    matches!(ANSWERS.get(&asked(records, uses, at)), Some(None))
}

fn asked(records: &[Record], uses: &[Vec<(String, usize)>], at: usize) -> Asked {
    let acts = |record: &Record| match record {
        Record::Statement { sql, expected, .. } => {
            is_expected_ok(expected)
                && matches!(script::effect(sql), Effect::Table(_) | Effect::View(_) | Effect::Change(_))
        }
        record => matches!(script::effect(sql_of(record)), Effect::Change(_)),
    };
    let before =
        (0..at).filter(|i| uses[*i].iter().any(|used| uses[at].contains(used)) && acts(&records[*i]));
    (normal(sql_of(&records[at])), before.map(|i| normal(sql_of(&records[i]))).collect())
}

fn normal(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches([';', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgresqls_rows_after_the_same_statements_are_taken() {
        let table = "statement ok\nCREATE TABLE test_update AS VALUES (1, 'a'), (2, 'b'), (3, 'c')\n\n";
        let update = "statement ok\nUPDATE test_update SET column2 = 'x'\n\n";
        let query = "query IT\nSELECT * FROM test_update;\n----\n1 x\n";
        let taken = |script: String, row: &str| {
            let records: Vec<Record> = sqllogictest::parse(&script).unwrap_or_default();
            let texts: Vec<&str> = records.iter().map(sql_of).collect();
            let at = texts.iter().position(|text| text.starts_with("SELECT")).unwrap_or_default();
            let rows: Vec<Vec<String>> = row.split(", ").map(|row| vec![row.to_owned()]).collect();
            is_postgres(&records, &script::uses(&texts), at, &rows)
        };
        assert!(taken([table, query].concat(), "1 a, 2 b, 3 c"));
        assert!(!taken([table, query].concat(), "1 a, 2 b"));
        assert!(!taken([table, update, query].concat(), "1 a, 2 b, 3 c"));
        assert!(!taken(query.into(), "1 a, 2 b, 3 c"));
    }
}
