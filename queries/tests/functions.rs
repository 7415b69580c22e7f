//! Expressions and what PostgreSQL 15 answers, through the path of views: compiled, evaluated as the dataflow does, and by the oracle.
//! `cases/functions.txt` holds a line for each: the expression, ` ⇒ `, the answer as psql prints it (NULL, ERROR, ⏎ for a new line).
//! Cases under `# different` are answered otherwise or refused; they are kept as a list of what is known.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use dataflows::codec::Codec;
use dataflows::plan::Plan;
use queries::{Catalogue, batch};
use std::collections::BTreeMap;
use std::sync::Arc;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/functions.txt");

const TABLE: &str = "CREATE EXTERNAL TABLE t (i INT, b BIGINT, s SMALLINT, n NUMERIC(10,2), f DOUBLE PRECISION, r REAL,
    x TEXT, nul TEXT, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, o BOOLEAN, js TEXT) STORED AS CLOUDEVENTS LOCATION 't'";

const ROW: [&str; 13] = [
    "42",
    "42000000000",
    "7",
    "12.35",
    "2.5",
    "0.1",
    "abc",
    "NULL",
    "2024-03-15",
    "2024-03-15 13:14:15.678",
    "2024-03-15 13:14:15.678Z",
    "true",
    r#"{"k":"v","num":41,"list":[{"z":1},2],"obj":{"deep":"down"}}"#,
];

fn row(schema: &SchemaRef) -> RecordBatch {
    let columns = schema.fields().iter().zip(ROW).map(|(field, text)| {
        let text: ArrayRef = Arc::new(StringArray::from(vec![(text != "NULL").then_some(text)]));
        cast(&text, field.data_type()).unwrap()
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// What the dataflow's operators compute for a plan of filters and projections.
fn evaluated(plan: &Plan, row: &RecordBatch) -> Result<RecordBatch, String> {
    match plan {
        Plan::Get { .. } => Ok(row.clone()),
        Plan::Values { rows } => Ok(rows.clone()),
        Plan::Map { input, filter: None, project, schema } => {
            let input = evaluated(input, row)?;
            let Some(project) = project else { return Ok(input) };
            let columns = project.iter().zip(schema.fields()).map(|(expr, field)| {
                let column = expr.evaluate(&input).and_then(|v| v.into_array(input.num_rows()));
                let column = column.map_err(|why| why.to_string())?;
                cast(&column, field.data_type()).map_err(|why| why.to_string())
            });
            let columns: Vec<ArrayRef> = columns.collect::<Result<_, String>>()?;
            RecordBatch::try_new(schema.clone(), columns).map_err(|why| why.to_string())
        }
        other => Err(format!("not a projection: {other}")),
    }
}

fn text(batch: &RecordBatch) -> String {
    let codec = Codec::new(&batch.schema()).unwrap();
    let rows = codec.encode(batch.columns(), batch.num_rows());
    let mut out = String::new();
    match codec.value(rows.row(0), 0) {
        dataflows::value::Value::Null => out.push_str("NULL"),
        value => value.write_text(&mut out),
    }
    out.replace('\n', "⏎")
}

fn answer(catalogue: &Catalogue, expression: &str) -> String {
    let compiled = match catalogue.compile(&format!("SELECT {expression} AS answer FROM t")) {
        Ok(compiled) => compiled,
        Err(why) => return format!("ERROR {why}"),
    };
    let row = row(&catalogue.tables().next().unwrap().table.schema);
    let maintained = match evaluated(&compiled.plan, &row) {
        Ok(batch) => text(&batch),
        Err(why) => format!("ERROR {why}"),
    };
    let tables = BTreeMap::from([("t".to_string(), vec![row])]);
    let oracle = match batch::answer_of(catalogue, &compiled, &tables) {
        Ok(batches) => text(batches.iter().find(|b| b.num_rows() > 0).unwrap()),
        Err(why) => format!("ERROR {why}"),
    };
    // DataFusion's own arithmetic wraps where the dataflow's fails.
    let same = maintained == oracle || maintained.starts_with("ERROR");
    if same { maintained } else { format!("maintained {maintained}, but the oracle {oracle}") }
}

/// Equal as text, or as numbers up to the digits that a type of fixed scale keeps.
fn agree(ours: &str, theirs: &str) -> bool {
    if theirs == "ERROR" {
        return ours.starts_with("ERROR");
    }
    let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite());
    match (number(ours), number(theirs)) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-14 * a.abs().max(b.abs()),
        _ => ours == theirs,
    }
}

#[test]
fn expressions_are_what_postgresql_answers() {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLE).unwrap();
    let (mut wrong, mut all, mut known) = (vec![], 0, false);
    let cases = std::fs::read_to_string(CASES).unwrap();
    for line in cases.lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("# ") {
            known = title.starts_with("different");
            continue;
        }
        let (expression, theirs) = line.split_once(" ⇒ ").unwrap_or((line.trim_end_matches(" ⇒"), ""));
        all += 1;
        let ours = answer(&catalogue, expression);
        if agree(&ours, theirs) == known {
            wrong.push(format!("{expression}\n     postgresql: {theirs}\n     tallyflow:  {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {all} differ:\n{}", wrong.len(), wrong.join("\n"));
}
