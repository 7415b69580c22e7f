//! A delivery, in one transaction: the guarded row, then each view's rows.
use super::cells::{Cells, Form};
use super::session::{Session, literal};
use super::table::{Table, mark, place};
use super::{Names, Writer, guard};
use crate::delivery::{Delivery, Part, Stand, definition};
use crate::{SinkError, fault};
use futures::future::{join, join_all, ready};
use std::collections::BTreeMap;
use tokio_postgres::types::{ToSql, Type};
use xxhash_rust::xxh3::xxh3_128;

/// Rows of a statement: more gain nothing.
const CHUNK_ROWS: usize = 5_000;
/// Bytes of the rows of a statement, about: a view with long rows has fewer in each.
const CHUNK_BYTES: usize = 8 << 20;
/// Statements, and about the bytes in them, that are sent together: their answers are waited for once.
const TOGETHER_STATEMENTS: usize = 24;
const TOGETHER_BYTES: usize = 1 << 20;

pub(super) async fn apply(writer: &mut Writer, names: &Names, delivery: &Delivery) -> Result<(), SinkError> {
    let mut tables = vec![];
    for part in &delivery.parts {
        let table = Table::new(&names.schema, part.view()).map_err(SinkError::Fatal)?;
        if !part.is_whole() && !writer.definitions.contains_key(&part.view().name) {
            return Err(SinkError::Moved(format!("the store does not have view {:?}", part.view().name)));
        }
        tables.push(table);
    }
    let mut definitions = writer.definitions.clone();
    definitions.retain(|name, _| !delivery.dropped.contains(name));
    definitions.extend(delivery.parts.iter().map(|part| (part.view().name.clone(), definition(part.view()))));
    guard::begin(writer, names, delivery, &definitions).await?;
    let session = &writer.session;
    for name in &delivery.dropped {
        drop_table(session, names, name).await?;
    }
    let mut together = Together::new(session);
    for (i, (part, table)) in delivery.parts.iter().zip(&tables).enumerate() {
        if part.is_whole() {
            replace(session, names, i, part, table).await?;
        } else {
            change(&mut together, part, table).await?;
        }
    }
    fault("pg_commit_before")?;
    together.commit().await?;
    fault("pg_commit_after")?;
    writer.definitions = definitions;
    fault("pg_ack")?;
    Ok(())
}

/// A statement and its parameters.
struct Statement {
    tried: String,
    sql: String,
    parameters: Vec<(Cells, Type)>,
}

/// Statements of a transaction that has begun, sent one behind the other: a delivery of many small ones costs one turn of the
/// network, not one each. After one that fails the server refuses the rest.
struct Together<'a> {
    session: &'a Session,
    statements: Vec<Statement>,
    bytes: usize,
}

impl Together<'_> {
    fn new(session: &Session) -> Together<'_> {
        Together { session, statements: vec![], bytes: 0 }
    }

    async fn push(&mut self, statement: Statement, bytes: usize) -> Result<(), SinkError> {
        self.statements.push(statement);
        self.bytes += bytes;
        if self.statements.len() < TOGETHER_STATEMENTS && self.bytes < TOGETHER_BYTES {
            return Ok(());
        }
        self.send().await
    }

    /// The first failure is the reason of those after it.
    async fn send(&mut self) -> Result<(), SinkError> {
        self.send_with(ready(Ok(()))).await
    }

    /// Sends the rest and the commit: a transaction in which a statement failed is rolled back by it.
    async fn commit(mut self) -> Result<(), SinkError> {
        let commit = self.session.run("commit a delivery", "COMMIT");
        self.send_with(commit).await
    }

    async fn send_with(
        &mut self,
        last: impl Future<Output = Result<(), SinkError>>,
    ) -> Result<(), SinkError> {
        let statements = std::mem::take(&mut self.statements);
        self.bytes = 0;
        let sent = statements.iter().map(|statement| {
            let Statement { tried, sql, parameters } = statement;
            send(self.session, tried, sql, parameters)
        });
        // Each is sent when it is first asked for its answer, so in this order.
        let (sent, last) = join(join_all(sent), last).await;
        sent.into_iter().try_for_each(|done| done.map(|_| ())).and(last)
    }
}

/// Deletes keys under which nothing stands, and puts rows where one does.
async fn change(together: &mut Together<'_>, part: &Part, table: &Table) -> Result<(), SinkError> {
    let name = &part.view().name;
    fault("pg_delete")?;
    let mut gone = part.stands().filter(|stand| stand.row.is_none());
    loop {
        let keys: Vec<&[u8]> = gone.by_ref().take(CHUNK_ROWS).map(|stand| stand.key).collect();
        if keys.is_empty() {
            break;
        }
        let tried = format!("delete rows of view {name:?}");
        for (nulls, parameters) in deletes(part, table, &keys).map_err(|why| unfit(name, &why))? {
            let (tried, sql) = (tried.clone(), table.delete(&nulls));
            let bytes = keys.iter().map(|key| key.len()).sum();
            together.push(Statement { tried, sql, parameters }, bytes).await?;
        }
    }
    fault("pg_upsert")?;
    let (sql, tried) = (table.upsert(), format!("write rows of view {name:?}"));
    put(together, &tried, &sql, part, table).await
}

/// Makes the table anew beside the old one, if there is one, and puts it in its place: readers see the old rows or the new ones.
async fn replace(
    session: &Session,
    names: &Names,
    number: usize,
    part: &Part,
    table: &Table,
) -> Result<(), SinkError> {
    let view = &part.view().name;
    let there = is_there(session, names, view).await?;
    let fresh = format!("tf_new_{number}");
    let target = if there { place(&names.schema, &fresh) } else { table.place.clone() };
    let tried = format!("make the table of view {view:?}");
    session.run(&tried, &table.create(&target, &names.sink)).await?;
    let mut together = Together::new(session);
    put(&mut together, &format!("fill the table of view {view:?}"), &table.insert(&target), part, table)
        .await?;
    together.send().await?;
    session.run(&tried, &table.identify(&target)).await?;
    if !there {
        return Ok(());
    }
    fault("swap_generation")?;
    let (old, name) = (&table.place, super::session::quoted(view));
    let tried = format!("put the new table of view {view:?} in place of the old one");
    if session.ask(&tried, &refillable(old, &target)).await?.0.first().and_then(|row| row[0].as_deref())
        == Some("t")
    {
        // Views of others read the old table: it stays, with the new rows.
        let columns = table.names();
        let refill = format!(
            "DELETE FROM {old}; INSERT INTO {old} ({columns}) SELECT {columns} FROM {target}; DROP TABLE {target}"
        );
        return session.run(&tried, &refill).await;
    }
    // Who may read the old one may read the new one.
    let grants = format!(
        "SELECT format('GRANT %s ON {} TO %s', a.privilege_type,
           CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
         FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = {}::regclass AND a.grantee <> c.relowner",
        target.replace('%', "%%").replace('\'', "''"),
        literal(old)
    );
    let (rows, _) = session.ask(&tried, &grants).await?;
    let grants: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    if !grants.is_empty() {
        session.run(&tried, &grants.join("; ")).await?;
    }
    session.run(&tried, &format!("DROP TABLE {old}; ALTER TABLE {target} RENAME TO {name}")).await
}

/// Asks whether views read a table that has the columns and the key of another one.
fn refillable(old: &str, fresh: &str) -> String {
    let columns = |place: &str| {
        format!(
            "(SELECT array_agg((attnum, attname, atttypid, atttypmod)::text ORDER BY attnum) FROM pg_attribute
              WHERE attrelid = {}::regclass AND attnum > 0)",
            literal(place)
        )
    };
    format!(
        "SELECT {} = {} AND EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_class'::regclass
           AND classid = 'pg_rewrite'::regclass AND refobjid = {old}::regclass)
         AND EXISTS (SELECT FROM pg_index a JOIN pg_index b ON a.indkey::text = b.indkey::text
           AND a.indnullsnotdistinct = b.indnullsnotdistinct WHERE a.indisunique AND b.indisunique
           AND a.indrelid = {old}::regclass AND b.indrelid = {fresh}::regclass)",
        columns(old),
        columns(fresh),
        old = literal(old),
        fresh = literal(fresh)
    )
}

async fn drop_table(session: &Session, names: &Names, view: &str) -> Result<(), SinkError> {
    if is_there(session, names, view).await? {
        let sql = format!("DROP TABLE {}", place(&names.schema, view));
        session.run(&format!("drop the table of view {view:?}"), &sql).await?;
    }
    Ok(())
}

/// Whether there is a table of ours for a view; one of somebody else is refused.
async fn is_there(session: &Session, names: &Names, view: &str) -> Result<bool, SinkError> {
    let ask = format!(
        "SELECT c.relkind, obj_description(c.oid, 'pg_class') FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {} AND c.relname = {}",
        literal(&names.schema),
        literal(view)
    );
    let (rows, _) = session.ask(&format!("look for the table of view {view:?}"), &ask).await?;
    match rows.first().map(Vec::as_slice) {
        None => Ok(false),
        Some([Some(kind), Some(comment)]) if kind == "r" && *comment == mark(&names.sink) => Ok(true),
        Some(_) => Err(SinkError::Fatal(format!(
            "{} is there and is not of sink {:?}: rename it, or give the sink another schema",
            place(&names.schema, view),
            names.sink
        ))),
    }
}

/// Sends all rows that stand, in chunks.
async fn put(
    together: &mut Together<'_>,
    tried: &str,
    sql: &str,
    part: &Part,
    table: &Table,
) -> Result<(), SinkError> {
    let mut standing = part.stands().filter(|stand| stand.row.is_some()).peekable();
    let mut chunk: Vec<Stand<'_>> = Vec::with_capacity(CHUNK_ROWS);
    while standing.peek().is_some() {
        chunk.clear();
        let mut bytes = 0;
        while chunk.len() < CHUNK_ROWS
            && bytes < CHUNK_BYTES
            && let Some(stand) = standing.next()
        {
            bytes += stand.row.map_or(0, <[u8]>::len);
            chunk.push(stand);
        }
        let parameters = upserts(part, table, &chunk).map_err(|why| unfit(&part.view().name, &why))?;
        let (tried, sql) = (tried.to_owned(), sql.to_owned());
        together.push(Statement { tried, sql, parameters }, bytes).await?;
    }
    Ok(())
}

/// The columns of some rows.
fn upserts(part: &Part, table: &Table, stands: &[Stand<'_>]) -> Result<Vec<(Cells, Type)>, String> {
    let rows: Vec<&[u8]> = stands.iter().filter_map(|stand| stand.row).collect();
    let batch = part.kept().shape().batch(&rows);
    let mut parameters = vec![];
    for (column, array) in table.columns.iter().zip(batch.columns()) {
        let mut cells = Cells::new(&column.form);
        for (row, bytes) in rows.iter().enumerate() {
            cells.push(&column.form, array.as_ref(), row).map_err(|why| {
                let mut text = String::new();
                part.kept().shape().write_json(bytes, &mut text);
                format!("column {:?} of row {text}: {why}", column.name)
            })?;
        }
        parameters.push((cells, column.form.sent_as().2));
    }
    if table.counted {
        let mut cells = Cells::new(&Form::Int8);
        stands.iter().for_each(|stand| cells.put_int8(stand.count));
        parameters.push((cells, Type::INT8_ARRAY));
    }
    if table.hidden_key {
        parameters.push((hashes(stands.iter().map(|stand| stand.key)), Type::UUID_ARRAY));
    }
    Ok(parameters)
}

/// The keys by which of their columns are NULL, each with those that are not.
#[allow(clippy::type_complexity, reason = "parameters by what selects them, used once")]
fn deletes(
    part: &Part,
    table: &Table,
    keys: &[&[u8]],
) -> Result<BTreeMap<Vec<bool>, Vec<(Cells, Type)>>, String> {
    if table.hidden_key {
        let hashes = (hashes(keys.iter().copied()), Type::UUID_ARRAY);
        return Ok(BTreeMap::from([(vec![false], vec![hashes])]));
    }
    let columns = part.kept().shape().key_columns(keys);
    let mut groups: BTreeMap<Vec<bool>, Vec<(Cells, Type)>> = BTreeMap::new();
    for row in 0..keys.len() {
        let nulls: Vec<bool> = columns.iter().map(|column| column.is_null(row)).collect();
        let given = table.key.iter().zip(&columns).zip(&nulls).filter(|(_, null)| !**null);
        let given: Vec<_> = given.map(|((i, column), _)| (&table.columns[*i].form, column)).collect();
        let group = groups
            .entry(nulls.clone())
            .or_insert_with(|| given.iter().map(|(form, _)| (Cells::new(form), form.sent_as().2)).collect());
        for ((cells, _), (form, column)) in group.iter_mut().zip(&given) {
            cells.push(form, column.as_ref(), row)?;
        }
    }
    Ok(groups)
}

/// What stands for keys that PostgreSQL cannot compare.
fn hashes<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Cells {
    let mut cells = Cells::new(&Form::Uuid);
    keys.for_each(|key| cells.put_uuid(xxh3_128(key)));
    cells
}

fn unfit(view: &str, why: &str) -> SinkError {
    SinkError::Fatal(format!("view {view:?} does not fit into PostgreSQL: {why}"))
}

async fn send(
    session: &Session,
    tried: &str,
    sql: &str,
    parameters: &[(Cells, Type)],
) -> Result<u64, SinkError> {
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        parameters.iter().map(|(cells, kind)| (cells as &(dyn ToSql + Sync), kind.clone())).collect();
    session.execute(tried, sql, &parameters).await
}
