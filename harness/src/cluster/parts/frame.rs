//! What goes over the links by which partitions are read elsewhere, as bytes.
use crate::cluster::frame::{Bytes, Parts as From};
use crate::ticks::Piece;
use dataflows::Position;
use sources::decode::verdict::Verdict;
use sources::decode::{Accepted, Decoded, Head, Outcome, TableRows};
use sources::event::{Reject, Rule};
use sources::{Payload, Record};
use std::collections::HashMap;
use std::sync::Arc;

/// What the leader asks of a follower.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// To open the log: an `Opening` as JSON.
    Open(String),
    /// To read and decode records of a partition from an offset on and below another, and to hold what comes of them as a piece, whose
    /// number is that of the question.
    Read(u64, Range),
    /// To decode a piece for the tables of this number.
    Again(u64, u64, u64),
    /// The payloads of some records of a piece.
    Want(u64, u64, Vec<u32>),
    /// To read Kafka, from these positions on; none: from the beginning.
    Start(Vec<Position>),
    /// That there is a further partition of Kafka: a `Numbered` as JSON.
    Take(String),
    /// To read on in a partition, however much waits to be asked for.
    More(u32),
}

/// Records of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which.
    pub partition: u32,
    /// The first offset.
    pub from: u64,
    /// The offset after the last.
    pub to: u64,
    /// How many they are.
    pub count: u64,
}

/// What a follower answers, or tells by itself.
#[derive(Debug)]
pub enum Reply {
    /// It can read the log, or why not.
    Opened(Option<String>),
    /// What a piece holds: the question, and the rest.
    Piece(u64, Box<Sent>),
    /// Payloads of records of a piece, by their places in it.
    Payloads(u64, Vec<(u32, Payload)>),
    /// Records of Kafka that can be asked for, and where the partitions stand.
    Came(Vec<(u32, u64)>, Vec<Position>),
    /// Why nothing new comes, if that has lasted a while.
    Stalled(Option<String>),
    /// The log lost what comes next.
    Halt(String),
    /// It cannot go on.
    Fatal(String),
}

/// What the leader must know of a piece that another process holds.
#[derive(Debug)]
pub struct Sent {
    /// The number of the tables it was decoded for.
    pub tables: u64,
    /// A hash of each record.
    pub hashes: Vec<u64>,
    /// What each record is, and rows where the leader wants them.
    pub decoded: Decoded,
    /// The payloads of the records that are no events like others: rejects, verdicts, and those that contradict another of the piece.
    pub payloads: Vec<(u32, Payload)>,
}

impl Ask {
    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut to = Bytes::default();
        match self {
            Ask::Open(text) => to.tag(0).text(text),
            Ask::Read(ticket, Range { partition, from, to: end, count }) => to
                .tag(1)
                .number(*ticket)
                .number((*partition).into())
                .number(*from)
                .number(*end)
                .number(*count),
            Ask::Again(ticket, piece, tables) => to.tag(2).number(*ticket).number(*piece).number(*tables),
            Ask::Want(ticket, piece, records) => {
                to.tag(3).number(*ticket).number(*piece).number(records.len() as u64);
                records.iter().for_each(|record| _ = to.number((*record).into()));
                &mut to
            }
            Ask::Take(text) => to.tag(4).text(text),
            Ask::More(partition) => to.tag(5).number((*partition).into()),
            Ask::Start(positions) => {
                to.tag(6);
                put_positions(&mut to, positions);
                &mut to
            }
        };
        to.0
    }

    /// From bytes.
    pub fn of(bytes: &[u8]) -> Result<Ask, String> {
        let mut from = From(bytes);
        Ok(match from.tag()? {
            0 => Ask::Open(from.text()?),
            1 => {
                let ticket = from.number()?;
                let partition = from.number()? as u32;
                Ask::Read(
                    ticket,
                    Range { partition, from: from.number()?, to: from.number()?, count: from.number()? },
                )
            }
            2 => Ask::Again(from.number()?, from.number()?, from.number()?),
            3 => {
                let (ticket, piece) = (from.number()?, from.number()?);
                Ask::Want(ticket, piece, from.list(|from| Ok(from.number()? as u32))?)
            }
            4 => Ask::Take(from.text()?),
            5 => Ask::More(from.number()? as u32),
            6 => Ask::Start(positions(&mut from)?),
            other => return Err(format!("{other} asks nothing")),
        })
    }
}

impl Reply {
    /// From bytes.
    pub fn of(bytes: &[u8]) -> Result<Reply, String> {
        let mut from = From(bytes);
        Ok(match from.tag()? {
            0 => Reply::Opened(Some(from.text()?).filter(|why| !why.is_empty())),
            1 => Reply::Piece(from.number()?, Box::new(sent(&mut from)?)),
            2 => Reply::Payloads(from.number()?, payloads(&mut from)?),
            3 => {
                let records = from.list(|from| Ok((from.number()? as u32, from.number()?)))?;
                Reply::Came(records, positions(&mut from)?)
            }
            4 => Reply::Stalled(Some(from.text()?).filter(|why| !why.is_empty())),
            5 => Reply::Halt(from.text()?),
            6 => Reply::Fatal(from.text()?),
            other => return Err(format!("{other} answers nothing")),
        })
    }

    /// As bytes, except a piece: see [`piece_bytes`].
    pub fn bytes(&self) -> Vec<u8> {
        let mut to = Bytes::default();
        match self {
            Reply::Opened(why) => _ = to.tag(0).text(why.as_deref().unwrap_or_default()),
            Reply::Piece(..) => unreachable!("a piece is written from what is held"),
            Reply::Payloads(ticket, list) => {
                to.tag(2).number(*ticket);
                put_payloads(&mut to, list.iter().map(|(at, payload)| (*at, payload)));
            }
            Reply::Came(records, positions) => {
                to.tag(3).number(records.len() as u64);
                for (partition, offset) in records {
                    to.number((*partition).into()).number(*offset);
                }
                put_positions(&mut to, positions);
            }
            Reply::Stalled(why) => _ = to.tag(4).text(why.as_deref().unwrap_or_default()),
            Reply::Halt(why) => _ = to.tag(5).text(why),
            Reply::Fatal(why) => _ = to.tag(6).text(why),
        }
        to.0
    }
}

/// What the leader must know of a piece, as bytes; its rows only where they are wanted.
pub fn piece_bytes(ticket: u64, piece: &Piece, rows: bool) -> Result<Vec<u8>, String> {
    let mut to = Bytes::default();
    to.tag(1).number(ticket).number(piece.tables.number).number(piece.records.len() as u64);
    let (mut types, mut numbers): (Vec<Arc<str>>, HashMap<Arc<str>, u64>) = (vec![], HashMap::new());
    let (mut seen, mut told): (HashMap<u128, u64>, Vec<u32>) = (HashMap::new(), vec![]);
    for (at, (head, record)) in piece.decoded.heads.iter().zip(&piece.records).enumerate() {
        to.number(record.partition.into()).number(record.offset).number(piece.hashes[at]);
        to.number(head.bytes as u64);
        let mut tell = Verdict::read(&record.payload).is_some();
        match &head.outcome {
            Outcome::Event(event) => {
                let number = *numbers.entry(event.event_type.clone()).or_insert_with(|| {
                    types.push(event.event_type.clone());
                    types.len() as u64 - 1
                });
                tell |= *seen.entry(event.key).or_insert(event.content) != event.content;
                let flags = u8::from(event.matched) | u8::from(event.time_ms.is_some()) << 1;
                to.tag(flags).number(event.key as u64).number((event.key >> 64) as u64).number(event.content);
                to.number(event.time_ms.unwrap_or(0) as u64).number(number);
            }
            Outcome::Reject(reject) => {
                tell = true;
                to.tag(REJECT).text(reject.rule.word()).text(&reject.reason);
                for text in [&reject.event_id, &reject.event_source] {
                    to.tag(text.is_some().into()).text(text.as_deref().unwrap_or_default());
                }
            }
        }
        if tell {
            told.push(at as u32);
        }
    }
    to.number(types.len() as u64);
    types.iter().for_each(|event_type| _ = to.text(event_type));
    put_payloads(&mut to, told.iter().map(|at| (*at, &piece.records[*at as usize].payload)));
    let tables = if rows { &piece.decoded.tables[..] } else { &[] };
    to.number(tables.len() as u64);
    for TableRows { mapping, rows, records } in tables {
        to.number(*mapping as u64).number(records.len() as u64);
        records.iter().for_each(|record| _ = to.number((*record).into()));
        to.batch(rows)?;
    }
    Ok(to.0)
}

const REJECT: u8 = 4;

fn sent(from: &mut From) -> Result<Sent, String> {
    let tables = from.number()?;
    let mut hashes = vec![];
    // Types come after the heads that name them.
    let mut numbers = vec![];
    let mut heads = from.list(|from| {
        let (partition, offset) = (from.number()? as u32, from.number()?);
        hashes.push(from.number()?);
        let bytes = from.number()? as usize;
        let flags = from.tag()?;
        if flags == REJECT {
            let word = from.text()?;
            let rule = Rule::of(&word).ok_or_else(|| format!("{word:?} is no rule"))?;
            let reason = from.text()?;
            let mut text =
                || Ok::<_, String>((from.tag()? == 1, from.text()?)).map(|(is, text)| is.then_some(text));
            let (event_id, event_source) = (text()?, text()?);
            numbers.push(None);
            let outcome = Outcome::Reject(Reject { rule, reason, event_id, event_source });
            return Ok(Head { partition, offset, bytes, outcome });
        }
        let key = u128::from(from.number()?) | u128::from(from.number()?) << 64;
        let (content, time) = (from.number()?, from.number()? as i64);
        numbers.push(Some(from.number()? as usize));
        let outcome = Outcome::Event(Accepted {
            key,
            content,
            time_ms: (flags & 2 != 0).then_some(time),
            matched: flags & 1 != 0,
            event_type: "".into(),
        });
        Ok(Head { partition, offset, bytes, outcome })
    })?;
    let types = from.list(|from| Ok(Arc::<str>::from(from.text()?)))?;
    for (head, number) in heads.iter_mut().zip(numbers) {
        if let (Outcome::Event(event), Some(number)) = (&mut head.outcome, number) {
            event.event_type = types.get(number).ok_or("an event has no type")?.clone();
        }
    }
    let payloads = payloads(from)?;
    let tables_rows = from.list(|from| {
        let mapping = from.number()? as usize;
        let records = from.list(|from| Ok(from.number()? as u32))?;
        Ok(TableRows { mapping, records, rows: from.batch()? })
    })?;
    Ok(Sent { tables, hashes, decoded: Decoded { heads, tables: tables_rows }, payloads })
}

fn put_positions(to: &mut Bytes, positions: &[Position]) {
    to.number(positions.len() as u64);
    for Position { partition, offset } in positions {
        to.number((*partition).into()).number(*offset);
    }
}

fn positions(from: &mut From) -> Result<Vec<Position>, String> {
    from.list(|from| Ok(Position { partition: from.number()? as u32, offset: from.number()? }))
}

fn put_payloads<'a>(to: &mut Bytes, list: impl ExactSizeIterator<Item = (u32, &'a Payload)>) {
    to.number(list.len() as u64);
    for (at, payload) in list {
        to.number(at.into());
        match payload {
            Payload::Structured(bytes) => _ = to.tag(0).bytes(bytes),
            Payload::Binary { attributes, body } => {
                to.tag(1).bytes(body).number(attributes.len() as u64);
                for (name, value) in attributes {
                    to.text(name).text(value);
                }
            }
        }
    }
}

fn payloads(from: &mut From) -> Result<Vec<(u32, Payload)>, String> {
    from.list(|from| {
        let at = from.number()? as u32;
        let payload = match from.tag()? {
            0 => Payload::Structured(from.bytes()?),
            1 => {
                let body = from.bytes()?;
                Payload::Binary { attributes: from.list(|from| Ok((from.text()?, from.text()?)))?, body }
            }
            other => return Err(format!("{other} is no mode of an event")),
        };
        Ok((at, payload))
    })
}

/// The leader's side of a piece that another process holds: records without payloads, but for those that were sent.
pub fn records(sent: &mut Sent) -> Vec<Record> {
    let mut records: Vec<Record> =
        sent.decoded.heads.iter().map(|head| super::elsewhere(head.partition, head.offset)).collect();
    for (at, payload) in sent.payloads.drain(..) {
        if let Some(record) = records.get_mut(at as usize) {
            record.payload = payload;
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticks::{Tables, piece};

    #[test]
    fn of_a_piece_the_leader_learns_what_it_decides_by() {
        let event = |id: &str, n: u32| {
            let text = format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t{n}","time":"2025-01-01T00:00:00Z","data":{n}}}"#
            );
            Payload::Structured(text.into())
        };
        let verdict = Verdict {
            target: Position { partition: 1, offset: 0 },
            act: sources::decode::verdict::Act::Replay(event("c", 1)),
        };
        let payloads = [
            event("a", 1),
            Payload::Structured("{]".into()),
            event("b", 2),
            event("a", 2),
            verdict.write("v"),
            Payload::Structured("".into()),
            Payload::Structured(r#"{"specversion":"1.0","id":"d","source":"/s","type":"t1"}"#.into()),
        ];
        let record = |(at, payload): (usize, &Payload)| Record {
            partition: 3,
            offset: 2 * at as u64,
            payload: payload.clone(),
        };
        let records: Vec<Record> = payloads.iter().enumerate().map(record).collect();
        let made = piece(records, Tables::new(7, vec![]));
        let bytes = piece_bytes(5, &made, true).unwrap();
        let Reply::Piece(5, mut came) = Reply::of(&bytes).unwrap() else { panic!("a piece") };
        assert_eq!((came.tables, &came.hashes), (7, &made.hashes));
        assert_eq!(format!("{:?}", came.decoded), format!("{:?}", made.decoded));
        let here = super::records(&mut came);
        let is_whole: Vec<bool> = here.iter().zip(&made.records).map(|(here, there)| here == there).collect();
        // A reject, one that contradicts another of the piece, a verdict, an empty one.
        assert_eq!(is_whole, [false, true, false, true, true, true, false]);
        assert!(here.iter().zip(&made.records).all(|(here, there)| here.offset == there.offset));
        for length in 0..bytes.len() {
            assert!(Reply::of(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn what_was_asked_is_what_comes() {
        let range = Range { partition: 1, from: 2, to: 3, count: 4 };
        let position = Position { partition: 9, offset: 1 << 40 };
        let asks = [
            Ask::Open("o".into()),
            Ask::Read(1, range),
            Ask::Again(1, 2, 3),
            Ask::Want(1, 2, vec![3, 4]),
            Ask::Start(vec![position.clone()]),
            Ask::Take("t".into()),
            Ask::More(7),
        ];
        for ask in asks {
            assert_eq!(Ask::of(&ask.bytes()).unwrap(), ask);
        }
        let binary = Payload::Binary { attributes: vec![("a".into(), "b".into())], body: "c".into() };
        let replies = [
            Reply::Opened(None),
            Reply::Opened(Some("why".into())),
            Reply::Payloads(3, vec![(1, binary)]),
            Reply::Came(vec![(1, 2)], vec![position]),
            Reply::Stalled(None),
            Reply::Halt("h".into()),
            Reply::Fatal("f".into()),
        ];
        for reply in replies {
            assert_eq!(format!("{:?}", Reply::of(&reply.bytes()).unwrap()), format!("{reply:?}"));
        }
    }
}
