//! `SET`, `RESET` and `SHOW`: which settings a client may change, and to what.
use super::catalog::VERSION;
use super::command::Command;
use super::fault::fault;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings that have one value here, with the names under which clients are told of them. Another value is refused.
const FIXED: [(&str, &str, &str); 16] = [
    ("client_encoding", "client_encoding", "UTF8"),
    ("server_encoding", "server_encoding", "UTF8"),
    ("datestyle", "DateStyle", "ISO, MDY"),
    ("intervalstyle", "IntervalStyle", "postgres"),
    ("timezone", "TimeZone", "UTC"),
    ("integer_datetimes", "integer_datetimes", "on"),
    ("standard_conforming_strings", "standard_conforming_strings", "on"),
    ("server_version", "server_version", VERSION),
    ("is_superuser", "is_superuser", "on"),
    ("in_hot_standby", "in_hot_standby", "off"),
    ("default_transaction_read_only", "default_transaction_read_only", "off"),
    ("bytea_output", "bytea_output", "hex"),
    ("lc_collate", "lc_collate", "C"),
    ("server_version_num", "server_version_num", "160006"),
    ("max_identifier_length", "max_identifier_length", "63"),
    ("max_index_keys", "max_index_keys", "32"),
];

/// Settings that may have any value, because nothing here depends on them.
const FREE: [(&str, &str); 26] = [
    ("application_name", ""),
    ("search_path", "\"$user\", public"),
    ("extra_float_digits", "1"),
    ("client_min_messages", "notice"),
    ("transaction_isolation", "read committed"),
    ("default_transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("session_characteristics", ""),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("row_security", "on"),
    ("synchronous_commit", "on"),
    ("jit", "off"),
    ("enable_seqscan", "on"),
    ("enable_nestloop", "on"),
    ("plan_cache_mode", "auto"),
    ("work_mem", "4MB"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("xmloption", "content"),
    ("check_function_bodies", "on"),
    ("session_replication_role", "origin"),
    ("role", "none"),
    ("session_authorization", "postgres"),
    ("geqo", "on"),
];

/// The value of a setting that clients cannot change, or its default.
pub(super) fn fixed(name: &str) -> Option<&'static str> {
    FIXED
        .iter()
        .map(|(known, _, value)| (*known, *value))
        .chain(FREE)
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// Every setting as it is shown, with the value that it has by default.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIXED.iter().map(|(_, shown, value)| (*shown, *value)).chain(FREE).chain([("statement_timeout", "0")])
}

/// What clients are told when they connect, and the value of each.
pub(super) fn told() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIXED.iter().take(11).map(|(_, shown, value)| (*shown, *value))
}

/// The settings of one connection.
#[derive(Debug, Default)]
pub(super) struct Settings {
    changed: BTreeMap<String, String>,
    /// How long a statement may take.
    pub(super) statement_timeout: Option<Duration>,
}

impl Settings {
    /// Takes a setting over from the start of the connection. One that cannot be so keeps its value, of which the client is told.
    pub(super) fn start(&mut self, name: &str, value: &str) {
        _ = self.set(name, value);
    }

    /// The value of each, by names in small letters.
    pub(super) fn values(&self) -> BTreeMap<String, String> {
        let mut values: BTreeMap<String, String> =
            all().map(|(name, value)| (name.to_lowercase(), value.to_string())).collect();
        values.extend(self.changed.clone());
        values
    }

    /// SET: the tag, and what the client is to be told.
    pub(super) fn assign(&mut self, command: &Command) -> PgWireResult<Option<(String, String)>> {
        let first = usize::from(matches!(command.word(1).as_deref(), Some("SESSION" | "LOCAL"))) + 1;
        let word = |at: usize| command.word(at).unwrap_or_default();
        match (word(first).as_str(), word(first + 1).as_str()) {
            ("CHARACTERISTICS" | "TRANSACTION" | "CONSTRAINTS" | "ROLE" | "AUTHORIZATION", _) => {
                return Ok(None);
            }
            ("TIME", "ZONE") => return self.set("timezone", &value(command, first + 2)),
            ("NAMES", _) => return self.set("client_encoding", &value(command, first + 1)),
            _ => {}
        }
        let name = match command.tokens.get(first) {
            Some((Token::Word(word), _)) => word.value.to_lowercase(),
            _ => return Err(fault("42601", "SET needs the name of a setting".into())),
        };
        match command.tokens.get(first + 1) {
            Some((Token::Eq, _)) => {}
            Some(_) if word(first + 1) == "TO" => {}
            // A name with a point in it belongs to an extension: none is here to read it.
            Some((Token::Period, _)) => return Ok(None),
            _ => return Err(fault("42601", format!("SET {name} needs TO or = and a value"))),
        }
        self.set(&name, &value(command, first + 2))
    }

    fn set(&mut self, name: &str, value: &str) -> PgWireResult<Option<(String, String)>> {
        let name = name.to_lowercase();
        if name == "statement_timeout" {
            self.statement_timeout = duration(value)?;
            self.changed.insert(name, value.to_string());
            return Ok(None);
        }
        if let Some((_, shown, only)) = FIXED.iter().find(|(known, ..)| *known == name) {
            return match same(&name, value, only) {
                true => Ok(Some(((*shown).to_string(), (*only).to_string()))),
                false => Err(fault(
                    "0A000",
                    format!("{name} is always {only} here, not {value}: leave the SET out"),
                )),
            };
        }
        if !FREE.iter().any(|(known, _)| *known == name) {
            return Err(unknown(&name));
        }
        match value.eq_ignore_ascii_case("default") {
            true => self.changed.remove(&name),
            false => self.changed.insert(name.clone(), value.to_string()),
        };
        Ok((name == "application_name").then(|| (name, value.to_string())))
    }

    /// RESET.
    pub(super) fn reset(&mut self, command: &Command) {
        match command.word(1).map(|name| name.to_lowercase()) {
            Some(name) if name != "all" => {
                if name == "statement_timeout" {
                    self.statement_timeout = None;
                }
                self.changed.remove(&name);
            }
            _ => *self = Settings::default(),
        }
    }

    /// SHOW: the column's name and the value.
    pub(super) fn show(&self, command: &Command) -> PgWireResult<(String, String)> {
        let words: Vec<String> = (1..command.tokens.len()).filter_map(|at| command.word(at)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let name = match words.as_slice() {
            ["TIME", "ZONE"] => "timezone".to_string(),
            ["TRANSACTION", "ISOLATION", "LEVEL"] => "transaction_isolation".to_string(),
            ["SESSION", "AUTHORIZATION"] => "session_authorization".to_string(),
            [name] => name.to_lowercase(),
            _ => return Err(fault("42601", "SHOW takes the name of one setting".into())),
        };
        if let Some(value) = self.changed.get(&name) {
            return Ok((name, value.clone()));
        }
        if name == "statement_timeout" {
            return Ok((name, "0".into()));
        }
        let value = fixed(&name).ok_or_else(|| unknown(&name))?;
        let shown =
            FIXED.iter().find(|(known, ..)| *known == name).map_or(name.as_str(), |(_, shown, _)| shown);
        Ok((shown.to_string(), value.to_string()))
    }
}

fn unknown(name: &str) -> datafusion_postgres::pgwire::error::PgWireError {
    fault("42704", format!("unrecognized configuration parameter {name:?}"))
}

/// The rest of a statement from a token on, without the quotes of a single one.
fn value(command: &Command, at: usize) -> String {
    match command.tokens.get(at) {
        Some((Token::SingleQuotedString(text), _)) if command.tokens.len() == at + 1 => text.clone(),
        Some((Token::Word(word), _)) if command.tokens.len() == at + 1 => word.value.clone(),
        Some((_, bytes)) => command.sql[bytes.start..].to_string(),
        None => String::new(),
    }
}

fn same(name: &str, value: &str, only: &str) -> bool {
    let value = value.trim_matches(['\'', '"']).to_lowercase();
    match name {
        _ if value == only.to_lowercase() || value == "default" => true,
        "client_encoding" => matches!(value.as_str(), "utf-8" | "unicode"),
        "datestyle" => value == "iso" || value.starts_with("iso,"),
        "timezone" => {
            matches!(value.as_str(), "etc/utc" | "gmt" | "etc/gmt" | "z" | "zulu" | "0" | "+00:00" | "local")
        }
        "standard_conforming_strings" | "integer_datetimes" => matches!(value.as_str(), "true" | "1"),
        "default_transaction_read_only" => matches!(value.as_str(), "false" | "0"),
        _ => false,
    }
}

/// Milliseconds, or a number with a unit; zero is no limit.
pub(super) fn duration(text: &str) -> PgWireResult<Option<Duration>> {
    let text = text.trim_matches(['\'', '"']).trim();
    if text.eq_ignore_ascii_case("default") {
        return Ok(None);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let each = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    match number.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(number) if each > 0 => Ok(Some(Duration::from_millis(number.saturating_mul(each)))),
        _ => Err(fault("22023", format!("invalid value for parameter \"statement_timeout\": {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::single;
    use super::*;

    #[test]
    fn a_setting_is_kept_or_refused() {
        let mut settings = Settings::default();
        let mut set =
            |sql: &str| settings.assign(&single(sql).expect("it is text").expect("it is one")).is_ok();
        for sql in [
            "SET application_name = 'psql'",
            "SET client_encoding TO 'utf-8'",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET TIME ZONE 'UTC'",
            "set statement_timeout = '5s'",
            "SET datestyle TO ISO, DMY",
        ] {
            assert!(set(sql), "{sql}");
        }
        for sql in ["SET TIME ZONE 'Europe/Berlin'", "SET no_such = 1", "SET bytea_output = escape", "SET"] {
            assert!(!set(sql), "{sql}");
        }
        assert_eq!(settings.statement_timeout, Some(Duration::from_secs(5)));
        let show = single("SHOW application_name").expect("it is text").expect("it is one");
        assert_eq!(settings.show(&show).expect("it is known").1, "psql");
    }
}
