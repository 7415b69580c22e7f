//! `Path`: where a column comes from in an event; `Lookup`: all paths of a table, found in one walk.
use crate::event::json::{Json, Kind};
use std::fmt;

/// Where a value stands in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// In the JSON data: the keys that lead to it; none: the data as a whole.
    Data(Vec<String>),
    /// In an element of the mapping's `each`.
    Item(Vec<String>),
    /// The element's number, counted from 1.
    Ordinal,
    /// A CloudEvents attribute or extension.
    Attribute(String),
}

impl Path {
    /// `data.amount.value`, `item.lineNo`, `ordinal`, `time`. A key with dots stands in double quotes: `data."a.b"`.
    pub fn parse(text: &str) -> Result<Path, String> {
        let wrong = |why: &str| format!("path {text:?} cannot be read: {why}");
        let mut segments = segments(text).map_err(wrong)?;
        let first = segments.remove(0);
        match (first.as_str(), segments.len()) {
            ("data", _) => Ok(Path::Data(segments)),
            ("item", _) => Ok(Path::Item(segments)),
            ("ordinal", 0) => Ok(Path::Ordinal),
            (_, 0) if first.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) => {
                Ok(Path::Attribute(first))
            }
            (_, 0) => Err(wrong(
                "attributes have lower-case letters and digits only; fields of the data begin with \"data.\"",
            )),
            _ => Err(wrong("it begins with none of \"data\" and \"item\"")),
        }
    }
}

fn segments(text: &str) -> Result<Vec<String>, &'static str> {
    let mut segments = Vec::new();
    let mut rest = text;
    loop {
        let end = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').ok_or("a quote is not closed")?;
                segments.push(quoted[..end].to_owned());
                end + 2
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                if end == 0 {
                    return Err("a segment is empty");
                }
                segments.push(rest[..end].to_owned());
                end
            }
        };
        rest = match rest[end..].strip_prefix('.') {
            Some(rest) => rest,
            None if rest.len() == end => return Ok(segments),
            None => return Err("a dot is expected after a quoted segment"),
        };
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, keys) = match self {
            Path::Data(keys) => ("data", keys.as_slice()),
            Path::Item(keys) => ("item", keys.as_slice()),
            Path::Ordinal => ("ordinal", [].as_slice()),
            Path::Attribute(name) => (name.as_str(), [].as_slice()),
        };
        f.write_str(first)?;
        for key in keys {
            let quote = if key.contains('.') || key.is_empty() { "\"" } else { "" };
            write!(f, ".{quote}{key}{quote}")?;
        }
        Ok(())
    }
}

/// No node: the path leads nowhere.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The paths of one table as two tries: below `data`, and below `item`.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    data: Branch,
    item: Branch,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    /// The slots that want the value found here.
    slots: Vec<usize>,
    children: Vec<(String, Branch)>,
}

impl Lookup {
    /// A slot for each column, and a last one for `each`.
    pub fn new(each: Option<&Path>, columns: &[Path]) -> Lookup {
        let mut lookup = Lookup { data: Branch::default(), item: Branch::default() };
        for (slot, path) in columns.iter().chain(each).enumerate() {
            match path {
                Path::Data(keys) => lookup.data.insert(keys, slot),
                Path::Item(keys) => lookup.item.insert(keys, slot),
                Path::Ordinal | Path::Attribute(_) => {}
            }
        }
        lookup
    }

    /// Puts the node of every path below `data` into its slot.
    pub fn find_data(&self, json: Json, root: usize, slots: &mut [u32]) {
        self.data.find(json, root, slots);
    }

    /// The same below `item`; what the element before had is forgotten.
    pub fn find_item(&self, json: Json, element: usize, slots: &mut [u32]) {
        self.item.forget(slots);
        self.item.find(json, element, slots);
    }
}

impl Branch {
    fn insert(&mut self, keys: &[String], slot: usize) {
        let Some((key, rest)) = keys.split_first() else { return self.slots.push(slot) };
        let at = self.children.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            self.children.push((key.clone(), Branch::default()));
            self.children.len() - 1
        });
        self.children[at].1.insert(rest, slot);
    }

    fn forget(&self, slots: &mut [u32]) {
        self.slots.iter().for_each(|slot| slots[*slot] = NOWHERE);
        self.children.iter().for_each(|(_, child)| child.forget(slots));
    }

    fn find(&self, json: Json, index: usize, slots: &mut [u32]) {
        for slot in &self.slots {
            slots[*slot] = index as u32;
        }
        if self.children.is_empty() || json.tape.node(index).kind != Kind::Object {
            return;
        }
        let mut missing = self.children.len();
        for (key, value) in json.tape.members(index) {
            let raw = json.raw(key);
            let child = match json.tape.node(key).marked {
                false => self.children.iter().find(|(name, _)| name == raw),
                true => self.children.iter().find(|(name, _)| *name == json.string(key)),
            };
            if let Some((_, branch)) = child {
                branch.find(json, value, slots);
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        for text in [
            "data",
            "data.amount.value",
            "item",
            "item.lineNo",
            "ordinal",
            "time",
            "partitionkey",
            "data.\"a.b\".c",
        ] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "data.",
            "data..x",
            ".data",
            "amount.value",
            "partitionKey",
            "ordinal.x",
            "data.\"a",
            "data.\"a\"b",
        ] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
