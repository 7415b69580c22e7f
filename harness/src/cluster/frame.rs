//! Orders and outputs as bytes: each behind its length, rows in Arrow's IPC stream format.
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflows::engine::Fed;
use dataflows::{Delta, Failure, Time};
use std::io::{Read, Write};

/// What the leader tells a follower. Tables and views go by name: what they are follows from the notes before.
#[derive(Debug)]
pub enum Told {
    /// A change of the catalogue.
    Note(String),
    /// A table comes.
    CreateTable(String),
    /// A table goes.
    DropTable(String),
    /// A view comes, or the rows of a table as a view: its number, its name, and a hash of its plan.
    CreateView(u64, String, u64),
    /// A view goes.
    DropView(String),
    /// A new version comes: its number, its name, its statement, and a hash of its plan.
    CreateBeside(u64, String, String, u64),
    /// It takes the old one's place.
    ReplaceView(String),
    /// It goes.
    DropBeside(String),
    /// A tick, with the rows of each worker.
    Tick(Time, Vec<Fed>),
    /// The rows of a piece that the follower holds count with the next tick, but for those of some records.
    Count(u64, Vec<u32>),
    /// The end.
    Shutdown,
}

/// What a follower answers.
#[derive(Debug)]
pub enum Answer {
    /// What a worker hands over.
    Output {
        /// Which.
        worker: u64,
        /// The last tick it was told of.
        told: Time,
        /// Of each view that moved.
        seals: Vec<Share>,
        /// Why it ended before its time.
        failure: Option<String>,
    },
    /// It was asked to stop: so all do.
    Leave,
    /// It cannot go on, for this reason.
    Failed(String),
    /// It has ended in order.
    Bye,
}

/// A worker's share of a view's changes.
#[derive(Debug)]
pub struct Share {
    /// The view's number.
    pub view: u64,
    /// No change before is still to come.
    pub upper: Time,
    /// The changes.
    pub changes: Vec<Delta>,
    /// Failures that came or went.
    pub errs: Vec<Failure>,
}

/// The longest frame: more is no frame of ours.
const BYTES_MAX: u64 = 1 << 36;
const PACKET_BYTES: usize = 1 << 14;

/// Writes one frame.
pub fn send(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    let length = (bytes.len() as u64).to_le_bytes();
    match bytes.len() < PACKET_BYTES {
        // In one packet.
        true => to.write_all(&[&length, bytes].concat())?,
        false => to.write_all(&length).and_then(|()| to.write_all(bytes))?,
    }
    to.flush()
}

/// Reads one frame.
pub fn receive(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    receive_within(from, BYTES_MAX)
}

/// Reads one frame that is not longer than so much.
pub fn receive_within(from: &mut impl Read, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > bytes_max {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "what came is no frame"));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Told {
    /// As bytes.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut to = Bytes::default();
        match self {
            Told::Note(text) => to.tag(0).text(text),
            Told::CreateTable(name) => to.tag(1).text(name),
            Told::DropTable(name) => to.tag(2).text(name),
            Told::CreateView(number, name, plan) => to.tag(3).number(*number).text(name).number(*plan),
            Told::DropView(name) => to.tag(4).text(name),
            Told::CreateBeside(number, name, sql, plan) => {
                to.tag(5).number(*number).text(name).text(sql).number(*plan)
            }
            Told::ReplaceView(name) => to.tag(6).text(name),
            Told::DropBeside(name) => to.tag(7).text(name),
            Told::Tick(time, shares) => return tick(*time, shares),
            Told::Shutdown => to.tag(9),
            Told::Count(piece, dropped) => {
                to.tag(10).number(*piece).number(dropped.len() as u64);
                dropped.iter().for_each(|record| _ = to.number((*record).into()));
                &mut to
            }
        };
        Ok(to.0)
    }

    /// From bytes.
    pub fn of(bytes: &[u8]) -> Result<Told, String> {
        let mut from = Parts(bytes);
        Ok(match from.tag()? {
            0 => Told::Note(from.text()?),
            1 => Told::CreateTable(from.text()?),
            2 => Told::DropTable(from.text()?),
            3 => Told::CreateView(from.number()?, from.text()?, from.number()?),
            4 => Told::DropView(from.text()?),
            5 => Told::CreateBeside(from.number()?, from.text()?, from.text()?, from.number()?),
            6 => Told::ReplaceView(from.text()?),
            7 => Told::DropBeside(from.text()?),
            8 => {
                let time = from.number()?;
                let batch = |from: &mut Parts| Ok((from.text()?.into(), from.batch()?));
                Told::Tick(time, from.list(|from| from.list(batch))?)
            }
            9 => Told::Shutdown,
            10 => Told::Count(from.number()?, from.list(|from| Ok(from.number()? as u32))?),
            other => return Err(format!("{other} is no order")),
        })
    }
}

/// A tick as bytes, from rows that are lent.
pub fn tick(time: Time, shares: &[Fed]) -> Result<Vec<u8>, String> {
    let mut to = Bytes::default();
    to.tag(8).number(time).number(shares.len() as u64);
    for share in shares {
        to.number(share.len() as u64);
        for (table, rows) in share {
            to.text(table).batch(rows)?;
        }
    }
    Ok(to.0)
}

impl Answer {
    /// As bytes.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut to = Bytes::default();
        match self {
            Answer::Output { worker, told, seals, failure } => {
                to.tag(0).number(*worker).number(*told).text(failure.as_deref().unwrap_or_default());
                to.number(seals.len() as u64);
                for Share { view, upper, changes, errs } in seals {
                    to.number(*view).number(*upper).number(changes.len() as u64);
                    for Delta { time, rows, diffs } in changes {
                        to.number(*time).number(diffs.len() as u64);
                        diffs.iter().for_each(|diff| _ = to.number(*diff as u64));
                        to.batch(rows)?;
                    }
                    to.number(errs.len() as u64);
                    for (message, time, diff) in errs {
                        to.text(message).number(*time).number(*diff as u64);
                    }
                }
            }
            Answer::Leave => _ = to.tag(1),
            Answer::Failed(why) => _ = to.tag(2).text(why),
            Answer::Bye => _ = to.tag(3),
        }
        Ok(to.0)
    }

    /// From bytes.
    pub fn of(bytes: &[u8]) -> Result<Answer, String> {
        let mut from = Parts(bytes);
        Ok(match from.tag()? {
            0 => {
                let (worker, told) = (from.number()?, from.number()?);
                let failure = Some(from.text()?).filter(|why| !why.is_empty());
                let seals = from.list(|from| {
                    let (view, upper) = (from.number()?, from.number()?);
                    let changes = from.list(|from| {
                        let time = from.number()?;
                        let diffs = from.list(|from| Ok(from.number()? as i64))?;
                        Ok(Delta { time, diffs, rows: from.batch()? })
                    })?;
                    let errs =
                        from.list(|from| Ok((from.text()?.into(), from.number()?, from.number()? as i64)))?;
                    Ok(Share { view, upper, changes, errs })
                })?;
                Answer::Output { worker, told, seals, failure }
            }
            1 => Answer::Leave,
            2 => Answer::Failed(from.text()?),
            3 => Answer::Bye,
            other => return Err(format!("{other} is no answer")),
        })
    }
}

/// A frame that is being written.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn tag(&mut self, tag: u8) -> &mut Bytes {
        self.0.push(tag);
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Bytes {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Bytes {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Bytes {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let at = self.0.len();
        self.number(0);
        let write = |to: &mut Vec<u8>| {
            let mut writer = StreamWriter::try_new(to, &batch.schema())?;
            writer.write(batch)?;
            writer.finish()
        };
        write(&mut self.0).map_err(|why| format!("cannot send rows to another process: {why}"))?;
        let length = (self.0.len() - at - 8) as u64;
        self.0[at..at + 8].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

/// A frame that is being read.
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(length).ok_or("a frame ends too soon")?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn tag(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    pub(super) fn text(&mut self) -> Result<String, String> {
        let length = self.number()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|why| why.to_string())
    }

    pub(super) fn bytes(&mut self) -> Result<bytes::Bytes, String> {
        let length = self.number()? as usize;
        Ok(bytes::Bytes::copy_from_slice(self.take(length)?))
    }

    pub(super) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        (0..self.number()?).map(|_| one(self)).collect()
    }

    pub(super) fn batch(&mut self) -> Result<RecordBatch, String> {
        let length = self.number()? as usize;
        let mut reader = StreamReader::try_new(self.take(length)?, None).map_err(|why| why.to_string())?;
        let batch = reader.next().ok_or("a stream without a batch")?;
        batch.map_err(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatchOptions, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn what_was_sent_is_what_comes() {
        let schema =
            Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, false)]);
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(StringArray::from(vec!["x", "", "é"])),
        ];
        let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap().slice(1, 2);
        let options = RecordBatchOptions::new().with_row_count(Some(2));
        let empty = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        let told = Told::Tick(7, vec![vec![], vec![("t".into(), rows.clone()), ("u".into(), empty.clone())]]);
        let Told::Tick(7, shares) = Told::of(&told.bytes().unwrap()).unwrap() else { panic!("a tick") };
        assert_eq!((shares[0].len(), shares[1].len()), (0, 2));
        assert_eq!((&shares[1][0].1, &shares[1][1].1), (&rows, &empty));
        let delta = Delta { time: 9, rows: rows.clone(), diffs: vec![-1, 2] };
        let share = Share { view: 4, upper: 10, changes: vec![delta], errs: vec![("no".into(), 9, -1)] };
        let answer = Answer::Output { worker: 3, told: 9, seals: vec![share], failure: None };
        let mut sent = vec![];
        send(&mut sent, &answer.bytes().unwrap()).unwrap();
        let came = Answer::of(&receive(&mut &sent[..]).unwrap()).unwrap();
        assert_eq!(format!("{came:?}"), format!("{answer:?}"));
        for length in 0..sent.len() {
            assert!(receive(&mut &sent[..length]).is_err());
        }
        assert!(Told::of(&[8, 1]).is_err() && Answer::of(&[77]).is_err());
    }
}
