//! Reads the views that a sink keeps in a PostgreSQL: rows and the time they are true for, in one snapshot.
use super::{Stored, kind, write_cell};
use crate::SinkError;
use crate::delivery::COUNT;
use crate::memory::Reached;
use crate::postgres::address::Address;
use arrow::datatypes::{DataType, Field, Schema};
use dataflows::Position;
use dataflows::value::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Connections at a time; who comes later waits.
const CONNECTIONS_MAX: usize = 16;
/// How long a server may take to begin a snapshot.
const BEGIN_WAIT: Duration = Duration::from_secs(10);
/// The column by which rows are told apart where those of the view cannot.
const KEY: &str = "tf_key";

/// The tables of one sink. Statements have no names, so a PgBouncer in transaction mode may stand between.
pub struct Postgres {
    address: Address,
    schema: String,
    sink: Option<String>,
    idle: Mutex<Vec<Client>>,
    places: Arc<Semaphore>,
}

/// A table of a snapshot.
#[derive(Clone, Debug)]
pub struct Table {
    /// The view.
    pub stored: Stored,
    /// Each column's type as PostgreSQL spells it.
    types: Vec<String>,
    hidden_key: bool,
    /// Whether rows are counted, since one may be there several times.
    counted: bool,
}

/// What is asked of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is NULL.
    Null,
    /// It is not.
    NotNull,
    /// It stands so (`=`, `<>`, `<`, `<=`, `>`, `>=`) to a value that is spelled as PostgreSQL does.
    Compare(&'static str, String),
}

/// Which rows, in which order, from where on.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// Columns with what their cells are to fulfil.
    pub tests: Vec<(usize, Test)>,
    /// Columns, and whether descending; rows that are equal in them are ordered by the key.
    pub order: Vec<(usize, bool)>,
    /// A row's place: it comes first, if it is there.
    pub from: Option<Vec<Option<String>>>,
    /// So many at most.
    pub rows_max: usize,
}

/// A row that was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// A JSON object.
    pub json: String,
    /// How often it is there.
    pub count: u64,
    /// Where it stands in the order that was asked for.
    pub place: Vec<Option<String>>,
}

/// A state of all tables. It is to be given back by [`Snapshot::end`]; else its connection is closed.
pub struct Snapshot {
    client: Client,
    schema: String,
    reached: Reached,
    definitions: BTreeMap<String, u64>,
    _place: OwnedSemaphorePermit,
}

fn failed(tried: &str, why: &tokio_postgres::Error) -> SinkError {
    let Some(said) = why.as_db_error() else {
        let source = std::error::Error::source(why).map_or(String::new(), |source| format!(": {source}"));
        return SinkError::Retry(format!("postgres: cannot {tried}: {why}{source}"));
    };
    let text = format!("postgres: cannot {tried}: {} [{}]", said.message(), said.code().code());
    match &said.code().code()[..2] {
        "08" | "53" | "55" | "57" | "58" | "40" | "3F" => SinkError::Retry(text),
        // The sink has not made its tables yet, or makes them anew.
        _ if said.code().code() == "42P01" => SinkError::Retry(text),
        _ => SinkError::Fatal(text),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Postgres {
    /// The tables in a schema of a server, whose URL may say `sslmode` and `sslrootcert` as a sink's does; `sink` is needed where several keep some there. It does not connect yet.
    pub fn new(url: &str, schema: &str, sink: Option<String>) -> Result<Postgres, String> {
        let mut options = BTreeMap::from([("url".to_owned(), url.to_owned())]);
        let address = Address::new(&mut options, "serve")?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Ok(Postgres { address, schema: schema.to_owned(), sink, idle: Mutex::default(), places })
    }

    async fn connect(&self) -> Result<Client, SinkError> {
        self.address.connect().await.map_err(|why| failed("connect", &why))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state.
    pub async fn snapshot(&self) -> Result<Snapshot, SinkError> {
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let idle = self.idle().pop().filter(|client| !client.is_closed());
        if let Some(client) = idle {
            // The server may have closed it meanwhile.
            match self.begin(client).await {
                Err(SinkError::Retry(_)) => {}
                other => return other.map(|(client, held)| self.held(client, held, place)),
            }
        }
        let (client, held) = self.begin(self.connect().await?).await?;
        Ok(self.held(client, held, place))
    }

    fn held(
        &self,
        client: Client,
        held: (Reached, BTreeMap<String, u64>),
        place: OwnedSemaphorePermit,
    ) -> Snapshot {
        let (reached, definitions) = held;
        Snapshot { client, schema: self.schema.clone(), reached, definitions, _place: place }
    }

    async fn begin(&self, client: Client) -> Result<(Client, (Reached, BTreeMap<String, u64>)), SinkError> {
        let sink = self.sink.as_ref().map_or(String::new(), |sink| format!("WHERE sink = {}", literal(sink)));
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO';
             SET LOCAL intervalstyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;
             SET LOCAL statement_timeout = '30s';
             SELECT sink, time, positions, definitions FROM {}.tf_writer {sink}",
            quoted(&self.schema)
        );
        let asked = tokio::time::timeout(BEGIN_WAIT, client.simple_query(&begin)).await;
        let late = |_| SinkError::Retry("postgres: the server does not answer".into());
        let messages = asked.map_err(late)?.map_err(|why| failed("begin a snapshot", &why))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some([0, 1, 2, 3].map(|i| row.get(i).map(str::to_owned))),
            _ => None,
        });
        let rows: Vec<_> = rows.collect();
        let row = match &rows[..] {
            [] => return Ok((client, Default::default())),
            [row] => row,
            several => {
                let names: Vec<&str> = several.iter().filter_map(|row| row[0].as_deref()).collect();
                return Err(SinkError::Fatal(format!(
                    "postgres: several sinks keep views in schema {}: name one of {}",
                    self.schema,
                    names.join(", ")
                )));
            }
        };
        let held = held(row).ok_or_else(|| SinkError::Fatal("postgres: tf_writer cannot be read".into()))?;
        Ok((client, held))
    }
}

fn held([_, time, positions, definitions]: &[Option<String>; 4]) -> Option<(Reached, BTreeMap<String, u64>)> {
    let time = time.as_ref().map(|time| time.parse().ok()).map_or(Some(None), |time| time.map(Some))?;
    let list: Vec<serde_json::Value> = serde_json::from_str(positions.as_ref()?).ok()?;
    let position = |value: &serde_json::Value| {
        let partition = u32::try_from(value["partition"].as_u64()?).ok()?;
        Some(Position { partition, offset: value["offset"].as_u64()? })
    };
    let positions = list.iter().map(position).collect::<Option<Vec<_>>>()?;
    let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(definitions.as_ref()?).ok()?;
    let definition =
        |(name, hash): (&String, &serde_json::Value)| Some((name.clone(), hash.as_str()?.parse().ok()?));
    Some((Reached { time, positions }, map.iter().map(definition).collect::<Option<_>>()?))
}

impl Snapshot {
    /// The time that all tables are true for, and what was read of the log up to then.
    pub fn reached(&self) -> &Reached {
        &self.reached
    }

    /// The tables, or the one of a name, by name.
    pub async fn tables(&self, name: Option<&str>) -> Result<Vec<Table>, SinkError> {
        let sql = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                     (SELECT u.place FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY u(number, place)
                      WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indnullsnotdistinct) AND u.number = a.attnum LIMIT 1)
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
                   WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
                     AND ($2::text IS NULL OR c.relname = $2) ORDER BY 1, a.attnum";
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&self.schema, Type::TEXT), (&name, Type::TEXT)];
        let rows = self.client.query_typed(sql, &parameters).await;
        let rows = rows.map_err(|why| failed("read the tables' columns", &why))?;
        let mut columns: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        for row in rows {
            let (table, name, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let place: Option<i64> = row.get(4);
            columns.entry(table).or_default().push(Column { name, kind, required: row.get(3), place });
        }
        let table = |(name, columns): (&String, &Vec<Column>)| {
            let definition = *self.definitions.get(name)?;
            (definition != 0).then(|| table(name, definition, columns))
        };
        Ok(columns.iter().filter_map(table).collect())
    }

    /// Rows of a table.
    pub async fn select(&self, table: &Table, select: &Select) -> Result<Vec<Row>, SinkError> {
        let (sql, parameters) = statement(&self.schema, table, select);
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            parameters.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let rows = self.client.query_typed(&sql, &parameters).await;
        let rows = rows.map_err(|why| failed(&format!("read view {:?}", table.stored.name), &why))?;
        let fields = table.stored.schema.fields();
        let row = |row: &tokio_postgres::Row| {
            let mut json = String::from("{");
            for (i, field) in fields.iter().enumerate() {
                json.push_str(if i > 0 { "," } else { "" });
                Value::Text(field.name()).write_json(&mut json);
                json.push(':');
                match row.get::<_, Option<&str>>(i) {
                    None => json.push_str("null"),
                    Some(cell) => write_cell(field.data_type(), cell, &mut json),
                }
            }
            json.push('}');
            let count: i64 = row.get(fields.len());
            let place = (fields.len() + 1..row.len()).map(|i| row.get(i)).collect();
            Row { json, count: count.unsigned_abs(), place }
        };
        Ok(rows.iter().map(row).collect())
    }

    /// Gives the connection back.
    pub async fn end(self, postgres: &Postgres) {
        if self.client.batch_execute("COMMIT").await.is_ok() {
            postgres.idle().push(self.client);
        }
    }
}

struct Column {
    name: String,
    kind: String,
    required: bool,
    /// Where it stands in the table's key.
    place: Option<i64>,
}

fn table(name: &str, definition: u64, columns: &[Column]) -> Table {
    let own: Vec<&Column> = columns.iter().filter(|column| ![COUNT, KEY].contains(&&*column.name)).collect();
    let fields = own.iter().map(|column| Field::new(&column.name, kind(&column.kind), !column.required));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let counted = columns.iter().any(|column| column.name == COUNT);
    let key = if counted {
        (0..own.len()).collect()
    } else {
        let mut key: Vec<usize> = (0..own.len()).filter(|i| own[*i].place.is_some()).collect();
        key.sort_by_key(|i| own[*i].place);
        key
    };
    Table {
        stored: Stored { name: name.into(), schema, key, definition },
        types: own.iter().map(|column| column.kind.clone()).collect(),
        hidden_key: columns.iter().any(|column| column.name == KEY),
        counted,
    }
}

/// What rows are ordered by.
struct Ordered {
    expression: String,
    kind: String,
    descending: bool,
}

impl Table {
    /// Whether cells of a column can be compared there.
    pub fn is_comparable(&self, column: usize) -> bool {
        !matches!(self.stored.schema.field(column).data_type(), DataType::List(_) | DataType::Struct(_))
    }

    /// A column, by its table: alone it would be the text of the same name that is selected.
    fn name(&self, column: usize) -> String {
        format!("t.{}", quoted(self.stored.schema.field(column).name()))
    }

    /// A column as it is compared: texts by their bytes, as in the engine.
    fn compared(&self, column: usize) -> String {
        let collate = if self.types[column] == "text" { " COLLATE \"C\"" } else { "" };
        format!("{}{collate}", self.name(column))
    }

    fn written(&self, column: usize) -> String {
        let name = self.name(column);
        match self.stored.schema.field(column).data_type() {
            DataType::List(_) => format!(
                "CASE WHEN {name} IS NOT NULL THEN (SELECT coalesce(json_agg(x::text ORDER BY o), '[]')::text
                 FROM unnest({name}) WITH ORDINALITY AS u(x, o)) END"
            ),
            _ => format!("{name}::text"),
        }
    }

    fn ordered(&self, order: &[(usize, bool)]) -> Vec<Ordered> {
        let key = self.stored.key.iter().filter(|column| self.is_comparable(**column));
        let rest = key
            .filter(|column| order.iter().all(|(other, _)| other != *column))
            .map(|column| (*column, false));
        let mut all: Vec<Ordered> = order
            .iter()
            .copied()
            .chain(rest)
            .map(|(column, descending)| Ordered {
                expression: self.compared(column),
                kind: self.types[column].clone(),
                descending,
            })
            .collect();
        if self.hidden_key {
            all.push(Ordered { expression: format!("t.{KEY}"), kind: "uuid".into(), descending: false });
        }
        all
    }
}

/// The statement and its parameters, all of them texts.
fn statement(schema: &str, table: &Table, select: &Select) -> (String, Vec<String>) {
    let mut parameters: Vec<String> = vec![];
    let mut parameter = |text: &str, kind: &str| {
        parameters.push(text.to_owned());
        format!("${}::text::{kind}", parameters.len())
    };
    let mut conditions = vec![];
    for (column, test) in &select.tests {
        let name = table.compared(*column);
        conditions.push(match test {
            Test::Null => format!("{name} IS NULL"),
            Test::NotNull => format!("{name} IS NOT NULL"),
            Test::Compare(operator, text) => {
                format!("{name} {operator} {}", parameter(text, &table.types[*column]))
            }
        });
    }
    let ordered = table.ordered(&select.order);
    if let Some(from) = &select.from {
        let mut ways = vec![];
        let mut equal: Vec<String> = vec![];
        for (Ordered { expression, kind, descending }, value) in ordered.iter().zip(from) {
            // NULL is the greatest value.
            let value = value.as_ref().map(|text| parameter(text, kind));
            let beyond = match (&value, descending) {
                (Some(value), false) => format!("({expression} > {value} OR {expression} IS NULL)"),
                (Some(value), true) => format!("{expression} < {value}"),
                (None, false) => "FALSE".to_owned(),
                (None, true) => format!("{expression} IS NOT NULL"),
            };
            ways.push([&equal[..], &[beyond]].concat().join(" AND "));
            equal.push(match &value {
                Some(value) => format!("{expression} = {value}"),
                None => format!("{expression} IS NULL"),
            });
        }
        ways.push(if equal.is_empty() { "TRUE".into() } else { equal.join(" AND ") });
        conditions.push(format!("({})", ways.join(" OR ")));
    }
    let mut columns: Vec<String> = (0..table.types.len()).map(|column| table.written(column)).collect();
    columns.push(if table.counted { format!("t.{COUNT}") } else { "1::int8".into() });
    columns.extend(ordered.iter().map(|by| format!("({})::text", by.expression)));
    let order = ordered.iter().map(|by| {
        let direction = if by.descending { "DESC NULLS FIRST" } else { "ASC NULLS LAST" };
        format!("{} {direction}", by.expression)
    });
    let order: Vec<String> = order.collect();
    let place = format!("{}.{}", quoted(schema), quoted(&table.stored.name));
    let condition =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    let sql = format!(
        "SELECT {} FROM {place} AS t{condition}{order} LIMIT {}",
        columns.join(", "),
        select.rows_max
    );
    (sql, parameters)
}
