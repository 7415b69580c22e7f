//! `List`: which rows of a view a request asks for, in which order, and from where on.
use super::Api;
use super::call::AtLeast;
use super::cursor::Cursor;
use super::literal::Literal;
use super::problem::Problem;
use arrow::datatypes::{DataType, Schema};
use dataflows::View;
use dataflows::value::Value;
use sinks::memory::kept::Kept;
use sinks::memory::page::Entry;
use sinks::memory::shape::Shape;
use std::cmp::Ordering;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 10_000;

/// A listing, understood.
pub(super) struct List {
    pub(super) filters: Vec<Filter>,
    /// Columns, and whether descending.
    pub(super) order: Vec<(usize, bool)>,
    pub(super) limit: usize,
    cursor: Option<Cursor>,
    /// What one of the texts holds, in lower case.
    search: Option<String>,
    pub(super) scope: String,
}

pub(super) struct Filter {
    pub(super) column: usize,
    pub(super) test: Test,
}

pub(super) enum Test {
    Null,
    NotNull,
    Compare(Comparison, Literal),
}

/// How a value stands to another.
#[derive(Clone, Copy)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }

    /// As SQL writes it.
    pub(super) fn operator(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

impl Test {
    fn holds(&self, value: &Value<'_>) -> bool {
        match self {
            Test::Null => *value == Value::Null,
            Test::NotNull => *value != Value::Null,
            Test::Compare(comparison, literal) => {
                *value != Value::Null && comparison.accepts(value.compare(&literal.value()))
            }
        }
    }
}

/// Which time a listing waits for, and the parameters that remain.
pub(super) fn at_least(
    parameters: Vec<(String, String)>,
) -> Result<(AtLeast, Vec<(String, String)>), Problem> {
    let mut at_least = AtLeast::default();
    let mut rest = vec![];
    for (name, value) in parameters {
        if !at_least.take(&name, &value)? {
            rest.push((name, value));
        }
    }
    Ok((at_least, rest))
}

impl List {
    /// What the parameters mean for a view.
    pub(super) fn parse(api: &Api, kept: &Kept, parameters: &[(String, String)]) -> Result<List, Problem> {
        // A cursor belongs to one view, its filters and its order.
        let view = kept.shape().view();
        let scope = format!("{} {}", kept.incarnation(), view.name);
        List::within(api, &view.schema, scope, parameters)
    }

    /// The same for those rows of which a text holds another, however it is capitalised.
    pub(super) fn search(
        api: &Api,
        kept: &Kept,
        text: &str,
        parameters: &[(String, String)],
    ) -> Result<List, Problem> {
        let view = kept.shape().view();
        let scope = format!("{} {} holding {text:?}", kept.incarnation(), view.name);
        let list = List::within(api, &view.schema, scope, parameters)?;
        Ok(List { search: Some(text.to_lowercase()), ..list })
    }

    fn within(
        api: &Api,
        schema: &Schema,
        scope: String,
        parameters: &[(String, String)],
    ) -> Result<List, Problem> {
        let (mut list, cursor) = List::of(schema, scope, parameters)?;
        if let Some(text) = cursor {
            let unknown = || {
                Problem::bad(
                    "cursor: it was not given out for this listing by this process; begin again without it",
                )
            };
            list.cursor = Some(api.cursors.read(&list.scope, text).ok_or_else(unknown)?);
        }
        Ok(list)
    }

    /// What the parameters mean for columns, and the cursor that they hold.
    pub(super) fn of<'a>(
        schema: &Schema,
        scope: String,
        parameters: &'a [(String, String)],
    ) -> Result<(List, Option<&'a str>), Problem> {
        let mut list =
            List { filters: vec![], order: vec![], limit: LIMIT, cursor: None, search: None, scope };
        let mut cursor = None;
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => list.limit = limit(value)?,
                "cursor" => cursor = Some(value.as_str()).filter(|text| !text.is_empty()),
                "order" => list.order = order(schema, value)?,
                _ => list.filters.push(filter(schema, name, value)?),
            }
            if !matches!(name.as_str(), "limit" | "cursor") {
                list.scope += &format!(" {name:?}={value:?}");
            }
        }
        list.filters.sort_by_key(|filter| filter.column);
        Ok((list, cursor))
    }

    /// Whether every row may have to be looked at.
    pub(super) fn is_scan(&self) -> bool {
        !self.filters.is_empty() || !self.order.is_empty() || self.search.is_some()
    }

    /// The rows as a JSON array, and the cursor after them if there are more.
    pub(super) fn run(&self, api: &Api, kept: &Kept) -> (String, Option<String>) {
        let shape = kept.shape();
        let accepted = |entry: &Entry<'_>| self.accepts(shape, entry.row);
        let mut page = Listed { shape, limit: self.limit, count: 0, json: String::from("["), last: None };
        let start = self.key_start(shape);
        let within = |entry: &Entry<'_>| entry.key.starts_with(&start);
        let more = if self.is_by_key(shape.view()) {
            let cursor = self.cursor.as_ref().map_or((&[][..], &[][..]), |c| (&c.key[..], &c.row[..]));
            let (key, row) = cursor.max((&start, &[]));
            page.take(kept.rows().from(key, row).take_while(within).filter(accepted), self.cursor.as_ref())
        } else {
            let rows = kept.rows().from(&start, &[]).take_while(within).filter(accepted);
            page.take(self.sorted(shape, rows).into_iter(), self.cursor.as_ref())
        };
        page.json.push(']');
        let next = page.last.filter(|_| more).map(|cursor| api.cursors.write(&self.scope, &cursor));
        (page.json, next)
    }

    /// What the keys of all rows begin with that the filters accept.
    fn key_start(&self, shape: &Shape) -> Vec<u8> {
        let equal = |column: &usize| {
            let tests = self.filters.iter().filter(|filter| filter.column == *column);
            let mut literals = tests.filter_map(|filter| match &filter.test {
                Test::Compare(Comparison::Equal, literal) => Some(literal),
                _ => None,
            });
            literals.next().filter(|literal| is_by_bytes(literal.column().data_type()))
        };
        let literals: Vec<_> = shape.view().key.iter().map_while(equal).collect();
        let columns: Vec<_> = literals.into_iter().map(|literal| literal.column().clone()).collect();
        match columns.is_empty() {
            true => vec![],
            // Where a key cannot be written all rows are looked at.
            false => shape.key_start(&columns).unwrap_or_default(),
        }
    }

    /// Whether the rows are wanted as they stand: by the first columns of their key.
    fn is_by_key(&self, view: &View) -> bool {
        let stands = |((column, descending), key): (&(usize, bool), &usize)| {
            !descending && column == key && is_by_bytes(view.schema.field(*key).data_type())
        };
        self.order.len() <= view.key.len() && self.order.iter().zip(&view.key).all(stands)
    }

    fn accepts(&self, shape: &Shape, row: &[u8]) -> bool {
        let holds = |wanted: &String| {
            let text = |value: Value<'_>| match value {
                Value::Text(text) => text.to_lowercase().contains(wanted),
                _ => false,
            };
            shape.values(row).any(text)
        };
        // Filters ascend by column, so that cells are read once, and none after the last that is wanted.
        let (mut values, mut read, mut value) = (shape.values(row), 0, Value::Null);
        let accept = |filter: &Filter| {
            if read <= filter.column {
                let wanted = values.nth(filter.column - read);
                value = wanted.expect("a filter's column is one of the view's");
                read = filter.column + 1;
            }
            filter.test.holds(&value)
        };
        self.filters.iter().all(accept) && self.search.as_ref().is_none_or(holds)
    }

    fn compare(&self, a: &Sorted<'_>, b: &Sorted<'_>) -> Ordering {
        let by_column = self.order.iter().zip(a.values.iter().zip(&b.values));
        let directed = by_column.map(|((_, descending), (a, b))| {
            let order = a.compare(b);
            if *descending { order.reverse() } else { order }
        });
        let place = || (a.entry.key, a.entry.row).cmp(&(b.entry.key, b.entry.row));
        directed.fold(Ordering::Equal, Ordering::then).then_with(place)
    }

    /// The first rows from the cursor on, one more than can be listed.
    fn sorted<'a>(&self, shape: &'a Shape, entries: impl Iterator<Item = Entry<'a>>) -> Vec<Entry<'a>> {
        let cells = self.order.iter().map(|(column, _)| column + 1).max().unwrap_or(0);
        let mut values: Vec<Value<'a>> = vec![];
        let mut sorted = |entry: Entry<'a>| {
            values.clear();
            values.extend(shape.values(entry.row).take(cells));
            Sorted { values: self.order.iter().map(|(column, _)| values[*column]).collect(), entry }
        };
        // The cursor's row lives only here, so its place is compared by a copy of its own.
        let from = self.cursor.clone();
        let from = from.as_ref().map(|c| (c, shape.values(&c.row).collect::<Vec<_>>()));
        let keep = |candidate: &Sorted<'a>| {
            from.as_ref().is_none_or(|(cursor, values)| {
                let values = self.order.iter().map(|(column, _)| values[*column]).collect();
                let entry = Entry { key: &cursor.key, row: &cursor.row, count: 1 };
                self.compare(candidate, &Sorted { values, entry }) != Ordering::Less
            })
        };
        let wanted = self.limit + 2;
        // Of those before `wanted` the last one is the greatest, once there are so many.
        let mut best: Vec<Sorted<'a>> = vec![];
        let mut is_full = false;
        for entry in entries {
            let candidate = sorted(entry);
            let comes = !is_full || self.compare(&candidate, &best[wanted - 1]) == Ordering::Less;
            if !comes || !keep(&candidate) {
                continue;
            }
            best.push(candidate);
            if best.len() >= wanted * 2 {
                best.select_nth_unstable_by(wanted - 1, |a, b| self.compare(a, b));
                best.truncate(wanted);
                is_full = true;
            }
        }
        best.sort_unstable_by(|a, b| self.compare(a, b));
        best.truncate(wanted);
        best.into_iter().map(|sorted| sorted.entry).collect()
    }
}

struct Sorted<'a> {
    values: Vec<Value<'a>>,
    entry: Entry<'a>,
}

/// Rows as they are written.
struct Listed<'a> {
    shape: &'a Shape,
    limit: usize,
    count: usize,
    json: String,
    last: Option<Cursor>,
}

impl Listed<'_> {
    /// Writes rows up to the limit, the first less the copies listed before; tells whether there are more.
    fn take<'a>(&mut self, entries: impl Iterator<Item = Entry<'a>>, cursor: Option<&Cursor>) -> bool {
        for entry in entries {
            let listed = cursor.filter(|c| c.key == entry.key && c.row == entry.row).map_or(0, |c| c.copies);
            for copies in listed..entry.count.unsigned_abs() {
                if self.count == self.limit {
                    return true;
                }
                if self.count > 0 {
                    self.json.push(',');
                }
                self.shape.write_json(entry.row, &mut self.json);
                self.count += 1;
                if self.count == self.limit {
                    let (key, row) = (entry.key.to_vec(), entry.row.to_vec());
                    self.last = Some(Cursor { key, row, copies: copies + 1 });
                }
            }
        }
        false
    }
}

/// Whether values of a type are equal, and in order, just where the bytes of their keys are.
fn is_by_bytes(kind: &DataType) -> bool {
    use DataType::{Boolean, Date32, Timestamp, Utf8, Utf8View};
    kind.is_integer() || matches!(kind, Boolean | Date32 | Timestamp(..) | Utf8 | Utf8View)
}

fn limit(text: &str) -> Result<usize, Problem> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::bad(format!("limit=\"{text}\" is not a number from 1 to {LIMIT_MAX}")))
}

fn order(schema: &Schema, text: &str) -> Result<Vec<(usize, bool)>, Problem> {
    let columns = text.split(',').map(|part| match part.strip_prefix('-') {
        Some(name) => Ok((index(schema, name)?, true)),
        None => Ok((index(schema, part)?, false)),
    });
    columns.collect()
}

fn index(schema: &Schema, name: &str) -> Result<usize, Problem> {
    schema.index_of(name).map_err(|_| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Problem::bad(format!("unknown column \"{name}\"; the columns are {}", names.join(", ")))
            .with("column_name", name)
    })
}

fn filter(schema: &Schema, name: &str, value: &str) -> Result<Filter, Problem> {
    let (column, word) = match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        Some((column, word)) => (column, word),
        None => (name, "eq"),
    };
    let column = index(schema, column)?;
    let field = schema.field(column);
    let comparison = match word {
        "eq" => Comparison::Equal,
        "ne" => Comparison::NotEqual,
        "lt" => Comparison::Less,
        "lte" => Comparison::LessOrEqual,
        "gt" => Comparison::Greater,
        "gte" => Comparison::GreaterOrEqual,
        "null" => {
            return match value {
                "true" => Ok(Filter { column, test: Test::Null }),
                "false" => Ok(Filter { column, test: Test::NotNull }),
                _ => Err(Problem::bad(format!("{name}=\"{value}\" is neither true nor false"))),
            };
        }
        _ => {
            let known = "eq, ne, lt, lte, gt, gte, null";
            return Err(Problem::bad(format!(
                "unknown comparison \"{word}\" in \"{name}\"; known are {known}"
            )));
        }
    };
    let literal = Literal::parse(field.data_type(), value).map_err(|why| {
        Problem::bad(format!("column \"{}\": {why}", field.name())).with("column_name", field.name().as_str())
    })?;
    Ok(Filter { column, test: Test::Compare(comparison, literal) })
}
