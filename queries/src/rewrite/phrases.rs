//! Words that the parser does not read, or reads otherwise than PostgreSQL, changed before it: the schema `public`, types of Flink and
//! RisingWave, `CREATE RECURSIVE VIEW`, `WITH DATA`; and clauses that nothing here can follow, refused with what to write instead.
use super::tokens::{is_blank, is_word, spliced};
use crate::DeclareError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The tokens of a statement in words that are read.
pub(super) fn read(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, DeclareError> {
    for token in &mut tokens {
        literal(token);
    }
    let places: Vec<usize> =
        (0..tokens.len()).filter(|i| !is_blank(&tokens[*i]) && tokens[*i].token != Token::EOF).collect();
    let words: Vec<&Token> = places.iter().map(|place| &tokens[*place].token).collect();
    refuse(&words)?;
    let found = Words(&words);
    let mut changes = vec![];
    for n in 0..words.len() {
        if let Some((until, text)) = found.change(n) {
            changes.push((places[n], places[until - 1] + 1, text));
        }
    }
    if let Some(list) = found.recursive_view() {
        changes.extend(list.into_iter().map(|(from, until, text)| {
            let place = |n: usize| places.get(n).copied().unwrap_or(places[places.len() - 1] + 1);
            (place(from), if from == until { place(from) } else { place(until - 1) + 1 }, text)
        }));
    }
    Ok(if changes.is_empty() { tokens } else { spliced(&tokens, changes) })
}

/// `U&'..'` is a text, and `0x1F` a number; `X'1F'` is none.
fn literal(token: &mut TokenWithSpan) {
    match &token.token {
        Token::UnicodeStringLiteral(text) => token.token = Token::SingleQuotedString(text.clone()),
        Token::HexStringLiteral(digits) => {
            let width = token.span.end.column.saturating_sub(token.span.start.column);
            if width == digits.len() as u64 + 2
                && let Ok(number) = u64::from_str_radix(digits, 16)
            {
                token.token = Token::Number(number.to_string(), false);
            }
        }
        _ => {}
    }
}

struct Words<'a>(&'a [&'a Token]);

impl Words<'_> {
    fn is(&self, at: usize, text: &str) -> bool {
        self.0.get(at).is_some_and(|token| is_word(token, text))
    }

    fn are(&self, at: usize, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(i, text)| self.is(at + i, text))
    }

    fn has(&self, at: usize, token: &Token) -> bool {
        self.0.get(at).is_some_and(|found| *found == token)
    }

    fn is_name(&self, at: usize) -> bool {
        matches!(self.0.get(at), Some(Token::Word(_)))
    }

    /// Where the words of a statement begin that declares a table.
    fn declares_table(&self) -> bool {
        self.is(0, "create") && (1..4).any(|at| self.is(at, "table"))
    }

    /// Until where the words from here are changed, and into what.
    fn change(&self, n: usize) -> Option<(usize, String)> {
        let before = |step: usize| n.checked_sub(step);
        let is_public = matches!(self.0[n], Token::Word(word) if match word.quote_style {
            Some(_) => word.value == "public",
            None => word.value.eq_ignore_ascii_case("public"),
        });
        if is_public && self.has(n + 1, &Token::Period) && self.is_name(n + 2) {
            let inside = before(1).is_some_and(|at| self.has(at, &Token::Period));
            return (!inside).then(|| (n + 2, String::new()));
        }
        let inside = before(1).is_some_and(|at| self.has(at, &Token::Period));
        let is_call = self.is_name(n + 2) && self.has(n + 3, &Token::LParen);
        if self.is(n, "pg_catalog") && self.has(n + 1, &Token::Period) && is_call && !inside {
            return Some((n + 2, String::new()));
        }
        let table = self.declares_table();
        let typed = before(1).is_some_and(|at| {
            self.is(at, "as") || self.has(at, &Token::DoubleColon) || table && self.is_name(at)
        });
        if typed && self.is(n, "timestamp_ltz") {
            return Some((n + 1, "TIMESTAMPTZ".into()));
        }
        if typed && self.is(n, "timestamp_ntz") {
            return Some((n + 1, "TIMESTAMP".into()));
        }
        if typed && self.is(n, "row") && self.has(n + 1, &Token::Lt) {
            return Some((n + 1, "STRUCT".into()));
        }
        if table && n > 0 && self.is(n, "array") && !self.has(n + 1, &Token::Lt) {
            let of = self.is_name(n - 1) || self.has(n - 1, &Token::RParen);
            let ends = match self.0.get(n + 1) {
                Some(Token::Comma | Token::RParen) => true,
                _ => ["not", "null", "default", "primary", "unique"].iter().any(|text| self.is(n + 1, text)),
            };
            return (of && ends && !self.is(n - 1, "as")).then(|| (n + 1, "[]".into()));
        }
        if n == 1 && self.is(0, "create") && self.is(1, "unlogged") && self.is(2, "table") {
            return Some((n + 1, String::new()));
        }
        // How large groups are expected to be says nothing of the answer.
        if self.is(n, "options")
            && self.has(n + 1, &Token::LParen)
            && ["expected", "aggregate", "distinct", "limit"].iter().any(|text| self.is(n + 2, text))
            && let Some(close) = (n + 2..self.0.len()).find(|at| self.has(*at, &Token::RParen))
            && (n + 2..close).any(|at| self.are(at, &["group", "size"]))
        {
            return Some((close + 1, String::new()));
        }
        let (create, last) = (self.is(0, "create"), self.0.len());
        if create && n + 2 == last && self.are(n, &["with", "data"]) {
            return Some((last, String::new()));
        }
        // A view is filled whenever it is read.
        let view = (1..4).any(|at| self.is(at, "materialized"));
        if create && view && n + 3 == last && self.are(n, &["with", "no", "data"]) {
            return Some((last, String::new()));
        }
        None
    }

    /// `CREATE RECURSIVE VIEW v (a, b) AS query`: the places that change.
    fn recursive_view(&self) -> Option<Vec<(usize, usize, String)>> {
        let at = (1..4).find(|at| self.are(*at, &["recursive", "view"]))?;
        if !self.is(0, "create") || !self.is_name(at + 2) || !self.has(at + 3, &Token::LParen) {
            return None;
        }
        let close = (at + 4..self.0.len()).find(|at| self.has(*at, &Token::RParen))?;
        if !self.is(close + 1, "as") {
            return None;
        }
        let name = self.0[at + 2].to_string();
        let columns: String =
            self.0[at + 4..close].iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let (from, end) = (close + 2, self.0.len());
        Some(vec![
            (at, at + 1, String::new()),
            (at + 3, close + 1, String::new()),
            (from, from, format!(" WITH RECURSIVE {name} ({columns}) AS (")),
            (end, end, format!(") SELECT {columns} FROM {name}")),
        ])
    }
}

/// What no view can follow.
fn refuse(words: &[&Token]) -> Result<(), DeclareError> {
    let found = Words(words);
    let unsupported = |text: &str| Err(DeclareError::Unsupported(text.into()));
    for n in 1..words.len() {
        if found.is(n, "match_recognize") && found.has(n + 1, &Token::LParen) {
            return unsupported(
                "MATCH_RECOGNIZE is not maintained: compare a row with those before it by LAG(..) OVER (PARTITION BY .. ORDER BY ..), or join the table with itself on its key and an interval of time",
            );
        }
        if found.are(n, &["for", "system_time", "as", "of"]) {
            return unsupported(
                "FOR SYSTEM_TIME AS OF a time of the row is not maintained: write ASOF JOIN over the history of the right side, or FOR SYSTEM_TIME AS OF PROCTIME() for its rows as they are",
            );
        }
    }
    if found.is(0, "create") {
        let at = if found.are(1, &["or", "replace"]) { 3 } else { 1 };
        let at = at + usize::from(found.is(at, "temporary") || found.is(at, "temp"));
        if found.is(at, "source") {
            return unsupported(
                "CREATE SOURCE is not supported: write CREATE EXTERNAL TABLE, whose rows come from events, or CREATE TABLE, which takes INSERT",
            );
        }
        if ["connection", "cluster", "subscription", "catalog"].iter().any(|word| found.is(at, word)) {
            return unsupported(&format!(
                "CREATE {} is not supported: leave it out",
                words[at].to_string().to_uppercase()
            ));
        }
        if found.is(at, "function") && found.is(at + 2, "as") {
            return unsupported(
                "CREATE FUNCTION .. AS 'class' is not supported: write CREATE FUNCTION name(a type, ..) RETURNS type LANGUAGE SQL AS 'expression'",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    #[test]
    fn words_of_other_systems_are_read() {
        let cases = [
            ("SELECT public.t.a FROM public.t", "SELECT t.a FROM t"),
            ("SELECT a.public.b, 0x1F, X'1F'", "SELECT a.public.b, 31, X'1F'"),
            (
                "SELECT pg_catalog.lower(a) FROM pg_catalog.pg_class",
                "SELECT lower(a) FROM pg_catalog.pg_class",
            ),
            ("SELECT U&'\\0041'", "SELECT 'A'"),
            (
                "CREATE TABLE t (a ROW<x INT>, b INT ARRAY, c TIMESTAMP_LTZ(3), d ARRAY<INT>)",
                "CREATE TABLE t (a STRUCT<x INT>, b INT [], c TIMESTAMPTZ(3), d ARRAY<INT>)",
            ),
            ("SELECT row < 5, CAST(a AS TIMESTAMP_LTZ(3))", "SELECT row < 5, CAST(a AS TIMESTAMPTZ(3))"),
            ("CREATE UNLOGGED TABLE t (a INT)", "CREATE TABLE t (a INT)"),
            ("CREATE TABLE t AS SELECT 1 WITH DATA", "CREATE TABLE t AS SELECT 1"),
            ("CREATE MATERIALIZED VIEW v AS SELECT 1 WITH NO DATA", "CREATE MATERIALIZED VIEW v AS SELECT 1"),
            (
                "CREATE RECURSIVE VIEW v (a, b) AS SELECT 1, 2",
                "CREATE VIEW v AS WITH RECURSIVE v (a , b) AS (SELECT 1, 2) SELECT a , b FROM v",
            ),
        ];
        for (written, expected) in cases {
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, written).tokenize_with_location();
            let found = read(tokens.unwrap_or_default()).unwrap_or_else(|why| panic!("{written}: {why}"));
            let found: Vec<String> =
                found.iter().map(|token| token.token.to_string()).filter(|text| text != "EOF").collect();
            let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(plain(&found.concat()), expected, "{written}");
        }
        let refused = [
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B))",
            "SELECT * FROM t JOIN u FOR SYSTEM_TIME AS OF t.ts ON true",
            "CREATE SOURCE s (a INT) WITH (connector = 'x')",
            "CREATE TEMPORARY FUNCTION f AS 'com.example.F'",
        ];
        for written in refused {
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, written).tokenize_with_location();
            assert!(read(tokens.unwrap_or_default()).is_err(), "{written}");
        }
    }
}
