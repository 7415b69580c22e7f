//! A JSON document: read, looked into without being built, and written in PostgreSQL's forms.
use super::super::call::fail;
use datafusion::common::Result;
use std::fmt::Write;

/// How deep documents may nest.
const DEPTH_MAX: usize = 128;

/// A document with its numbers as they were written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Document {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Document>),
    Object(Vec<(String, Document)>),
}

/// Reads a whole document.
pub(super) fn parse(text: &str) -> Result<Document> {
    let mut reader = Reader { text, at: 0 };
    let document = reader.document(0);
    reader.space();
    match document {
        Some(document) if reader.at == text.len() => Ok(document),
        _ => fail(format!("invalid input syntax for type json: \"{text}\"")),
    }
}

/// The text of a key's value; the last of equal keys counts.
pub(super) fn key_of<'a>(text: &'a str, key: &str) -> Result<Option<&'a str>> {
    let mut found = None;
    let complete = Reader { text, at: 0 }.members(|name, raw| {
        if name == key {
            found = Some(raw);
        }
    });
    if complete.is_none() {
        parse(text)?;
    }
    Ok(found)
}

/// The text of an array's element, from its end where the index is negative.
pub(super) fn element_of(text: &str, index: i64) -> Result<Option<&str>> {
    let mut found = vec![];
    if (Reader { text, at: 0 }).elements(|raw| found.push(raw)).is_none() {
        // A scalar stands for a list of it, as it does in PostgreSQL's jsonb.
        return Ok(match (parse(text)?, index) {
            (Document::Object(_), _) => None,
            (_, 0 | -1) => Some(text.trim()),
            _ => None,
        });
    }
    let index = if index < 0 { index + found.len() as i64 } else { index };
    Ok(usize::try_from(index).ok().and_then(|i| found.get(i).copied()))
}

/// A value as `->>` gives it: text without quotes, NULL for null.
pub(super) fn unquoted(raw: &str) -> Option<String> {
    match raw {
        "null" => None,
        raw if raw.starts_with('"') => (Reader { text: raw, at: 0 }).string(),
        raw => Some(raw.to_string()),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn document(&mut self, depth: usize) -> Option<Document> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'{' => {
                self.at += 1;
                let mut members = vec![];
                self.list(b'}', |reader| {
                    reader.space();
                    let key = reader.string()?;
                    reader.take(b':')?;
                    members.push((key, reader.document(depth + 1)?));
                    Some(())
                })?;
                Some(Document::Object(members))
            }
            b'[' => {
                self.at += 1;
                let mut elements = vec![];
                self.list(b']', |reader| {
                    elements.push(reader.document(depth + 1)?);
                    Some(())
                })?;
                Some(Document::Array(elements))
            }
            b'"' => self.string().map(Document::Text),
            b'-' | b'0'..=b'9' => self.number().map(|text| Document::Number(text.to_string())),
            _ => {
                let words = [
                    ("null", Document::Null),
                    ("true", Document::Bool(true)),
                    ("false", Document::Bool(false)),
                ];
                let (word, document) =
                    words.into_iter().find(|(word, _)| self.text[self.at..].starts_with(word))?;
                self.at += word.len();
                Some(document)
            }
        }
    }

    /// What stands between an opening that was read and its closing.
    fn list(&mut self, close: u8, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            one(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                byte if byte == close => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let (start, mut at) = (self.at, self.at);
        let digits = |at: &mut usize| {
            let from = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > from
        };
        if bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        if bytes.get(at) == Some(&b'0') {
            at += 1;
        } else if !digits(&mut at) {
            return None;
        }
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            digits(&mut at).then_some(())?;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            digits(&mut at).then_some(())?;
        }
        self.at = at;
        Some(&self.text[start..at])
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.text.get(self.at..)?.strip_prefix('"')?;
        let mut out = String::new();
        let mut chars = rest.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 2;
                    return Some(out);
                }
                '\\' => {
                    let escape = chars.next()?.1;
                    out.push(match escape {
                        '"' | '\\' | '/' => escape,
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => {
                            let mut unit = || -> Option<u32> {
                                (0..4).try_fold(0, |v, _| Some(v * 16 + chars.next()?.1.to_digit(16)?))
                            };
                            let mut code = unit()?;
                            if (0xd800..0xdc00).contains(&code) {
                                (chars.next()?.1 == '\\' && chars.next()?.1 == 'u').then_some(())?;
                                let mut low = || -> Option<u32> {
                                    (0..4).try_fold(0, |v, _| Some(v * 16 + chars.next()?.1.to_digit(16)?))
                                };
                                code = 0x10000 + ((code - 0xd800) << 10) + low()?.checked_sub(0xdc00)?;
                            }
                            char::from_u32(code)?
                        }
                        _ => return None,
                    });
                }
                c if c < ' ' => return None,
                c => out.push(c),
            }
        }
        None
    }

    /// Calls with each member of the object at hand, its value as it is written; none if it is no object.
    fn members(mut self, mut f: impl FnMut(&str, &'a str)) -> Option<()> {
        self.take(b'{')?;
        self.list(b'}', |reader| {
            reader.space();
            let key = reader.string()?;
            reader.take(b':')?;
            let raw = reader.raw()?;
            f(&key, raw);
            Some(())
        })
    }

    /// Calls with each element of the array at hand.
    fn elements(mut self, mut f: impl FnMut(&'a str)) -> Option<()> {
        self.take(b'[')?;
        self.list(b']', |reader| {
            f(reader.raw()?);
            Some(())
        })
    }

    fn raw(&mut self) -> Option<&'a str> {
        self.space();
        let from = self.at;
        self.document(0)?;
        Some(&self.text[from..self.at])
    }
}

impl Document {
    /// What `jsonb_typeof` calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Document::Null => "null",
            Document::Bool(_) => "boolean",
            Document::Number(_) => "number",
            Document::Text(_) => "string",
            Document::Array(_) => "array",
            Document::Object(_) => "object",
        }
    }

    /// As `jsonb` prints it: keys once, by length and then by bytes.
    pub(super) fn canonical(self) -> String {
        let mut out = String::new();
        self.sorted().write(&mut out, ", ", ": ");
        out
    }

    /// Without any space.
    pub(super) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, ",", ":");
        out
    }

    /// With keys in `jsonb`'s order, the last of equal ones kept.
    pub(super) fn sorted(self) -> Document {
        match self {
            Document::Object(members) => {
                let mut kept: Vec<(String, Document)> = vec![];
                let mut members: Vec<_> = members.into_iter().map(|(k, v)| (k, v.sorted())).collect();
                members.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
                for (key, value) in members {
                    match kept.last_mut() {
                        Some(last) if last.0 == key => last.1 = value,
                        _ => kept.push((key, value)),
                    }
                }
                Document::Object(kept)
            }
            Document::Array(list) => Document::Array(list.into_iter().map(Document::sorted).collect()),
            Document::Number(text) => Document::Number(plain(&text)),
            other => other,
        }
    }

    pub(super) fn write(&self, out: &mut String, comma: &str, colon: &str) {
        match self {
            Document::Null => out.push_str("null"),
            Document::Bool(v) => _ = write!(out, "{v}"),
            Document::Number(text) => out.push_str(text),
            Document::Text(text) => dataflows::value::Value::Text(text).write_json(out),
            Document::Array(list) => {
                out.push('[');
                for (i, value) in list.iter().enumerate() {
                    out.push_str(if i > 0 { comma } else { "" });
                    value.write(out, comma, colon);
                }
                out.push(']');
            }
            Document::Object(members) => {
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    out.push_str(if i > 0 { comma } else { "" });
                    dataflows::value::Value::Text(key).write_json(out);
                    out.push_str(colon);
                    value.write(out, comma, colon);
                }
                out.push('}');
            }
        }
    }

    /// As `jsonb_pretty` prints it.
    pub(super) fn pretty(self) -> String {
        fn lines(document: &Document, depth: usize, out: &mut String) {
            let indent = |out: &mut String, depth: usize| out.extend(std::iter::repeat_n("    ", depth));
            match document {
                Document::Array(list) => {
                    out.push_str("[\n");
                    for (i, value) in list.iter().enumerate() {
                        out.push_str(if i > 0 { ",\n" } else { "" });
                        indent(out, depth + 1);
                        lines(value, depth + 1, out);
                    }
                    out.push('\n');
                    indent(out, depth);
                    out.push(']');
                }
                Document::Object(members) => {
                    out.push_str("{\n");
                    for (i, (key, value)) in members.iter().enumerate() {
                        out.push_str(if i > 0 { ",\n" } else { "" });
                        indent(out, depth + 1);
                        dataflows::value::Value::Text(key).write_json(out);
                        out.push_str(": ");
                        lines(value, depth + 1, out);
                    }
                    out.push('\n');
                    indent(out, depth);
                    out.push('}');
                }
                other => other.write(out, ", ", ": "),
            }
        }
        let mut out = String::new();
        lines(&self.sorted(), 0, &mut out);
        out
    }

    /// Without members that are null.
    pub(super) fn stripped(self) -> Document {
        match self {
            Document::Object(members) => {
                let kept = members.into_iter().filter(|(_, v)| *v != Document::Null);
                Document::Object(kept.map(|(k, v)| (k, v.stripped())).collect())
            }
            Document::Array(list) => Document::Array(list.into_iter().map(Document::stripped).collect()),
            other => other,
        }
    }

    /// Whether a text is a key of it, an element of it, or it.
    pub(super) fn has(&self, key: &str) -> bool {
        match self {
            Document::Object(members) => members.iter().any(|(name, _)| name == key),
            Document::Array(list) => list.iter().any(|v| matches!(v, Document::Text(text) if text == key)),
            Document::Text(text) => text == key,
            Document::Null | Document::Bool(_) | Document::Number(_) => false,
        }
    }

    /// `self @> other`.
    pub(super) fn contains(&self, other: &Document) -> bool {
        match (self, other) {
            (Document::Object(a), Document::Object(b)) => {
                b.iter().all(|(key, value)| a.iter().any(|(name, held)| name == key && held.holds(value)))
            }
            (Document::Array(a), Document::Array(b)) => b.iter().all(|v| a.iter().any(|held| held.holds(v))),
            (Document::Array(a), single) if !matches!(single, Document::Object(_)) => {
                a.iter().any(|held| held.same(single))
            }
            (a, b) => a.same(b),
        }
    }

    fn holds(&self, other: &Document) -> bool {
        match (self, other) {
            (Document::Object(_), Document::Object(_)) | (Document::Array(_), Document::Array(_)) => {
                self.contains(other)
            }
            (a, b) => a.same(b),
        }
    }

    fn same(&self, other: &Document) -> bool {
        match (self, other) {
            (Document::Number(a), Document::Number(b)) => {
                let bare = |text: &str| match text.contains('.') {
                    true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
                    false => text.to_string(),
                };
                bare(&plain(a)) == bare(&plain(b))
            }
            (a, b) => a.clone().sorted() == b.clone().sorted(),
        }
    }

    /// `self || other`.
    pub(super) fn joined(self, other: Document) -> Document {
        let list = |document: Document| match document {
            Document::Array(list) => list,
            other => vec![other],
        };
        match (self, other) {
            (Document::Object(mut a), Document::Object(b)) => {
                a.extend(b);
                Document::Object(a)
            }
            (a, b) => {
                let mut all = list(a);
                all.extend(list(b));
                Document::Array(all)
            }
        }
    }

    /// Without a key, or without the elements that are this text.
    pub(super) fn without_key(self, key: &str) -> Document {
        match self {
            Document::Object(members) => {
                Document::Object(members.into_iter().filter(|(name, _)| name != key).collect())
            }
            Document::Array(list) => {
                let other = |v: &Document| !matches!(v, Document::Text(text) if text == key);
                Document::Array(list.into_iter().filter(other).collect())
            }
            other => other,
        }
    }

    /// Without one element, counted from the end where the index is negative.
    pub(super) fn without_index(self, index: i64) -> Document {
        match self {
            Document::Array(mut list) => {
                let index = if index < 0 { index + list.len() as i64 } else { index };
                if let Some(i) = usize::try_from(index).ok().filter(|i| *i < list.len()) {
                    list.remove(i);
                }
                Document::Array(list)
            }
            other => other,
        }
    }
}

/// A number without exponent, as a numeric prints.
fn plain(text: &str) -> String {
    let Some(place) = text.find(['e', 'E']) else {
        return if text == "-0" { "0".into() } else { text.to_string() };
    };
    let (mantissa, exponent) = (&text[..place], text[place + 1..].parse::<i32>().unwrap_or(0));
    if exponent.abs() > 400 {
        return text.to_string();
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let mut point = whole.len() as i32 + exponent;
    if point <= 0 {
        digits.insert_str(0, &"0".repeat((1 - point) as usize));
        point = 1;
    }
    if digits.len() < point as usize {
        digits.push_str(&"0".repeat(point as usize - digits.len()));
    }
    let (whole, fraction) = digits.split_at(point as usize);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}
