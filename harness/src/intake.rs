//! `Intake`: each event counts once. It takes decoded records in the order of the log and says which rows go on.
//!
//! An event seen before, with the same content, is counted and dropped; with other content it goes to quarantine as `conflict`,
//! and the first one stands. An event from beyond the tick's horizon goes to quarantine as `future` and is not remembered: the
//! same event sent again later counts. Accepted, duplicates and quarantined add up to the records read.
use crate::clock::Moment;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use dataflows::{Position, Time};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use serde::{Deserialize, Serialize};
use sources::Record;
use sources::decode::{Accepted, Decoded, Outcome, TableRows};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many event types are counted by name; the others count together.
const TYPES_MAX: usize = 1_000;

/// What was seen so far.
#[derive(Default)]
pub struct Intake {
    seen: HashMap<u128, u64>,
    dropped: BTreeMap<u32, Vec<u64>>,
    quarantine: Vec<Quarantined>,
    counts: Counts,
    /// What was remembered since it was last asked for; none: nobody asks.
    added: Option<Added>,
}

/// What the intake remembers more than before, in the order of the log.
#[derive(Default)]
pub struct Added {
    /// Events that count, and a hash of their content.
    pub seen: Vec<(u128, u64)>,
    /// Records that do not count: partition and offset.
    pub dropped: Vec<(u32, u64)>,
}

/// How many records came to what end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// Events that count, also those that no table takes.
    pub accepted: u64,
    /// Events dropped because the same one counts already.
    pub duplicates: u64,
    /// Records in quarantine, by rule.
    pub quarantined: BTreeMap<Arc<str>, u64>,
    /// Accepted events that no table takes, by type.
    pub unmatched: BTreeMap<Arc<str>, u64>,
}

impl Counts {
    /// All records in quarantine.
    pub fn rejected(&self) -> u64 {
        self.quarantined.values().sum()
    }
}

/// A record in quarantine. Its bytes stay in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The tick that met it.
    pub time: Time,
    /// The record's own position.
    pub position: Position,
    /// The rule it breaks.
    pub rule: Arc<str>,
    /// What is wrong.
    pub reason: String,
    /// The event's id, where it could be read.
    pub event_id: Option<String>,
    /// The event's source, where it could be read.
    pub event_source: Option<String>,
}

impl Intake {
    /// Takes in the next records of a tick; gives the rows that go on, by the number of their mapping.
    pub fn take(
        &mut self,
        moment: Moment,
        records: &[Record],
        decoded: Decoded,
    ) -> Vec<(usize, RecordBatch)> {
        debug_assert_eq!(records.len(), decoded.heads.len());
        self.counts.records += records.len() as u64;
        let mut dropped = Vec::new();
        for (index, (head, record)) in decoded.heads.into_iter().zip(records).enumerate() {
            self.counts.bytes += head.bytes as u64;
            let keep = match head.outcome {
                Outcome::Event(event) => self.take_event(moment, record, &event),
                Outcome::Reject(reject) => {
                    self.put_aside(Quarantined {
                        time: moment.time,
                        position: Position { partition: record.partition, offset: record.offset },
                        rule: reject.rule.word().into(),
                        reason: reject.reason,
                        event_id: reject.event_id,
                        event_source: reject.event_source,
                    });
                    false
                }
            };
            if !keep {
                dropped.push(index as u32);
                self.dropped.entry(record.partition).or_default().push(record.offset);
                if let Some(added) = &mut self.added {
                    added.dropped.push((record.partition, record.offset));
                }
            }
        }
        decoded.tables.into_iter().filter_map(|table| keep_rows(table, &dropped)).collect()
    }

    /// The rows a table gets of records that were taken in before it was declared: those of the records that count.
    /// What the new table alone cannot take is put in quarantine beside its record, which still counts where it did.
    pub fn take_again(&mut self, time: Time, records: &[Record], decoded: Decoded) -> Vec<RecordBatch> {
        let mut dropped = Vec::new();
        for (index, (head, record)) in decoded.heads.into_iter().zip(records).enumerate() {
            let list = self.dropped.get(&record.partition);
            if list.is_some_and(|list| list.binary_search(&record.offset).is_ok()) {
                dropped.push(index as u32);
            } else if let Outcome::Reject(reject) = head.outcome {
                self.quarantine.push(Quarantined {
                    time,
                    position: Position { partition: record.partition, offset: record.offset },
                    rule: reject.rule.word().into(),
                    reason: reject.reason,
                    event_id: reject.event_id,
                    event_source: reject.event_source,
                });
            }
        }
        decoded
            .tables
            .into_iter()
            .filter_map(|table| keep_rows(table, &dropped))
            .map(|(_, rows)| rows)
            .collect()
    }

    /// From here on what is remembered is noted too, for snapshots.
    pub fn note_added(&mut self) {
        self.added.get_or_insert_default();
    }

    /// How many entries were noted.
    pub fn added(&self) -> usize {
        self.added.as_ref().map_or(0, |added| added.seen.len() + added.dropped.len())
    }

    /// What was noted; nothing is noted twice.
    pub fn take_added(&mut self) -> Added {
        self.added.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Remembers what an earlier life did, before any record is taken in.
    pub fn restore(&mut self, counts: Counts, memory: Added, quarantine: Vec<Quarantined>) {
        (self.counts, self.quarantine) = (counts, quarantine);
        self.seen = memory.seen.into_iter().collect();
        for (partition, offset) in memory.dropped {
            self.dropped.entry(partition).or_default().push(offset);
        }
    }

    /// How many records came to what end.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many distinct events are remembered.
    pub fn remembered(&self) -> usize {
        self.seen.len()
    }

    /// Records in quarantine after the first `after` ones, with their ids, oldest first.
    pub fn quarantine(&self, after: u64, limit: usize) -> impl Iterator<Item = (u64, &Quarantined)> {
        let skipped = usize::try_from(after).unwrap_or(usize::MAX).min(self.quarantine.len());
        self.quarantine[skipped..]
            .iter()
            .take(limit)
            .enumerate()
            .map(move |(i, entry)| ((skipped + i + 1) as u64, entry))
    }

    fn take_event(&mut self, moment: Moment, record: &Record, event: &Accepted) -> bool {
        if event.time_ms.is_some_and(|time| time > 0 && time as u64 > moment.horizon) {
            let reason = format!(
                "its time is {} ms after {}, the latest that tick {} takes",
                event.time_ms.unwrap_or(0) as u64 - moment.horizon,
                text_of(moment.horizon),
                moment.time
            );
            self.put_event_aside(moment.time, record, "future", reason);
            return false;
        }
        match self.seen.entry(event.key) {
            Entry::Occupied(first) if *first.get() == event.content => {
                self.counts.duplicates += 1;
                false
            }
            Entry::Occupied(_) => {
                let reason =
                    "an event with the same source and id, and other content, was accepted before".to_owned();
                self.put_event_aside(moment.time, record, "conflict", reason);
                false
            }
            Entry::Vacant(place) => {
                place.insert(event.content);
                if let Some(added) = &mut self.added {
                    added.seen.push((event.key, event.content));
                }
                self.counts.accepted += 1;
                if !event.matched {
                    self.count_unmatched(&event.event_type);
                }
                true
            }
        }
    }

    fn count_unmatched(&mut self, event_type: &Arc<str>) {
        let types = &mut self.counts.unmatched;
        let name = if types.len() < TYPES_MAX || types.contains_key(event_type) {
            event_type.clone()
        } else {
            "(others)".into()
        };
        *types.entry(name).or_default() += 1;
    }

    fn put_event_aside(&mut self, time: Time, record: &Record, rule: &str, reason: String) {
        let names = sources::event::parse(&record.payload).ok();
        let names = names.map(|event| (event.id.to_string(), event.source.to_string()));
        let (event_id, event_source) = names.unzip();
        let position = Position { partition: record.partition, offset: record.offset };
        self.put_aside(Quarantined { time, position, rule: rule.into(), reason, event_id, event_source });
    }

    fn put_aside(&mut self, entry: Quarantined) {
        *self.counts.quarantined.entry(entry.rule.clone()).or_default() += 1;
        self.quarantine.push(entry);
    }
}

/// The latest event time that is not beyond the horizon.
pub fn latest_event(decoded: &Decoded, horizon: Time) -> Option<Time> {
    let times = decoded.heads.iter().filter_map(|head| match &head.outcome {
        Outcome::Event(event) => event.time_ms.and_then(|time| Time::try_from(time).ok()),
        Outcome::Reject(_) => None,
    });
    times.filter(|time| *time <= horizon).max()
}

fn keep_rows(table: TableRows, dropped: &[u32]) -> Option<(usize, RecordBatch)> {
    if dropped.is_empty() {
        return Some((table.mapping, table.rows));
    }
    let keep: BooleanArray =
        table.records.iter().map(|record| Some(dropped.binary_search(record).is_err())).collect();
    let rows = filter_record_batch(&table.rows, &keep).expect("one record a row");
    (rows.num_rows() > 0).then_some((table.mapping, rows))
}

fn text_of(time: Time) -> String {
    let mut text = String::new();
    dataflows::value::Value::Timestamp(i128::from(time) * 1_000_000, true).write_text(&mut text);
    text
}
