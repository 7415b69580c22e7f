//! The PostgreSQL wire protocol, by a driver that others wrote, against a whole engine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#[path = "wire/clients.rs"]
mod clients;
#[path = "wire/texts.rs"]
mod texts;
#[path = "wire/typed.rs"]
mod typed;

use clients::CLIENTS;
use harness::{Config, Tallyflow};
use queries::wire::access::Access;
use queries::wire::{Limits, serve};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use texts::TEXTS;
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

const LIMITS: Limits =
    Limits { connections_max: 8, message_bytes_max: 100_000, start_wait: std::time::Duration::from_secs(10) };

/// An engine that serves the protocol until it is dropped.
struct Server {
    runtime: Runtime,
    address: SocketAddr,
    tallyflow: Tallyflow,
}

impl Server {
    fn start() -> Server {
        Server::with_access(Access::default())
    }

    fn with_access(access: Access) -> Server {
        let tallyflow = Tallyflow::open(Config::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.spawn(serve(listener, tallyflow.session(), LIMITS, access, std::future::pending()));
        Server { runtime, address, tallyflow }
    }

    fn with<T>(&self, test: impl AsyncFnOnce(Client) -> T) -> T {
        self.runtime.block_on(async { test(self.client().await).await })
    }

    async fn client(&self) -> Client {
        let setting = format!("host=127.0.0.1 port={} user=me dbname=any", self.address.port());
        let (client, connection) = tokio_postgres::connect(&setting, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn stop(self) {
        drop(self.runtime);
        self.tallyflow.close().unwrap();
    }
}

/// What a text of statements gives: cells between bars, rows between slashes, tags as numbers of rows, errors by SQLSTATE.
async fn said(client: &Client, sql: &str) -> String {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(why) => return format!("! {}", why.code().map_or("?", SqlState::code)),
    };
    let texts: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let cell = |i| row.get(i).unwrap_or("NULL").to_string();
                Some((0..row.len()).map(cell).collect::<Vec<_>>().join("|"))
            }
            SimpleQueryMessage::CommandComplete(rows) => Some(format!("#{rows}")),
            _ => None,
        })
        .collect();
    texts.join("/")
}

async fn all(client: &Client, cases: &[(&str, &str)]) {
    for (sql, wanted) in cases {
        assert_eq!(said(client, sql).await, *wanted, "{sql}");
    }
}

const TABLES: &str = "CREATE TABLE t (id INT PRIMARY KEY, name TEXT NOT NULL, amount NUMERIC(12, 2), big BIGINT,
    small SMALLINT, real REAL, float DOUBLE PRECISION, yes BOOLEAN, day DATE, at TIMESTAMP, zoned TIMESTAMPTZ);
    CREATE MATERIALIZED VIEW totals AS SELECT name, count(*) AS n, sum(amount) AS total FROM t GROUP BY name";

#[test]
fn texts_of_statements_are_answered_as_postgres_does() {
    let server = Server::start();
    server.with(async |client| {
        assert_eq!(said(&client, TABLES).await, "#0/#0");
        all(&client, TEXTS).await;
        all(&client, CLIENTS).await;
    });
    server.stop();
}

#[test]
fn parameters_and_results_travel_in_binary() {
    let server = Server::start();
    server.with(async |client| {
        client.simple_query(TABLES).await.unwrap();
        let insert = client
            .prepare(
                "INSERT INTO t (id, name, big, small, real, float, yes) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .await
            .unwrap();
        let types = [Type::INT4, Type::TEXT, Type::INT8, Type::INT2, Type::FLOAT4, Type::FLOAT8, Type::BOOL];
        assert_eq!(insert.params(), types);
        let row =
            client.execute(&insert, &[&1_i32, &"a'b", &(1_i64 << 40), &-3_i16, &1.5_f32, &0.1_f64, &true]);
        assert_eq!(row.await.unwrap(), 1);
        let none = client.execute(
            &insert,
            &[&2_i32, &"n", &None::<i64>, &None::<i16>, &None::<f32>, &None::<f64>, &None::<bool>],
        );
        assert_eq!(none.await.unwrap(), 1);

        let sql = "SELECT id, name, big, small, real, float, yes FROM t WHERE id = $1";
        let row = client.query_one(sql, &[&1_i32]).await.unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1), row.get::<_, i64>(2)), (1, "a'b", 1 << 40));
        assert_eq!((row.get::<_, i16>(3), row.get::<_, f32>(4), row.get::<_, f64>(5)), (-3, 1.5, 0.1));
        assert!(row.get::<_, bool>(6));
        let row = client.query_one(sql, &[&2_i32]).await.unwrap();
        assert_eq!(row.get::<_, Option<i64>>(2), None);

        let count = client.query_one("SELECT count(*) FROM t WHERE name = $1 OR big > $2", &[&"n", &5_i64]);
        assert_eq!(count.await.unwrap().get::<_, i64>(0), 2);
        let typed = client.query_one("SELECT $1::int4, $2::text, $3::bool", &[&42_i32, &"x", &false]);
        let typed = typed.await.unwrap();
        assert_eq!((typed.get::<_, i32>(0), typed.get::<_, &str>(1)), (42, "x"));
        let wrong = client.query("SELECT * FROM t WHERE id = $1 AND nothing", &[&1_i32]).await.unwrap_err();
        assert_eq!(wrong.code(), Some(&SqlState::UNDEFINED_COLUMN));
    });
    server.stop();
}

#[test]
fn a_portal_gives_its_rows_in_parts() {
    let server = Server::start();
    server.with(async |mut client| {
        client.simple_query("CREATE TABLE n (i INT); INSERT INTO n VALUES (1), (2), (3)").await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let portal = transaction.bind("SELECT i FROM n ORDER BY i", &[]).await.unwrap();
        let first = transaction.query_portal(&portal, 2).await.unwrap();
        let rest = transaction.query_portal(&portal, 2).await.unwrap();
        assert_eq!((first.len(), rest.len()), (2, 1));
        assert_eq!(rest[0].get::<_, i32>(0), 3);
        transaction.commit().await.unwrap();
    });
    server.stop();
}

#[test]
fn a_transaction_is_honest_about_what_it_cannot_do() {
    let server = Server::start();
    server.with(async |client| {
        let cases = [
            ("CREATE TABLE n (i INT PRIMARY KEY)", "#0"),
            ("BEGIN; SELECT 1; ROLLBACK", "#0/1/#1/#0"),
            ("BEGIN; INSERT INTO n VALUES (1); COMMIT", "#0/#1/#0"),
            ("BEGIN", "#0"),
            ("INSERT INTO n VALUES (2)", "#1"),
            ("ROLLBACK", "! 0A000"),
            ("SELECT count(*) FROM n", "2/#1"),
            ("BEGIN", "#0"),
            ("SELECT nothing", "! 42703"),
            ("SELECT 1", "! 25P02"),
            ("COMMIT", "#0"),
            ("SELECT 1", "1/#1"),
            ("SAVEPOINT s", "! 25P01"),
            ("BEGIN; SAVEPOINT s; SELECT 1; ROLLBACK TO SAVEPOINT s; RELEASE s", "#0/#0/1/#1/#0/#0"),
            ("RELEASE s", "! 3B001"),
            ("ROLLBACK", "#0"),
            ("BEGIN; SAVEPOINT s; SELECT nothing", "! 42703"),
            ("ROLLBACK TO s; SELECT 1; INSERT INTO n VALUES (3)", "#0/1/#1/#1"),
            ("ROLLBACK TO s", "! 0A000"),
            ("ROLLBACK", "! 0A000"),
        ];
        all(&client, &cases).await;
    });
    server.stop();
}

#[test]
fn a_query_ends_when_its_client_no_longer_wants_it() {
    let server = Server::start();
    server.with(async |client| {
        client.simple_query("CREATE TABLE n (i INT)").await.unwrap();
        let many: Vec<String> = (0..3_000).map(|i| format!("({i})")).collect();
        client.simple_query(&format!("INSERT INTO n VALUES {}", many.join(","))).await.unwrap();
        let slow = "SELECT sum(a.i * b.i % 7 + c.i) FROM n a, n b, n c WHERE a.i + b.i <> c.i";
        let token = client.cancel_token();
        let asked = said(&client, slow);
        let insist = async {
            // What has not begun yet is not cancelled, so the wish is repeated.
            loop {
                token.cancel_query(NoTls).await.unwrap();
            }
        };
        let cancelled = tokio::select! {
            cancelled = asked => cancelled,
            () = insist => unreachable!("it insists for ever"),
        };
        assert_eq!(cancelled, "! 57014");
    });
    // The query's thread ends by itself.
    server.runtime.shutdown_background();
}

/// The cells of a row that a subscription gives, but for its time.
fn change(row: &SimpleQueryRow) -> String {
    let cells: Vec<&str> = (1..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect();
    cells.join("|")
}

/// Begins to talk, and asks a question.
fn asked(address: SocketAddr, sql: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(b"\0\0\0\x10\0\x03\0\0user\0m\0\0").unwrap();
    let length = u32::try_from(sql.len() + 5).unwrap().to_be_bytes();
    socket.write_all(&[b"Q", &length[..], sql.as_bytes(), b"\0"].concat()).unwrap();
    socket
}

/// Reads until a text comes.
fn hear(socket: &mut TcpStream, wanted: &[u8]) {
    let mut heard = vec![];
    while !heard.windows(wanted.len()).any(|window| window == wanted) {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
}

#[test]
fn changes_come_to_who_subscribed() {
    let server = Server::start();
    server.with(async |mut client| {
        let other = server.client().await;
        client.simple_query("CREATE TABLE n (i INT PRIMARY KEY, k TEXT)").await.unwrap();
        client
            .simple_query("CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n FROM n GROUP BY k; CREATE VIEW plain AS SELECT 1")
            .await
            .unwrap();
        other.simple_query("INSERT INTO n VALUES (1, 'a'), (2, 'a')").await.unwrap();
        assert_eq!(said(&client, "SUBSCRIBE plain").await, "! 42804");
        // As rows and as lines that do not end.
        let mut rows = asked(server.address, "SUBSCRIBE TO v");
        let mut lines = asked(server.address, "COPY (SUBSCRIBE v WITH (SNAPSHOT)) TO STDOUT");
        hear(&mut rows, b"mz_diff");
        hear(&mut rows, b"\0\0\0\x011\0\0\0\x01a\0\0\0\x012");
        hear(&mut lines, b"\t1\ta\t2\n");
        other.simple_query("DELETE FROM n WHERE i = 2").await.unwrap();
        hear(&mut rows, b"\0\0\0\x02-1\0\0\0\x01a\0\0\0\x012");
        hear(&mut lines, b"\t1\ta\t1\n");
        drop((rows, lines));
        // In parts.
        let transaction = client.transaction().await.unwrap();
        let portal = transaction.bind("SUBSCRIBE v", &[]).await.unwrap();
        let first = transaction.query_portal(&portal, 1).await.unwrap();
        assert_eq!((first[0].get::<_, i64>(1), first[0].get::<_, &str>(2)), (1, "a"));
        let (_, next) = tokio::join!(
            async { other.simple_query("INSERT INTO n VALUES (2, 'b')").await.unwrap() },
            transaction.query_portal(&portal, 1)
        );
        assert_eq!(next.unwrap()[0].get::<_, &str>(2), "b");
        transaction.commit().await.unwrap();
        // As the rows of a cursor, which waits for the first.
        let cases = [
            ("BEGIN; DECLARE c CURSOR FOR SUBSCRIBE v WITH (SNAPSHOT = false)", "#0/#0"),
            ("FETCH ALL c WITH (timeout = '0s')", "#0"),
            ("FETCH 1 missing", "! 34000"),
            ("ROLLBACK", "#0"),
            ("FETCH 1 c", "! 34000"),
            ("DECLARE c CURSOR WITH HOLD FOR SUBSCRIBE v WITH (SNAPSHOT = false)", "#0"),
        ];
        all(&client, &cases).await;
        let (_, got) = tokio::join!(
            async { other.simple_query("INSERT INTO n VALUES (9, 'z')").await.unwrap() },
            client.simple_query("FETCH ALL FROM c")
        );
        let got = got.unwrap();
        let rows = got.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(change(row)),
            _ => None,
        });
        assert_eq!(rows.collect::<Vec<_>>(), ["1|z|1"]);
        let cases = [
            ("CLOSE c", "#0"),
            ("DECLARE d CURSOR WITH HOLD FOR SELECT i FROM n ORDER BY i", "#0"),
            ("DECLARE d CURSOR FOR SELECT 1", "! 42P03"),
            ("FETCH 1 d", "1/#1"),
            ("FETCH FORWARD ALL IN d", "2/9/#2"),
            ("FETCH NEXT d", "#0"),
            ("MOVE 1 IN d", "! 0A000"),
            ("CLOSE ALL", "#0"),
            ("FETCH d", "! 34000"),
        ];
        all(&client, &cases).await;
        let mut lines = asked(server.address, "COPY (SELECT k, i FROM n ORDER BY i) TO STDOUT (FORMAT csv, HEADER)");
        for line in [&b"k,i\n"[..], b"a,1\nb,2\nz,9\n", b"COPY 3"] {
            hear(&mut lines, line);
        }
        // What waits for changes ends when it is no longer wanted.
        let waits = said(&client, "SUBSCRIBE v");
        let insist = async {
            loop {
                client.cancel_token().cancel_query(NoTls).await.unwrap();
            }
        };
        let cancelled = tokio::select! {
            cancelled = waits => cancelled,
            () = insist => unreachable!("it insists for ever"),
        };
        assert_eq!(cancelled, "! 57014");
    });
    server.stop();
}

fn certificate(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    (read("certificate.pem"), read("key.pem"))
}

#[test]
fn who_has_not_the_password_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let access = Access::default().with_password(Some("app".into()), "se'cret").unwrap();
    let server = Server::with_access(access.with_tls(&certificate, &key).unwrap());
    let port = server.address.port();
    server.runtime.block_on(async {
        let connect = async |user: &str, password: Option<&str>| {
            let mut config = tokio_postgres::Config::new();
            config.host("127.0.0.1").port(port).user(user);
            password.map(|password| config.password(password));
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        };
        let client = connect("app", Some("se'cret")).await.unwrap();
        assert_eq!(said(&client, "SELECT 1").await, "1/#1");
        for (user, password) in [("app", "wrong"), ("app", ""), ("other", "se'cret")] {
            let why = connect(user, Some(password)).await.err().unwrap();
            assert_eq!(why.code(), Some(&SqlState::INVALID_PASSWORD), "{user} {password}");
        }
        assert!(connect("app", None).await.is_err());
    });
    // A client that does not wait to be let in is not heard.
    let mut intruder = asked(server.address, "CREATE TABLE stolen (i INT)");
    let mut answer = vec![];
    _ = intruder.read_to_end(&mut answer);
    assert!(contains(&answer, "C08P01"), "{answer:?}");
    assert!(server.tallyflow.session().catalogue().get("stolen").is_none());
    let psql = |options: &str, password: &str| {
        let connection = format!("host=localhost hostaddr=127.0.0.1 port={port} user=app dbname=x {options}");
        let said = Command::new("psql")
            .args(["-X", "-A", "-t", "-c", "SELECT 40 + 2", &connection])
            .env("PGPASSWORD", password)
            .output()
            .unwrap();
        String::from_utf8_lossy(if said.status.success() { &said.stdout } else { &said.stderr }).into_owned()
    };
    let trusted = folder.path().join("certificate.pem");
    let verified = format!("sslmode=verify-full sslrootcert={}", trusted.display());
    assert_eq!(psql(&verified, "se'cret"), "42\n");
    assert_eq!(psql(&format!("{verified} channel_binding=require"), "se'cret"), "42\n");
    assert!(psql(&verified, "wrong").contains("password authentication failed for user \"app\""));
    server.stop();

    let access = Access::default().with_tls(&certificate, &key).and_then(Access::tls_only).unwrap();
    let server = Server::with_access(access);
    let plain = server.runtime.block_on(async {
        let setting = format!("host=127.0.0.1 port={} user=app", server.address.port());
        tokio_postgres::connect(&setting, NoTls).await.err().unwrap()
    });
    assert_eq!(plain.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION));
    server.stop();
}

#[test]
fn what_is_cancelled_does_not_go_on() {
    let server = Server::start();
    server.with(async |client| {
        client.simple_query("CREATE TABLE n (i INT); CREATE TABLE m (i BIGINT)").await.unwrap();
        let many: Vec<String> = (0..3_000).map(|i| format!("({i})")).collect();
        client.simple_query(&format!("INSERT INTO n VALUES {}", many.join(","))).await.unwrap();
        let slow = "INSERT INTO m SELECT sum(a.i * b.i % 7 + c.i) FROM n a, n b, n c WHERE a.i + b.i <> c.i";
        let stopped = format!("SET statement_timeout = '500ms'; {slow}");
        assert_eq!(said(&client, &stopped).await, "! 57014");
        // It had the only place for writes, and would have had it for minutes.
        let other = server.client().await;
        assert_eq!(said(&other, "INSERT INTO m VALUES (1); SELECT count(*) FROM m").await, "#1/1/#1");
    });
    server.stop();
}

/// What a server says to bytes that no driver sends.
fn answered(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A server that closes with bytes unread resets; what it said before is there.
    _ = socket.read_to_end(&mut answer);
    answer
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

#[test]
fn clients_that_take_too_much_are_turned_away() {
    let server = Server::start();
    let start: &[u8] = b"\0\0\0\x10\0\x03\0\0user\0m\0\0";
    let huge = [start, b"Q\x7f\xff\xff\xff"].concat();
    assert!(contains(&answered(server.address, &huge), "C08P01"));
    let garbage = answered(server.address, b"GET / HTTP/1.1\r\n\r\n");
    assert!(garbage.is_empty());
    let mut ssl = TcpStream::connect(server.address).unwrap();
    ssl.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut no = [0];
    ssl.read_exact(&mut no).unwrap();
    assert_eq!(&no, b"N");
    drop(ssl);
    server.runtime.block_on(async {
        let setting = format!("host=127.0.0.1 port={} user=me", server.address.port());
        let mut open = Vec::new();
        let refused = loop {
            match tokio_postgres::connect(&setting, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    open.push(client);
                }
                Err(why) => break why,
            }
        };
        assert_eq!(refused.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
        assert!(open.len() <= LIMITS.connections_max);
        assert_eq!(said(&open[0], "SELECT 1").await, "1/#1");
    });
    server.stop();
}
