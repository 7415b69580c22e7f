//! `Json`: JSON text written by hand into a buffer. The generator's strings need no escaping.
use chrono::{DateTime, Datelike};

/// A JSON text in the making, and the tag that ids of this run carry.
pub(super) struct Json<'a> {
    out: &'a mut Vec<u8>,
    tag: [u8; 6],
}

impl<'a> Json<'a> {
    /// Appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>, tag: [u8; 6]) -> Json<'a> {
        Json { out, tag }
    }

    /// Opens an object that is no member: the outermost, or an element of a list.
    pub(super) fn object(&mut self) {
        self.comma();
        self.out.push(b'{');
    }

    /// Opens an object as a member.
    pub(super) fn member(&mut self, name: &str) {
        self.key(name);
        self.out.push(b'{');
    }

    /// Closes the innermost object.
    pub(super) fn end(&mut self) {
        self.out.push(b'}');
    }

    /// A list of objects, which `write` writes.
    pub(super) fn list(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.key(name);
        self.out.push(b'[');
        write(self);
        self.out.push(b']');
    }

    /// A member with a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.parts(name, &[value]);
    }

    /// A member with a text made of parts.
    pub(super) fn parts(&mut self, name: &str, parts: &[&str]) {
        self.key(name);
        self.out.push(b'"');
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.push(b'"');
    }

    /// A member with a list of texts.
    pub(super) fn texts(&mut self, name: &str, values: &[&str]) {
        self.list(name, |json| {
            for value in values {
                json.comma();
                json.out.push(b'"');
                json.out.extend_from_slice(value.as_bytes());
                json.out.push(b'"');
            }
        });
    }

    /// A member with a whole number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        digits(self.out, value, 1);
    }

    /// A member with true or false.
    pub(super) fn truth(&mut self, name: &str, value: bool) {
        self.key(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A member with a text of digits.
    pub(super) fn serial(&mut self, name: &str, value: u64) {
        self.key(name);
        self.out.push(b'"');
        digits(self.out, value, 9);
        self.out.push(b'"');
    }

    /// A member with a text of two decimal places.
    pub(super) fn decimal(&mut self, name: &str, hundredths: u64) {
        self.key(name);
        self.out.push(b'"');
        digits(self.out, hundredths / 100, 1);
        self.out.push(b'.');
        digits(self.out, hundredths % 100, 2);
        self.out.push(b'"');
    }

    /// A member with a text of four decimal places.
    pub(super) fn fine(&mut self, name: &str, ten_thousandths: u64) {
        self.key(name);
        self.out.push(b'"');
        digits(self.out, ten_thousandths / 10_000, 1);
        self.out.push(b'.');
        digits(self.out, ten_thousandths % 10_000, 4);
        self.out.push(b'"');
    }

    /// A member `geo` with thousandths of degrees.
    pub(super) fn place(&mut self, latitude: i64, longitude: i64) {
        self.member("geo");
        for (name, value) in [("lat", latitude), ("lon", longitude)] {
            self.key(name);
            if value < 0 {
                self.out.push(b'-');
            }
            digits(self.out, value.unsigned_abs() / 1_000, 1);
            self.out.push(b'.');
            digits(self.out, value.unsigned_abs() % 1_000, 3);
        }
        self.end();
    }

    /// A member with an amount of money.
    pub(super) fn money(&mut self, name: &str, currency: &str, cents: u64) {
        self.member(name);
        self.text("unit", currency);
        self.decimal("value", cents);
        self.end();
    }

    /// A member with an id of this run, such as `C-k3f9a2-000042`, after a prefix.
    pub(super) fn id(&mut self, name: &str, prefix: &str, letter: u8, number: u64) {
        self.key(name);
        self.out.push(b'"');
        self.out.extend_from_slice(prefix.as_bytes());
        self.out.extend_from_slice(&[letter, b'-']);
        self.out.extend_from_slice(&self.tag);
        self.out.push(b'-');
        digits(self.out, number, 6);
        self.out.push(b'"');
    }

    /// A member with a text that the run's tag ends.
    pub(super) fn tagged(&mut self, name: &str, prefix: &str) {
        self.key(name);
        self.out.push(b'"');
        self.out.extend_from_slice(prefix.as_bytes());
        self.out.extend_from_slice(&self.tag);
        self.out.push(b'"');
    }

    /// A member with a mail address.
    pub(super) fn mail(&mut self, name: &str, mailbox: u8, number: u64) {
        self.key(name);
        self.out.push(b'"');
        self.out.extend_from_slice(b"customer");
        digits(self.out, number, 1);
        self.out.push(b'.');
        digits(self.out, u64::from(mailbox), 1);
        self.out.extend_from_slice(b"@example.com\"");
    }

    /// A member with a time, RFC 3339 in UTC.
    pub(super) fn time(&mut self, name: &str, ms: u64) {
        self.key(name);
        self.out.push(b'"');
        self.calendar(ms);
        let of_day = ms % 86_400_000;
        for (mark, value, width) in [
            (b'T', of_day / 3_600_000, 2),
            (b':', of_day / 60_000 % 60, 2),
            (b':', of_day / 1_000 % 60, 2),
            (b'.', of_day % 1_000, 3),
        ] {
            self.out.push(mark);
            digits(self.out, value, width);
        }
        self.out.extend_from_slice(b"Z\"");
    }

    /// A member with a day.
    pub(super) fn date(&mut self, name: &str, ms: u64) {
        self.key(name);
        self.out.push(b'"');
        self.calendar(ms);
        self.out.push(b'"');
    }

    fn calendar(&mut self, ms: u64) {
        let day =
            DateTime::from_timestamp_millis(ms as i64).expect("the start is a time that the calendar knows");
        digits(self.out, day.year() as u64, 4);
        self.out.push(b'-');
        digits(self.out, u64::from(day.month()), 2);
        self.out.push(b'-');
        digits(self.out, u64::from(day.day()), 2);
    }

    fn key(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }
}

/// A number in decimal digits, at least `width` of them.
fn digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut text = [b'0'; 20];
    let mut from = text.len();
    while value > 0 {
        from -= 1;
        text[from] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&text[from.min(text.len() - width)..]);
}
