//! `COPY .. TO STDOUT`: rows as lines of text, those of a query or the changes of a view.
use super::cell::{Cell, cell};
use super::command::Command;
use super::fault::fault;
use super::{oid, text};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::fmt::Write;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    csv: bool,
    header: bool,
}

/// A COPY: what is copied, and how. What is copied is a query between two tokens, or a name.
#[derive(Debug)]
pub(super) struct Copy {
    /// Where the query stands; a table's name is one token.
    pub(super) from: usize,
    pub(super) to: usize,
    /// `table` or `table (column, ..)`.
    pub(super) is_name: bool,
    pub(super) lines: Lines,
}

impl Copy {
    /// What a command asks for.
    pub(super) fn parse(command: &Command) -> PgWireResult<Copy> {
        let wrong = || {
            fault(
                "42601",
                "write COPY (query) TO STDOUT, or COPY name TO STDOUT [WITH (FORMAT csv, HEADER)]".into(),
            )
        };
        let word = |at: usize| command.word(at).unwrap_or_default();
        let token = |at: usize| command.tokens.get(at).map(|(token, _)| token);
        let is_name = token(1) != Some(&Token::LParen);
        let from = if is_name { 1 } else { 2 };
        let (mut depth, mut at) = (usize::from(!is_name), from);
        loop {
            match token(at).ok_or_else(wrong)? {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            match (depth, word(at).as_str()) {
                (0, "FROM") if is_name => {
                    return Err(fault(
                        "0A000",
                        "COPY FROM is not supported: use INSERT with many rows".into(),
                    ));
                }
                (0, "TO") if is_name => break,
                (0, _) if !is_name => break,
                _ => at += 1,
            }
        }
        let to = at;
        if !is_name {
            at += 1;
        }
        if to == from || word(at) != "TO" {
            return Err(wrong());
        }
        if word(at + 1) != "STDOUT" {
            return Err(fault("0A000", "COPY writes to STDOUT only".into()));
        }
        let mut lines = Lines::default();
        let rest: Vec<String> = (at + 2..command.tokens.len())
            .filter_map(|at| match &command.tokens[at].0 {
                Token::Word(word) => Some(word.value.to_uppercase()),
                Token::SingleQuotedString(text) => Some(text.to_uppercase()),
                Token::LParen | Token::RParen | Token::Comma => None,
                other => Some(other.to_string()),
            })
            .collect();
        let mut words = rest.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            match word {
                "WITH" | "FORMAT" => {}
                "CSV" => lines.csv = true,
                "TEXT" => lines.csv = false,
                "HEADER" => {
                    let off = words.next_if(|next| matches!(*next, "TRUE" | "ON" | "FALSE" | "OFF"));
                    lines.header = !matches!(off, Some("FALSE" | "OFF"));
                }
                other => {
                    return Err(fault(
                        "0A000",
                        format!(
                            "COPY with {other} is not supported: known are FORMAT text or csv, and HEADER"
                        ),
                    ));
                }
            }
        }
        Ok(Copy { from, to, is_name, lines })
    }
}

impl Lines {
    /// The names of the columns, where they are wanted.
    pub(super) fn head(self, schema: &SchemaRef) -> Option<String> {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        self.header.then(|| self.line(names.map(Some)))
    }

    /// The rows of a batch.
    pub(super) fn of(self, batch: &RecordBatch) -> PgWireResult<String> {
        let schema = batch.schema();
        let types =
            schema.fields().iter().map(|field| oid::of_field(field)).collect::<PgWireResult<Vec<_>>>()?;
        let mut out = String::new();
        for row in 0..batch.num_rows() {
            let mut cells = vec![];
            for (column, datatype) in batch.columns().iter().zip(&types) {
                cells.push(match cell(column.as_ref(), row)? {
                    Cell::Null => None,
                    value => {
                        let mut buffer = String::new();
                        text::write(&mut buffer, &value, datatype)?;
                        Some(buffer)
                    }
                });
            }
            out += &self.line(cells.iter().map(Option::as_deref));
        }
        Ok(out)
    }

    fn line<'a>(self, cells: impl Iterator<Item = Option<&'a str>>) -> String {
        let mut out = String::new();
        for (i, cell) in cells.enumerate() {
            if i > 0 {
                out.push(if self.csv { ',' } else { '\t' });
            }
            match (cell, self.csv) {
                (None, true) => {}
                (None, false) => out.push_str("\\N"),
                (Some(text), true) => {
                    // An empty text is no NULL; a line \. alone would end what is read.
                    let plain = !text.is_empty() && text != "\\." && !text.contains([',', '"', '\n', '\r']);
                    if plain {
                        out.push_str(text);
                    } else {
                        _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
                    }
                }
                (Some(text), false) => text.chars().for_each(|c| match c {
                    '\\' => out.push_str("\\\\"),
                    '\t' => out.push_str("\\t"),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\u{8}' => out.push_str("\\b"),
                    '\u{b}' => out.push_str("\\v"),
                    '\u{c}' => out.push_str("\\f"),
                    c => out.push(c),
                }),
            }
        }
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::single;
    use super::*;

    #[test]
    fn lines_are_escaped_as_postgres_does() {
        let cells = || [Some("a\tb\\"), None, Some(""), Some("x,\"y\"")].into_iter();
        assert_eq!(Lines::default().line(cells()), "a\\tb\\\\\t\\N\t\tx,\"y\"\n");
        let csv = Lines { csv: true, header: false };
        assert_eq!(csv.line(cells()), "a\tb\\,,\"\",\"x,\"\"y\"\"\"\n");
    }

    #[test]
    fn a_copy_is_read_as_it_is_spelled() {
        let copy = |sql: &str| Copy::parse(&single(sql).expect("text").expect("one"));
        let found = copy("COPY (SELECT (1)) TO STDOUT WITH (FORMAT csv, HEADER false)").expect("known");
        assert_eq!((found.from, found.to, found.is_name), (2, 6, false));
        assert_eq!(found.lines, Lines { csv: true, header: false });
        let found = copy("COPY t (a, b) TO STDOUT CSV HEADER").expect("known");
        assert_eq!((found.from, found.to, found.is_name), (1, 7, true));
        assert!(found.lines.csv && found.lines.header);
        for wrong in
            ["COPY t FROM STDIN", "COPY t TO 'file'", "COPY (SELECT 1", "COPY t TO STDOUT (DELIMITER '|')"]
        {
            assert!(copy(wrong).is_err(), "{wrong}");
        }
    }
}
