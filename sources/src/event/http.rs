//! The HTTP binding's binary mode: attributes in `ce-` headers, the data in the body.
use super::{Reject, Rule, parse};
use crate::Payload;
use bytes::Bytes;

/// Makes a payload of a request in binary mode, if it is a valid event; headers without `ce-` are not looked at.
pub fn binary<N: AsRef<str>, V: AsRef<[u8]>>(
    content_type: Option<&str>,
    headers: impl IntoIterator<Item = (N, V)>,
    body: Bytes,
) -> Result<Payload, Reject> {
    let mut attributes = Vec::new();
    for (name, value) in headers {
        let name = name.as_ref().to_ascii_lowercase();
        let Some(name) = name.strip_prefix("ce-") else { continue };
        if name == "datacontenttype" {
            let reason =
                "header \"ce-datacontenttype\" is there: the media type of the data is the Content-Type";
            return Err(Reject::new(Rule::Attribute, reason));
        }
        let value = header_value(value.as_ref()).map_err(|why| {
            Reject::new(Rule::Attribute, format!("header \"ce-{name}\" cannot be decoded: {why}"))
        })?;
        attributes.push((name.to_owned(), value));
    }
    if let Some(content_type) = content_type {
        attributes.push(("datacontenttype".to_owned(), content_type.trim().to_owned()));
    }
    let payload = Payload::Binary { attributes, body };
    parse(&payload)?;
    Ok(payload)
}

/// HTTP binding, section 3.1.3.2: quotes are taken off, then percent-encoding is decoded once.
fn header_value(value: &[u8]) -> Result<String, &'static str> {
    let value = value.trim_ascii();
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => unquote(inner)?,
        _ => value.to_vec(),
    };
    let mut out = Vec::with_capacity(unquoted.len());
    let mut bytes = unquoted.into_iter();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| (b as char).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high << 4 | low) as u8),
            _ => return Err("a percent sign stands without two hexadecimal digits"),
        }
    }
    String::from_utf8(out).map_err(|_| "it is not UTF-8")
}

fn unquote(inner: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.push(*bytes.next().ok_or("its closing quote is escaped")?),
            b'"' => return Err("a quote stands inside of quotes"),
            _ => out.push(*byte),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_decoded_once() {
        let cases: [(&[u8], Result<&str, &str>); 9] = [
            (b"Euro%20%E2%82%AC%20%F0%9F%98%80", Ok("Euro € 😀")),
            (b"a%2520b", Ok("a%20b")),
            (b"\"a \\\"b\\\" %41\"", Ok("a \"b\" A")),
            (b" plain ", Ok("plain")),
            (b"\"", Ok("\"")),
            (b"100%", Err("a percent sign stands without two hexadecimal digits")),
            (b"%zz", Err("a percent sign stands without two hexadecimal digits")),
            (b"%ff", Err("it is not UTF-8")),
            (b"\"a\"b\"", Err("a quote stands inside of quotes")),
        ];
        for (value, expected) in cases {
            assert_eq!(header_value(value).as_deref().map_err(|e| *e), expected);
        }
    }
}
