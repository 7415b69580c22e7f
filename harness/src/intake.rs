//! `Intake`: each event counts once. It takes decoded records in the order of the log and says which rows go on.
//!
//! An event seen before, with the same content, is counted and dropped; with other content it goes to quarantine as `conflict`,
//! and the first one stands. An event from beyond the tick's horizon goes to quarantine as `future` and is not remembered: the
//! same event sent again later counts. Accepted, duplicates, quarantined and verdicts add up to the records read.
use crate::clock::Moment;
use crate::cluster::parts::is_elsewhere;
use crate::quarantine::{LATE_MS, Late, Ledger, Quarantined, Standing, State};
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use dataflows::{Position, Time};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use serde::{Deserialize, Serialize};
use sources::Record;
use sources::decode::verdict::{Act, Verdict};
use sources::decode::{Accepted, Decoded, Outcome, TableRows};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many event types are counted by name; the others count together.
const TYPES_MAX: usize = 1_000;

/// The rule that an event from beyond the horizon breaks.
pub const FUTURE: &str = "future";
/// The rule that an event breaks whose source and id are those of another.
pub const CONFLICT: &str = "conflict";
pub(crate) const CONFLICTS: &str =
    "an event with the same source and id, and other content, was accepted before";

/// What was seen so far.
#[derive(Default)]
pub struct Intake {
    seen: HashMap<u128, u64>,
    dropped: BTreeMap<u32, Vec<u64>>,
    ledger: Ledger,
    /// What tables that are being filled from the log cannot take.
    refused: Vec<Quarantined>,
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
    /// Verdicts about records in quarantine that made no event count.
    pub verdicts: u64,
    /// Accepted events that no table takes, by type.
    pub unmatched: BTreeMap<Arc<str>, u64>,
}

impl Counts {
    /// All records in quarantine.
    pub fn rejected(&self) -> u64 {
        self.quarantined.values().sum()
    }
}

impl Intake {
    /// Of records that are not here whole: those that must be, before they are taken in.
    pub fn wanted(&self, moment: Moment, records: &[Record], decoded: &Decoded) -> Vec<u32> {
        let mut wanted = vec![];
        for (at, (head, record)) in decoded.heads.iter().zip(records).enumerate() {
            let Outcome::Event(event) = &head.outcome else { continue };
            let contradicts = || self.seen.get(&event.key).is_some_and(|content| *content != event.content);
            let is_named = is_future(moment, event) || late_time(moment, event).is_some() || contradicts();
            if is_named && is_elsewhere(record) {
                wanted.push(at as u32);
            }
        }
        wanted
    }

    /// Takes in the next records of a tick; gives the rows that go on, by the number of their mapping, and which records do not count.
    pub fn take(
        &mut self,
        moment: Moment,
        records: &[Record],
        decoded: Decoded,
    ) -> (Vec<(usize, RecordBatch)>, Vec<u32>) {
        debug_assert_eq!(records.len(), decoded.heads.len());
        self.counts.records += records.len() as u64;
        let mut dropped = Vec::new();
        for (index, (head, record)) in decoded.heads.into_iter().zip(records).enumerate() {
            self.counts.bytes += head.bytes as u64;
            let keep = match (Verdict::read(&record.payload), head.outcome) {
                (Some(verdict), outcome) => self.take_verdict(moment, record, verdict, outcome),
                (None, Outcome::Event(event)) => self.take_event(moment, record, &event),
                (None, Outcome::Reject(reject)) => {
                    let rule = reject.rule.word().into();
                    self.put_aside(Quarantined::of(moment.time, record, rule, reject.reason));
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
        let rows = decoded.tables.into_iter().filter_map(|table| keep_rows(table, &dropped)).collect();
        (rows, dropped)
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
                let inner = match Verdict::read(&record.payload) {
                    Some(Verdict { act: Act::Replay(inner), .. }) => Record { payload: inner, ..*record },
                    _ => record.clone(),
                };
                let entry = Quarantined::of(time, &inner, reject.rule.word().into(), reject.reason);
                self.refused.push(Quarantined { counts: true, ..entry });
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
        self.ledger.note_touched();
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
        (self.counts, self.ledger) = (counts, Ledger::from(quarantine));
        if self.added.is_some() {
            self.ledger.note_touched();
        }
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

    /// What a table that was filled from the log cannot take is in quarantine now, in the order of the log.
    pub fn taken_again(&mut self) {
        let mut refused = std::mem::take(&mut self.refused);
        refused.sort_by(|a, b| a.position.cmp(&b.position));
        refused.into_iter().for_each(|entry| self.ledger.add(entry));
    }

    /// Records in quarantine after the first `after` ones, with their ids, oldest first.
    pub fn quarantine(&self, after: u64, limit: usize) -> impl Iterator<Item = (u64, &Quarantined)> {
        self.ledger.after(after, limit)
    }

    /// All that is in quarantine.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The same, for the rows of its tables.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// How many of the records at some positions were dropped as duplicates, and how many are in quarantine.
    pub fn fates(&self, positions: impl Iterator<Item = Position>) -> (u64, u64) {
        let is_dropped = |position: &Position| {
            let list = self.dropped.get(&position.partition);
            list.is_some_and(|list| list.binary_search(&position.offset).is_ok())
        };
        positions.filter(is_dropped).fold((0, 0), |(duplicates, rejects), position| {
            match self.ledger.find(&position) {
                Some(_) => (duplicates, rejects + 1),
                None => (duplicates + 1, rejects),
            }
        })
    }

    fn take_event(&mut self, moment: Moment, record: &Record, event: &Accepted) -> bool {
        match self.fate(moment, event) {
            Fate::Counts => {
                self.accept(moment, record, event);
                true
            }
            Fate::Duplicate => {
                self.counts.duplicates += 1;
                false
            }
            Fate::Refused(rule, reason) => {
                self.put_aside(Quarantined::of(moment.time, record, rule.into(), reason));
                false
            }
        }
    }

    /// A record in quarantine that was decided about before is not decided about again.
    fn take_verdict(&mut self, moment: Moment, record: &Record, verdict: Verdict, outcome: Outcome) -> bool {
        let Verdict { target, act } = verdict;
        let settled = Some(moment.time);
        let standing = |state| Standing { state, outcome: None, settled };
        let failed = |why: &str| Standing { state: State::FailedAgain, outcome: Some(why.into()), settled };
        let inner = match act {
            Act::Replay(inner) if self.ledger.is_open(&target) => inner,
            Act::Replay(_) | Act::Discard => {
                self.counts.verdicts += 1;
                if self.ledger.is_open(&target) {
                    self.ledger.settle(&target, standing(State::Discarded));
                }
                return false;
            }
        };
        let fate = match &outcome {
            Outcome::Event(event) => self.fate(moment, event),
            Outcome::Reject(reject) => Fate::Refused(reject.rule.word(), reject.reason.clone()),
        };
        match (fate, outcome) {
            (Fate::Counts, Outcome::Event(event)) => {
                self.accept(moment, &Record { payload: inner, ..*record }, &event);
                self.ledger.settle(&target, standing(State::Replayed));
                true
            }
            (Fate::Duplicate, _) => {
                self.counts.duplicates += 1;
                self.ledger.settle(&target, standing(State::Superseded));
                false
            }
            (Fate::Refused(_, why), _) => {
                self.counts.verdicts += 1;
                self.ledger.settle(&target, failed(&why));
                false
            }
            (Fate::Counts, Outcome::Reject(_)) => unreachable!("a rejected event is refused"),
        }
    }

    /// What becomes of an event. One that counts is remembered.
    fn fate(&mut self, moment: Moment, event: &Accepted) -> Fate {
        if is_future(moment, event) {
            return Fate::Refused(FUTURE, future(moment, event));
        }
        match self.seen.entry(event.key) {
            Entry::Vacant(place) => {
                place.insert(event.content);
                if let Some(added) = &mut self.added {
                    added.seen.push((event.key, event.content));
                }
                Fate::Counts
            }
            Entry::Occupied(first) if *first.get() == event.content => Fate::Duplicate,
            Entry::Occupied(_) => Fate::Refused(CONFLICT, CONFLICTS.to_owned()),
        }
    }

    fn accept(&mut self, moment: Moment, record: &Record, event: &Accepted) {
        self.counts.accepted += 1;
        if !event.matched {
            self.count_unmatched(&event.event_type);
        }
        let Some(event_time) = late_time(moment, event) else { return };
        let Ok(names) = sources::event::parse(&record.payload) else { return };
        self.ledger.add_late(Late {
            time: moment.time,
            position: Position { partition: record.partition, offset: record.offset },
            event_time,
            event_type: event.event_type.clone(),
            event_source: names.source.into_owned(),
            event_id: names.id.into_owned(),
        });
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

    fn put_aside(&mut self, entry: Quarantined) {
        *self.counts.quarantined.entry(entry.rule.clone()).or_default() += 1;
        self.ledger.add(entry);
    }
}

/// What becomes of an event.
enum Fate {
    Counts,
    Duplicate,
    /// By a rule, and why.
    Refused(&'static str, String),
}

/// Whether an event lies beyond the horizon.
fn is_future(moment: Moment, event: &Accepted) -> bool {
    event.time_ms.is_some_and(|time| time > 0 && time as u64 > moment.horizon)
}

/// The time of an event that is late.
fn late_time(moment: Moment, event: &Accepted) -> Option<Time> {
    let time = event.time_ms.and_then(|time| Time::try_from(time).ok());
    time.filter(|time| moment.time.saturating_sub(*time) >= LATE_MS)
}

/// The latest event time that is not beyond the horizon.
pub fn latest_event(decoded: &Decoded, horizon: Time) -> Option<Time> {
    let times = decoded.heads.iter().filter_map(|head| match &head.outcome {
        Outcome::Event(event) => event.time_ms.and_then(|time| Time::try_from(time).ok()),
        Outcome::Reject(_) => None,
    });
    times.filter(|time| *time <= horizon).max()
}

/// Why an event from beyond the horizon does not count.
pub(crate) fn future(moment: Moment, event: &Accepted) -> String {
    format!(
        "its time is {} ms after {}, the latest that tick {} takes",
        (event.time_ms.unwrap_or(0).max(0) as u64).saturating_sub(moment.horizon),
        text_of(moment.horizon),
        moment.time
    )
}

pub(crate) fn keep_rows(table: TableRows, dropped: &[u32]) -> Option<(usize, RecordBatch)> {
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
