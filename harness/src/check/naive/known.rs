//! What is known of records besides their rows: which do not count and why, what was decided about them, which came late.
use crate::quarantine::{LATE_MS, Late, Quarantined, Standing, State, late_rows, quarantine_rows};
use arrow::array::RecordBatch;
use dataflows::{Position, Table, Time};
use queries::catalogue::system::{LATE_EVENTS, QUARANTINE};
use sources::Record;
use sources::decode::verdict::{Act, Verdict};
use sources::decode::{Accepted, Decoded, Outcome};
use std::collections::BTreeSet;

/// What becomes of an event by itself.
pub(super) enum Fate {
    Counts(Accepted),
    Twice,
    Refused(&'static str, String),
}

#[derive(Default)]
pub(super) struct Known {
    dropped: BTreeSet<(u32, u64)>,
    quarantine: Vec<Quarantined>,
    late: Vec<Late>,
}

impl Known {
    /// Whether the rows of a record count. `fate` is asked for once at most: it remembers the event.
    pub(super) fn count(&mut self, time: Time, record: &Record, fate: impl FnOnce() -> Fate) -> bool {
        let verdict = Verdict::read(&record.payload);
        let target = verdict.as_ref().map(|verdict| verdict.target.clone());
        let open = target.and_then(|target| {
            let is_open = |entry: &Quarantined| {
                !entry.counts && entry.position == target && entry.standing.state.is_open()
            };
            self.quarantine.iter().position(is_open)
        });
        let settle = |state, outcome: Option<String>| Standing {
            state,
            outcome: outcome.map(Into::into),
            settled: Some(time),
        };
        let counts = match (verdict.map(|verdict| verdict.act), open) {
            (None, _) => match fate() {
                Fate::Counts(event) => self.accept(time, record, &event),
                Fate::Twice => false,
                Fate::Refused(rule, why) => {
                    self.quarantine.push(Quarantined::of(time, record, rule.into(), why));
                    false
                }
            },
            (Some(_), None) => false,
            (Some(Act::Discard), Some(open)) => {
                self.quarantine[open].standing = settle(State::Discarded, None);
                false
            }
            (Some(Act::Replay(inner)), Some(open)) => {
                let (counts, standing) = match fate() {
                    Fate::Counts(event) => {
                        let inner = Record { payload: inner, ..*record };
                        (self.accept(time, &inner, &event), settle(State::Replayed, None))
                    }
                    Fate::Twice => (false, settle(State::Superseded, None)),
                    Fate::Refused(_, why) => (false, settle(State::FailedAgain, Some(why))),
                };
                self.quarantine[open].standing = standing;
                counts
            }
        };
        if !counts {
            self.dropped.insert((record.partition, record.offset));
        }
        counts
    }

    fn accept(&mut self, time: Time, record: &Record, event: &Accepted) -> bool {
        let position = Position { partition: record.partition, offset: record.offset };
        if let Some(event_time) = event.time_ms.and_then(|time| Time::try_from(time).ok())
            && event_time + LATE_MS <= time
            && let Ok(read) = sources::event::parse(&record.payload)
        {
            let (event_source, event_id) = (read.source.to_string(), read.id.to_string());
            let event_type = event.event_type.clone();
            self.late.push(Late { time, position, event_time, event_type, event_source, event_id });
        }
        true
    }

    /// What a table that was declared after `time` cannot take of records that count.
    pub(super) fn refused_later(&mut self, time: Time, records: &[Record], decoded: &Decoded) {
        for (record, head) in records.iter().zip(&decoded.heads) {
            if let Outcome::Reject(reject) = &head.outcome
                && !self.dropped.contains(&(record.partition, record.offset))
            {
                let mut record = record.clone();
                if let Some(Verdict { act: Act::Replay(inner), .. }) = Verdict::read(&record.payload) {
                    record.payload = inner;
                }
                let entry = Quarantined::of(time, &record, reject.rule.word().into(), reject.reason.clone());
                self.quarantine.push(Quarantined { counts: true, ..entry });
            }
        }
    }

    /// The rows of a table that the process itself keeps.
    pub(super) fn rows(&self, table: &Table) -> Option<RecordBatch> {
        match &*table.name {
            QUARANTINE => {
                let entries = self.quarantine.iter().enumerate();
                let rows = entries.map(|(i, entry)| (i as u64 + 1, entry, &entry.standing, 1));
                Some(quarantine_rows(table, rows.collect()))
            }
            LATE_EVENTS => Some(late_rows(table, &self.late)),
            _ => None,
        }
    }
}
