//! PostgreSQL over the rows of one time: each view's query is asked anew, of the tables and of the views that it reads.
use super::compare::{difference, shown};
use super::oracle::Oracle;
use super::postgres::Postgres;
use super::spelled;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, TimeUnit};
use dataflows::Time;
use queries::{Catalogue, Declared};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// What an Arrow type is in PostgreSQL.
pub fn postgres_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => "numeric(20)".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("numeric({precision}, {scale})")
        }
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::Time64(TimeUnit::Nanosecond) => "time".into(),
        DataType::Interval(_) => "interval".into(),
        DataType::List(of) => format!("{}[]", postgres_type(of.data_type())),
        other => panic!("what is {other} in PostgreSQL?"),
    }
}

/// A server with the catalogue.
pub struct Server {
    oracle: Oracle,
    /// Where rows are put for it to read.
    file: PathBuf,
    views: Vec<(String, String)>,
    /// The server goes last.
    _postgres: Postgres,
}

/// What PostgreSQL said at one time.
#[derive(Default)]
pub struct Said {
    /// Views that were compared.
    pub views: usize,
    /// Their rows.
    pub rows: u64,
    /// Views that hold other rows, and which.
    pub wrong: Vec<String>,
    /// Views that PostgreSQL could not be asked for, and why.
    pub refused: BTreeMap<String, String>,
}

impl Server {
    /// Starts a server; panics where PostgreSQL is not installed.
    pub fn start(catalogue: &Catalogue) -> Server {
        let postgres = Postgres::start().unwrap().expect("apt-get install postgresql");
        let oracle = Oracle::connect(&postgres);
        oracle.execute(spelled::FUNCTIONS).unwrap();
        oracle.execute(&spelled::now(0)).unwrap();
        for statement in spelled::declared(catalogue) {
            oracle.execute(&statement).unwrap_or_else(|why| panic!("{statement}: {why}"));
        }
        let views = catalogue.entries().iter().filter_map(|entry| match &entry.declared {
            Declared::MaterializedView(compiled) => {
                let name = compiled.view.name.to_string();
                Some((name.clone(), spelled::query(&name, &entry.sql)))
            }
            Declared::Table(_) | Declared::View { .. } => None,
        });
        let views = views.collect();
        Server { oracle, file: postgres.folder().join("rows"), views, _postgres: postgres }
    }

    /// Gives it the rows of tables and views at a time, and compares what it makes of each view's query with the view.
    pub fn ask(&self, rows: &BTreeMap<String, Vec<RecordBatch>>, time: Time) -> Said {
        self.oracle.execute(&spelled::now(time)).unwrap();
        for (name, batches) in rows {
            self.fill(name, batches);
        }
        self.oracle.execute("ANALYZE").unwrap();
        let mut said = Said::default();
        for (name, query) in &self.views {
            if let Err(why) = self.compare(name, query, &mut said) {
                said.refused.insert(name.clone(), why);
            }
            _ = self.oracle.execute("DROP TABLE IF EXISTS proof.answer");
        }
        said
    }

    fn fill(&self, name: &str, batches: &[RecordBatch]) {
        self.oracle.execute(&format!("TRUNCATE bss.\"{name}\"")).unwrap();
        let mut text = String::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                for (place, column) in batch.columns().iter().enumerate() {
                    text.push_str(if place > 0 { "\t" } else { "" });
                    match queries::text::cell(column, row) {
                        Some(cell) => text.push_str(&escaped(&cell)),
                        None => text.push_str("\\N"),
                    }
                }
                text.push('\n');
            }
        }
        if text.is_empty() {
            return;
        }
        std::fs::write(&self.file, text).unwrap();
        std::fs::set_permissions(&self.file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let copy = format!("COPY bss.\"{name}\" FROM '{}'", self.file.display());
        self.oracle.execute(&copy).unwrap_or_else(|why| panic!("{copy}: {why}"));
    }

    /// What differs both ways; an error says that it could not be asked.
    fn compare(&self, name: &str, query: &str, said: &mut Said) -> Result<(), String> {
        let (_, rows) = self.oracle.execute(&format!("CREATE TABLE proof.answer AS {query}"))?;
        let except = |a: &str, b: &str| self.oracle.execute(&format!("TABLE {a} EXCEPT ALL TABLE {b}"));
        let view = format!("bss.\"{name}\"");
        let (missing, _) = except("proof.answer", &view)?;
        let (extra, _) = except(&view, "proof.answer")?;
        said.views += 1;
        said.rows += rows;
        // PostgreSQL shows more digits of a quotient, and adds numbers with a floating point in another order.
        let (missing, extra) = difference(missing, extra);
        if !(missing.is_empty() && extra.is_empty()) {
            let mut text = format!("{name}: ");
            write!(text, "only PostgreSQL\n{}\n    only the view\n{}", shown(&missing), shown(&extra))
                .unwrap();
            said.wrong.push(text);
        }
        Ok(())
    }
}

/// A cell of COPY's text format.
fn escaped(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}
