//! `POST /api/v1/sql`: statements in, their answers out; `SUBSCRIBE view` answers as the view's `/changes` do.
use super::Api;
use super::call::{Call, json_response};
use super::problem::Problem;
use crate::DeclareError;
use crate::session::{Answer, subscribed};
use arrow::array::RecordBatch;
use dataflows::codec::Codec;
use dataflows::value::{Value as Cell, type_name};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use warp::http::StatusCode;
use warp::reply::Response;

/// Rows that one response holds at most.
const ROWS_MAX: usize = 100_000;

pub(super) async fn post(api: &Arc<Api>, mut call: Call) -> Result<Response, Problem> {
    let body = call.body(api.config.sql_bytes_max, &api.config).await?;
    let text = String::from_utf8(body.to_vec()).map_err(|_| Problem::bad("the body is not UTF-8 text"))?;
    let sql = match call.media_type().as_deref() {
        Some("application/sql" | "text/plain") => text,
        Some("application/json") => {
            let value: Value = serde_json::from_str(&text)
                .map_err(|e| Problem::bad(format!("the body is not JSON: {e}")))?;
            let sql = value.get("sql").and_then(Value::as_str).map(String::from);
            sql.ok_or_else(|| Problem::bad("the body has no text member \"sql\""))?
        }
        _ => {
            return Err(Problem::media_type(
                "send SQL as application/sql or text/plain, or {\"sql\": \"..\"} as application/json",
            ));
        }
    };
    if let Some(view) = subscribed(&sql) {
        return super::changes::get(api, &view, &call).await;
    }
    let session = api.session.clone();
    let answers = tokio::task::spawn_blocking(move || written(session.execute(&sql)?))
        .await
        .map_err(|_| Problem::from(DeclareError::Internal(String::new())))??;
    Ok(json_response(StatusCode::OK, answers))
}

/// The answers as one JSON document. Rows are arrays, since two columns may have one name.
fn written(answers: Vec<Answer>) -> Result<String, DeclareError> {
    let mut out = String::from("{\"results\":[");
    for (i, answer) in answers.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match answer {
            Answer::Done { tag } => {
                out.push_str("{\"tag\":");
                Cell::Text(tag).write_json(&mut out);
                out.push('}');
            }
            Answer::Rows { schema, rows, time } => {
                let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
                if count > ROWS_MAX {
                    return Err(DeclareError::Invalid(format!(
                        "the answer has {count} rows, more than the {ROWS_MAX} that a response holds: add a LIMIT"
                    )));
                }
                _ = write!(out, "{{\"time\":{time},\"columns\":[");
                for (i, field) in schema.fields().iter().enumerate() {
                    out.push_str(if i > 0 { ",{\"name\":" } else { "{\"name\":" });
                    Cell::Text(field.name()).write_json(&mut out);
                    out.push_str(",\"type\":");
                    Cell::Text(&type_name(field.data_type())).write_json(&mut out);
                    out.push('}');
                }
                out.push_str("],\"rows\":[");
                let codec = Codec::new(schema).map_err(DeclareError::Unsupported)?;
                let mut first = true;
                for batch in rows {
                    let encoded = codec.encode(batch.columns(), batch.num_rows());
                    for row in encoded.iter() {
                        out.push_str(if std::mem::take(&mut first) { "[" } else { ",[" });
                        for (i, value) in codec.values(row).enumerate() {
                            if i > 0 {
                                out.push(',');
                            }
                            value.write_json(&mut out);
                        }
                        out.push(']');
                    }
                }
                out.push_str("]}");
            }
        }
    }
    out.push_str("]}");
    Ok(out)
}
