//! `Split`: the log as the leader reads it. Its own partitions come with their records, those of others with offsets only.
use super::ask::Parts;
use super::elsewhere;
use super::frame::Reply;
use crate::feed::Feed;
use dataflows::Position;
use sources::{Record, Source, SourceError};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// So many offsets of a partition are taken at a time.
const OFFSETS: u64 = 8_192;

/// What those say who read Kafka.
#[derive(Default)]
pub struct Heard {
    halted: Option<String>,
}

impl Heard {
    pub(super) fn hear(&mut self, _process: usize, reply: Reply) {
        if let Reply::Halt(why) = reply {
            self.halted.get_or_insert(why);
        }
    }

    pub(super) fn wake(&self) {}
}

/// The log in shares.
pub struct Split {
    parts: Arc<Parts>,
    log: Feed,
    own: Box<dyn Source>,
    /// Of the others: the next offset.
    others: BTreeMap<u32, u64>,
}

impl Split {
    /// From the beginning of the log.
    pub fn new(parts: &Arc<Parts>, log: &Feed) -> Split {
        let is_own = |partition| parts.owner(partition) == 0;
        let others = log.reader().positions().into_iter().filter(|p| !is_own(p.partition));
        let others = others.map(|p| (p.partition, p.offset)).collect();
        let own: Box<dyn Source> = match log {
            Feed::Embedded(log) => Box::new(log.reader().only(is_own)),
            Feed::Kafka(log) => Box::new(log.reader()),
        };
        Split { parts: parts.clone(), log: log.clone(), own, others }
    }

    /// A process that is lost, or cannot go on, ends all.
    fn look(&self) -> Result<(), SourceError> {
        if let Some(why) = self.parts.failure() {
            return Err(SourceError::Fatal(why.to_string()));
        }
        let heard = self.parts.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.halted.clone().map_or(Ok(()), |why| Err(SourceError::Halt(why)))
    }

    fn offsets(&mut self) -> Vec<Record> {
        let mut records = vec![];
        for Position { partition, offset: end } in self.log.ends() {
            let Some(next) = self.others.get_mut(&partition) else { continue };
            let to = end.min(*next + OFFSETS);
            records.extend((*next..to).map(|offset| elsewhere(partition, offset)));
            *next = to.max(*next);
        }
        records
    }
}

impl Source for Split {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.look()?;
        let mut records = self.own.poll(bytes_max)?;
        records.extend(self.offsets());
        Ok(records)
    }

    fn positions(&self) -> Vec<Position> {
        let others =
            self.others.iter().map(|(partition, offset)| Position { partition: *partition, offset: *offset });
        let mut positions = self.own.positions();
        positions.extend(others);
        positions.sort_by_key(|position| position.partition);
        positions
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        let (others, own): (Vec<_>, Vec<_>) =
            positions.iter().cloned().partition(|p| self.others.contains_key(&p.partition));
        self.own.seek(&own)?;
        self.others.extend(others.iter().map(|p| (p.partition, p.offset)));
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        let short = |end: &Position| self.others.get(&end.partition).is_some_and(|next| *next < end.offset);
        self.own.has_backlog() || self.log.ends().iter().any(short)
    }
}
