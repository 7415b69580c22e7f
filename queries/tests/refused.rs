//! What is refused, and in which words: each message names what is wrong and what to write instead.
#![allow(clippy::unwrap_used)] // A test fails where it stands.
use queries::{Catalogue, DeclareError};

const TABLES: &str = "
    CREATE EXTERNAL TABLE a (id INT, k INT, v BIGINT, t TEXT, at TIMESTAMP) STORED AS CLOUDEVENTS LOCATION 'a';
    CREATE EXTERNAL TABLE b (id INT, k INT, w BIGINT) STORED AS CLOUDEVENTS LOCATION 'b';
    CREATE VIEW low AS SELECT id, k FROM a WHERE v < 3;
    CREATE MATERIALIZED VIEW counts AS SELECT k, count(*) AS n FROM low GROUP BY k;
    CREATE MATERIALIZED VIEW many AS SELECT k FROM counts WHERE n > 10;
";

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    catalogue
}

fn refusal(sql: &str) -> DeclareError {
    let mut catalogue = catalogue();
    let before = catalogue.entries().len();
    let why = catalogue.declare(sql).expect_err(sql);
    assert_eq!(catalogue.entries().len(), before, "{sql}: nothing of a refused text is declared");
    why
}

#[test]
fn queries_that_cannot_be_maintained_name_the_clause_and_what_to_write() {
    let cases = [
        (
            "SELECT a.id FROM a LEFT JOIN b ON a.k = (SELECT max(x.k) FROM b AS x WHERE x.w = a.v AND x.id = b.id)",
            "reads both sides",
            "a column of a subquery in FROM",
        ),
        ("SELECT a.id FROM a ASOF JOIN b ON a.k = b.k", "ASOF JOIN", "a.t >= b.t"),
        ("SELECT id, random() AS r FROM a", "random()", "take the value from the event"),
        (
            "WITH RECURSIVE r(k, v) AS (SELECT id, k FROM a UNION SELECT x.k, y.v FROM r AS x JOIN r AS y ON x.v = y.k) SELECT k FROM r",
            "names it 2 times",
            "WITH MUTUALLY RECURSIVE",
        ),
    ];
    for (query, clause, instead) in cases {
        let why = refusal(&format!("CREATE MATERIALIZED VIEW x AS {query}"));
        assert!(matches!(why, DeclareError::Unsupported(_)), "{query}: {why:?}");
        let text = why.to_string();
        assert!(text.contains(clause) && text.contains(instead), "{query}: {text}");
    }
}

#[test]
fn mistakes_are_located_or_answered_with_what_there_is() {
    let cases = [
        ("CREATE MATERIALIZED VIEW x AS\nSELEC id FROM a", "line 2, column 1"),
        (
            "CREATE VIEW y AS SELECT id FROM a;\nCREATE MATERIALIZED VIEW x AS\n  SELECT id,, k FROM a",
            "line 3, column 13",
        ),
        ("CREATE MATERIALIZED VIEW x AS SELECT id FROM a WHERE t = 'open", "line 1, column 58"),
        ("CREATE MATERIALIZED VIEW x AS SELECT id FROM a WHERE (k > 1", "line 1, column 60"),
        (
            "CREATE MATERIALIZED VIEW x AS\nSELECT idd FROM a",
            "line 2, column 8: no column \"idd\": there are a.id,",
        ),
        (
            "CREATE MATERIALIZED VIEW x AS SELECT n FROM count",
            "no table or view \"count\": did you mean \"counts\"?",
        ),
        ("CREATE MATERIALIZED VIEW x AS SELECT n FROM other.counts", "no table or view \"other.counts\""),
        ("CREATE MATERIALIZED VIEW x AS SELECT smu(v) AS s FROM a", "smu"),
        (
            "CREATE MATERIALIZED VIEW x WITH (key = 'kk') AS SELECT k FROM a",
            "names \"kk\", which is no column of it: there are k",
        ),
        ("CREATE MATERIALIZED VIEW x WITH (keys = 'k') AS SELECT k FROM a", "unknown option keys"),
        ("CREATE VIEW x WITH (key = 'k') AS SELECT k FROM a", "write CREATE MATERIALIZED VIEW"),
        ("CREATE OR REPLACE VIEW a AS SELECT 1 AS n", "it is a table, and only a view of the same kind"),
        ("SELECT k FROM a", "write CREATE MATERIALIZED VIEW name AS"),
        ("INSERT INTO a VALUES (1)", "INSERT INTO is not a declaration"),
        ("", "no statement"),
        ("-- only words", "no statement"),
        ("CREATE VIEW x AS SELECT 1 AS n; CREATE VIEW x AS SELECT 2 AS n", "\"x\" is taken by a view"),
        ("CREATE VIEW a AS SELECT 1 AS n", "\"a\" is taken by a table"),
    ];
    for (sql, expected) in cases {
        let text = refusal(sql).to_string();
        assert!(text.contains(expected), "{sql}: {text}");
    }
}

#[test]
fn tables_are_refused_with_what_is_known() {
    let table = |columns: &str, options: &str| {
        format!(
            "CREATE EXTERNAL TABLE x ({columns}) STORED AS CLOUDEVENTS LOCATION 'x.*' OPTIONS ({options})"
        )
    };
    let cases = [
        (
            table("k INT", "'keys' 'k'"),
            "unknown option \"keys\": known are column.NAME, each, mode, key, version, delete",
        ),
        (table("k INT", "'mode' 'newest'"), "unknown mode \"newest\": known are append and latest"),
        (table("k INT", "'mode' 'latest'"), "needs a key"),
        (table("k INT", "'key' 'k'"), "add 'mode' 'latest'"),
        (table("k INT", "'mode' 'latest', 'key' 'z'"), "has no column \"z\": it has k"),
        (table("k INT", "'column.z' 'data.z'"), "has no column \"z\": it has k"),
        (table("k INT", "'delete' 'x.gone'"), "needs 'mode' 'latest'"),
        (table("k NUMERIC", "'mode' 'append'"), "DECIMAL(18,2)"),
        (table("k VARCHAR(20)", "'mode' 'append'"), "write TEXT"),
        (table("k JSONB", "'mode' 'append'"), "write TEXT"),
        (table("k UUID", "'mode' 'append'"), "write one of TEXT"),
        (table("k INT PRIMARY KEY", "'mode' 'append'"), "'key' 'k'"),
        (
            "CREATE EXTERNAL TABLE x (k INT) STORED AS PARQUET LOCATION 'x'".into(),
            "write STORED AS CLOUDEVENTS",
        ),
        ("CREATE EXTERNAL TABLE x STORED AS CLOUDEVENTS LOCATION 'x'".into(), "has no columns"),
    ];
    for (sql, expected) in cases {
        let text = refusal(&sql).to_string();
        assert!(text.contains(expected), "{sql}: {text}");
    }
}

#[test]
fn what_others_use_is_not_dropped() {
    let mut catalogue = catalogue();
    let conflict = |why: Result<(), DeclareError>| match why {
        Err(DeclareError::Conflict(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(conflict(catalogue.drop("a")).ends_with("used by low"));
    assert!(conflict(catalogue.drop("low")).ends_with("used by counts"));
    assert!(conflict(catalogue.drop("counts")).ends_with("used by many"));
    assert!(matches!(catalogue.drop("nothing"), Err(DeclareError::NotFound(_))));
    for name in ["many", "counts", "low", "a"] {
        catalogue.drop(name).unwrap();
    }
    assert_eq!(catalogue.entries().len(), 1);
}

#[test]
fn a_table_is_read_as_declared() {
    let mut catalogue = Catalogue::default();
    let sql = "-- what it is\nCREATE EXTERNAL TABLE orders (\"orderId\" TEXT NOT NULL, Line INT, seen TIMESTAMPTZ)\n\
        STORED AS CLOUDEVENTS LOCATION 'com.x.order.*' OPTIONS ('each' 'data.items', 'column.line' 'item.lineNo', 'column.seen' 'time',\n\
        'mode' 'latest', 'key' 'orderId', 'version' 'seen', 'delete' 'com.x.order.gone');";
    catalogue.declare(sql).unwrap();
    let entry = catalogue.entry("orders").unwrap();
    assert!(entry.sql.starts_with("CREATE EXTERNAL TABLE") && entry.sql.ends_with("gone')"), "{}", entry.sql);
    let mapping = catalogue.tables().next().unwrap();
    let names: Vec<&str> = mapping.table.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["orderId", "line", "seen"]);
    let paths: Vec<String> = mapping.columns.iter().map(|path| path.to_string()).collect();
    assert_eq!(paths, ["data.orderId", "item.lineNo", "time"]);
    assert_eq!(mapping.table.mode, dataflows::Mode::Latest { key: vec![0], version: vec![2] });
    assert!(mapping.types.matches("com.x.order.created"));
    assert!(mapping.deletes.as_ref().unwrap().matches("com.x.order.gone"));
}

#[test]
fn the_shipped_catalogues_load() {
    for name in ["bss", "core", "retail"] {
        let catalogue = Catalogue::load(name).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(catalogue.views().count() >= 6, "{name}");
        for view in catalogue.views() {
            let text = queries::explain::explain(&catalogue, &view.view.name).unwrap();
            assert!(
                ["SQL\n", "\nLogical plan\n", "\nPlan\n", "\nKey\n"].iter().all(|part| text.contains(part)),
                "{text}"
            );
        }
    }
    let why = Catalogue::load("nowhere").unwrap_err().to_string();
    assert!(why.contains("none of empty, bss, core, retail"), "{why}");
}
