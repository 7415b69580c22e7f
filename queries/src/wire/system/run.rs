//! The rows of a plan.
use super::groups::{grouped, number};
use super::node::{Asked, At, Body, Extra, Node, Plan, Select, Set, Sort, Source, Step, all};
use super::value::{Row, Value};
use super::{Failure, refused};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Rows that a question may look at: more would take minutes.
const ROWS_MAX: u64 = 30_000_000;
/// Values that the rows of one join may have, some 24 bytes each.
const VALUES_MAX: usize = 16_000_000;
/// Rounds of WITH RECURSIVE.
const ROUNDS_MAX: usize = 1_000;

/// The rows of a query, within a row or by itself.
pub(super) fn rows(plan: &Plan, asked: &Asked<'_>, outer: Option<&At<'_>>) -> Result<Vec<Row>, Failure> {
    let width = plan.columns.len();
    let mut rows = match &plan.body {
        Body::Select(select) => selected(select, &plan.order, asked, outer)?,
        Body::Values(lists) => {
            let at = At { row: &[], outer, asked };
            lists.iter().map(|nodes| all(nodes, &at)).collect::<Result<Vec<_>, _>>()?
        }
        Body::Set { left, right, kind, is_all } => {
            set(rows(left, asked, outer)?, rows(right, asked, outer)?, *kind, *is_all)
        }
        Body::Recursive { slot, seed, step, is_all } => recursive(*slot, seed, step, *is_all, asked, outer)?,
    };
    if !matches!(plan.body, Body::Select(_)) {
        sort(&mut rows, &plan.order, asked, outer)?;
    }
    let at = At { row: &[], outer, asked };
    let count = |node: &Option<Node>| -> Result<Option<usize>, Failure> {
        let value = node.as_ref().map(|node| node.value(&at)).transpose()?;
        Ok(value.and_then(|value| value.number()).and_then(|number| usize::try_from(number).ok()))
    };
    if let Some(offset) = count(&plan.offset)? {
        rows.drain(..offset.min(rows.len()));
    }
    if let Some(limit) = count(&plan.limit)? {
        rows.truncate(limit);
    }
    rows.iter_mut().for_each(|row| row.truncate(width));
    Ok(rows)
}

pub(super) fn identity(row: &[Value]) -> String {
    row.iter().map(|value| format!("{value:?}\u{1}")).collect()
}

fn set(left: Vec<Row>, right: Vec<Row>, kind: Set, is_all: bool) -> Vec<Row> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut seen = HashSet::new();
    match kind {
        Set::Union => {
            let both = left.into_iter().chain(right);
            both.filter(|row| is_all || seen.insert(identity(row))).collect()
        }
        Set::Intersect | Set::Except => {
            right.iter().for_each(|row| *counts.entry(identity(row)).or_default() += 1);
            let keeps = |row: &Row| {
                let key = identity(row);
                let is_there = match counts.get_mut(&key) {
                    Some(count) if *count > 0 => {
                        *count -= usize::from(is_all);
                        true
                    }
                    _ => false,
                };
                is_there == (kind == Set::Intersect) && (is_all || seen.insert(key))
            };
            left.into_iter().filter(keeps).collect()
        }
    }
}

fn recursive(
    slot: usize,
    seed: &Plan,
    step: &Plan,
    is_all: bool,
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<Vec<Row>, Failure> {
    let mut seen = HashSet::new();
    let mut fresh = rows(seed, asked, outer)?;
    let mut found = vec![];
    for _ in 0..ROUNDS_MAX {
        fresh.retain(|row| is_all || seen.insert(identity(row)));
        if fresh.is_empty() {
            return Ok(found);
        }
        bounded(found.len() + fresh.len(), fresh[0].len())?;
        found.extend(fresh.iter().cloned());
        let before = asked.recursive.borrow_mut().insert(slot, Arc::new(std::mem::take(&mut fresh)));
        fresh = rows(step, asked, outer)?;
        let mut tables = asked.recursive.borrow_mut();
        match before {
            Some(before) => tables.insert(slot, before),
            None => tables.remove(&slot),
        };
    }
    Err(refused(format!("WITH RECURSIVE over system tables has no end after {ROUNDS_MAX} rounds")))
}

fn selected(
    select: &Select,
    order: &[Sort],
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<Vec<Row>, Failure> {
    let mut found = sources(&select.steps, asked, outer)?;
    if let Some(keys) = &select.group {
        found = grouped(select, keys, found, asked, outer)?;
    }
    if select.extras.is_empty() {
        return finished(select, order, found, asked, outer);
    }
    let whole = select.width + select.extras.len();
    found.iter_mut().for_each(|row| row.resize(whole, Value::Null));
    for (i, extra) in select.extras.iter().enumerate() {
        if let Extra::RowNumber { partition, order } = extra {
            number(&mut found, select.width + i, partition, order, asked, outer)?;
        }
    }
    let is_series = |extra: &Extra| matches!(extra, Extra::Series { .. });
    if select.extras.iter().any(is_series) {
        let mut spread = vec![];
        for row in found {
            multiply(select, row, &mut spread, asked, outer)?;
        }
        found = spread;
    }
    finished(select, order, found, asked, outer)
}

/// Output values, in order, each once where it says so.
fn finished(
    select: &Select,
    order: &[Sort],
    found: Vec<Row>,
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<Vec<Row>, Failure> {
    let mut done = Vec::with_capacity(found.len());
    for row in found {
        done.push(all(&select.output, &At { row: &row, outer, asked })?);
    }
    let mut seen = HashSet::new();
    if select.distinct.as_ref().is_some_and(Vec::is_empty) {
        done.retain(|row| seen.insert(identity(&row[..select.visible])));
    }
    sort(&mut done, order, asked, outer)?;
    if let Some(on) = select.distinct.as_ref().filter(|on| !on.is_empty()) {
        done.retain(|row| seen.insert(on.iter().map(|place| format!("{:?}\u{1}", row[*place])).collect()));
    }
    Ok(done)
}

fn sort(
    rows: &mut Vec<Row>,
    order: &[Sort],
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<(), Failure> {
    if order.is_empty() {
        return Ok(());
    }
    let mut keyed = vec![];
    for row in std::mem::take(rows) {
        let at = At { row: &row, outer, asked };
        let key = order.iter().map(|sort| sort.value.value(&at)).collect::<Result<Vec<_>, _>>()?;
        keyed.push((key, row));
    }
    keyed.sort_by(|(one, _), (other, _)| compared(one, other, order));
    rows.extend(keyed.into_iter().map(|(_, row)| row));
    Ok(())
}

pub(super) fn compared(one: &[Value], other: &[Value], order: &[Sort]) -> Ordering {
    for ((one, other), sort) in one.iter().zip(other).zip(order) {
        let found = match (one.is_null(), other.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if sort.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if sort.nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) if sort.is_descending => other.sorted(one),
            (false, false) => one.sorted(other),
        };
        if found.is_ne() {
            return found;
        }
    }
    Ordering::Equal
}

fn sources(steps: &[Step], asked: &Asked<'_>, outer: Option<&At<'_>>) -> Result<Vec<Row>, Failure> {
    let mut found: Vec<Row> = vec![vec![]];
    for step in steps {
        found = joined(step, found, asked, outer)?;
    }
    Ok(found)
}

/// Rows with the partners that a source has for each.
fn joined(
    step: &Step,
    before: Vec<Row>,
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<Vec<Row>, Failure> {
    let mut found = vec![];
    let fixed = match &step.source {
        _ if before.is_empty() => return Ok(found),
        Source::Series(..) | Source::Query(_, true) => None,
        source => Some(partners(source, asked, outer)?),
    };
    let width = before.first().map_or(0, Vec::len);
    let index = match &fixed {
        Some(partners) if !step.keys.is_empty() => Some(indexed(step, partners, width, asked, outer)?),
        _ => None,
    };
    for row in before {
        let at = At { row: &row, outer, asked };
        let own;
        let (partners, places) = match (&fixed, &index) {
            (Some(partners), Some(index)) => {
                let key = step
                    .looked_up()
                    .iter()
                    .map(|(left, _)| left.value(&at))
                    .collect::<Result<Vec<_>, _>>()?;
                (
                    partners.as_ref(),
                    Some(keyed(&key).and_then(|key| index.get(&key)).map_or(&[][..], Vec::as_slice)),
                )
            }
            (Some(partners), None) => (partners.as_ref(), None),
            (None, _) => {
                own = match &step.source {
                    Source::Series(calls, is_numbered) => series(calls, *is_numbered, &at)?,
                    Source::Query(plan, _) => rows(plan, asked, Some(&at))?,
                    _ => vec![],
                };
                (&own, None)
            }
        };
        let mut has_partner = false;
        let mut take = |partner: &Row| -> Result<(), Failure> {
            let looked = asked.looked.get() + 1;
            asked.looked.set(looked);
            if looked > ROWS_MAX {
                return Err(too_many());
            }
            let mut both = row.clone();
            both.extend(partner.iter().cloned());
            let at = At { row: &both, outer, asked };
            for (left, right) in &step.keys {
                let (left, right) = (left.value(&at)?, right.value(&at)?);
                if left.compared(&right).is_none_or(Ordering::is_ne) {
                    return Ok(());
                }
            }
            for condition in &step.on {
                if !condition.value(&at)?.holds() {
                    return Ok(());
                }
            }
            has_partner = true;
            for condition in &step.after {
                if !condition.value(&at)?.holds() {
                    return Ok(());
                }
            }
            bounded(found.len(), both.len())?;
            found.push(both);
            Ok(())
        };
        match places {
            Some(places) => places.iter().try_for_each(|place| take(&partners[*place]))?,
            None => partners.iter().try_for_each(&mut take)?,
        }
        if step.is_outer && !has_partner {
            let mut alone = row;
            alone.resize(alone.len() + step.width, Value::Null);
            let at = At { row: &alone, outer, asked };
            let mut stays = true;
            for condition in &step.after {
                stays = stays && condition.value(&at)?.holds();
            }
            if stays {
                found.push(alone);
            }
        }
    }
    Ok(found)
}

fn too_many() -> Failure {
    Failure::of("54000", "the question looks at too many rows of system tables: ask for less")
}

fn bounded(rows: usize, width: usize) -> Result<(), Failure> {
    if rows * width.max(1) > VALUES_MAX { Err(too_many()) } else { Ok(()) }
}

fn partners(source: &Source, asked: &Asked<'_>, outer: Option<&At<'_>>) -> Result<Arc<Vec<Row>>, Failure> {
    Ok(match source {
        Source::Table(name) => asked.world.rows(name)?,
        Source::Query(plan, _) => Arc::new(rows(plan, asked, outer)?),
        Source::Joined(steps) => Arc::new(sources(steps, asked, outer)?),
        Source::Recursive(slot) => asked.recursive.borrow().get(slot).cloned().unwrap_or_default(),
        Source::Series(..) => Arc::default(),
    })
}

type Index = HashMap<Vec<String>, Vec<usize>>;

/// Where the partners with each key are. Conditions are asked again, so a key that means two values is no error.
fn indexed(
    step: &Step,
    partners: &[Row],
    width: usize,
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<Arc<Index>, Failure> {
    let place = match (&step.source, step.looked_up()) {
        (Source::Table(name), [(_, Node::Column { up: 0, at })]) => Some((name.clone(), at - width)),
        _ => None,
    };
    if let Some(known) = place.as_ref().and_then(|place| asked.world.index(place)) {
        return Ok(known);
    }
    let mut index = Index::new();
    let mut padded: Row = vec![Value::Null; width];
    for (i, partner) in partners.iter().enumerate() {
        padded.truncate(width);
        padded.extend(partner.iter().cloned());
        let at = At { row: &padded, outer, asked };
        let key =
            step.looked_up().iter().map(|(_, right)| right.value(&at)).collect::<Result<Vec<_>, _>>()?;
        if let Some(key) = keyed(&key) {
            index.entry(key).or_default().push(i);
        }
    }
    let index = Arc::new(index);
    if let Some(place) = place {
        asked.world.keep(place, index.clone());
    }
    Ok(index)
}

fn keyed(values: &[Value]) -> Option<Vec<String>> {
    values.iter().map(|value| (!value.is_null()).then(|| value.key())).collect()
}

/// The rows of functions side by side.
fn series(
    calls: &[(super::node::Run, Vec<Node>)],
    is_numbered: bool,
    at: &At<'_>,
) -> Result<Vec<Row>, Failure> {
    let mut lists = vec![];
    for (run, arguments) in calls {
        lists.push(run(at.asked, &all(arguments, at)?)?.members().unwrap_or_default());
    }
    let longest = lists.iter().map(|list| list.len()).max().unwrap_or_default();
    let row = |i: usize| {
        let mut row = Row::new();
        for list in &lists {
            match list.get(i) {
                Some(Value::Record(fields)) => row.extend(fields.iter().cloned()),
                value => row.push(value.cloned().unwrap_or_default()),
            }
        }
        if is_numbered {
            row.push(Value::Int(i as i64 + 1));
        }
        row
    };
    Ok((0..longest).map(row).collect())
}

/// A row once for each value that its functions of several values give.
fn multiply(
    select: &Select,
    row: Row,
    out: &mut Vec<Row>,
    asked: &Asked<'_>,
    outer: Option<&At<'_>>,
) -> Result<(), Failure> {
    let mut lists = vec![];
    for (i, extra) in select.extras.iter().enumerate() {
        if let Extra::Series { run, arguments } = extra {
            let at = At { row: &row, outer, asked };
            lists.push((select.width + i, run(asked, &all(arguments, &at)?)?.members().unwrap_or_default()));
        }
    }
    let longest = lists.iter().map(|(_, list)| list.len()).max().unwrap_or_default();
    bounded(out.len() + longest, row.len())?;
    for i in 0..longest {
        let mut copy = row.clone();
        for (place, list) in &lists {
            copy[*place] = list.get(i).cloned().unwrap_or_default();
        }
        out.push(copy);
    }
    Ok(())
}
