//! What is sent piece by piece: changes that do not end, and lines of a copy.
use super::copy::Lines;
use super::rows;
use super::subscribe::Changes;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion_postgres::pgwire::api::query::send_execution_response;
use datafusion_postgres::pgwire::api::results::{FieldInfo, QueryResponse, Tag};
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionHandle};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use datafusion_postgres::pgwire::messages::data::RowDescription;
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;
use futures::future::{Either, select};
use futures::stream::{iter, try_unfold};
use futures::{Sink, SinkExt, TryStreamExt};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How often a client that hears nothing is spoken to, so that it is noticed when it has gone.
const BEAT: Duration = Duration::from_secs(30);

/// How changes are sent.
pub(super) enum How {
    /// As rows, after their description where the client has not had it.
    Rows {
        fields: Arc<Vec<FieldInfo>>,
        describe: bool,
    },
    Lines(Lines),
}

/// Sends changes until the client no longer wants them.
pub(super) async fn changes<C>(client: &mut C, mut changes: Changes, how: &How) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let handle = client.session_extensions().get::<Arc<ConnectionHandle>>();
    let mut wish = match &handle {
        Some(handle) => handle.start_query().await,
        None => return Err(PgWireError::NotReadyForQuery),
    };
    match how {
        How::Rows { fields, describe: true } => {
            let head = RowDescription::new(fields.iter().map(Into::into).collect());
            client.feed(PgWireBackendMessage::RowDescription(head)).await?;
        }
        How::Rows { .. } => {}
        How::Lines(lines) => begin_copy(client, &changes.schema(), *lines).await?,
    }
    client.flush().await?;
    loop {
        let next = match select(pin!(timeout(BEAT, changes.next())), &mut wish).await {
            Either::Left((Ok(next), _)) => next?,
            Either::Left((Err(_), _)) => {
                let beat = ParameterStatus::new("TimeZone".into(), "UTC".into());
                client.send(PgWireBackendMessage::ParameterStatus(beat)).await?;
                continue;
            }
            Either::Right(_) => return Err(PgWireError::QueryCanceled),
        };
        for batch in next {
            match how {
                How::Rows { fields, .. } => {
                    for row in rows::messages(batch, fields.clone()) {
                        client.feed(PgWireBackendMessage::DataRow(row?)).await?;
                    }
                }
                How::Lines(lines) => copy_batch(client, &batch, *lines).await?,
            }
        }
        client.flush().await?;
    }
}

/// Changes for a client that takes them in parts of so many rows.
pub(super) fn in_parts(changes: Changes, fields: Arc<Vec<FieldInfo>>) -> QueryResponse {
    let described = fields.clone();
    let rows = try_unfold(changes, move |mut changes| {
        let fields = described.clone();
        async move {
            let batches = changes.next().await?;
            let rows: Vec<_> =
                batches.into_iter().flat_map(|batch| rows::messages(batch, fields.clone())).collect();
            Ok::<_, PgWireError>(Some((iter(rows), changes)))
        }
    });
    let mut response = QueryResponse::new(fields, rows.try_flatten());
    response.set_command_tag("SUBSCRIBE");
    response
}

/// Sends rows as lines.
pub(super) async fn copy<C>(
    client: &mut C,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    lines: Lines,
) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    begin_copy(client, schema, lines).await?;
    for batch in batches {
        copy_batch(client, batch, lines).await?;
    }
    client.feed(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    send_execution_response(client, Tag::new("COPY").with_rows(rows)).await
}

async fn begin_copy<C>(client: &mut C, schema: &SchemaRef, lines: Lines) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let columns = schema.fields().len();
    let begin = CopyOutResponse::new(0, i16::try_from(columns).unwrap_or(i16::MAX), vec![0; columns]);
    client.feed(PgWireBackendMessage::CopyOutResponse(begin)).await?;
    if let Some(head) = lines.head(schema) {
        client.feed(PgWireBackendMessage::CopyData(CopyData::new(Bytes::from(head)))).await?;
    }
    Ok(())
}

/// Rows of one message, so that a large batch is not one text.
const ROWS: usize = 256;

async fn copy_batch<C>(client: &mut C, batch: &RecordBatch, lines: Lines) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    for from in (0..batch.num_rows()).step_by(ROWS) {
        let part = lines.of(&batch.slice(from, ROWS.min(batch.num_rows() - from)))?;
        client.feed(PgWireBackendMessage::CopyData(CopyData::new(Bytes::from(part)))).await?;
    }
    Ok(())
}
