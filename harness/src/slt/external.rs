//! `CREATE EXTERNAL TABLE .. STORED AS CSV` of other systems' scripts: a plain table and the file's rows as inserts.
use super::script;
use std::path::{Component, Path, PathBuf};

const ROWS_PER_INSERT: usize = 500;

/// The statements that make the table, the definition first; none where the statement is of another kind.
pub fn statements(sql: &str, base: &Path) -> Option<Result<Vec<String>, String>> {
    let words = script::words(sql);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let external = words.first() == Some(&"create") && words.iter().take(3).any(|word| *word == "external");
    (external && words.contains(&"csv")).then(|| load(sql, base))
}

fn load(sql: &str, base: &Path) -> Result<Vec<String>, String> {
    let script::Effect::Table(name) = script::effect(sql) else { return Err("no table name".into()) };
    let location = text_after(sql, "location").ok_or("no LOCATION")?;
    let path = lexical(&base.join(&location));
    let header = option(sql, "format.has_header").is_none_or(|value| value != "false");
    let delimiter = option(sql, "format.delimiter").and_then(|text| text.chars().next()).unwrap_or(',');
    let (mut names, mut rows) = (vec![], vec![]);
    for file in files(&path)? {
        let text = std::fs::read_to_string(&file)
            .map_err(|why| format!("cannot read {}: {}", file.display(), why.kind()))?;
        let mut records = records(&text, delimiter).into_iter();
        if header {
            names = records.next().unwrap_or_default();
        }
        rows.extend(records);
    }
    let columns = match columns(sql) {
        Some(columns) => columns.trim_end().trim_end_matches(',').to_owned(),
        None if names.is_empty() => return Err("the columns of a CSV table are not known".into()),
        None => inferred(&names, &rows),
    };
    let quoted: Vec<bool> = column_types(&columns).iter().map(|of| !is_number_type(of)).collect();
    let mut statements = vec![format!("CREATE TABLE {name} ({columns})")];
    for chunk in rows.chunks(ROWS_PER_INSERT) {
        let rows: Vec<String> = chunk.iter().map(|row| values(row, &quoted)).collect();
        statements.push(format!("INSERT INTO {name} VALUES {}", rows.join(", ")));
    }
    Ok(statements)
}

/// `..` taken out by name, since the folder that the scripts stood in is not there.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = out.pop(),
            part => out.push(part),
        }
    }
    out
}

fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |why: std::io::Error| format!("cannot read {}: {}", path.display(), why.kind());
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = vec![];
    for entry in std::fs::read_dir(path).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.retain(|file| file.extension().is_some_and(|of| of == "csv"));
    files.sort();
    Ok(files)
}

/// The quoted text after a word.
fn text_after(sql: &str, word: &str) -> Option<String> {
    let at = sql.to_lowercase().rfind(&format!("{word} '"))?;
    let rest = &sql[at + word.len() + 2..];
    Some(rest[..rest.find('\'')?].to_owned())
}

/// `'name' 'value'` or `'name' value` among the options.
fn option(sql: &str, name: &str) -> Option<String> {
    let at = sql.to_lowercase().find(&format!("'{name}'"))?;
    let rest = sql[at + name.len() + 2..].trim_start();
    match rest.strip_prefix('\'') {
        Some(rest) => Some(rest[..rest.find('\'')?].to_lowercase()),
        None => Some(rest.split([',', ')', ' ', '\n']).next()?.to_lowercase()),
    }
}

/// The text between the parentheses before STORED AS.
fn columns(sql: &str) -> Option<&str> {
    let open = sql.find('(')?;
    let stored = sql.to_lowercase().find("stored as")?;
    let mut depth = 0usize;
    for (i, c) in sql.char_indices().skip_while(|(i, _)| *i < open) {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return (i < stored).then(|| &sql[open + 1..i]),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The second word of each column's definition.
fn column_types(columns: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut types = vec![];
    let mut definition = String::new();
    for c in columns.chars().chain([',']) {
        match c {
            ',' if depth == 0 => {
                types.push(definition.split_whitespace().nth(1).unwrap_or_default().to_lowercase());
                definition.clear();
            }
            c => {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                definition.push(c);
            }
        }
    }
    types
}

/// The columns of a file by its header and cells.
fn inferred(names: &[String], rows: &[Vec<String>]) -> String {
    let is_day = |cell: &str| cell.len() == 10 && cell.split('-').map(str::len).eq([4, 2, 2]);
    let of = |i: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(i)).filter(|cell| !cell.is_empty());
        let all = |is: &dyn Fn(&str) -> bool| cells().all(|cell| is(cell));
        match () {
            () if cells().next().is_none() => "VARCHAR",
            () if all(&|cell| cell.parse::<i64>().is_ok()) => "BIGINT",
            () if all(&|cell| cell.parse::<f64>().is_ok()) => "DOUBLE",
            () if all(&|cell| matches!(cell, "true" | "false")) => "BOOLEAN",
            () if all(&is_day) => "DATE",
            () if all(&|cell| cell.get(..10).is_some_and(is_day) && cell.contains(':')) => "TIMESTAMP",
            () => "VARCHAR",
        }
    };
    let columns: Vec<String> =
        names.iter().enumerate().map(|(i, name)| format!("{name} {}", of(i))).collect();
    columns.join(", ")
}

fn is_number_type(of: &str) -> bool {
    let numbers =
        ["int", "tinyint", "smallint", "bigint", "float", "real", "double", "decimal", "numeric", "boolean"];
    numbers.iter().any(|number| of.starts_with(number))
}

fn values(row: &[String], quoted: &[bool]) -> String {
    let cells: Vec<String> = row
        .iter()
        .enumerate()
        .map(|(i, cell)| match quoted.get(i) {
            _ if cell.is_empty() => "NULL".into(),
            Some(false) => cell.clone(),
            _ => format!("'{}'", cell.replace('\'', "''")),
        })
        .collect();
    format!("({})", cells.join(", "))
}

/// The records of a CSV text (RFC 4180).
fn records(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut records = vec![];
    let mut record = vec![];
    let mut cell = String::new();
    let mut inside = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => inside = !inside,
            c if inside => cell.push(c),
            c if c == delimiter => record.push(std::mem::take(&mut cell)),
            '\n' | '\r' => {
                if !record.is_empty() || !cell.is_empty() {
                    record.push(std::mem::take(&mut cell));
                    records.push(std::mem::take(&mut record));
                }
            }
            c => cell.push(c),
        }
    }
    if !record.is_empty() || !cell.is_empty() {
        record.push(cell);
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_table_becomes_inserts() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(folder.path().join("a.csv"), "x,y\n1,\"it's, \"\"so\"\"\"\n,b\n")
            .expect("it is writable");
        let sql = "CREATE EXTERNAL TABLE t (x INT, y VARCHAR(3), z DECIMAL(3, 2))\nSTORED AS CSV\nLOCATION '../a.csv'\n\
                   OPTIONS ('format.has_header' 'true')";
        let statements =
            statements(sql, &folder.path().join("gone")).expect("it is one").expect("the file is there");
        assert_eq!(
            statements,
            [
                "CREATE TABLE t (x INT, y VARCHAR(3), z DECIMAL(3, 2))",
                "INSERT INTO t VALUES (1, 'it''s, \"so\"'), (NULL, 'b')"
            ]
        );
        let bare = "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '../a.csv'";
        let made = super::statements(bare, &folder.path().join("gone"))
            .expect("it is one")
            .expect("the file is there");
        assert_eq!(made[0], "CREATE TABLE t (x BIGINT, y VARCHAR)");
    }
}
