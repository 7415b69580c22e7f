//! What a statement of a script does, told from its words: what it creates, drops, changes and uses.
use std::collections::{BTreeMap, BTreeSet};

/// What a statement does to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `CREATE TABLE`, whatever comes before and after.
    Table(String),
    /// `CREATE [MATERIALIZED] VIEW`.
    View(String),
    /// `DROP TABLE` or `VIEW`.
    Drop(Vec<String>),
    /// `INSERT`, `UPDATE`, `DELETE` on a table.
    Change(String),
    /// A query.
    Query,
    /// Statements that the runner takes by itself, since they change no answer: settings, transactions, indexes.
    Ignored,
    /// What the product has no business with: files, plans.
    Skipped(&'static str),
    /// Anything else.
    Other,
}

/// Tells the effect of a statement from its first words.
pub fn effect(sql: &str) -> Effect {
    let words = words(sql);
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    match word(0) {
        "create" => created(&words),
        "drop" => match words.iter().position(|word| word == "table" || word == "view") {
            Some(at) if at < 3 => {
                Effect::Drop(words[at + 1..].iter().filter(|word| !is_drop_word(word)).cloned().collect())
            }
            _ if word(1) == "index" => Effect::Ignored,
            _ => Effect::Other,
        },
        "insert" if word(1) == "into" => Effect::Change(word(2).into()),
        "delete" if word(1) == "from" => Effect::Change(word(2).into()),
        "update" => Effect::Change(word(1).into()),
        "select" | "with" | "values" => Effect::Query,
        "set" | "reset" | "begin" | "commit" | "rollback" | "start" | "show" | "analyze" => Effect::Ignored,
        "copy" => Effect::Skipped("COPY"),
        "explain" | "describe" | "desc" => Effect::Skipped("plans and descriptions"),
        _ => Effect::Other,
    }
}

fn created(words: &[String]) -> Effect {
    let Some(at) = words.iter().position(|word| matches!(word.as_str(), "table" | "view" | "index")) else {
        return Effect::Other;
    };
    if at > 4 {
        return Effect::Other;
    }
    let rest = match words.get(at + 1..at + 4) {
        Some([a, b, c]) if a == "if" && b == "not" && c == "exists" => at + 4,
        _ => at + 1,
    };
    match (words[at].as_str(), words.get(rest)) {
        ("index", _) => Effect::Ignored,
        ("table", Some(name)) => Effect::Table(name.clone()),
        ("view", Some(name)) => Effect::View(name.clone()),
        _ => Effect::Other,
    }
}

fn is_drop_word(word: &str) -> bool {
    matches!(word, "if" | "exists" | "cascade" | "restrict")
}

/// The names and keywords of a statement in lower case, without texts and comments.
pub fn words(sql: &str) -> Vec<String> {
    let mut words = vec![];
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if c == '\'' {
            quoted(rest, '\'')
        } else if c == '"' {
            let length = quoted(rest, '"');
            words.push(rest[..length].trim_matches('"').to_owned());
            length
        } else if c.is_alphabetic() || c == '_' {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            words.push(rest[..length].to_lowercase());
            length
        } else if c.is_ascii_digit() {
            rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// How long a quoted part is, both quotes included. A doubled quote ends one part and begins the next.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

/// Whether a query has an ORDER BY of its own, not one inside parentheses.
pub fn is_ordered(sql: &str) -> bool {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let outside = outside_parentheses(&lines.join("\n"));
    words(&outside).windows(2).any(|pair| pair[0] == "order" && pair[1] == "by")
}

/// A query without the LIMIT at its end, if it has one and no ORDER BY that says which rows are meant.
pub fn without_limit(sql: &str) -> Option<String> {
    let lower = sql.to_ascii_lowercase();
    let at = lower.rfind("limit").filter(|_| !is_ordered(sql))?;
    let is_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit());
    let rest: Vec<&str> =
        lower[at..].trim_end_matches(|c: char| c == ';' || c.is_whitespace()).split_whitespace().collect();
    match rest.as_slice() {
        ["limit", n] if is_number(n) => Some(sql[..at].to_owned()),
        ["limit", n, "offset", m] if is_number(n) && is_number(m) => Some(sql[..at].to_owned()),
        _ => None,
    }
}

fn outside_parentheses(sql: &str) -> String {
    let mut out = String::new();
    let mut depth = 0usize;
    let mut quote = None;
    for c in sql.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, c) if depth == 0 => out.push(c),
            (None, _) => {}
        }
    }
    out
}

/// `CREATE TABLE .. AS query` as an empty table and an insert, so that views can be created between them.
pub fn split_as(sql: &str) -> Option<[String; 2]> {
    let Effect::Table(name) = effect(sql) else { return None };
    let at = as_position(sql)?;
    let (head, body) = (sql[..at].trim_end(), sql[at + 2..].trim().trim_end_matches(';'));
    Some([
        format!("{head} AS SELECT * FROM ({body}) AS data WHERE false"),
        format!("INSERT INTO {name} {body}"),
    ])
}

/// Where the word AS stands outside of parentheses and quotes.
fn as_position(sql: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    for (i, c) in sql.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, 'a' | 'A') if depth == 0 => {
                let before = sql[..i].chars().next_back().is_some_and(|c| c.is_whitespace() || c == ')');
                let word = sql.get(i..i + 2).is_some_and(|word| word.eq_ignore_ascii_case("as"));
                let after = sql[i + 1..].chars().nth(1).is_some_and(|c| c.is_whitespace() || c == '(');
                if before && word && after {
                    return Some(i);
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// The tables and views that each statement of a script names, each with how often it had been created by then.
pub fn uses(statements: &[&str]) -> Vec<Vec<(String, usize)>> {
    let effects: Vec<Effect> = statements.iter().map(|sql| effect(sql)).collect();
    let names: BTreeSet<&String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Table(name) | Effect::View(name) => Some(name),
            _ => None,
        })
        .collect();
    let mut created: BTreeMap<String, usize> = BTreeMap::new();
    let mut uses = vec![];
    for (sql, effect) in statements.iter().zip(&effects) {
        if let Effect::Table(name) | Effect::View(name) = effect {
            *created.entry(name.clone()).or_default() += 1;
        }
        let named: BTreeSet<String> = words(sql).into_iter().filter(|word| names.contains(word)).collect();
        let instance = |name: String| {
            let instance = created.get(&name).copied().unwrap_or(0);
            (name, instance)
        };
        uses.push(named.into_iter().map(instance).collect());
    }
    uses
}

/// Names for the columns that a query gives.
pub fn numbered(output: &sqllogictest::RecordOutput<sqllogictest::DefaultColumnType>) -> String {
    let width = match output {
        sqllogictest::RecordOutput::Query { types, .. } => types.len(),
        _ => 0,
    };
    (1..=width).map(|i| format!("column{i}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_told_from_the_words() {
        let cases = [
            ("CREATE TABLE t (a INT)", Effect::Table("t".into())),
            ("create unbounded external table if not exists \"T\" (a int)", Effect::Table("T".into())),
            ("-- first\nCREATE OR REPLACE MATERIALIZED VIEW v AS SELECT 1", Effect::View("v".into())),
            ("CREATE UNIQUE INDEX i ON t (a)", Effect::Ignored),
            ("DROP TABLE IF EXISTS a, b CASCADE", Effect::Drop(vec!["a".into(), "b".into()])),
            ("drop materialized view v", Effect::Drop(vec!["v".into()])),
            ("INSERT INTO t VALUES (1)", Effect::Change("t".into())),
            ("DELETE FROM t", Effect::Change("t".into())),
            ("(SELECT 1)", Effect::Query),
            ("SET x = 1", Effect::Ignored),
            ("FLUSH", Effect::Other),
        ];
        for (sql, expected) in cases {
            assert_eq!(effect(sql), expected, "{sql}");
        }
    }

    #[test]
    fn an_order_by_in_a_subquery_is_not_the_querys() {
        assert!(is_ordered("SELECT ')' FROM (SELECT 1) x ORDER  BY 1"));
        assert!(!is_ordered("SELECT row_number() OVER (ORDER BY a) FROM (SELECT 1 ORDER BY 1) x"));
    }

    #[test]
    fn a_limit_without_an_order_chooses_freely() {
        assert_eq!(without_limit("SELECT a FROM t LIMIT 5 OFFSET 2;").as_deref(), Some("SELECT a FROM t "));
        assert_eq!(without_limit("SELECT a FROM t ORDER BY a LIMIT 5"), None);
        assert_eq!(without_limit("SELECT a FROM (SELECT a FROM t LIMIT 5)"), None);
    }

    #[test]
    fn a_table_made_from_a_query_is_split() {
        assert_eq!(
            split_as("CREATE TABLE t(a INT) as VALUES (1), (2);").expect("it has an AS"),
            [
                "CREATE TABLE t(a INT) AS SELECT * FROM (VALUES (1), (2)) AS data WHERE false",
                "INSERT INTO t VALUES (1), (2)"
            ]
        );
        assert_eq!(split_as("CREATE TABLE t (a INT)"), None);
    }

    #[test]
    fn a_use_says_which_creation_of_the_name_it_means() {
        let script = ["CREATE TABLE t (a INT)", "SELECT a FROM t", "DROP TABLE t", "CREATE TABLE t (b INT)"];
        let t = |instance| vec![("t".to_string(), instance)];
        assert_eq!(uses(&script), [t(1), t(1), t(1), t(2)]);
    }
}
