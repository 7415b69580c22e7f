//! A plan as text: one line an operator, for EXPLAIN.
use super::{Order, Plan, recursive};
use arrow::datatypes::SchemaRef;
use std::fmt;

impl Plan {
    fn describe(&self) -> String {
        let columns = |list: &[usize], schema: &SchemaRef| {
            list.iter().map(|i| schema.field(*i).name().as_str()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Plan::Get { name, .. } => format!("Get {name}"),
            Plan::Values { rows } => format!("Values {} rows", rows.num_rows()),
            Plan::Map { filter, project, schema, .. } => {
                let mut text = String::from("Map");
                if let Some(filter) = filter {
                    text += &format!(" where {filter}");
                }
                if let Some(project) = project {
                    let list =
                        project.iter().zip(schema.fields()).map(|(e, f)| format!("{e} as {}", f.name()));
                    text += &format!(" select {}", list.collect::<Vec<_>>().join(", "));
                }
                text
            }
            Plan::Local { name, .. } => format!("Local {name}"),
            Plan::Recursive { bindings, output, limit } => recursive::describe(bindings, *output, limit),
            Plan::Union { .. } => "Union".into(),
            Plan::Negate(_) => "Negate".into(),
            Plan::Distinct(_) => "Distinct".into(),
            Plan::Join { left, right, on, filter, null_equal, .. } => {
                let (l, r) = (left.schema(), right.schema());
                let sign = if *null_equal { "is not distinct from" } else { "=" };
                let pairs =
                    on.iter().map(|(a, b)| format!("{} {sign} {}", l.field(*a).name(), r.field(*b).name()));
                let mut text = format!("Join on {}", pairs.collect::<Vec<_>>().join(" and "));
                if let Some(filter) = filter {
                    text += &format!(" where {filter}");
                }
                text
            }
            Plan::Outer { left, right, on, kind, filter, .. } => {
                let (l, r) = (left.schema(), right.schema());
                let pairs =
                    on.iter().map(|(a, b)| format!("{} = {}", l.field(*a).name(), r.field(*b).name()));
                let pairs = pairs.collect::<Vec<_>>().join(" and ");
                let filter = filter.as_ref().map_or(String::new(), |filter| format!(" where {filter}"));
                format!("Outer {} on {pairs}{filter}", format!("{kind:?}").to_lowercase())
            }
            Plan::Matched { .. } => "Matched".into(),
            Plan::Bag { kept, .. } => format!("Bag {}", format!("{kept:?}").to_lowercase()),
            Plan::Cross { pairs_max, .. } => format!("Cross at most {pairs_max} pairs"),
            Plan::Aggregate { input, group, aggregates, .. } => {
                let schema = input.schema();
                let list = aggregates.iter().map(|a| a.describe(&schema));
                format!(
                    "Aggregate by [{}] compute [{}]",
                    columns(group, &schema),
                    list.collect::<Vec<_>>().join(", ")
                )
            }
            Plan::Flatten { lists, schema, .. } => format!("Flatten [{}]", columns(lists, schema)),
            Plan::Temporal { from, until, .. } => {
                let mut text = String::from("Temporal");
                if let Some(from) = from {
                    text += &format!(" from {from}");
                }
                if let Some(until) = until {
                    text += &format!(" until {until}");
                }
                text
            }
            Plan::TopK { input, partition, order, offset, limit, number, .. } => {
                let schema = input.schema();
                let order = orders(order, &schema);
                let number = if *number { " numbered" } else { "" };
                format!(
                    "TopK{number} by [{}] order [{order}] offset {offset} limit {limit}",
                    columns(partition, &schema)
                )
            }
            Plan::Window { input, partition, order, calls, .. } => {
                let schema = input.schema();
                let name = |i: usize| schema.field(i).name().clone();
                let calls = calls.iter().map(|call| call.describe(&name)).collect::<Vec<_>>().join(", ");
                let order = orders(order, &schema);
                format!("Window by [{}] order [{order}] compute [{calls}]", columns(partition, &schema))
            }
        }
    }
}

/// An ORDER BY list, for EXPLAIN.
fn orders(list: &[Order], schema: &SchemaRef) -> String {
    let one = |o: &Order| {
        let down = if o.descending { " desc" } else { "" };
        let nulls = if o.nulls_first { " nulls first" } else { "" };
        format!("{}{down}{nulls}", schema.field(o.column).name())
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// An indented tree, one operator a line: what EXPLAIN prints.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn walk(plan: &Plan, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            writeln!(f, "{:1$}{2}", "", depth * 2, plan.describe())?;
            plan.inputs().into_iter().try_for_each(|input| walk(input, depth + 1, f))
        }
        walk(self, 0, f)
    }
}

/// The text of a plan with the tables by which DataFusion looks up the branches of a CASE in one order: theirs is another each time.
pub(super) fn ordered(text: String) -> String {
    const TABLE: &str = "IndexMap { map: {";
    let mut parts = text.split(TABLE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (table, rest) = part.split_once('}').unwrap_or((part, ""));
        let mut entries: Vec<&str> = vec![];
        let (mut start, mut depth) = (0, 0);
        for (place, c) in table.char_indices() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                ',' if depth == 0 => {
                    entries.push(table[start..place].trim());
                    start = place + 1;
                }
                _ => {}
            }
        }
        entries.push(table[start..].trim());
        entries.sort_unstable();
        out += &format!("{TABLE}{}}}{rest}", entries.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn tables_of_branches_have_one_order() {
        let text = |table: &str| {
            format!("a LiteralLookupTable {{ lookup: PrimitiveIndexMap {{ map: {{{table}}} }} b")
        };
        assert_eq!(super::ordered(text("3: 2, 1: 0")), super::ordered(text("1: 0, 3: 2")));
        assert_eq!(super::ordered(text("[2, 1]: 0, [1]: 1")), text("[1]: 1, [2, 1]: 0"));
        assert_ne!(super::ordered(text("1: 0")), super::ordered(text("1: 1")));
        assert_eq!(super::ordered("no table".into()), "no table");
    }
}
