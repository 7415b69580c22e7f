//! What a statement answers, as text.
use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use harness::Tallyflow;
use queries::session::Answer;

/// One statement's answer: cells between bars, rows between slashes, or the tag, or `!` and the error.
pub fn said(tallyflow: &Tallyflow, sql: &str) -> String {
    let answers = loop {
        match tallyflow.execute(sql) {
            Ok(answers) => break answers,
            // A view that was just declared is still being filled.
            Err(why) if why.to_string().contains("has no rows to read yet") => std::thread::yield_now(),
            Err(why) => return format!("! {why}"),
        }
    };
    match answers.last() {
        None => String::new(),
        Some(Answer::Done { tag }) => tag.clone(),
        Some(Answer::Rows { rows, .. }) => {
            let options = FormatOptions::default().with_null("NULL");
            let cell = |column: &ArrayRef, i: usize| {
                ArrayFormatter::try_new(column, &options).unwrap().value(i).to_string()
            };
            let row = |batch: &RecordBatch, i: usize| {
                batch.columns().iter().map(|column| cell(column, i)).collect::<Vec<_>>().join("|")
            };
            let rows = rows.iter().flat_map(|batch| (0..batch.num_rows()).map(move |i| row(batch, i)));
            rows.collect::<Vec<_>>().join("/")
        }
    }
}
