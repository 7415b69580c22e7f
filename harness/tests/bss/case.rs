//! Case files: events in, rows out, in sections.
//!
//! ```text
//! # base: a customer signs up
//! customer.created@1 2026-01-01T00:00:00Z customerId=C-1 name="Ada L" address.city=Riga
//! clock 2026-02-01T00:00:00Z
//! > customer_id | name
//! > C-1         | Ada L
//! # duplicate: the same bytes come again
//! again e1
//! ```
//!
//! An event is its type without `com.example.bss.` and `.v1`, `@` and its entityversion if it has one, its time, and its data as
//! `name=value`: `12.50EUR` is money, `[a=1 b=2; a=3]` a list of objects, `null true false` what they say, all else text.
//! `5x+60s` before an event makes five of it, a minute apart; `{i}` in it is 0 to 4, `{i%3}` the remainder.
//! `id=` and `recorded=` before the type set these; an event has the id `eN` otherwise, N counting events of the file from 1.
//! `=` for the rows says that they are those of the section before. `UPDATE=1` writes the rows that were found.
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A part of a case: what comes, and what the view says then.
pub struct Section {
    /// Its first line without the `#`.
    pub title: String,
    /// Its lines before the rows.
    pub lines: Vec<String>,
    /// Events as JSON, in order.
    pub events: Vec<Value>,
    /// Header and rows; none where they are as before.
    pub expected: Option<Vec<Vec<String>>>,
}

/// The sections of a file.
pub fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = vec![];
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    let mut count = 0;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(Section {
                title: title.into(),
                lines: vec![],
                events: vec![],
                expected: Some(vec![]),
            });
            continue;
        }
        let Some(section) = sections.last_mut() else {
            if line.is_empty() || line.starts_with("--") {
                continue;
            }
            return Err(format!("{line:?} stands before the first section"));
        };
        if let Some(row) = line.strip_prefix('>') {
            let cells = row.split('|').map(|cell| cell.trim().to_owned()).collect();
            section.expected.get_or_insert_default().push(cells);
            continue;
        }
        if line.trim() == "=" {
            section.expected = None;
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        section.lines.push(line.into());
        if line.starts_with("--") {
            continue;
        }
        if let Some(id) = line.strip_prefix("again ") {
            let event = known.get(id.trim()).ok_or_else(|| format!("there is no event {id:?} before"))?;
            section.events.push(event.clone());
            continue;
        }
        let (times, step_s, line) = repeated(line);
        for i in 0..times {
            count += 1;
            let event = event(&numbered(line, i), count, step_s * i as i64)
                .map_err(|why| format!("{line:?}: {why}"))?;
            known.insert(event["id"].as_str().unwrap_or_default().into(), event.clone());
            section.events.push(event);
        }
    }
    Ok(sections)
}

/// The text of a file whose sections found these rows.
pub fn written(text: &str, sections: &[Section], found: &[Vec<Vec<String>>]) -> String {
    let head: Vec<&str> = text.lines().take_while(|line| !line.starts_with("# ")).collect();
    let mut out = head.join("\n");
    out.truncate(out.trim_end().len());
    let mut before: Option<&Vec<Vec<String>>> = None;
    for (section, rows) in sections.iter().zip(found) {
        out += &format!("{}# {}\n", if out.is_empty() { "" } else { "\n\n" }, section.title);
        for line in &section.lines {
            out += line;
            out.push('\n');
        }
        if before == Some(rows) {
            out += "=\n";
        } else {
            let widths: Vec<usize> = (0..rows[0].len())
                .map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0))
                .collect();
            for row in rows {
                let cells: Vec<String> =
                    row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
                out += format!("> {}", cells.join(" | ")).trim_end();
                out.push('\n');
            }
        }
        before = Some(rows);
        out.truncate(out.trim_end().len());
    }
    out + "\n"
}

/// How often a line stands for an event, the seconds between them, and the event: `5x+60s payment.settled ..`.
fn repeated(line: &str) -> (usize, i64, &str) {
    let parts = || {
        let (head, rest) = line.split_once(' ')?;
        let (times, step) = head.split_once('x')?;
        let step = step.strip_prefix('+').and_then(|step| step.strip_suffix('s')).unwrap_or("0");
        Some((times.parse().ok()?, step.parse().ok()?, rest))
    };
    parts().unwrap_or((1, 0, line))
}

/// `{i}` is the number, `{i%N}` what is left of it.
fn numbered(line: &str, i: usize) -> String {
    let mut line = line.replace("{i}", &i.to_string());
    while let Some(start) = line.find("{i%") {
        let end = start + line[start..].find('}').unwrap_or(0);
        let divisor: usize = line[start + 3..end].parse().unwrap_or(1);
        line.replace_range(start..=end, &(i % divisor).to_string());
    }
    line
}

fn event(line: &str, number: usize, after_s: i64) -> Result<Value, String> {
    let mut words = words(line)?.into_iter().peekable();
    let mut event = json!({"specversion": "1.0", "id": format!("e{number}"), "source": "/case"});
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        let name = match name {
            "id" => "id",
            "source" => "source",
            "recorded" => "recordedtime",
            _ => return Err(format!("{name} does not stand before the type: id, source, recorded do")),
        };
        event[name] = json!(value);
        words.next();
    }
    let kind = words.next().ok_or("a type is missing")?;
    let time = words.next().ok_or("a time is missing")?;
    event["time"] = json!(match after_s {
        0 => time,
        _ => {
            let time = chrono::DateTime::parse_from_rfc3339(&time).map_err(|why| why.to_string())?;
            let time = (time + chrono::TimeDelta::seconds(after_s)).to_utc();
            time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        }
    });
    if kind == "clock" {
        event["type"] = json!("com.example.clock");
        return Ok(event);
    }
    let (kind, version) = kind.split_once('@').map_or((kind.as_str(), None), |(kind, v)| (kind, Some(v)));
    let is_alias = kind.ends_with("Event") && !kind.contains('.');
    event["type"] = json!(if is_alias { kind.to_owned() } else { format!("com.example.bss.{kind}.v1") });
    if let Some(version) = version {
        event["entityversion"] = json!(version.parse::<i64>().map_err(|why| why.to_string())?);
    }
    event["data"] = object(words)?;
    Ok(event)
}

fn object(words: impl Iterator<Item = String>) -> Result<Value, String> {
    let mut object = Value::Object(Map::new());
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is no name=value"))?;
        let mut place = &mut object;
        for part in name.split('.') {
            place = &mut place[part];
        }
        *place = value_of(value)?;
    }
    Ok(object)
}

fn value_of(text: &str) -> Result<Value, String> {
    if let Some(list) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let parts = list.split(';').filter(|part| !part.trim().is_empty());
        let objects: Result<Vec<Value>, String> =
            parts.map(|part| object(words(part)?.into_iter())).collect();
        return Ok(Value::Array(objects?));
    }
    if let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return Ok(json!(quoted));
    }
    let (number, unit) = text.split_at(text.len().saturating_sub(3));
    let is_money = !number.is_empty()
        && unit.bytes().all(|byte| byte.is_ascii_uppercase())
        && number.parse::<f64>().is_ok();
    Ok(match text {
        "null" => Value::Null,
        "true" => json!(true),
        "false" => json!(false),
        _ if is_money => json!({"unit": unit, "value": number}),
        _ => json!(text),
    })
}

/// Words with spaces between them; those in brackets and quotes are part of a word.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (vec![], String::new());
    let (mut depth, mut quoted) = (0, false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth -= 1,
            _ => {}
        }
        if c == ' ' && depth == 0 && !quoted {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if depth != 0 || quoted {
        return Err("a bracket or a quote is not closed".into());
    }
    words.extend((!word.is_empty()).then_some(word));
    Ok(words)
}
