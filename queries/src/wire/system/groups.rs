//! Groups and their aggregates, and the numbers of rows.
use super::Failure;
use super::node::{Aggregate, Asked, At, Extra, Node, Select, Sort, all};
use super::run::{compared, identity};
use super::value::{Row, Value};
use std::collections::{HashMap, HashSet};

pub(super) fn number(
    rows: &mut [Row],
    place: usize,
    partition: &[Node],
    order: &[Sort],
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<(), Failure> {
    let mut keyed = vec![];
    for (i, row) in rows.iter().enumerate() {
        let at = At { row, outer, asked };
        let values = order.iter().map(|sort| sort.value.value(&at)).collect::<Result<Vec<_>, _>>()?;
        keyed.push((identity(&all(partition, &at)?), values, i));
    }
    keyed.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| compared(&one.1, &other.1, order)));
    let (mut last, mut count) = (None, 0);
    for (key, _, i) in keyed {
        count = if last.as_ref() == Some(&key) { count + 1 } else { 1 };
        rows[i][place] = Value::Int(count);
        last = Some(key);
    }
    Ok(())
}

/// One row for each group: its first, with the aggregates behind.
pub(super) fn grouped(
    select: &Select,
    keys: &[Node],
    found: Vec<Row>,
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<Vec<Row>, Failure> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<Row>> = vec![];
    for row in found {
        let key = identity(&all(keys, &At { row: &row, outer, asked })?);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(vec![]);
            groups.len() - 1
        });
        groups[place].push(row);
    }
    if keys.is_empty() && groups.is_empty() {
        groups.push(vec![]);
    }
    let mut done = vec![];
    for group in groups {
        let mut row = group.first().cloned().unwrap_or_else(|| vec![Value::Null; select.width]);
        row.resize(select.width + select.extras.len(), Value::Null);
        for (i, extra) in select.extras.iter().enumerate() {
            if let Extra::Aggregate { .. } = extra {
                row[select.width + i] = aggregate(extra, &group, asked, outer)?;
            }
        }
        let stays = match &select.having {
            Some(having) => having.value(&At { row: &row, outer, asked })?.holds(),
            None => true,
        };
        if stays {
            done.push(row);
        }
    }
    Ok(done)
}

fn aggregate(
    extra: &Extra,
    group: &[Row],
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<Value, Failure> {
    let Extra::Aggregate { kind, arguments, order, filter, is_distinct } = extra else {
        return Ok(Value::Null);
    };
    let mut taken = vec![];
    for row in group {
        let at = At { row, outer, asked };
        let passes = filter.as_ref().map(|filter| filter.value(&at)).transpose()?;
        if passes.is_none_or(|passes| passes.holds()) {
            let key = order.iter().map(|sort| sort.value.value(&at)).collect::<Result<Vec<_>, _>>()?;
            taken.push((key, all(arguments, &at)?));
        }
    }
    taken.sort_by(|(one, _), (other, _)| compared(one, other, order));
    let mut values: Vec<Row> = taken.into_iter().map(|(_, values)| values).collect();
    if *is_distinct {
        let mut seen = HashSet::new();
        values.retain(|row| seen.insert(identity(row)));
    }
    let first = |row: &Row| row.first().cloned().unwrap_or(Value::Bool(true));
    let known = values.iter().map(first).filter(|value| !value.is_null());
    Ok(match kind {
        Aggregate::Count => Value::Int(known.count() as i64),
        Aggregate::Sum => known.filter_map(|value| value.number()).reduce(|a, b| a + b).into(),
        Aggregate::Min => known.min_by(Value::sorted).unwrap_or_default(),
        Aggregate::Max => known.max_by(Value::sorted).unwrap_or_default(),
        Aggregate::Every => known.map(|value| value.holds()).reduce(|a, b| a && b).into(),
        Aggregate::Any => known.map(|value| value.holds()).reduce(|a, b| a || b).into(),
        Aggregate::List if values.is_empty() => Value::Null,
        Aggregate::List => Value::list(values.iter().map(first)),
        Aggregate::Strings => {
            let mut text: Option<String> = None;
            for row in values.iter().filter(|row| !first(row).is_null()) {
                let between = row.get(1).map(Value::text).unwrap_or_default();
                text = Some(text.map_or_else(|| row[0].text(), |text| text + &between + &row[0].text()));
            }
            text.into()
        }
    })
}
