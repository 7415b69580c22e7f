//! Documents changed along a path: `jsonb_set` and `#-`.
use super::super::call::fail;
use super::document::Document;
use datafusion::common::Result;

impl Document {
    /// With another value at the end of a path; where there is none, it is put there if `create` says so.
    pub(super) fn set(self, path: &[Option<String>], value: Document, create: bool) -> Result<Document> {
        let Some((Some(step), rest)) = path.split_first() else { return Ok(self) };
        match self {
            Document::Object(mut members) => {
                match members.iter().position(|(name, _)| name == step) {
                    Some(at) if rest.is_empty() => members[at].1 = value,
                    Some(at) => {
                        let below = std::mem::replace(&mut members[at].1, Document::Null);
                        members[at].1 = below.set(rest, value, create)?;
                    }
                    None if rest.is_empty() && create => members.push((step.clone(), value)),
                    None => {}
                }
                Ok(Document::Object(members))
            }
            Document::Array(mut list) => {
                let at = index(step)?;
                let place = if at < 0 { at + list.len() as i64 } else { at };
                match usize::try_from(place).ok().filter(|place| *place < list.len()) {
                    Some(place) if rest.is_empty() => list[place] = value,
                    Some(place) => {
                        let below = std::mem::replace(&mut list[place], Document::Null);
                        list[place] = below.set(rest, value, create)?;
                    }
                    None if rest.is_empty() && create && at < 0 => list.insert(0, value),
                    None if rest.is_empty() && create => list.push(value),
                    None => {}
                }
                Ok(Document::Array(list))
            }
            _ => fail("cannot set path in scalar"),
        }
    }

    /// Without what a path leads to.
    pub(super) fn without_path(self, path: &[Option<String>]) -> Document {
        match (self, path) {
            (document @ Document::Object(_), [Some(last)]) => document.without_key(last),
            (document @ Document::Array(_), [Some(last)]) => match index(last) {
                Ok(at) => document.without_index(at),
                Err(_) => document,
            },
            (Document::Object(members), [Some(step), rest @ ..]) if !rest.is_empty() => {
                let below = |(name, value): (String, Document)| match name == *step {
                    true => (name, value.without_path(rest)),
                    false => (name, value),
                };
                Document::Object(members.into_iter().map(below).collect())
            }
            (Document::Array(mut list), [Some(step), rest @ ..]) if !rest.is_empty() => {
                let at = index(step).map_or(-1, |at| if at < 0 { at + list.len() as i64 } else { at });
                if let Some(place) = usize::try_from(at).ok().filter(|place| *place < list.len()) {
                    let below = std::mem::replace(&mut list[place], Document::Null);
                    list[place] = below.without_path(rest);
                }
                Document::Array(list)
            }
            (document, _) => document,
        }
    }
}

fn index(step: &str) -> Result<i64> {
    step.trim().parse().or_else(|_| fail(format!("path element is not an integer: \"{step}\"")))
}
