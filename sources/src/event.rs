//! `Event`: a CloudEvent 1.0.2, read strictly from a payload, or a `Reject` that names the rule it breaks.
//!
//! Second stop of the path: bytes come from `log` or `file`, and `decode` makes rows of what is read here.
pub(crate) mod attribute;
pub(crate) mod content;
pub(crate) mod http;
pub(crate) mod json;
pub mod time;

use crate::Payload;
use attribute::Draft;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
pub use http::binary;
use json::{Json, Kind, Tape};
use smallvec::SmallVec;
use std::borrow::Cow;
use time::Moment;

/// The greatest payload that is read; a greater one is a `Reject` of rule `size`.
pub const EVENT_BYTES_MAX: usize = 8 << 20;
/// The greatest JSON batch that is read.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// A valid event. Texts are borrowed from the payload unless they have escapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Unique within its source.
    pub id: Cow<'a, str>,
    /// A URI-reference: the context in which it happened.
    pub source: Cow<'a, str>,
    /// What happened.
    pub event_type: Cow<'a, str>,
    /// What it happened to, within the source.
    pub subject: Option<Cow<'a, str>>,
    /// When it happened, as written.
    pub time: Option<Cow<'a, str>>,
    /// When it happened.
    pub moment: Option<Moment>,
    /// The media type of the data.
    pub datacontenttype: Option<Cow<'a, str>>,
    /// An absolute URI: what the data adheres to.
    pub dataschema: Option<Cow<'a, str>>,
    /// Extension attributes in the order they came.
    pub extensions: SmallVec<[Extension<'a>; 2]>,
    /// What happened, in detail.
    pub data: Data<'a>,
}

/// An extension attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension<'a> {
    /// Lower-case letters and digits.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Attribute<'a>,
}

/// The value of an attribute. Transports that know only text carry all as text.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// String, URI, timestamp or base64: all are text.
    Text(Cow<'a, str>),
    /// A JSON boolean.
    Boolean(bool),
    /// A JSON number without fraction, of 32 bits.
    Integer(i32),
}

impl Attribute<'_> {
    /// The canonical text of the type system.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Attribute::Text(text) => Cow::Borrowed(text),
            Attribute::Boolean(true) => Cow::Borrowed("true"),
            Attribute::Boolean(false) => Cow::Borrowed("false"),
            Attribute::Integer(number) => Cow::Owned(number.to_string()),
        }
    }
}

/// The data of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<'a> {
    /// There is none.
    None,
    /// JSON text, validated.
    Json(Cow<'a, str>),
    /// Text of another media type.
    Text(Cow<'a, str>),
    /// Bytes of another media type.
    Bytes(Cow<'a, [u8]>),
}

impl Event<'_> {
    /// The text of the attribute of that name, if the event has it.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        let known = match name {
            "id" => Some(&self.id),
            "source" => Some(&self.source),
            "type" => Some(&self.event_type),
            "specversion" => return Some(Cow::Borrowed("1.0")),
            "subject" => self.subject.as_ref(),
            "time" => self.time.as_ref(),
            "datacontenttype" => self.datacontenttype.as_ref(),
            "dataschema" => self.dataschema.as_ref(),
            _ => return self.extensions.iter().find(|e| e.name == name).map(|e| e.value.text()),
        };
        known.map(|text| Cow::Borrowed(text.as_ref()))
    }
}

/// Which rule a rejected record breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Not UTF-8, not JSON, not an object, or a key twice.
    Json,
    /// `specversion` is missing or not `1.0`.
    Specversion,
    /// A context attribute is missing, empty or malformed.
    Attribute,
    /// An extension's name or value.
    Extension,
    /// `time` is no RFC 3339 time.
    Time,
    /// `data` and `data_base64`.
    Data,
    /// A context attribute has another JSON type than string.
    Type,
    /// A column of a table cannot take a value.
    Column,
    /// The payload is too large.
    Size,
    /// A record of Kafka that is a batch, or in an event format that is not read.
    Format,
    /// A record of Kafka without a value.
    Tombstone,
}

impl Rule {
    /// Its name in quarantine, metrics and problem documents.
    pub fn word(self) -> &'static str {
        match self {
            Rule::Json => "json",
            Rule::Specversion => "specversion",
            Rule::Attribute => "attribute",
            Rule::Extension => "extension",
            Rule::Time => "time",
            Rule::Data => "data",
            Rule::Type => "type",
            Rule::Column => "column",
            Rule::Size => "size",
            Rule::Format => "format",
            Rule::Tombstone => "tombstone",
        }
    }

    /// The rule of a name.
    pub fn of(word: &str) -> Option<Rule> {
        use Rule::*;
        let all =
            [Json, Specversion, Attribute, Extension, Time, Data, Type, Column, Size, Format, Tombstone];
        all.into_iter().find(|rule| rule.word() == word)
    }

    /// The rules by which a transport refuses a record before it is read.
    fn of_transport(word: &str) -> Option<Rule> {
        [Rule::Attribute, Rule::Size, Rule::Format, Rule::Tombstone]
            .into_iter()
            .find(|rule| rule.word() == word)
    }
}

/// Why a record is no event, or fits no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The rule it breaks.
    pub rule: Rule,
    /// What was read, where, and what is wrong with it.
    pub reason: String,
    /// The event's id, if that could be read.
    pub event_id: Option<String>,
    /// The event's source, if that could be read.
    pub event_source: Option<String>,
}

impl Reject {
    pub(crate) fn new(rule: Rule, reason: impl Into<String>) -> Reject {
        Reject { rule, reason: reason.into(), event_id: None, event_source: None }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule.word(), self.reason)
    }
}
impl std::error::Error for Reject {}

/// In place of an attribute's name, which it can never be: the record was refused by its transport.
const REFUSED: &str = "!rule";

impl Payload {
    /// A record that its transport knows to be no event: it is decoded to a `Reject` of this rule. Its bytes are kept.
    pub(crate) fn refused(rule: Rule, reason: String, body: Bytes) -> Payload {
        let rule = (REFUSED.to_owned(), rule.word().to_owned());
        Payload::Binary { attributes: vec![rule, ("!reason".to_owned(), reason)], body }
    }
}

/// Reads one event.
pub fn parse(payload: &Payload) -> Result<Event<'_>, Reject> {
    read(payload, &mut Tape::default()).map(|(event, _)| event)
}

/// Splits a JSON batch (`application/cloudevents-batch+json`) into its events; all must be valid, or none is taken.
pub fn parse_batch(bytes: &Bytes) -> Result<Vec<Payload>, Reject> {
    let text = utf8(bytes, BATCH_BYTES_MAX)?;
    let mut tape = Tape::default();
    scan(&mut tape, text)?;
    if tape.node(0).kind != Kind::Array {
        return Err(Reject::new(Rule::Json, "cannot read a batch of events: it is not a JSON array"));
    }
    let mut event_tape = Tape::default();
    let elements = tape.elements(0).enumerate().map(|(index, element)| {
        let (start, end) = match tape.node(element) {
            node if node.kind == Kind::Object => (node.start as usize, node.end as usize),
            _ => {
                return Err(Reject::new(
                    Rule::Json,
                    format!("event {index} of the batch: it is not a JSON object"),
                ));
            }
        };
        let payload = Payload::Structured(bytes.slice(start..end));
        match read(&payload, &mut event_tape) {
            Ok(_) => {}
            Err(reject) => {
                let reason = format!("event {index} of the batch: {}", reject.reason);
                return Err(Reject { reason, ..reject });
            }
        }
        Ok(payload)
    });
    elements.collect()
}

/// Reads one event. Where it has JSON data, the tape holds it, under the node returned.
pub(crate) fn read<'a>(payload: &'a Payload, tape: &mut Tape) -> Result<(Event<'a>, Option<usize>), Reject> {
    match payload {
        Payload::Structured(bytes) => structured(bytes, tape),
        Payload::Binary { attributes, body } => carried(attributes, body, tape),
    }
}

fn utf8(bytes: &[u8], bytes_max: usize) -> Result<&str, Reject> {
    if bytes.len() > bytes_max {
        let reason = format!("it has {} bytes, more than the {bytes_max} that are read", bytes.len());
        return Err(Reject::new(Rule::Size, reason));
    }
    std::str::from_utf8(bytes)
        .map_err(|e| Reject::new(Rule::Json, format!("it is not UTF-8 from byte {} on", e.valid_up_to())))
}

fn scan(tape: &mut Tape, text: &str) -> Result<(), Reject> {
    tape.scan(text)
        .map_err(|fault| Reject::new(Rule::Json, format!("not JSON at byte {}: {}", fault.at, fault.why)))
}

fn structured<'a>(bytes: &'a [u8], tape: &mut Tape) -> Result<(Event<'a>, Option<usize>), Reject> {
    let text = utf8(bytes, EVENT_BYTES_MAX)?;
    scan(tape, text)?;
    if tape.node(0).kind != Kind::Object {
        return Err(Reject::new(Rule::Json, "an event is a JSON object"));
    }
    let (mut draft, mut plain, mut base64) = (Draft::default(), None, None);
    let result = members(tape, text, &mut draft, &mut plain, &mut base64);
    let result = result.and_then(|()| {
        let data = match (plain, base64) {
            (Some(node), Some(_)) if tape.node(node).kind != Kind::Null => {
                Err(Reject::new(Rule::Data, "it has both \"data\" and \"data_base64\""))
            }
            (_, Some(node)) => encoded(tape, text, node, draft.data_is_json(true)),
            (Some(node), None) => inline(tape, text, node, draft.data_is_json(true)),
            (None, None) => Ok((Data::None, None)),
        };
        data.and_then(|(data, root)| Ok((draft.finish(data)?, root)))
    });
    result.map_err(|reject| match reject.rule {
        // Data in base64 took the tape: it is scanned again for the sake of the message.
        _ if tape.scan(text).is_ok() => identified(reject, tape, text),
        _ => reject,
    })
}

/// Gives every member of the envelope to the draft, and notes where the data are.
fn members<'a>(
    tape: &Tape,
    text: &'a str,
    draft: &mut Draft<'a>,
    plain: &mut Option<usize>,
    base64: &mut Option<usize>,
) -> Result<(), Reject> {
    let start = tape.node(0).after as usize;
    let mut at = 1;
    while at < start {
        let (key, value) = (at, at + 1);
        let node = *tape.node(value);
        at = node.after as usize;
        let name = slice(tape, text, key);
        match name.as_ref() {
            "data" => *plain = Some(value),
            "data_base64" if node.kind != Kind::Null => *base64 = Some(value),
            "data_base64" => {}
            _ => {
                let attribute = match node.kind {
                    Kind::Null => continue,
                    Kind::Text => Attribute::Text(slice(tape, text, value)),
                    Kind::True => Attribute::Boolean(true),
                    Kind::False => Attribute::Boolean(false),
                    Kind::Number => attribute::integer(&name, &text[node.start as usize..node.end as usize])?,
                    Kind::Array | Kind::Object => {
                        return Err(attribute::wrong_type(&name, "an array or object"));
                    }
                };
                draft.set(name, attribute)?;
            }
        }
    }
    Ok(())
}

/// A string's value, borrowed for as long as the payload and not only the tape.
#[inline]
fn slice<'a>(tape: &Tape, text: &'a str, index: usize) -> Cow<'a, str> {
    let node = tape.node(index);
    if node.marked {
        return Cow::Owned(Json::new(tape, text, 0).string(index).into_owned());
    }
    Cow::Borrowed(&text[node.start as usize..node.end as usize])
}

fn inline<'a>(
    tape: &Tape,
    text: &'a str,
    index: usize,
    is_json: bool,
) -> Result<(Data<'a>, Option<usize>), Reject> {
    let node = tape.node(index);
    if is_json {
        let quote = usize::from(node.kind == Kind::Text);
        let raw = &text[node.start as usize - quote..node.end as usize + quote];
        return Ok((Data::Json(Cow::Borrowed(raw)), Some(index)));
    }
    match node.kind {
        Kind::Text => Ok((Data::Text(slice(tape, text, index)), None)),
        Kind::Null => Ok((Data::None, None)),
        Kind::True | Kind::False | Kind::Number | Kind::Array | Kind::Object => {
            Err(Reject::new(Rule::Data, "\"data\" is no string, and \"datacontenttype\" does not say JSON"))
        }
    }
}

fn encoded<'a>(
    tape: &mut Tape,
    text: &'a str,
    index: usize,
    is_json: bool,
) -> Result<(Data<'a>, Option<usize>), Reject> {
    if tape.node(index).kind != Kind::Text {
        return Err(Reject::new(Rule::Data, "\"data_base64\" is not a string"));
    }
    let decoded = STANDARD.decode(slice(tape, text, index).as_bytes());
    let bytes =
        decoded.map_err(|e| Reject::new(Rule::Data, format!("\"data_base64\" is not base64: {e}")))?;
    if !is_json {
        return Ok((Data::Bytes(Cow::Owned(bytes)), None));
    }
    let json = String::from_utf8(bytes).map_err(|_| not_json("they are not UTF-8"))?;
    let data = body_json(tape, &json)?.to_owned();
    Ok((Data::Json(Cow::Owned(data)), Some(0)))
}

fn not_json(why: &str) -> Reject {
    Reject::new(Rule::Data, format!("the data are not the JSON that \"datacontenttype\" says: {why}"))
}

/// Scans data that stand alone; the JSON without the white space around it.
fn body_json<'b>(tape: &mut Tape, text: &'b str) -> Result<&'b str, Reject> {
    match tape.scan(text) {
        Ok(()) => Ok(text.trim_matches([' ', '\t', '\n', '\r'])),
        Err(fault) => Err(not_json(&format!("at byte {}: {}", fault.at, fault.why))),
    }
}

fn carried<'a>(
    attributes: &'a [(String, String)],
    body: &'a [u8],
    tape: &mut Tape,
) -> Result<(Event<'a>, Option<usize>), Reject> {
    if let [(mark, rule), (_, reason), ..] = attributes
        && mark == REFUSED
    {
        return Err(Reject::new(Rule::of_transport(rule).unwrap_or(Rule::Attribute), reason));
    }
    let result = (|| {
        if body.len() > EVENT_BYTES_MAX {
            utf8(body, EVENT_BYTES_MAX)?;
        }
        let mut draft = Draft::default();
        for (name, value) in attributes {
            draft.set(Cow::Borrowed(name), Attribute::Text(Cow::Borrowed(value)))?;
        }
        let (data, root) = body_data(body, &draft, tape)?;
        Ok((draft.finish(data)?, root))
    })();
    result.map_err(|reject: Reject| {
        let find = |name| attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        Reject { event_id: find("id"), event_source: find("source"), ..reject }
    })
}

/// Without a media type, data are JSON if they can be read as JSON.
fn body_data<'a>(
    body: &'a [u8],
    draft: &Draft,
    tape: &mut Tape,
) -> Result<(Data<'a>, Option<usize>), Reject> {
    if body.is_empty() {
        return Ok((Data::None, None));
    }
    if !draft.data_is_json(true) {
        return Ok((Data::Bytes(Cow::Borrowed(body)), None));
    }
    let json = match std::str::from_utf8(body) {
        Ok(text) => body_json(tape, text),
        Err(_) => Err(not_json("they are not UTF-8")),
    };
    match json {
        Ok(text) => Ok((Data::Json(Cow::Borrowed(text)), Some(0))),
        Err(reject) if draft.data_is_json(false) => Err(reject),
        Err(_) => Ok((Data::Bytes(Cow::Borrowed(body)), None)),
    }
}

/// Adds what can be known of the event's identity.
fn identified(reject: Reject, tape: &Tape, text: &str) -> Reject {
    let json = Json::new(tape, text, 0);
    let find = |name: &str| {
        let value = tape.members(0).find(|(key, _)| json.string(*key) == name)?.1;
        (tape.node(value).kind == Kind::Text).then(|| json.string(value).into_owned())
    };
    Reject { event_id: find("id"), event_source: find("source"), ..reject }
}
