//! What a statement gives a table, in the forms that its columns keep: the lengths of VARCHAR(n) and CHAR(n), and jsonb in its one form.
use super::internal;
use crate::DeclareError;
use crate::functions::json_form;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{CharacterLength, CreateTable, DataType as SqlType};
use std::sync::Arc;

/// How a column keeps its texts.
enum Form {
    /// At most so many characters.
    Varying(u64),
    /// The same; blanks at the end are no part of it.
    Padded(u64),
    Json,
    Jsonb,
}

fn form(of: &SqlType) -> Option<Form> {
    let number = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
        Some(CharacterLength::Max) | None => None,
    };
    match of {
        SqlType::Varchar(n)
        | SqlType::CharacterVarying(n)
        | SqlType::CharVarying(n)
        | SqlType::Nvarchar(n) => number(n).map(Form::Varying),
        SqlType::Char(n) | SqlType::Character(n) => Some(Form::Padded(number(n).unwrap_or(1))),
        SqlType::JSON => Some(Form::Json),
        SqlType::JSONB => Some(Form::Jsonb),
        _ => None,
    }
}

/// Rows of a table in the forms that its statement says.
pub(super) fn formed(create: &CreateTable, rows: RecordBatch) -> Result<RecordBatch, DeclareError> {
    let schema = rows.schema();
    let mut columns = rows.columns().to_vec();
    for (column, declared) in columns.iter_mut().zip(&create.columns) {
        if let (Some(form), DataType::Utf8) = (form(&declared.data_type), column.data_type()) {
            *column = shaped(column, &form, &declared.name.value)?;
        }
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(internal)
}

fn shaped(column: &ArrayRef, form: &Form, name: &str) -> Result<ArrayRef, DeclareError> {
    let texts = column.as_string::<i32>();
    let cut = |text: &str, most: u64, kind: &str| {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
        match text[end..].chars().all(|c| c == ' ') {
            true => Ok(text[..end].to_string()),
            false => Err(DeclareError::Constraint(format!(
                "value too long for type {kind}({most}): column {name:?} cannot hold {text:?}"
            ))),
        }
    };
    let one = |text: &str| match form {
        Form::Varying(most) => cut(text, *most, "character varying"),
        Form::Padded(most) => Ok(cut(text, *most, "character")?.trim_end_matches(' ').to_string()),
        Form::Json => json_form(text, false).map_err(crate::declare::error::from_datafusion),
        Form::Jsonb => json_form(text, true).map_err(crate::declare::error::from_datafusion),
    };
    let shaped = texts.iter().map(|text| text.map(one).transpose()).collect::<Result<StringArray, _>>()?;
    Ok(Arc::new(shaped))
}
