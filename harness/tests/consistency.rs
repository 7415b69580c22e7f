//! Money that is moved while others look: at every read the sum is the same, in each view and across views.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
use arrow::array::RecordBatch;
use harness::{Config, Tallyflow};
use queries::session::{Answer, Session};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const ACCOUNTS: i64 = 40;
const BRANCHES: i64 = 4;
const BALANCE: i64 = 1_000;
const TOTAL: i64 = ACCOUNTS * BALANCE;
const TRANSFERS: usize = 200;
/// Threads that move money, and threads that look.
const WRITERS: usize = 2;
const READERS: usize = 2;

const VIEWS: &[&str] = &[
    "CREATE MATERIALIZED VIEW total AS SELECT sum(balance) AS s, count(*) AS n FROM accounts",
    "CREATE MATERIALIZED VIEW branches AS SELECT branch, sum(balance) AS s FROM accounts GROUP BY branch",
    "CREATE MATERIALIZED VIEW named AS SELECT b.name, a.id, a.balance FROM accounts AS a JOIN branches_of AS b ON b.branch = a.branch",
    "CREATE MATERIALIZED VIEW ranked AS SELECT id, balance, row_number() OVER (ORDER BY balance DESC, id) AS place FROM accounts",
    "CREATE MATERIALIZED VIEW rich AS SELECT id, balance FROM accounts ORDER BY balance DESC, id LIMIT 5",
];

/// What is the same number at every time, on the left and on the right of each.
const READS: &[&str] = &[
    "SELECT s, 40000 FROM total",
    "SELECT sum(s), 40000 FROM branches",
    "SELECT sum(balance), 40000 FROM named",
    "SELECT sum(balance), 40000 FROM accounts",
    "SELECT (SELECT sum(balance) FROM ranked), (SELECT sum(s) FROM branches)",
    "SELECT (SELECT s FROM total), (SELECT sum(balance) FROM named)",
    "SELECT (SELECT sum(balance) FROM rich), (SELECT sum(balance) FROM ranked WHERE place <= 5)",
    "SELECT (SELECT sum(balance) FROM named WHERE name = 'b1'), (SELECT s FROM branches WHERE branch = 1)",
    "SELECT (SELECT count(*) FROM ranked AS r JOIN accounts AS a ON a.id = r.id AND a.balance = r.balance), 40",
];

fn open(workers: usize) -> Tallyflow {
    let tallyflow = Tallyflow::open(Config { workers, ..Config::default() }).unwrap();
    let rows: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {}, {BALANCE})", id % BRANCHES)).collect();
    let names: Vec<String> = (0..BRANCHES).map(|branch| format!("({branch}, 'b{branch}')")).collect();
    for sql in [
        "CREATE TABLE accounts (id INT PRIMARY KEY, branch INT, balance BIGINT)",
        "CREATE TABLE branches_of (branch INT PRIMARY KEY, name TEXT)",
        &format!("INSERT INTO accounts VALUES {}", rows.join(", ")),
        &format!("INSERT INTO branches_of VALUES {}", names.join(", ")),
    ] {
        tallyflow.execute(sql).unwrap();
    }
    VIEWS.iter().for_each(|sql| _ = tallyflow.execute(sql).unwrap());
    // A read waits until the views have their first rows.
    READS.iter().for_each(|sql| check(&tallyflow.session(), sql));
    tallyflow
}

fn transfer(session: &Session, random: &mut ChaCha8Rng) {
    let from = random.random_range(0..ACCOUNTS);
    let to = (from + random.random_range(1..ACCOUNTS)) % ACCOUNTS;
    let amount = random.random_range(1..200);
    let sql = format!(
        "UPDATE accounts SET balance = balance + CASE id WHEN {from} THEN -{amount} WHEN {to} THEN {amount} END WHERE id IN ({from}, {to})"
    );
    session.execute(&sql).unwrap();
}

/// The cells of a row of numbers, as text.
fn row(batch: &RecordBatch) -> Vec<Option<String>> {
    batch.columns().iter().map(|column| queries::text::cell(column.as_ref(), 0)).collect()
}

fn check(session: &Session, sql: &str) {
    let Some(Answer::Rows { rows, time, .. }) = session.execute(sql).unwrap().pop() else { panic!("{sql}") };
    let one = rows.iter().find(|batch| batch.num_rows() == 1);
    let cells = row(one.unwrap_or_else(|| panic!("{sql} at {time}: not one row: {rows:?}")));
    assert!(cells[0].is_some() && cells[0] == cells[1], "{sql} at {time}: {cells:?}");
}

/// One snapshot of the readers' store: the sum of each view that shows all balances.
fn check_snapshot(session: &Session) {
    let read = session.memory().read();
    for (view, column) in [("total", 0), ("branches", 1), ("named", 2), ("ranked", 1)] {
        let mut sum = 0;
        for batch in read.view(view).unwrap().batches(1_000) {
            let cells =
                (0..batch.num_rows()).filter_map(|i| queries::text::cell(batch.column(column).as_ref(), i));
            sum += cells.map(|text| text.parse::<i64>().unwrap()).sum::<i64>();
        }
        assert_eq!(sum, TOTAL, "view {view} at {:?}", read.time());
    }
}

fn no_money_appears_or_vanishes(workers: usize) {
    let tallyflow = open(workers);
    let (over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let session = tallyflow.session();
                let (over, reads) = (&over, &reads);
                scope.spawn(move || {
                    for i in reader.. {
                        check(&session, READS[i % READS.len()]);
                        check_snapshot(&session);
                        reads.fetch_add(1, Ordering::Relaxed);
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let session = tallyflow.session();
                scope.spawn(move || {
                    let mut random = ChaCha8Rng::seed_from_u64(writer as u64);
                    (0..TRANSFERS / WRITERS).for_each(|_| transfer(&session, &mut random));
                })
            })
            .collect();
        let written = writers.into_iter().all(|writer| writer.join().is_ok());
        over.store(true, Ordering::Relaxed);
        let read = readers.into_iter().all(|reader| reader.join().is_ok());
        assert!(written && read, "a thread failed");
    });
    READS.iter().for_each(|sql| check(&tallyflow.session(), sql));
    println!("{workers} workers: {TRANSFERS} transfers, {} reads", reads.into_inner());
    tallyflow.close().unwrap();
}

#[test]
fn no_money_appears_or_vanishes_with_one_worker() {
    no_money_appears_or_vanishes(1);
}

#[test]
fn no_money_appears_or_vanishes_with_four_workers() {
    no_money_appears_or_vanishes(4);
}

/// At every time that is kept, not only at the last.
#[test]
fn earlier_times_are_whole_too() {
    let tallyflow = open(2);
    let session = tallyflow.session();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut times = vec![];
    for _ in 0..20 {
        transfer(&session, &mut random);
        times.push(session.memory().read().time().unwrap());
    }
    for time in times {
        let sql =
            format!("SELECT (SELECT sum(s) FROM branches), (SELECT sum(balance) FROM named) AS OF {time}");
        check(&session, &sql);
    }
    tallyflow.close().unwrap();
}
