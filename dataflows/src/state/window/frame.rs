//! `Frame`: which rows each row reads, and the other way round, which rows read one that changed.
use super::list::List;
use super::peers::{Peers, Toward};
use crate::row::Row;
use arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};

/// The frame of one function.
pub(super) struct Frame {
    units: WindowFrameUnits,
    start: Edge,
    end: Edge,
}

/// One end of a frame.
enum Edge {
    /// The first or the last row of the partition.
    Unbounded,
    /// So many rows or groups of peers after the current one; before it if negative. In RANGE only 0: the peers.
    Offset(i64),
    /// RANGE: as far as this in the ORDER BY column.
    Distance(ScalarValue, Toward),
}

/// A row that came or went: where it stands, or would stand, and the bytes of its ORDER BY columns.
pub(super) struct Changed {
    pub from: usize,
    pub to: usize,
    pub prefix: Row,
}

impl Frame {
    pub(super) fn new(frame: &WindowFrame, peers: &Peers) -> Result<Frame, String> {
        let edge = |bound: &WindowFrameBound| -> Result<Edge, String> {
            let (amount, toward) = match bound {
                WindowFrameBound::CurrentRow => return Ok(Edge::Offset(0)),
                WindowFrameBound::Preceding(v) if v.is_null() => return Ok(Edge::Unbounded),
                WindowFrameBound::Following(v) if v.is_null() => return Ok(Edge::Unbounded),
                WindowFrameBound::Preceding(v) => (v, Toward::Start),
                WindowFrameBound::Following(v) => (v, Toward::End),
            };
            match (frame.units, amount) {
                (WindowFrameUnits::Range, amount) => {
                    peers.accepts(amount)?;
                    Ok(Edge::Distance(amount.clone(), toward))
                }
                (_, ScalarValue::UInt64(Some(n))) => {
                    let n = i64::try_from(*n).unwrap_or(i64::MAX);
                    Ok(Edge::Offset(if toward == Toward::Start { -n } else { n }))
                }
                (_, other) => Err(format!("the offset {other} of a frame is not a number of rows")),
            }
        };
        Ok(Frame { units: frame.units, start: edge(&frame.start_bound)?, end: edge(&frame.end_bound)? })
    }

    /// The frames of the rows `from .. to`, as places.
    pub(super) fn of(&self, list: &List, peers: &Peers, from: usize, to: usize) -> Vec<(usize, usize)> {
        let starts = self.bounds(list, peers, from, to, &self.start, true);
        let ends = self.bounds(list, peers, from, to, &self.end, false);
        starts.into_iter().zip(ends).map(|(start, end)| (start, end.max(start))).collect()
    }

    fn bounds(
        &self,
        list: &List,
        peers: &Peers,
        from: usize,
        to: usize,
        edge: &Edge,
        first: bool,
    ) -> Vec<usize> {
        let len = list.len();
        match (edge, self.units) {
            (Edge::Unbounded, _) => vec![if first { 0 } else { len }; to - from],
            (Edge::Offset(offset), WindowFrameUnits::Rows) => (from..to)
                .map(|i| clip((i as i64).saturating_add(*offset).saturating_add(i64::from(!first)), len))
                .collect(),
            (Edge::Offset(offset), _) => {
                by_group(list, from, to, |prefix| group_bound(list, prefix, *offset, first))
            }
            (Edge::Distance(amount, toward), _) => {
                let values = peers.values(list.range(from, to).map(|item| item.prefix()));
                let (begin, end) = peers.not_null(list);
                let place = |bytes: Option<Row>| match bytes {
                    Some(row) if first => list.lower(row.as_slice()),
                    Some(row) => list.upper(row.as_slice()),
                    None if *toward == Toward::Start => begin,
                    None => end,
                };
                peers.shifted(&values, amount, *toward).into_iter().map(place).collect()
            }
        }
    }

    /// The rows whose frame holds a changed row now or held it before, one range for each change. It may be more rows.
    pub(super) fn readers(&self, list: &List, peers: &Peers, changes: &[Changed]) -> Vec<(usize, usize)> {
        let froms = self.reach(list, peers, changes, &self.end, Toward::Start);
        let tos = self.reach(list, peers, changes, &self.start, Toward::End);
        froms.into_iter().zip(tos).collect()
    }

    /// How far towards one side of each change there are rows that read it: those before it by the end of their frame.
    fn reach(
        &self,
        list: &List,
        peers: &Peers,
        changes: &[Changed],
        edge: &Edge,
        side: Toward,
    ) -> Vec<usize> {
        let len = list.len();
        let all = if side == Toward::Start { 0 } else { len };
        match (edge, self.units) {
            (Edge::Unbounded, _) => vec![all; changes.len()],
            (Edge::Offset(offset), WindowFrameUnits::Rows) => changes
                .iter()
                .map(|change| match side {
                    Toward::Start => clip((change.from as i64).saturating_sub((*offset).max(0)), len),
                    Toward::End => clip((change.to as i64 + 1).saturating_sub((*offset).min(0)), len),
                })
                .collect(),
            (Edge::Offset(offset), WindowFrameUnits::Groups) => changes
                .iter()
                .map(|change| match side {
                    Toward::Start => {
                        group_bound(list, change.prefix.as_slice(), -(*offset).max(0).saturating_add(1), true)
                    }
                    Toward::End => {
                        let groups = (*offset).min(0).saturating_neg().saturating_add(1);
                        group_bound(list, change.prefix.as_slice(), groups, false)
                    }
                })
                .collect(),
            (Edge::Offset(_), _) => changes
                .iter()
                .map(|change| match side {
                    Toward::Start => list.lower(change.prefix.as_slice()),
                    Toward::End => list.upper(change.prefix.as_slice()),
                })
                .collect(),
            // There is no sure way back from the end of a frame to its row.
            (Edge::Distance(amount, _), _) if !peers.reversible(amount) => vec![all; changes.len()],
            (Edge::Distance(amount, toward), _) => {
                let values: ArrayRef = peers.values(changes.iter().map(|change| change.prefix.as_slice()));
                let back = if *toward == Toward::Start { Toward::End } else { Toward::Start };
                let moved = peers.around(&values, amount, back, side);
                let place = |bytes: Option<Row>| match (bytes, side) {
                    (Some(row), Toward::Start) => list.lower(row.as_slice()),
                    (Some(row), Toward::End) => list.upper(row.as_slice()),
                    (None, _) => all,
                };
                moved.into_iter().map(place).collect()
            }
        }
    }
}

fn clip(place: i64, len: usize) -> usize {
    usize::try_from(place).unwrap_or(0).min(len)
}

/// One value for each row, computed once for rows that are peers.
fn by_group(list: &List, from: usize, to: usize, value: impl Fn(&[u8]) -> usize) -> Vec<usize> {
    let mut known: Option<(&[u8], usize)> = None;
    list.range(from, to)
        .map(|item| match known {
            Some((prefix, found)) if prefix == item.prefix() => found,
            _ => {
                let found = value(item.prefix());
                known = Some((item.prefix(), found));
                found
            }
        })
        .collect()
}

/// The first place of the group of peers that is `offset` groups after the one of `prefix`, or the place behind its last.
fn group_bound(list: &List, prefix: &[u8], offset: i64, first: bool) -> usize {
    let (mut lower, mut upper) = (list.lower(prefix), list.upper(prefix));
    for _ in 0..offset.unsigned_abs() {
        if offset < 0 {
            upper = lower;
            if lower == 0 {
                break;
            }
            lower = list.lower(list.get(lower - 1).prefix());
        } else {
            lower = upper;
            if upper == list.len() {
                break;
            }
            upper = list.upper(list.get(upper).prefix());
        }
    }
    if first { lower } else { upper }
}
