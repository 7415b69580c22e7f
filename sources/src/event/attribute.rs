//! The context attributes of an event: which names and values CloudEvents 1.0.2 allows.
use super::time::rfc3339;
use super::{Attribute, Data, Event, Extension, Reject, Rule};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The attributes that the specification names; all others are extensions.
const KNOWN: [&str; 8] =
    ["datacontenttype", "dataschema", "id", "source", "specversion", "subject", "time", "type"];

/// The attributes read so far.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    specversion: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    datacontenttype: Option<Cow<'a, str>>,
    dataschema: Option<Cow<'a, str>>,
    extensions: SmallVec<[Extension<'a>; 2]>,
}

impl<'a> Draft<'a> {
    /// Takes one attribute; its name may come once.
    pub fn set(&mut self, name: Cow<'a, str>, value: Attribute<'a>) -> Result<(), Reject> {
        let place = match name.as_ref() {
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.event_type,
            "specversion" => &mut self.specversion,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.datacontenttype,
            "dataschema" => &mut self.dataschema,
            _ => return self.extend(name, value),
        };
        let Attribute::Text(text) = value else {
            return Err(wrong_type(&name, "a number or boolean"));
        };
        if place.is_some() {
            return Err(Reject::new(Rule::Attribute, format!("attribute \"{name}\" comes twice")));
        }
        let rule = if name == "specversion" { Rule::Specversion } else { Rule::Attribute };
        if text.is_empty() {
            return Err(Reject::new(rule, format!("attribute \"{name}\" is empty")));
        }
        check_characters(rule, &name, &text)?;
        *place = Some(text);
        Ok(())
    }

    fn extend(&mut self, name: Cow<'a, str>, value: Attribute<'a>) -> Result<(), Reject> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            let reason =
                format!("attribute name {:?} has more than the letters a to z and digits", cut(&name));
            return Err(Reject::new(Rule::Extension, reason));
        }
        if name == "data" {
            return Err(Reject::new(Rule::Extension, "\"data\" is no name of an attribute"));
        }
        if self.extensions.iter().any(|extension| extension.name == name) {
            return Err(Reject::new(Rule::Extension, format!("attribute \"{name}\" comes twice")));
        }
        if let Attribute::Text(text) = &value {
            check_characters(Rule::Extension, &name, text)?;
        }
        self.extensions.push(Extension { name, value });
        Ok(())
    }

    /// Whether `datacontenttype` says that the data are JSON; `unsaid` where it is missing.
    pub fn data_is_json(&self, unsaid: bool) -> bool {
        let Some(media_type) = &self.datacontenttype else { return unsaid };
        if media_type == "application/json" {
            return true;
        }
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let Some((_, subtype)) = essence.split_once('/') else { return false };
        let subtype = subtype.to_ascii_lowercase();
        subtype == "json" || subtype.ends_with("+json")
    }

    /// The event, if all that must be there is there and well formed.
    pub fn finish(self, data: Data<'a>) -> Result<Event<'a>, Reject> {
        let missing = |rule, name: &str| Reject::new(rule, format!("attribute \"{name}\" is missing"));
        let specversion = self.specversion.ok_or_else(|| missing(Rule::Specversion, "specversion"))?;
        if specversion != "1.0" {
            let reason = format!("attribute \"specversion\" is {:?}, not \"1.0\"", cut(&specversion));
            return Err(Reject::new(Rule::Specversion, reason));
        }
        let malformed = |name: &str, value: &str, why: &str| {
            Reject::new(Rule::Attribute, format!("attribute \"{name}\" is {:?}: {why}", cut(value)))
        };
        let source = self.source.ok_or_else(|| missing(Rule::Attribute, "source"))?;
        if !is_uri_reference(&source) {
            return Err(malformed("source", &source, "that is no URI-reference"));
        }
        if let Some(schema) =
            self.dataschema.as_deref().filter(|s| scheme(s).is_none() || !is_uri_reference(s))
        {
            return Err(malformed("dataschema", schema, "that is no absolute URI"));
        }
        if let Some(media_type) = self.datacontenttype.as_deref().filter(|m| !is_media_type(m)) {
            return Err(malformed("datacontenttype", media_type, "that is no media type"));
        }
        let moment = self.time.as_deref().map(|text| {
            let reason = |why| format!("attribute \"time\" is {:?}: {why}", cut(text));
            rfc3339(text).map_err(|why| Reject::new(Rule::Time, reason(why)))
        });
        Ok(Event {
            id: self.id.ok_or_else(|| missing(Rule::Attribute, "id"))?,
            source,
            event_type: self.event_type.ok_or_else(|| missing(Rule::Attribute, "type"))?,
            subject: self.subject,
            moment: moment.transpose()?,
            time: self.time,
            datacontenttype: self.datacontenttype,
            dataschema: self.dataschema,
            extensions: self.extensions,
            data,
        })
    }
}

/// An attribute that JSON wrote as a number.
pub(crate) fn integer(name: &str, number: &str) -> Result<Attribute<'static>, Reject> {
    if KNOWN.contains(&name) {
        return Err(wrong_type(name, "a number"));
    }
    number.parse().map(Attribute::Integer).map_err(|_| {
        let reason =
            format!("attribute {:?} is {}: a number is an integer of 32 bits", cut(name), cut(number));
        Reject::new(Rule::Extension, reason)
    })
}

/// The reject of an attribute that is `found` where a string was wanted, or where nothing of the kind may stand.
pub(crate) fn wrong_type(name: &str, found: &str) -> Reject {
    Reject::new(Rule::Type, format!("attribute {:?} is {found}, which it cannot be", cut(name)))
}

/// At most 100 characters of a text, for messages.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

/// CloudEvents strings have no control characters and no noncharacters.
#[inline]
fn check_characters(rule: Rule, name: &str, text: &str) -> Result<(), Reject> {
    if is_plain(text.as_bytes()) {
        return Ok(());
    }
    let is_nonchar = |c: char| (c as u32) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    match text.chars().find(|c| c.is_control() || is_nonchar(*c)) {
        Some(c) => {
            let code = c as u32;
            let reason = format!("attribute \"{name}\" has U+{code:04X}, which no attribute may have");
            Err(Reject::new(rule, reason))
        }
        None => Ok(()),
    }
}

/// Whether all bytes are printable ASCII; may say no where they are, as only eight are looked at together.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let is_plain_word = |chunk: &[u8]| {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks have eight bytes"));
        (word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * 0x20)) & (ONES << 7) == 0
    };
    let Some(tail) = bytes.len().checked_sub(8) else {
        return bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
    };
    bytes.chunks_exact(8).all(is_plain_word) && is_plain_word(&bytes[tail..])
}

/// What stands before the colon of an absolute URI.
fn scheme(text: &str) -> Option<&str> {
    let end = text.find([':', '/', '?', '#'])?;
    let word = &text.as_bytes()[..end];
    let rest_is_good = word.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let is_scheme =
        text.as_bytes()[end] == b':' && word.first().is_some_and(u8::is_ascii_alphabetic) && rest_is_good;
    is_scheme.then(|| &text[..end])
}

/// RFC 3986, section 4.1: which characters may stand where.
fn is_uri_reference(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut fragments = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let is_coded =
                    bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
                if !is_coded {
                    return false;
                }
                at += 2;
            }
            b'#' => fragments += 1,
            b'[' | b']' => {
                // Only around an IPv6 address.
                let authority = text.find("//").map(|start| start + 2);
                let end = authority
                    .map(|start| text[start..].find(['/', '?', '#']).map_or(text.len(), |i| start + i));
                if !matches!((authority, end), (Some(start), Some(end)) if (start..end).contains(&at)) {
                    return false;
                }
            }
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b':'
            | b'.'
            | b'-'
            | b'_'
            | b'~'
            | b'?'
            | b'@'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'=' => {}
            _ => return false,
        }
        at += 1;
    }
    let colon_first = text.find([':', '/', '?', '#']).is_some_and(|i| bytes[i] == b':');
    fragments <= 1 && (!colon_first || scheme(text).is_some())
}

/// RFC 2045: `type/subtype`, then parameters.
fn is_media_type(text: &str) -> bool {
    if text == "application/json" {
        return true;
    }
    let is_token = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_essence =
        essence.trim_end().split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
    let is_parameter = |word: &str| {
        let word = word.trim();
        word.is_empty()
            || word.split_once('=').is_some_and(|(name, value)| is_token(name) && !value.is_empty())
    };
    // A quoted value may hold semicolons: then only its beginning is looked at.
    is_essence && (parameters.contains('"') || parameters.split(';').all(is_parameter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_references_are_told_from_other_texts() {
        for good in [
            "/crm",
            "urn:uuid:1-2",
            "https://a.b:80/c?d#e",
            "a/b:c",
            "..",
            "?q",
            "//[::1]/x",
            "mailto:a@b.c",
            "%20",
            "x",
        ] {
            assert!(is_uri_reference(good), "{good}");
        }
        for bad in ["a b", "<x>", "1:2", ":x", "%2", "%zz", "a#b#c", "é", "a[1]", "a\\b", "/x/{id}"] {
            assert!(!is_uri_reference(bad), "{bad}");
        }
    }

    #[test]
    fn media_types_are_told_from_other_texts() {
        for good in [
            "application/json",
            "text/plain; charset=utf-8",
            "a/b;",
            "application/vnd.x+json",
            "a/b; c=\"d;e\"",
        ] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["json", "a/", "/b", "a b/c", "a/b/c", "a/b; c"] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
