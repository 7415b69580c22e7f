//! `Tape`: one strict pass over a JSON text; what it holds is then found without scanning it again.
//!
//! An own scanner, because the envelope's keys may come in any order: the pass that validates everything also
//! remembers where each value lies, in one buffer that is used again for the next event.
mod scan;

use scan::Scanner;
use std::borrow::Cow;

/// What a node of the tape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    Text,
    Array,
    Object,
}

/// One value or key; a container's children follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub kind: Kind,
    /// A text: it has escapes. A container: it has white space outside of strings.
    pub marked: bool,
    /// Where its text begins; for a string, after the quote.
    pub start: u32,
    /// Where its text ends; for a string, before the quote.
    pub end: u32,
    /// The node after it and all its children.
    pub after: u32,
}

/// Where a text is not JSON, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub at: usize,
    pub why: &'static str,
}

/// The values of one JSON text, in its order. Node 0 is the root.
#[derive(Default)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
}

impl Tape {
    /// Reads all of `text`, which is below 4 GiB; what the tape held before is gone.
    pub fn scan(&mut self, text: &str) -> Result<(), Fault> {
        self.nodes.clear();
        let mut scanner = Scanner::new(text, &mut self.nodes);
        scanner.skip_space();
        scanner.value(0)?;
        scanner.skip_space();
        if scanner.at < text.len() { scanner.fault("there is text after the JSON value") } else { Ok(()) }
    }

    #[inline]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The keys and values of an object, as node numbers.
    pub fn members(&self, object: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let end = self.nodes[object].after as usize;
        let mut at = object + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let key = at;
                at = self.nodes[key + 1].after as usize;
                (key, key + 1)
            })
        })
    }

    /// The elements of an array, as node numbers.
    pub fn elements(&self, array: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.nodes[array].after as usize;
        let mut at = array + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let element = at;
                at = self.nodes[element].after as usize;
                element
            })
        })
    }
}

/// A value of a tape, and the text that it lies in.
#[derive(Clone, Copy)]
pub(crate) struct Json<'t> {
    pub tape: &'t Tape,
    text: &'t str,
    base: usize,
}

impl<'t> Json<'t> {
    /// `text` begins where the scanned text's byte `base` was.
    #[inline]
    pub fn new(tape: &'t Tape, text: &'t str, base: usize) -> Json<'t> {
        Json { tape, text, base }
    }

    /// A node's text as it stands; a string's without quotes and with its escapes.
    #[inline]
    pub fn raw(&self, index: usize) -> &'t str {
        let node = self.tape.node(index);
        &self.text[node.start as usize - self.base..node.end as usize - self.base]
    }

    /// A string's value.
    #[inline]
    pub fn string(&self, index: usize) -> Cow<'t, str> {
        let raw = self.raw(index);
        if self.tape.node(index).marked { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    /// Appends a value's text without the white space around its tokens.
    pub fn write_compact(&self, index: usize, out: &mut Vec<u8>) {
        let node = self.tape.node(index);
        let raw = self.raw(index).as_bytes();
        match node.kind {
            Kind::Text => {
                out.push(b'"');
                out.extend_from_slice(raw);
                out.push(b'"');
            }
            Kind::Array | Kind::Object if node.marked => {
                let mut quoted = false;
                let mut escaped = false;
                for byte in raw {
                    if quoted || !is_space(*byte) {
                        out.push(*byte);
                    }
                    quoted ^= *byte == b'"' && !escaped;
                    escaped = quoted && *byte == b'\\' && !escaped;
                }
            }
            Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::Array | Kind::Object => {
                out.extend_from_slice(raw);
            }
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | (*digit as char).to_digit(16)?))
}

/// The value of a string whose escapes were checked by the scanner.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        let plain = match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit =
                    |text: &str| hexadecimal(&text.as_bytes()[..4]).expect("the scanner checked the digits");
                let mut code = unit(rest);
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&code) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (unit(&rest[2..]) - 0xdc00);
                    rest = &rest[6..];
                }
                char::from_u32(code).expect("the scanner checked the surrogates")
            }
            other => other as char,
        };
        out.push(plain);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, &'static str> {
        let mut tape = Tape::default();
        tape.scan(text).map_err(|fault| fault.why)?;
        let mut out = Vec::new();
        Json::new(&tape, text, 0).write_compact(0, &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_json_is_read_and_compacted() {
        let cases = [
            (
                " { \"a b\" : [ 1 , -0.5e+7 ,\t{ } ] , \"c\\\"  d\" : null } ",
                r#"{"a b":[1,-0.5e+7,{}],"c\"  d":null}"#,
            ),
            (r#"{"a":"x\\","b": 1}"#, r#"{"a":"x\\","b":1}"#),
            ("\"a long string without anything in it é\"", "\"a long string without anything in it é\""),
            (" 0 ", "0"),
            ("[]", "[]"),
            (r#"{"ab":1,"ba":2,"aa":3,"ac":4}"#, r#"{"ab":1,"ba":2,"aa":3,"ac":4}"#),
        ];
        for (text, compact) in cases {
            assert_eq!(check(text).as_deref(), Ok(compact), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let cases = [
            ("", "it ends too early"),
            ("{\"a\":1", "it ends too early"),
            ("{\"a\" 1}", "a colon is expected"),
            ("{a:1}", "a key is expected"),
            ("{\"a\":1,}", "a key is expected"),
            ("[1,]", "a JSON value is expected"),
            ("[01]", "a number has no leading zeros"),
            ("[1.]", "a digit is expected"),
            ("[-]", "a digit is expected"),
            ("[+1]", "a JSON value is expected"),
            ("[NaN]", "a JSON value is expected"),
            ("[tru ]", "a JSON value is expected"),
            ("[\"a\nb\"]", "a control character stands in a string"),
            ("[\"\\x\"]", "there is no such escape"),
            ("[\"\\u12g4\"]", "an escape has four hexadecimal digits"),
            ("[\"\\ud800x\"]", "an escape is half of a surrogate pair"),
            ("[\"\\udc00\"]", "an escape is half of a surrogate pair"),
            ("[\"\\ud800\\u0041\"]", "an escape is half of a surrogate pair"),
            ("{\"a\":1,\"a\":2}", "an object has this key twice"),
            ("{\"x\":{\"a\":1,\"\\u0061\":2}}", "an object has this key twice"),
            ("{} {}", "there is text after the JSON value"),
            ("[1 2]", "a comma or a closing bracket is expected"),
            ("{\"a\":1 \"b\":2}", "a comma or a closing brace is expected"),
        ];
        for (text, why) in cases {
            assert_eq!(check(text), Err(why), "{text}");
        }
        assert_eq!(check(&"[".repeat(200)), Err("it is nested deeper than 128 levels"));
    }

    #[test]
    fn escapes_become_their_characters() {
        let text = r#""\u0041\ud83d\ude04\n\"\\\/é""#;
        let mut tape = Tape::default();
        tape.scan(text).unwrap();
        assert_eq!(Json::new(&tape, text, 0).string(0), "A😄\n\"\\/é");
    }
}
