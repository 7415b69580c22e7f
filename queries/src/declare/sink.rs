//! `CREATE SINK`, `DROP SINK`: no SQL standard and no parser knows them, so they are read here, word by word.
use super::normalized;
use crate::DeclareError;
use crate::api::host::SinkDeclaration;
use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::BTreeMap;

const FORM: &str =
    "write CREATE SINK name FROM view, .. | ALL INTO postgres | redis | kafka WITH (url = '..', ..)";

/// What a statement says of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkStatement {
    /// `CREATE SINK [IF NOT EXISTS] ..`.
    Create {
        /// What is declared.
        declared: SinkDeclaration,
        /// Whether nothing is done where the name is taken.
        if_not_exists: bool,
    },
    /// `DROP SINK [IF EXISTS] name`.
    Drop {
        /// Its name.
        name: String,
        /// Whether there need not be one.
        if_exists: bool,
    },
}

/// What a statement says of a sink; none if it is about something else.
pub fn parse(sql: &str) -> Result<Option<SinkStatement>, DeclareError> {
    let head: Vec<&str> = sql.split_whitespace().take(2).collect();
    let is = |word: &str| head.first().is_some_and(|first| first.eq_ignore_ascii_case(word));
    if !head.get(1).is_some_and(|second| second.eq_ignore_ascii_case("sink")) || !(is("create") || is("drop"))
    {
        return Ok(None);
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|why| syntax(&why.to_string()))?;
    let tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_) | Token::SemiColon));
    let mut words = Words { tokens: tokens.collect(), at: 2 };
    let statement = if is("create") { words.create()? } else { words.dropped()? };
    match words.peek() {
        None => Ok(Some(statement)),
        Some(token) => Err(syntax(&format!("unexpected {token} at its end"))),
    }
}

fn syntax(what: &str) -> DeclareError {
    DeclareError::Syntax { message: format!("{what}: {FORM}"), at: None }
}

struct Words {
    tokens: Vec<Token>,
    at: usize,
}

impl Words {
    fn create(&mut self) -> Result<SinkStatement, DeclareError> {
        let if_not_exists = self.takes(&["if", "not", "exists"]);
        let name = self.name("its name")?;
        self.expect("from")?;
        let views = if self.takes(&["all"]) { None } else { Some(self.names()?) };
        self.expect("into")?;
        let kind = self.name("postgres, redis or kafka")?;
        let options = if self.takes(&["with"]) { self.options()? } else { BTreeMap::new() };
        let declared = SinkDeclaration { name, views, kind, options };
        Ok(SinkStatement::Create { declared, if_not_exists })
    }

    fn dropped(&mut self) -> Result<SinkStatement, DeclareError> {
        let if_exists = self.takes(&["if", "exists"]);
        Ok(SinkStatement::Drop { name: self.name("its name")?, if_exists })
    }

    fn names(&mut self) -> Result<Vec<String>, DeclareError> {
        let mut names = vec![self.name("a view or ALL")?];
        while self.peek() == Some(&Token::Comma) {
            self.at += 1;
            names.push(self.name("a view")?);
        }
        Ok(names)
    }

    fn options(&mut self) -> Result<BTreeMap<String, String>, DeclareError> {
        let mut options = BTreeMap::new();
        self.symbol(&Token::LParen)?;
        loop {
            let mut key = self.name("an option")?;
            // Kafka's have dots.
            while self.peek() == Some(&Token::Period) {
                self.at += 1;
                key = format!("{key}.{}", self.name("the rest of an option's name")?);
            }
            self.symbol(&Token::Eq)?;
            let value = match self.next() {
                Some(Token::SingleQuotedString(text)) => text,
                Some(Token::Number(number, _)) => number,
                Some(Token::Word(word)) if word.quote_style.is_none() => word.value,
                _ => return Err(syntax(&format!("the value of option {key} is missing"))),
            };
            if options.insert(key.clone(), value).is_some() {
                return Err(DeclareError::Invalid(format!("option {key} is given twice")));
            }
            match self.next() {
                Some(Token::Comma) => {}
                Some(Token::RParen) => return Ok(options),
                _ => return Err(syntax("WITH is not closed")),
            }
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn name(&mut self, what: &str) -> Result<String, DeclareError> {
        match self.next() {
            Some(Token::Word(word)) => Ok(normalized(&Ident {
                value: word.value,
                quote_style: word.quote_style,
                span: datafusion::sql::sqlparser::tokenizer::Span::empty(),
            })),
            _ => Err(syntax(&format!("{what} is missing"))),
        }
    }

    fn takes(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(i, word)| {
            matches!(self.tokens.get(self.at + i), Some(Token::Word(found))
                if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
        });
        self.at += if found { words.len() } else { 0 };
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), DeclareError> {
        if self.takes(&[word]) { Ok(()) } else { Err(syntax(&format!("{} is missing", word.to_uppercase()))) }
    }

    fn symbol(&mut self, symbol: &Token) -> Result<(), DeclareError> {
        if self.next().as_ref() == Some(symbol) {
            Ok(())
        } else {
            Err(syntax(&format!("{symbol} is missing")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_read_as_they_are_written() {
        let sql = "create  sink Shop from revenue, \"Totals\" into postgres with (url = 'env:PG', queue.size = 5, x = true);";
        let Some(SinkStatement::Create { declared, if_not_exists }) = parse(sql).unwrap() else { panic!() };
        assert_eq!(
            (declared.name.as_str(), declared.kind.as_str(), if_not_exists),
            ("shop", "postgres", false)
        );
        assert_eq!(declared.views, Some(vec!["revenue".to_owned(), "Totals".to_owned()]));
        let options: Vec<(&str, &str)> =
            declared.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(options, [("queue.size", "5"), ("url", "env:PG"), ("x", "true")]);
        let sql = "CREATE SINK IF NOT EXISTS a FROM ALL INTO redis";
        let Some(SinkStatement::Create { declared, if_not_exists }) = parse(sql).unwrap() else { panic!() };
        assert!(declared.views.is_none() && declared.options.is_empty() && if_not_exists);
        let dropped = SinkStatement::Drop { name: "a".into(), if_exists: true };
        assert_eq!(parse("DROP SINK IF EXISTS a").unwrap(), Some(dropped));
        assert_eq!(parse("CREATE VIEW sink AS SELECT 1").unwrap(), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            ("CREATE SINK", "its name is missing"),
            ("CREATE SINK a INTO postgres", "FROM is missing"),
            ("CREATE SINK a FROM b", "INTO is missing"),
            ("CREATE SINK a FROM b INTO c WITH (url 'x')", "= is missing"),
            ("CREATE SINK a FROM b INTO c WITH (url = )", "the value of option url is missing"),
            ("CREATE SINK a FROM b INTO c WITH (url = 'x'", "WITH is not closed"),
            ("CREATE SINK a FROM b INTO c WITH (x = 1, x = 2)", "given twice"),
            ("DROP SINK a b", "unexpected b"),
        ];
        for (sql, why) in cases {
            let found = parse(sql).unwrap_err().to_string();
            assert!(found.contains(why), "{sql}: {found}");
        }
    }
}
