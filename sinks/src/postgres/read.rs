//! A table's rows as the JSON that readers of the view see, to be compared with it.
use super::Names;
use super::address::Address;
use super::cells::Form;
use super::guard::definitions_of;
use super::session::{Session, literal, quoted};
use super::table::Table;
use crate::stored::write_cell;
use crate::{Content, SinkError};
use dataflows::View;
use dataflows::value::Value;
use std::sync::Arc;

/// The rows and their time, in one snapshot.
pub(super) async fn content(
    address: &Address,
    names: &Names,
    view: &Arc<View>,
) -> Result<Content, SinkError> {
    let tried = format!("read the table of view {:?}", view.name);
    let session = Session::connect(address).await?;
    let schema = quoted(&names.schema);
    let there = format!("SELECT to_regclass({})", literal(&format!("{schema}.tf_writer")));
    if session.ask(&tried, &there).await?.0.first().is_none_or(|row| row[0].is_none()) {
        return Ok(Content::default());
    }
    let table = Table::new(&names.schema, view).map_err(SinkError::Fatal)?;
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO';
         SET LOCAL intervalstyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;
         SELECT time, definitions, to_regclass({}) FROM {schema}.tf_writer WHERE sink = {} AND pipeline = {}",
        literal(&table.place),
        literal(&names.sink),
        literal(&names.pipeline)
    );
    let (rows, _) = session.ask(&tried, &begin).await?;
    let held = rows.first().map(Vec::as_slice);
    let Some([Some(time), Some(definitions), Some(_)]) = held else { return Ok(Content::default()) };
    if !definitions_of(definitions).is_some_and(|held| held.contains_key(&view.name)) {
        return Ok(Content::default());
    }
    let time = time.parse().map_err(|_| SinkError::Fatal(format!("{time:?} is no time in tf_writer")))?;
    let columns: Vec<String> =
        table.columns.iter().map(|column| selected(&column.name, &column.form)).collect();
    let select = format!("SELECT {} FROM {}; COMMIT", columns.join(", "), table.place);
    let (rows, _) = session.ask(&tried, &select).await?;
    let fields = view.schema.fields();
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut text = String::from("{");
        for (i, field) in fields.iter().enumerate() {
            text.push_str(if i > 0 { "," } else { "" });
            Value::Text(field.name()).write_json(&mut text);
            text.push(':');
            match &row[i] {
                None => text.push_str("null"),
                // It is JSON already.
                Some(cell) if table.columns[i].form == Form::Json => text.push_str(cell),
                Some(cell) => write_cell(field.data_type(), cell, &mut text),
            }
        }
        text.push('}');
        let count = if table.counted { row[fields.len()].as_deref() } else { Some("1") };
        found.push((text, count.and_then(|count| count.parse().ok()).unwrap_or(0)));
    }
    found.sort();
    Ok(Content { time: Some(time), rows: found })
}

/// A column; arrays as JSON lists of texts.
fn selected(name: &str, form: &Form) -> String {
    let name = quoted(name);
    match form {
        Form::Cast(kind) if kind.ends_with("[]") => format!(
            "CASE WHEN {name} IS NOT NULL THEN (SELECT coalesce(json_agg(x::text ORDER BY o), '[]')
             FROM unnest({name}) WITH ORDINALITY AS u(x, o)) END"
        ),
        _ => name,
    }
}
