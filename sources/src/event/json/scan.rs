//! `Scanner`: the strict pass over the bytes of a JSON text that fills a tape.
use super::{Fault, Kind, Node, hexadecimal, is_space, unescape};
use std::borrow::Cow;

/// How deep arrays and objects may be nested.
const DEPTH_MAX: usize = 128;

pub(super) struct Scanner<'t> {
    text: &'t str,
    bytes: &'t [u8],
    pub at: usize,
    spaces: usize,
    nodes: &'t mut Vec<Node>,
}

impl<'t> Scanner<'t> {
    pub fn new(text: &'t str, nodes: &'t mut Vec<Node>) -> Scanner<'t> {
        Scanner { text, bytes: text.as_bytes(), at: 0, spaces: 0, nodes }
    }

    pub fn fault<T>(&self, why: &'static str) -> Result<T, Fault> {
        let why = if self.at >= self.bytes.len() { "it ends too early" } else { why };
        Err(Fault { at: self.at, why })
    }

    #[inline(always)]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub fn skip_space(&mut self) {
        while is_space(self.peek()) {
            self.at += 1;
            self.spaces += 1;
        }
    }

    pub fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true", Kind::True),
            b'f' => self.literal("false", Kind::False),
            b'n' => self.literal("null", Kind::Null),
            _ => self.fault("a JSON value is expected"),
        }
    }

    #[inline(always)]
    fn leaf(&mut self, kind: Kind, marked: bool, start: usize, end: usize) {
        let after = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, marked, start: start as u32, end: end as u32, after });
    }

    fn literal(&mut self, word: &'static str, kind: Kind) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fault("a JSON value is expected");
        }
        self.leaf(kind, false, self.at, self.at + word.len());
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        let whole = self.at;
        self.digits()?;
        if self.bytes[whole] == b'0' && self.at > whole + 1 {
            self.at = whole + 1;
            return self.fault("a number has no leading zeros");
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        self.leaf(Kind::Number, false, start, self.at);
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { self.fault("a digit is expected") } else { Ok(()) }
    }

    /// Returns its number; stands after the closing quote.
    #[inline(always)]
    fn string(&mut self) -> Result<usize, Fault> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.fault("a control character stands in a string"),
            }
        }
        self.leaf(Kind::Text, escaped, start, self.at);
        self.at += 1;
        Ok(self.nodes.len() - 1)
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let first = self.hexadecimal()?;
                if (0xdc00..0xe000).contains(&first) {
                    return self.fault("an escape is half of a surrogate pair");
                }
                if (0xd800..0xdc00).contains(&first) {
                    if !self.bytes[self.at..].starts_with(b"\\u") {
                        return self.fault("an escape is half of a surrogate pair");
                    }
                    self.at += 1;
                    if !(0xdc00..0xe000).contains(&self.hexadecimal()?) {
                        return self.fault("an escape is half of a surrogate pair");
                    }
                }
            }
            _ => return self.fault("there is no such escape"),
        }
        Ok(())
    }

    /// Stands on the `u` of an escape, then after its four digits.
    fn hexadecimal(&mut self) -> Result<u32, Fault> {
        self.at += 1;
        let digits = self.bytes.get(self.at..self.at + 4).and_then(hexadecimal);
        let Some(code) = digits else { return self.fault("an escape has four hexadecimal digits") };
        self.at += 4;
        Ok(code)
    }

    fn open(&mut self, kind: Kind, depth: usize) -> Result<(usize, usize), Fault> {
        if depth >= DEPTH_MAX {
            return self.fault("it is nested deeper than 128 levels");
        }
        self.leaf(kind, false, self.at, self.at);
        self.at += 1;
        let opened = (self.nodes.len() - 1, self.spaces);
        self.skip_space();
        Ok(opened)
    }

    fn close(&mut self, (index, spaces): (usize, usize)) {
        self.at += 1;
        let after = self.nodes.len() as u32;
        let node = &mut self.nodes[index];
        node.after = after;
        node.end = self.at as u32;
        node.marked = self.spaces != spaces;
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        let opened = self.open(Kind::Array, depth)?;
        if self.peek() != b']' {
            loop {
                self.value(depth + 1)?;
                self.skip_space();
                match self.peek() {
                    b',' => self.at += 1,
                    b']' => break,
                    _ => return self.fault("a comma or a closing bracket is expected"),
                }
                self.skip_space();
            }
        }
        self.close(opened);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        let opened = self.open(Kind::Object, depth)?;
        // A bit for each key: only where two keys share one can there be a duplicate.
        let (mut seen, mut suspect) = ([0u64; 16], false);
        if self.peek() != b'}' {
            loop {
                if self.peek() != b'"' {
                    return self.fault("a key is expected");
                }
                let key = self.string()?;
                let node = self.nodes[key];
                let mark = fingerprint(&self.bytes[node.start as usize..node.end as usize]);
                let (word, bit) = (&mut seen[usize::from(mark >> 6)], 1u64 << (mark & 63));
                suspect |= *word & bit != 0 || node.marked;
                *word |= bit;
                self.skip_space();
                if self.peek() != b':' {
                    return self.fault("a colon is expected");
                }
                self.at += 1;
                self.skip_space();
                self.value(depth + 1)?;
                self.skip_space();
                match self.peek() {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return self.fault("a comma or a closing brace is expected"),
                }
                self.skip_space();
            }
        }
        self.close(opened);
        if suspect { self.reject_duplicates(opened.0) } else { Ok(()) }
    }

    fn reject_duplicates(&self, object: usize) -> Result<(), Fault> {
        let mut keys: Vec<(Cow<str>, usize)> = Vec::new();
        let mut at = object + 1;
        while at < self.nodes.len() {
            let node = &self.nodes[at];
            let raw = &self.text[node.start as usize..node.end as usize];
            let key = if node.marked { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) };
            keys.push((key, node.start as usize));
            at = self.nodes[at + 1].after as usize;
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(Fault { at: pair[1].1, why: "an object has this key twice" }),
            None => Ok(()),
        }
    }
}

/// A number below 1024 that equal keys share, and few others.
#[inline(always)]
fn fingerprint(key: &[u8]) -> u16 {
    let (Some(first), Some(last)) = (key.first(), key.last()) else { return 0 };
    let middle = key[key.len() / 2];
    let mixed =
        u32::from(*first) | u32::from(*last) << 8 | u32::from(middle) << 16 | (key.len() as u32) << 24;
    (mixed.wrapping_mul(0x9e37_79b1) >> 22) as u16
}

/// The first byte from `at` on that is a quote, a backslash or a control character; the text's end if there is none.
#[inline(always)]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes were taken"));
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let quote = zero(word ^ (ONES * b'"' as u64));
        let backslash = zero(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGHS;
        if found != 0 {
            // Borrows make false marks only above the first true one.
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..=0x1f) {
        at += 1;
    }
    at
}
