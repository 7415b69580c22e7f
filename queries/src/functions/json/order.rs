//! `key`: what orders jsonb, as bytes. Documents that are equal have one key, whatever scale their numbers are written with.
//!
//! NULL, texts, numbers, booleans, arrays and objects follow each other; of arrays and objects the shorter comes first, then the one
//! with the lesser part. An empty array that is the whole document comes before all.
use super::document::Document;
use super::parse;
use crate::functions::call::{Kind, Takes, native, strict};
use arrow::array::*;
use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const NAME: &str = "__jsonb_key";

/// The function.
pub(crate) fn key() -> ScalarUDF {
    native(
        NAME,
        Takes::Forms(&[&[Kind::Text]]),
        |_| DataType::Utf8,
        |columns, rows, _| {
            let input = columns[0].as_string::<i32>();
            let found = strict(columns, rows, |i| Ok(Some(written(&bytes(parse(input.value(i))?)))))?;
            Ok(Arc::new(found.into_iter().collect::<StringArray>()))
        },
    )
}

/// Bytes as a text that is ordered like them.
fn written(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        out.extend([byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).unwrap_or('0')));
        out
    })
}

pub(super) fn bytes(document: Document) -> Vec<u8> {
    match document.sorted() {
        Document::Array(list) if list.is_empty() => vec![0],
        document => {
            let mut out = vec![];
            write(&document, &mut out);
            out
        }
    }
}

fn write(document: &Document, out: &mut Vec<u8>) {
    match document {
        Document::Null => out.push(1),
        Document::Text(text) => {
            out.push(2);
            write_text(text, out);
        }
        Document::Number(text) => {
            out.push(3);
            write_number(text, out);
        }
        Document::Bool(value) => out.extend([4, u8::from(*value)]),
        Document::Array(list) => {
            out.push(5);
            out.extend((list.len() as u32).to_be_bytes());
            list.iter().for_each(|part| write(part, out));
        }
        Document::Object(list) => {
            out.push(6);
            out.extend((list.len() as u32).to_be_bytes());
            for (name, part) in list {
                write_text(name, out);
                write(part, out);
            }
        }
    }
}

/// Its bytes and an end that is less than all of them.
fn write_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(1);
        }
    }
    out.extend([0, 0]);
}

/// The sign, the power of ten, the digits; all turned round where it is negative.
fn write_number(text: &str, out: &mut Vec<u8>) {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{after}");
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let digits = digits.trim_matches('0');
    if digits.is_empty() {
        return out.push(0x80);
    }
    let exponent = exponent.parse::<i64>().unwrap_or(0) + whole.len() as i64 - leading as i64;
    let mut magnitude = ((exponent + (1 << 40)) as u64).to_be_bytes().to_vec();
    magnitude.extend(digits.bytes());
    magnitude.push(0);
    out.push(if negative { 0x7f } else { 0x81 });
    out.extend(magnitude.iter().map(|byte| if negative { !byte } else { *byte }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the order in which PostgreSQL 15 sorts them; those of one line are equal.
    #[test]
    fn documents_are_ordered_as_by_postgresql() {
        let lines: [&[&str]; 24] = [
            &["[]"],
            &["null"],
            &["\"\""],
            &["\"B\""],
            &["\"a\""],
            &["\"a\\u0000\""],
            &["\"ab\""],
            &["-1e3", "-1000.0"],
            &["-12.5", "-12.50"],
            &["-0.001"],
            &["0", "0.00", "-0"],
            &["1e-5", "0.00001"],
            &["1", "1.0", "1.00", "10e-1"],
            &["1.5"],
            &["9"],
            &["10", "1e1"],
            &["false"],
            &["true"],
            &["[1]", "[1.0]"],
            &["[1, 2]", "[1, 2.0]"],
            &["{}"],
            &["{\"a\": 1}", "{\"a\": 1.0}"],
            &["{\"b\": 0}"],
            &["{\"a\": 1, \"b\": 0}", "{\"b\": 0.0, \"a\": 1}"],
        ];
        let key = |text: &str| bytes(parse(text).expect("a document"));
        for pair in lines.windows(2) {
            for (a, b) in pair[0].iter().zip(pair[1].iter()) {
                assert!(key(a) < key(b), "{a} < {b}");
            }
        }
        for line in lines {
            line.iter().for_each(|text| assert_eq!(key(text), key(line[0]), "{text} = {}", line[0]));
        }
    }
}
