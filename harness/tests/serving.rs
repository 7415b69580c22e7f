//! `tallyflow serve`: reads from a PostgreSQL and a Redis by a process that holds no engine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
mod services;
#[path = "../../sinks/tests/redis/world.rs"]
#[allow(dead_code, reason = "shared with the tests of the sink")]
mod world;

use queries::api::{ApiConfig, Stores, serve_stores};
use serde_json::{Value, json};
use services::Service;
use sinks::stored::postgres::Postgres;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};
use world::{World, options, sink};

/// What a sink makes: its row, a table with a key, one without a key, one of one row.
const LAYOUT: &str = "
    CREATE SCHEMA tallyflow;
    CREATE TABLE tallyflow.tf_writer (sink text PRIMARY KEY, pipeline text NOT NULL, epoch bigint NOT NULL DEFAULT 0, time bigint,
      positions jsonb NOT NULL DEFAULT '[]', definitions jsonb NOT NULL DEFAULT '{}', holder_pid int, updated_at timestamptz);
    CREATE TABLE tallyflow.orders (note text, id bigint NOT NULL PRIMARY KEY, amount numeric(12,2), at timestamptz, local timestamp,
      tags text[], x double precision, ok boolean, day date, raw bytea, small smallint, gap interval);
    INSERT INTO tallyflow.orders SELECT (ARRAY[NULL, 'b', 'a', 'B', '', 'ä\"'])[1 + id % 6], id, (id % 7) * 1.5,
      '2024-02-29 10:00:00+00'::timestamptz + id * interval '1.5 s', '2024-02-29 10:00:00', ARRAY['x', NULL, 'y,\"z'],
      CASE id % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN NULL WHEN 2 THEN '-Infinity' ELSE id / 4.0 END, id % 2 = 0, '2024-02-29', '\\x00ff',
      id % 3, interval '1 year 2 mons 3 days 04:05:06' FROM generate_series(1, 300) id;
    CREATE TABLE tallyflow.lines (a text, b integer, tf_count bigint NOT NULL, tf_key uuid NOT NULL PRIMARY KEY);
    INSERT INTO tallyflow.lines SELECT CASE WHEN i < 9 THEN 'v' || i END, i % 2, 1 + i % 3, md5(i::text)::uuid
      FROM generate_series(1, 10) i;
    CREATE TABLE tallyflow.grand (total bigint, tf_key uuid NOT NULL PRIMARY KEY);
    INSERT INTO tallyflow.grand VALUES (0, md5('')::uuid);
    CREATE TABLE tallyflow.mine (x int);
    INSERT INTO tallyflow.tf_writer (sink, pipeline, time, positions, definitions)
      VALUES ('s', 'p', 1000, '[{\"partition\": 0, \"offset\": 7}]', '{\"orders\": \"1\", \"lines\": \"2\", \"grand\": \"3\"}')";

struct Server {
    runtime: Runtime,
    address: SocketAddr,
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["rows"].as_array().unwrap().clone()
    }
}

impl Server {
    fn new(stores: Stores) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.spawn(serve_stores(listener, stores, ApiConfig::default(), std::future::pending()));
        Server { runtime, address }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Answer { status, head: head.to_ascii_lowercase(), body }
    }

    /// All rows of a listing, page by page.
    fn pages(&self, path: &str, limit: usize) -> Vec<Value> {
        let mut all = vec![];
        let mut cursor = String::new();
        loop {
            let answer = self.get(&format!("{path}limit={limit}{cursor}"));
            let rows = answer.rows();
            assert!(rows.len() <= limit);
            all.extend(rows);
            match answer.body["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}

fn postgres(server: &Service) -> Postgres {
    Postgres::new(&server.url(), "tallyflow", None).unwrap()
}

async fn client(server: &Service) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn laid_out() -> Service {
    let server = Service::start("postgres");
    Runtime::new().unwrap().block_on(async { client(&server).await.batch_execute(LAYOUT).await.unwrap() });
    server
}

#[test]
fn rows_are_listed_filtered_ordered_and_paged_as_by_the_engine() {
    let database = laid_out();
    let server = Server::new(Stores::new(Some(postgres(&database)), None));
    let views = server.get("/api/v1/views");
    assert!(views.head.contains("tallyflow-time: 1000"), "{}", views.head);
    let names: Vec<&str> =
        views.body["views"].as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["grand", "lines", "orders"]);
    assert_eq!(views.body["views"][2]["key"], json!(["id"]));
    assert_eq!(views.body["views"][1]["key"], json!(["a", "b"]));
    assert_eq!(
        views.body["views"][2]["columns"][2],
        json!({"name": "amount", "type": "numeric(12,2)", "nullable": true})
    );

    let first = server.get("/api/v1/views/orders?limit=1");
    let expected = json!({"note": "b", "id": 1, "amount": "1.50", "at": "2024-02-29T10:00:01.5Z", "local": "2024-02-29T10:00:00",
        "tags": ["x", null, "y,\"z"], "x": null, "ok": false, "day": "2024-02-29", "raw": "\\x00ff", "small": 1,
        "gap": "1 year 2 mons 3 days 04:05:06"});
    assert_eq!(first.rows(), std::slice::from_ref(&expected));
    assert_eq!(first.body["time"], 1000);
    assert_eq!(server.get("/api/v1/views/orders/1").rows(), [expected]);
    assert_eq!(server.get("/api/v1/views/grand").rows(), [json!({"total": 0})]);

    let ids = |rows: Vec<Value>| rows.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>();
    let all = |path: &str| ids(server.get(&format!("{path}limit=10000")).rows());
    assert_eq!(all("/api/v1/views/orders?"), (1..=300).collect::<Vec<_>>());
    // NULL is the greatest value, NaN the greatest number, texts stand by their bytes.
    let by_note = all("/api/v1/views/orders?order=note&");
    let notes: Vec<i64> = by_note.iter().step_by(50).map(|id| id % 6).collect();
    assert_eq!(notes, [4, 3, 2, 1, 5, 0]);
    let by_x = all("/api/v1/views/orders?order=-x&");
    let kinds: Vec<i64> = by_x.iter().step_by(60).map(|id| id % 5).collect();
    assert_eq!((kinds[0], kinds[1], kinds[4]), (1, 0, 2));
    for order in [
        "",
        "order=note&",
        "order=-note,amount&",
        "order=-x&",
        "order=at&",
        "order=-ok,-id&",
        "order=gap,raw&",
    ] {
        let path = format!("/api/v1/views/orders?{order}");
        assert_eq!(ids(server.pages(&path, 37)), all(&path), "{order}");
    }
    for (filter, count) in [
        ("id[lte]=10", 10),
        ("note=b", 50),
        ("note[null]=true", 50),
        ("note[null]=false", 250),
        ("note[gt]=B", 150),
        ("amount=1.50", 43),
        ("amount[ne]=1.5", 257),
        ("x[gt]=1e300", 60),
        ("ok=true&small=0", 50),
        ("at[lt]=2024-02-29T10:00:06Z", 3),
        ("raw=%5Cx00ff&day=2024-02-29", 300),
        ("id[gt]=10&id[lte]=20", 10),
    ] {
        assert_eq!(all(&format!("/api/v1/views/orders?{filter}&")).len(), count, "{filter}");
    }
    // A row that is there several times is listed as often, over pages too.
    let lines = server.get("/api/v1/views/lines?limit=1000").rows();
    assert_eq!(lines.len(), (1..=10).map(|i| 1 + i % 3).sum::<usize>());
    for limit in 1..=4 {
        assert_eq!(server.pages("/api/v1/views/lines?", limit), lines);
        assert_eq!(server.pages("/api/v1/views/lines?order=b&", limit).len(), lines.len());
    }
    assert_eq!(server.get("/api/v1/views/lines/v3,1").rows().len(), 1);
    for (path, status, says) in [
        ("/api/v1/views/orders?limit=0", 400, "not a number from 1"),
        ("/api/v1/views/orders?order=tags", 400, "cannot be ordered by"),
        ("/api/v1/views/orders?tags=x", 400, "cannot be compared"),
        ("/api/v1/views/orders?colour=red", 400, "unknown column"),
        ("/api/v1/views/orders?cursor=00.1.00", 400, "cursor"),
        ("/api/v1/views/orders/x", 400, "not a bigint"),
        ("/api/v1/views/orders/1,2", 400, "not 2 values"),
        ("/api/v1/views/orders/301", 404, "no row with key 301"),
        ("/api/v1/views/mine", 404, "no view"),
        ("/api/v1/views/tf_writer", 404, "no view"),
        ("/api/v1/views/orders%22%3B", 404, "no view"),
        ("/api/v1/views/orders/1/changes", 404, "process that keeps the views"),
        ("/api/v1/sql", 404, "process that keeps the views"),
        ("/api/v1/views/orders?at_least=1001&wait=50ms", 504, "the time reached is 1000"),
        ("/api/v1/views/orders?at_least=0:8&wait=1ms", 504, "not readable"),
        ("/api/v1/views/orders?at_least=0:7&limit=1", 200, ""),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(
            status == 200 || answer.body["detail"].as_str().unwrap().contains(says),
            "{path}: {}",
            answer.body
        );
    }
    let tag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let known = format!(
        "GET /api/v1/views/orders?limit=1 HTTP/1.1\r\nhost: x\r\nif-none-match: {}\r\nconnection: close\r\n\r\n",
        tag.replace("w/", "W/")
    );
    assert_eq!(server.ask(&known).status, 304);
    assert_eq!(
        server
            .ask("POST /api/v1/views HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .status,
        405
    );
}

#[test]
fn what_is_read_is_true_for_its_time_while_it_changes_through_a_pooler() {
    let database = laid_out();
    let pooler = Service::pgbouncer(&database);
    let server = Server::new(Stores::new(Some(postgres(&pooler)), None));
    server.runtime.block_on(async {
        let writer = client(&database).await;
        for time in 1_001..1_060 {
            let sql = format!(
                "BEGIN; UPDATE tallyflow.tf_writer SET time = {time}; UPDATE tallyflow.grand SET total = {time} - 1000; COMMIT"
            );
            writer.batch_execute(&sql).await.unwrap();
            let server = &server;
            let answers = tokio::task::block_in_place(|| {
                std::thread::scope(|scope| {
                    let asked: Vec<_> = (0..3)
                        .map(|_| scope.spawn(|| server.get(&format!("/api/v1/views/grand?at_least={time}"))))
                        .collect();
                    asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
                })
            });
            for answer in answers {
                let rows = answer.rows();
                assert_eq!(answer.body["time"].as_i64().unwrap() - 1_000, rows[0]["total"].as_i64().unwrap());
            }
        }
    });
    // A new table in place of the old one is read by connections that knew the old one.
    server.runtime.block_on(async {
        let sql = "BEGIN; DROP TABLE tallyflow.grand; CREATE TABLE tallyflow.grand (id int PRIMARY KEY, total text);
                   INSERT INTO tallyflow.grand VALUES (1, 'many'); UPDATE tallyflow.tf_writer SET time = 2000; COMMIT";
        client(&database).await.batch_execute(sql).await.unwrap();
    });
    assert_eq!(server.get("/api/v1/views/grand?at_least=2000").rows(), [json!({"id": 1, "total": "many"})]);
    database.kill();
    assert_eq!(server.get("/api/v1/views/grand").status, 503);
    assert_eq!(server.get("/readyz").status, 503);
    assert_eq!(server.get("/healthz").status, 200);
    database.restart();
    let mut tries = 0;
    while server.get("/readyz").status != 200 {
        tries += 1;
        assert!(tries < 600, "it does not come back");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn single_rows_come_from_redis() {
    let cache = Service::start("redis");
    let mut world = World::new(21);
    world.step(300);
    let mut sink = sink(&cache.url());
    let server = Server::new(Stores::new(None, Some(options(&cache.url()))));
    assert_eq!(server.get("/readyz").status, 503);
    world.bring(&mut sink).unwrap();
    assert_eq!(server.get("/readyz").status, 200);
    for round in 0..3 {
        let content = world.content(&world.views()[0]);
        for (row, _) in content.rows.iter().take(40) {
            let row: Value = serde_json::from_str(row).unwrap();
            let path = format!("/api/v1/views/totals/{}?at_least={}", row["id"], world.time);
            let answer = server.get(&path);
            assert_eq!(answer.rows(), [row]);
            assert_eq!(answer.body["time"], json!(world.time), "round {round}");
        }
        world.step(100);
        world.bring(&mut sink).unwrap();
    }
    let missing = server.get("/api/v1/views/totals/1000000");
    assert_eq!((missing.status, &missing.body["time"]), (404, &json!(world.time)));
    assert_eq!(server.get("/api/v1/views/totals").status, 501);
    let views = server.get("/api/v1/views");
    assert_eq!(views.body["views"][3]["name"], "totals");
    assert_eq!(
        views.body["views"][3]["columns"][0],
        json!({"name": "id", "type": "bigint", "nullable": false})
    );
    cache.kill();
    assert_eq!(server.get("/api/v1/views/totals/1").status, 503);
}
