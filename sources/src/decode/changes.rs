//! Events that carry rows of a table in mode `changes`: an Arrow IPC stream with the columns of `Table::input_schema`.
//!
//! INSERT, UPDATE and DELETE become such events, so that the log holds all that a table ever was.
use super::Mapping;
use crate::Payload;
use crate::event::{Data, Event, Reject, Rule};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

/// What the types of such events begin with. Nobody but this process may send them.
pub const TYPE_PREFIX: &str = "dev.tallyflow.rows.";
/// Their media type.
pub const MEDIA_TYPE: &str = "application/vnd.apache.arrow.stream";

/// The event type of one table. `origin` differs between tables of the same name that followed each other.
pub fn event_type(origin: &str) -> String {
    format!("{TYPE_PREFIX}{origin}")
}

/// An event with these rows, which have the columns of `Table::input_schema`.
pub fn write(origin: &str, id: &str, rows: &RecordBatch) -> Result<Payload, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attributes = vec![
        attribute("specversion", "1.0"),
        attribute("id", id),
        attribute("source", "/tallyflow/sql"),
        attribute("type", &event_type(origin)),
        attribute("datacontenttype", MEDIA_TYPE),
    ];
    Ok(Payload::Binary { attributes, body: bytes.into() })
}

/// The rows of an event.
pub(super) fn read(event: &Event, mapping: &Mapping) -> Result<RecordBatch, Reject> {
    let table = &mapping.table;
    let refused = |why: String| Reject::new(Rule::Column, format!("table \"{}\": {why}", table.name));
    let Data::Bytes(bytes) = &event.data else {
        return Err(refused(format!("its rows come as {MEDIA_TYPE}")));
    };
    let schema = table.input_schema();
    let batches = StreamReader::try_new(bytes.as_ref(), None)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| refused(format!("its rows are no Arrow stream: {why}")))?;
    let same = |batch: &RecordBatch| {
        let fields = batch.schema_ref().fields().iter().zip(schema.fields());
        batch.num_columns() == schema.fields().len()
            && fields.clone().all(|(a, b)| a.data_type() == b.data_type())
    };
    if !batches.iter().all(same) {
        return Err(refused("its rows have other columns".into()));
    }
    let batches = batches
        .iter()
        .map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| refused(why.to_string()))?;
    concat_batches(&schema, &batches).map_err(|why| refused(why.to_string()))
}
