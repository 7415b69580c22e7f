//! Readers of changes that drop, that do not read, that come again all at once; and one whose copy is compared with the view.
use crate::lines::{injected, load, until, while_it_runs};
use crate::world::{HANG, Life, World};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// A client's copy of a view, by what it was sent.
#[derive(Default)]
struct Copy {
    rows: BTreeMap<String, i64>,
    pending: Vec<(String, i64)>,
    id: Option<String>,
}

fn open(address: &str, view: &str, id: Option<&str>) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(HANG))?;
    let last = id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    write!(stream, "GET /api/v1/views/{view}/changes HTTP/1.0\r\nHost: x\r\n{last}\r\n")?;
    Ok(stream)
}

impl Copy {
    /// Reads from where it was, until some commits were seen, or that there are none; the connection is then broken.
    fn read(&mut self, address: &str, view: &str, mut commits: usize) {
        let mut lines = BufReader::new(open(address, view, self.id.as_deref()).unwrap());
        self.pending.clear();
        let (mut name, mut id) = (String::new(), None);
        while commits > 0 {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => name = text.into(),
                Some(("id", text)) => id = Some(text.to_owned()),
                Some(("data", text)) => {
                    self.take(&name, &serde_json::from_str(text).unwrap());
                    commits -= usize::from(name == "commit" || name == "progress");
                    // Within a time the client has not applied what it saw: it comes again from the last commit.
                    if name == "commit" || name == "progress" {
                        self.id = id.take().or(self.id.take());
                    }
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, name: &str, data: &Value) {
        let mut add = |row: &Value, diff: i64| self.pending.push((row.to_string(), diff));
        match name {
            "reset" => *self = Copy::default(),
            "snapshot" => data["rows"].as_array().unwrap().iter().for_each(|row| add(row, 1)),
            "change" if data["op"] == "update" => {
                add(&data["old"], -1);
                add(&data["row"], 1);
            }
            "change" => add(&data["row"], data["diff"].as_i64().unwrap()),
            "commit" => {
                for (row, diff) in std::mem::take(&mut self.pending) {
                    *self.rows.entry(row).or_default() += diff;
                }
                self.rows.retain(|_, count| *count != 0);
            }
            _ => {}
        }
    }
}

fn now(life: &mut Life, view: &str) -> BTreeMap<String, i64> {
    let (status, body) =
        life.ask("GET", &format!("/api/v1/views/{view}?limit=10000"), "text/plain", "").unwrap();
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["rows"].as_array().unwrap().iter().map(|row| (row.to_string(), 1)).collect()
}

pub fn readers(world: &mut World, round: u64) {
    while_it_runs(world, |world, life| {
        let address = life.address.clone().unwrap();
        let mut careful = Copy::default();
        // Those who never read; their connections stand until the end.
        let slow: Vec<TcpStream> = (0..20).filter_map(|_| open(&address, "customers", None).ok()).collect();
        injected(world, "20 readers that do not read");
        for step in 0..5 {
            load(world, life, 2);
            careful.read(&address, "customers", 1 + step % 2);
            injected(world, "reader dropped");
        }
        let storm = if round == 0 { 100 } else { 1_000 };
        let many: Vec<TcpStream> =
            (0..storm).filter_map(|_| open(&address, "totals", careful.id.as_deref()).ok()).collect();
        injected(world, &format!("storm of {storm}"));
        load(world, life, 2);
        drop(many);
        world.catch_up(life);
        // Nothing comes any more: the copy and the view are of one content.
        until("the copy", life, |life| {
            careful.read(&address, "customers", 1);
            now(life, "customers") == careful.rows
        });
        drop(slow);
    });
}
