//! `to_char` and `to_number` of numbers: PostgreSQL's pictures such as `9,999.99`.
//! The writer follows PostgreSQL's `NUM_processor` step by step, since its answers are what these steps give.
use super::call::{Kind, Takes, fail, native, strict};
use super::template::suffix;
use arrow::array::*;
use arrow::datatypes::*;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let takes = Takes::Forms(&[&[Kind::Text, Kind::Text]]);
    vec![native(
        "to_number",
        takes,
        |_| DataType::Decimal128(38, 10),
        |columns, rows, to| {
            let (input, pictures) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
            let found = strict(columns, rows, |i| read(input.value(i), pictures.value(i)).map(Some))?;
            Ok(Arc::new(found.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
        },
    )]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Nine,
    Zero,
    Point,
    Comma,
    Currency,
    Sign,
    Minus,
    Plus,
    Both,
    Ordinal(bool),
    Roman(bool),
    Nothing,
    Literal(char),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sign {
    None,
    Before,
    After,
}

#[derive(Debug)]
struct Picture {
    parts: Vec<Part>,
    before: usize,
    after: usize,
    shift: usize,
    zero_from: Option<usize>,
    zero_to: usize,
    point: bool,
    shifts: bool,
    bare: bool,
    bracket: bool,
    minus: bool,
    plus: bool,
    sign: Sign,
    sign_at: usize,
    science: bool,
}

const WORDS: [(&str, Part); 14] = [
    ("9", Part::Nine),
    ("0", Part::Zero),
    (".", Part::Point),
    ("D", Part::Point),
    (",", Part::Comma),
    ("G", Part::Comma),
    ("L", Part::Currency),
    ("SG", Part::Both),
    ("S", Part::Sign),
    ("MI", Part::Minus),
    ("PL", Part::Plus),
    ("RN", Part::Roman(true)),
    ("TH", Part::Ordinal(true)),
    ("B", Part::Nothing),
];

impl Picture {
    fn parse(text: &str) -> Result<Picture> {
        let mut p = Picture {
            parts: vec![],
            before: 0,
            after: 0,
            shift: 0,
            zero_from: None,
            zero_to: 0,
            point: false,
            shifts: false,
            bare: false,
            bracket: false,
            minus: false,
            plus: false,
            sign: Sign::None,
            sign_at: 0,
            science: false,
        };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let starts =
                |word: &str| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
            if first == '"' {
                let inside = &rest[1..];
                let end = inside.find('"').unwrap_or(inside.len());
                p.parts.extend(inside[..end].chars().map(Part::Literal));
                rest = inside.get(end + 1..).unwrap_or("");
            } else if starts("EEEE") {
                (p.science, rest) = (true, &rest[4..]);
            } else if starts("FM") {
                (p.bare, rest) = (true, &rest[2..]);
            } else if starts("PR") {
                (p.bracket, rest) = (true, &rest[2..]);
                p.parts.push(Part::Nothing);
            } else if starts("V") {
                (p.shifts, rest) = (true, &rest[1..]);
            } else if let Some((word, part)) = WORDS.iter().find(|(word, _)| starts(word)) {
                let upper = rest.starts_with(word);
                p.add(match part {
                    Part::Roman(_) => Part::Roman(upper),
                    Part::Ordinal(_) => Part::Ordinal(upper),
                    part => *part,
                })?;
                rest = &rest[word.len()..];
            } else {
                p.parts.push(Part::Literal(first));
                rest = &rest[first.len_utf8()..];
            }
        }
        Ok(p)
    }

    fn add(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Nine if self.shifts => self.shift += 1,
            Part::Nine if self.point => self.after += 1,
            Part::Nine => self.before += 1,
            Part::Zero => {
                if self.zero_from.is_none() && !self.point {
                    self.zero_from = Some(self.before);
                }
                if self.point {
                    self.after += 1
                } else {
                    self.before += 1
                }
                self.zero_to = self.before + self.after;
            }
            Part::Point if self.point => return fail("multiple decimal points in the format"),
            Part::Point => self.point = true,
            Part::Sign if self.sign != Sign::None => return fail("cannot use \"S\" twice"),
            Part::Sign if self.point => self.sign = Sign::After,
            Part::Sign => (self.sign, self.sign_at) = (Sign::Before, self.before),
            Part::Minus => self.minus = true,
            Part::Plus => self.plus = true,
            Part::Both => (self.minus, self.plus) = (true, true),
            Part::Comma
            | Part::Currency
            | Part::Ordinal(_)
            | Part::Roman(_)
            | Part::Nothing
            | Part::Literal(_) => {}
        }
        self.parts.push(part);
        Ok(())
    }
}

/// A number by a picture.
pub(super) fn write(column: &ArrayRef, i: usize, text: &str) -> Result<String> {
    let mut picture = Picture::parse(text)?;
    let (after, shift) = (picture.after, picture.shift);
    let mut digits = match column.data_type() {
        DataType::Float64 => {
            let v = column.as_primitive::<Float64Type>().value(i) * 10f64.powi(shift as i32);
            if picture.science {
                return Ok(science(&format!("{v:.after$e}")));
            }
            // A double has fifteen digits.
            let whole = format!("{:.0}", v.abs()).len();
            let shown = if whole >= 15 { 0 } else { after.min(15 - whole) };
            let mut digits = format!("{v:.shown$}");
            picture.after = shown;
            if !v.is_finite() {
                digits = "#".repeat(picture.before + shown + 1);
            }
            digits
        }
        _ => {
            let decimals = column.as_primitive::<Decimal128Type>();
            let scale = i32::from(decimals.scale()) - shift as i32;
            if picture.science {
                let v: f64 = decimals.value_as_string(i).parse().unwrap_or(f64::NAN);
                return Ok(science(&format!("{v:.after$e}")));
            }
            rounded(decimals.value(i), scale, after)
        }
    };
    picture.before += shift;
    if let Some(Part::Roman(upper)) = picture.parts.iter().find(|p| matches!(p, Part::Roman(_))) {
        return Ok(roman(&digits, *upper, picture.bare));
    }
    let negative = digits.starts_with('-') && digits.bytes().any(|b| (b'1'..=b'9').contains(&b));
    digits = digits.trim_start_matches('-').to_string();
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut spaces = 0;
    if whole < picture.before {
        spaces = picture.before - whole;
    } else if whole > picture.before {
        digits = "#".repeat(picture.before);
        if picture.point {
            digits = digits + "." + &"#".repeat(picture.after);
        }
    }
    Ok(Writer::new(&picture, digits, negative, spaces).run())
}

fn science(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let gap = if mantissa.starts_with('-') { "" } else { " " };
    format!("{gap}{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// A decimal with so many digits after the point, half away from zero.
fn rounded(v: i128, scale: i32, after: usize) -> String {
    let cut = scale - after as i32;
    let a = v.unsigned_abs();
    let (mut number, mut zeros) = (a, 0);
    if cut > 0 {
        let unit = 10u128.checked_pow(cut.unsigned_abs());
        number = unit.map_or(0, |unit| a / unit + u128::from(a % unit >= unit.div_ceil(2)));
    } else {
        zeros = cut.unsigned_abs() as usize;
    }
    let mut digits = number.to_string() + &"0".repeat(if number == 0 { 0 } else { zeros });
    if digits.len() <= after {
        digits = "0".repeat(after + 1 - digits.len()) + &digits;
    }
    let (whole, fraction) = digits.split_at(digits.len() - after);
    let sign = if v < 0 { "-" } else { "" };
    if after == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn roman(digits: &str, upper: bool, bare: bool) -> String {
    const STEPS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let number: u32 = digits.split('.').next().and_then(|t| t.parse().ok()).unwrap_or(0);
    if !(1..4000).contains(&number) {
        return "#".repeat(15);
    }
    let (mut left, mut out) = (number, String::new());
    for (value, letters) in STEPS {
        while left >= value {
            out.push_str(letters);
            left -= value;
        }
    }
    let out = if upper { out } else { out.to_lowercase() };
    if bare { out } else { format!("{out:>15}") }
}

struct Writer<'a> {
    picture: &'a Picture,
    number: Vec<char>,
    at: usize,
    negative: bool,
    bracket: bool,
    sign: Sign,
    sign_written: bool,
    spaces: usize,
    current: usize,
    count: usize,
    inside: bool,
    last: Option<usize>,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(picture: &'a Picture, digits: String, negative: bool, spaces: usize) -> Writer<'a> {
        let number: Vec<char> = digits.chars().collect();
        let mut last = None;
        if picture.bare && picture.point {
            let point = number.iter().position(|c| *c == '.');
            last = point.map(|p| (p + 1..number.len()).rfind(|i| number[*i] != '0').unwrap_or(p));
            if let Some(at) = last.filter(|_| picture.zero_to > spaces) {
                last = Some(at.max((number.len() - 1).min(picture.zero_to - spaces)));
            }
        }
        let (mut sign, mut bracket, mut sign_written) = (picture.sign, picture.bracket, false);
        if picture.plus || picture.minus {
            sign_written = picture.minus || !picture.plus;
        } else {
            if !negative && picture.bare {
                bracket = false;
                sign_written = sign == Sign::None;
            }
            if sign == Sign::Before && picture.before == picture.sign_at {
                sign = Sign::After;
            }
        }
        let mut count = (picture.after + picture.before).saturating_sub(1);
        if !sign_written && spaces == 0 {
            count += 1;
        }
        Writer {
            picture,
            number,
            at: 0,
            negative,
            bracket,
            sign,
            sign_written,
            spaces,
            current: 0,
            count,
            inside: false,
            last,
            out: String::new(),
        }
    }

    fn run(mut self) -> String {
        let mark = |negative: bool| if negative { '-' } else { '+' };
        for part in &self.picture.parts {
            match part {
                Part::Nine | Part::Zero | Part::Point => self.digit(*part),
                Part::Comma if self.inside => self.out.push(','),
                Part::Comma | Part::Currency if !self.picture.bare => self.out.push(' '),
                Part::Comma | Part::Currency | Part::Nothing | Part::Sign | Part::Roman(_) => {}
                Part::Minus if self.negative => self.out.push('-'),
                Part::Plus if !self.negative => self.out.push('+'),
                Part::Minus | Part::Plus if self.picture.bare => {}
                Part::Minus | Part::Plus => self.out.push(' '),
                Part::Both => self.out.push(mark(self.negative)),
                Part::Ordinal(upper) => {
                    let whole: String = self.number.iter().take_while(|c| **c != '.').collect();
                    if let (Ok(number), false, false) =
                        (whole.parse::<i64>(), self.negative, self.picture.point)
                    {
                        let text = suffix(number);
                        self.out.push_str(&if *upper { text.to_uppercase() } else { text.to_string() });
                    }
                }
                Part::Literal(c) => self.out.push(*c),
            }
        }
        self.out
    }

    fn digit(&mut self, part: Part) {
        let bare = self.picture.bare;
        let zero_from = self.picture.zero_from;
        let zeros = zero_from.is_some();
        let in_zeros = zero_from.is_some_and(|from| from <= self.current);
        let last_is_point = self.last.is_some_and(|at| self.number[at] == '.');
        let lonely_zero = !zeros && self.at == 0 && self.number[0] == '0' && self.picture.after != 0;
        if !self.sign_written
            && (self.current >= self.spaces || zero_from == Some(self.current))
            && (!lonely_zero || last_is_point)
        {
            self.leading_sign();
        }
        if self.current < self.spaces && !in_zeros {
            if !bare {
                self.out.push(' ');
            }
        } else if self.current < self.spaces {
            self.out.push('0');
            self.inside = true;
        } else {
            match self.number.get(self.at) {
                Some('.') if !last_is_point || bare => self.out.push('.'),
                Some('.') => {}
                None => {}
                Some(_) if self.last.is_some_and(|last| self.at > last) && part != Part::Zero => {}
                Some(_) if lonely_zero => {
                    if !bare {
                        self.out.push(' ');
                    } else if last_is_point {
                        self.out.push('0');
                    }
                }
                Some(c) => {
                    self.out.push(*c);
                    self.inside = true;
                }
            }
            self.at = (self.at + 1).min(self.number.len());
        }
        let mut end = self.count + usize::from(self.spaces > 0) + usize::from(self.picture.point);
        if self.last.is_some_and(|last| last == self.at) {
            end = self.current;
        }
        if self.current + 1 == end {
            if self.sign_written && self.bracket {
                self.out.push(if self.negative { '>' } else { ' ' });
            } else if self.sign == Sign::After {
                self.out.push(if self.negative { '-' } else { '+' });
            }
        }
        self.current += 1;
    }

    fn leading_sign(&mut self) {
        match self.sign {
            Sign::Before => {
                self.out.push(if self.negative { '-' } else { '+' });
                self.sign_written = true;
            }
            Sign::After => {}
            Sign::None => {
                match (self.bracket, self.negative) {
                    (true, true) => self.out.push('<'),
                    (false, true) => self.out.push('-'),
                    (true, false) => self.out.push(' '),
                    (false, false) if !self.picture.bare => self.out.push(' '),
                    (false, false) => {}
                }
                self.sign_written = true;
            }
        }
    }
}

/// A number as the picture lets it be written: ten digits after the point are kept.
fn read(text: &str, picture: &str) -> Result<i128> {
    let (mut value, mut after, mut negative, mut any) = (0i128, None::<u32>, false, false);
    for c in text.chars() {
        match c {
            '0'..='9' => {
                any = true;
                let place = after.unwrap_or(0);
                if place < 10 {
                    let digit = i128::from(c.to_digit(10).unwrap_or(0));
                    value = match value.checked_mul(10).and_then(|v| v.checked_add(digit)) {
                        Some(value) => value,
                        None => return fail(format!("numeric out of range: \"{text}\"")),
                    };
                    after = after.map(|n| n + 1);
                }
            }
            '.' if after.is_none() => after = Some(0),
            '-' | '<' => negative = true,
            _ => {}
        }
    }
    if !any {
        return fail(format!("invalid input syntax for type numeric: \"{text}\" by \"{picture}\""));
    }
    match value.checked_mul(10i128.pow(10 - after.unwrap_or(0))) {
        Some(value) => Ok(if negative { -value } else { value }),
        None => fail(format!("numeric out of range: \"{text}\"")),
    }
}
