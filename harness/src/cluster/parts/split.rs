//! `Split`: the log as the leader reads it. Its own partitions come with their records, those of others with offsets only.
use super::ask::Parts;
use super::elsewhere;
use super::frame::{Ask, Reply};
use crate::feed::Feed;
use dataflows::Position;
use sources::kafka::Kafka;
use sources::log::Log;
use sources::{Record, Source, SourceError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many offsets of a partition are taken at a time.
const OFFSETS: u64 = 8_192;
/// So long a poll of one partition waits.
const WAIT: Duration = Duration::from_millis(50);
/// Records that are known to be there and do not come for so long are no backlog: the clock goes on without them.
const STARVED: Duration = Duration::from_secs(2);

/// What those say who read Kafka.
#[derive(Default)]
pub struct Heard {
    came: Vec<(u32, u64)>,
    positions: Vec<Position>,
    stalled: BTreeMap<usize, String>,
    halted: Option<String>,
    /// Wakes the reader of this process.
    waker: Option<Arc<Kafka>>,
}

impl Heard {
    pub(super) fn hear(&mut self, process: usize, reply: Reply) {
        match reply {
            Reply::Came(records, positions) => {
                self.came.extend(records);
                self.positions.extend(positions);
            }
            Reply::Stalled(Some(why)) => {
                _ = self.stalled.insert(process, format!("process {process}: {why}"))
            }
            Reply::Stalled(None) => _ = self.stalled.remove(&process),
            Reply::Halt(why) => _ = self.halted.get_or_insert(why),
            Reply::Opened(_) | Reply::Piece(..) | Reply::Payloads(..) | Reply::Fatal(_) => {}
        }
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(kafka) = &self.waker {
            kafka.wake();
        }
    }
}

/// The log in shares.
pub struct Split {
    parts: Arc<Parts>,
    own: Box<dyn Source>,
    /// Of the others: the next offset.
    others: BTreeMap<u32, u64>,
    rest: Rest,
}

/// How the leader knows what there is in the partitions of others.
enum Rest {
    /// It writes them itself.
    Files(Arc<Log>),
    /// It is told.
    Topics(Topics),
}

struct Topics {
    kafka: Arc<Kafka>,
    /// How many partitions the others know of.
    told: usize,
    /// Where the others begin, until they were told so.
    start: Option<Vec<Position>>,
    /// When something came last.
    fed: Instant,
}

impl Split {
    /// From the beginning of the log, of which the others know so many partitions.
    pub fn new(parts: &Arc<Parts>, log: &Feed, known: usize) -> Split {
        let shares = parts.clone();
        let is_own = move |partition| shares.owner(partition) == 0;
        let others = log.reader().positions().into_iter().filter(|p| !is_own(p.partition));
        let others = others.map(|p| (p.partition, p.offset)).collect();
        let (own, rest): (Box<dyn Source>, Rest) = match log {
            Feed::Embedded(log) => (Box::new(log.reader().only(is_own)), Rest::Files(log.clone())),
            Feed::Kafka(kafka) => {
                parts.heard().waker = Some(kafka.clone());
                let own = kafka.reader().only(Box::new(is_own));
                let (kafka, start, fed) = (kafka.clone(), Some(vec![]), Instant::now());
                (Box::new(own), Rest::Topics(Topics { kafka, told: known, start, fed }))
            }
        };
        Split { parts: parts.clone(), own, others, rest }
    }

    /// A process that is lost, or cannot go on, ends all.
    fn look(&self) -> Result<(), SourceError> {
        self.parts.failure().map_or(Ok(()), |why| Err(SourceError::Fatal(why.to_string())))
    }

    /// The next offsets of the partitions of others.
    fn offsets(&mut self) -> Result<Vec<Record>, SourceError> {
        match &mut self.rest {
            Rest::Files(log) => {
                let mut records = vec![];
                for Position { partition, offset: end } in log.ends() {
                    let Some(next) = self.others.get_mut(&partition) else { continue };
                    let to = end.min(*next + OFFSETS);
                    records.extend((*next..to).map(|offset| elsewhere(partition, offset)));
                    *next = to.max(*next);
                }
                Ok(records)
            }
            Rest::Topics(topics) => {
                topics.begin(&self.parts, &mut self.others);
                let mut heard = self.parts.heard();
                let (came, positions) =
                    (std::mem::take(&mut heard.came), std::mem::take(&mut heard.positions));
                if came.is_empty() && positions.is_empty() {
                    return heard.halted.clone().map_or(Ok(vec![]), |why| Err(SourceError::Halt(why)));
                }
                drop(heard);
                topics.fed = Instant::now();
                self.others.extend(positions.into_iter().map(|p| (p.partition, p.offset)));
                Ok(came.into_iter().map(|(partition, offset)| elsewhere(partition, offset)).collect())
            }
        }
    }

    fn others(&self) -> impl Iterator<Item = Position> {
        self.others.iter().map(|(partition, offset)| Position { partition: *partition, offset: *offset })
    }
}

impl Topics {
    /// Has the others read on, each from where it begins, and tells them of partitions that were found.
    fn begin(&mut self, parts: &Parts, others: &mut BTreeMap<u32, u64>) {
        if self.told < self.kafka.count() {
            for of in self.kafka.partitions().into_iter().skip(self.told) {
                parts.tell_all(&Ask::Take(serde_json::to_string(&*of).expect("texts and numbers are JSON")));
                if parts.owner(of.number) > 0 {
                    others.entry(of.number).or_insert(of.first);
                }
                self.told += 1;
            }
        }
        if let Some(positions) = self.start.take() {
            parts.tell_all(&Ask::Start(positions));
        }
    }
}

impl Source for Split {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.look()?;
        let mut records = self.own.poll(bytes_max)?;
        match self.offsets() {
            Ok(others) => records.extend(others),
            // It is met again.
            Err(_) if !records.is_empty() => {}
            Err(why) => return Err(why),
        }
        Ok(records)
    }

    fn poll_partition(&mut self, partition: u32, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.look()?;
        if self.parts.owner(partition) == 0 {
            return self.own.poll_partition(partition, bytes_max);
        }
        let records = self.offsets()?;
        if records.is_empty() && matches!(self.rest, Rest::Topics(_)) {
            self.parts.tell(partition, &Ask::More(partition));
            self.parts.wait_heard(WAIT, |heard| !heard.positions.is_empty() || heard.halted.is_some());
            return self.offsets();
        }
        Ok(records)
    }

    fn positions(&self) -> Vec<Position> {
        let mut positions = self.own.positions();
        positions.extend(self.others());
        positions.sort_by_key(|position| position.partition);
        positions
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        let (others, own): (Vec<_>, Vec<_>) =
            positions.iter().cloned().partition(|p| self.others.contains_key(&p.partition));
        self.own.seek(&own)?;
        self.others.extend(others.iter().map(|p| (p.partition, p.offset)));
        if let Rest::Topics(topics) = &mut self.rest {
            topics.start = Some(positions.to_vec());
        }
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        let waits = match &self.rest {
            Rest::Files(log) => {
                let is_short =
                    |end: &Position| self.others.get(&end.partition).is_some_and(|next| *next < end.offset);
                log.ends().iter().any(is_short)
            }
            Rest::Topics(topics) => {
                let heard = self.parts.heard();
                !heard.positions.is_empty()
                    || topics.start.is_some()
                    || topics.told < topics.kafka.count()
                    || (topics.kafka.lags(self.others()) && topics.fed.elapsed() < STARVED)
            }
        };
        waits || self.own.has_backlog()
    }

    fn ended(&mut self) -> Result<bool, SourceError> {
        match &self.rest {
            Rest::Files(_) => Ok(!self.has_backlog()),
            Rest::Topics(topics) => Ok(topics.kafka.ends_at(self.others())? && self.own.ended()?),
        }
    }

    fn stalled(&self) -> Option<String> {
        self.own.stalled().or_else(|| self.parts.heard().stalled.values().next().cloned())
    }
}
