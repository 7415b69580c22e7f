//! The text of a path, read into steps.
use super::{Compare, Index, Path, Predicate, Root, Step};
use crate::functions::call::fail;
use crate::functions::json::document::Document;
use datafusion::common::Result;

/// How deep filters may stand in each other.
const DEPTH_MAX: usize = 32;

/// Reads a path.
pub(super) fn read(text: &str) -> Result<Path> {
    let mut reader = Reader { text, at: 0 };
    reader.word("lax");
    if reader.word("strict") {
        return fail(
            "strict JSON paths are not supported: leave the word out, and what is not there is left out",
        );
    }
    match reader.predicate(0) {
        Some(found) if reader.rest().is_empty() => Ok(match found {
            // A path that only leads somewhere is no question.
            Predicate::Leads(path) => path,
            question => Path { root: Root::Question(Box::new(question)), steps: vec![] },
        }),
        _ => fail(format!(
            "cannot read the JSON path {text:?} at {:?}: paths have $, .key, .*, [*], [n], [n to m], [last], .size(), .type(), .double() and ? (..) with comparisons, &&, ||, !, exists, like_regex and starts with",
            reader.rest()
        )),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        &self.text[self.at..]
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// A word that goes on with nothing of a name.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let ends = rest.get(word.len()..).is_some_and(|rest| !rest.starts_with(is_name));
        let found = ends && rest.starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn name(&mut self) -> Option<String> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let rest = self.rest();
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        self.at += end;
        (end > 0 && !rest.starts_with(|c: char| c.is_ascii_digit())).then(|| rest[..end].to_string())
    }

    fn quoted(&mut self) -> Option<String> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let (end, _) = end?;
        self.at += end + 1;
        match crate::functions::json::document::parse(&rest[..=end]) {
            Ok(Document::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<String> {
        let rest = self.rest();
        let mut end = usize::from(rest.starts_with('-'));
        for c in rest[end..].chars() {
            let exponent = rest[..end].ends_with(['e', 'E']) && matches!(c, '+' | '-');
            if !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || exponent) {
                break;
            }
            end += 1;
        }
        let text = &rest[..end];
        let number = text.parse::<f64>().is_ok() && !text.ends_with('.');
        self.at += if number { end } else { 0 };
        number.then(|| text.to_string())
    }

    /// Conditions with OR between them.
    fn predicate(&mut self, depth: usize) -> Option<Predicate> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut found = self.conjunction(depth)?;
        while self.sign("||") {
            found = Predicate::Or(Box::new(found), Box::new(self.conjunction(depth)?));
        }
        Some(found)
    }

    fn conjunction(&mut self, depth: usize) -> Option<Predicate> {
        let mut found = self.condition(depth)?;
        while self.sign("&&") {
            found = Predicate::And(Box::new(found), Box::new(self.condition(depth)?));
        }
        Some(found)
    }

    fn condition(&mut self, depth: usize) -> Option<Predicate> {
        if !self.rest().starts_with("!=") && self.sign("!") {
            let inner = self.sign("(").then(|| self.predicate(depth + 1)).flatten()?;
            return self.sign(")").then(|| Predicate::Not(Box::new(inner)));
        }
        if self.word("exists") {
            let path = self.sign("(").then(|| self.path(depth + 1)).flatten()?;
            return self.sign(")").then_some(Predicate::Exists(path));
        }
        if self.sign("(") {
            let inner = self.predicate(depth + 1)?;
            if !self.sign(")") {
                return None;
            }
            if self.word("is") {
                return self.word("unknown").then(|| Predicate::Unknown(Box::new(inner)));
            }
            return Some(inner);
        }
        let left = self.path(depth)?;
        const SIGNS: [(&str, Compare); 7] = [
            ("==", Compare::Equal),
            ("!=", Compare::Other),
            ("<>", Compare::Other),
            ("<=", Compare::AtMost),
            (">=", Compare::AtLeast),
            ("<", Compare::Less),
            (">", Compare::Greater),
        ];
        for (sign, compare) in SIGNS {
            if self.sign(sign) {
                return Some(Predicate::Compare(left, compare, self.path(depth)?));
            }
        }
        if self.word("starts") {
            return self
                .word("with")
                .then(|| self.path(depth))
                .flatten()
                .map(|path| Predicate::Starts(left, path));
        }
        if self.word("like_regex") {
            let pattern = self.quoted()?;
            let flags = if self.word("flag") { self.quoted()? } else { String::new() };
            if !flags.chars().all(|flag| matches!(flag, 'i' | 's' | 'm')) {
                return None;
            }
            let pattern = if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") };
            return super::like("", &pattern).map(|_| Predicate::Like(left, pattern));
        }
        Some(Predicate::Leads(left))
    }

    fn path(&mut self, depth: usize) -> Option<Path> {
        let root = if self.sign("$") {
            match self.rest_as_it_is().starts_with(|c| is_name(c) || c == '"') {
                true => Root::Variable(self.name()?),
                false => Root::Whole,
            }
        } else if self.sign("@") {
            Root::Current
        } else if self.rest().starts_with('"') {
            Root::Value(Document::Text(self.quoted()?))
        } else if self.word("true") {
            Root::Value(Document::Bool(true))
        } else if self.word("false") {
            Root::Value(Document::Bool(false))
        } else if self.word("null") {
            Root::Value(Document::Null)
        } else {
            Root::Value(Document::Number(self.number()?))
        };
        let mut steps = vec![];
        loop {
            if self.sign("?") {
                let filter = self.sign("(").then(|| self.predicate(depth + 1)).flatten()?;
                if !self.sign(")") || matches!(filter, Predicate::Leads(_)) {
                    return None;
                }
                steps.push(Step::Filter(filter));
            } else if self.sign("[") {
                steps.push(self.indices()?);
            } else if self.rest().starts_with(".**") {
                return None;
            } else if self.sign(".") {
                steps.push(self.member()?);
            } else {
                return Some(Path { root, steps });
            }
        }
    }

    fn rest_as_it_is(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn member(&mut self) -> Option<Step> {
        if self.sign("*") {
            return Some(Step::Members);
        }
        let quoted = self.rest().starts_with('"');
        let name = self.name()?;
        if quoted || !self.sign("(") {
            return Some(Step::Member(name));
        }
        let step = match name.as_str() {
            "size" => Step::Size,
            "type" => Step::Type,
            "double" | "number" => Step::Number,
            _ => return None,
        };
        self.sign(")").then_some(step)
    }

    fn indices(&mut self) -> Option<Step> {
        if self.sign("*") {
            return self.sign("]").then_some(Step::Elements);
        }
        let mut list = vec![];
        loop {
            let from = self.index()?;
            let to = if self.word("to") { Some(self.index()?) } else { None };
            list.push((from, to));
            if !self.sign(",") {
                return self.sign("]").then_some(Step::At(list));
            }
        }
    }

    fn index(&mut self) -> Option<Index> {
        if !self.word("last") {
            return self.number()?.parse().ok().map(Index::First);
        }
        match self.sign("-") {
            true => self.number()?.parse().ok().map(Index::Last),
            false => Some(Index::Last(0)),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
