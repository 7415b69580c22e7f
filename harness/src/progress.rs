//! `Bindings`: which positions of the log belong to which tick. Durable before anything computed from a tick is seen.
//!
//! The file begins with 8 bytes `TFBIND01`. Then one record a tick: length (u32) and crc32 (u32) of what follows, then time,
//! horizon, count of records and their digest (u64 each), count of partitions (u32), and partition (u32) and offset (u64) of each.
//! All numbers are little-endian. A tail that the last crash tore is cut; anything else that is wrong stops the process.
use crate::Error;
use crate::clock::Moment;
use crate::faults;
use crate::simulate::plant::{Bug, disk_is_full, planted};
use dataflows::{Position, Time};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: &[u8; 8] = b"TFBIND01";
const HEAD_BYTES: usize = 8;
const BODY_BYTES_MIN: usize = 36;
const BODY_BYTES_MAX: usize = 1 << 20;

/// One tick: the records below `positions` that no earlier tick holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The tick's time and horizon.
    pub moment: Moment,
    /// The end of the tick in each partition, by ascending partition.
    pub positions: Vec<Position>,
    /// How many records it holds.
    pub records: u64,
    /// A hash of those records, in order.
    pub digest: u64,
}

/// A tail that was cut when the file was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// How many bytes.
    pub bytes: u64,
    /// What was wrong with them.
    pub reason: String,
}

/// The file of bindings, open for appending.
pub struct Bindings {
    path: PathBuf,
    file: Mutex<File>,
    /// A second handle, by which ticks are made durable: appending does not wait for the disk, and no file need be opened for it.
    synced: File,
    written: AtomicU64,
    /// Where the last record begins.
    written_at: AtomicU64,
    durable: AtomicU64,
    /// Held while ticks are made durable. Where that failed once nobody can know what the disk holds: it stays failed.
    syncing: Mutex<Option<Error>>,
}

impl Bindings {
    /// Opens or makes the file, and cuts a torn tail. What stands before `known`, the time of a tick and where its record begins, is not
    /// read.
    pub fn open(path: &Path, known: Option<(Time, u64)>) -> Result<(Bindings, Option<Torn>), Error> {
        let failed = |why: String| Error::failed(format!("open bindings {}", path.display()), why);
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(|why| failed(why.to_string()))?;
        let length = file.metadata().map_err(|why| failed(why.to_string()))?.len();
        if length < MAGIC.len() as u64 {
            let made = file.set_len(0).and_then(|()| file.write_all(MAGIC)).and_then(|()| file.sync_all());
            made.and_then(|()| sync_folder(path)).map_err(|why| failed(why.to_string()))?;
            return Ok((Bindings::of(path, file, 0, 0)?, None));
        }
        let (mut reader, mut last) = match known.map(|(time, at)| Reader::open_at(path, time, at)) {
            Some(Ok(Some((reader, binding)))) => (reader, binding.moment.time),
            _ => (Reader::open(path)?, 0),
        };
        let mut last_at = known.filter(|(time, _)| *time == last).map_or(0, |(_, at)| at);
        let mut next_at = reader.position;
        while let Some(binding) = reader.next()? {
            (last, last_at) = (binding.moment.time, next_at);
            next_at = reader.position;
        }
        let torn = reader.torn.map(|reason| Torn { bytes: length - reader.position, reason });
        if torn.is_some() && planted(Bug::TornTail) {
            file.seek(SeekFrom::End(0)).map_err(|why| failed(why.to_string()))?;
            return Ok((Bindings::of(path, file, last, last_at)?, torn));
        }
        if torn.is_some() {
            let cut = file.set_len(reader.position).and_then(|()| file.sync_all());
            cut.map_err(|why| failed(format!("its torn tail cannot be cut: {why}")))?;
        }
        // What an earlier life left to the system's cache counts as durable from here on.
        let synced = file.sync_data().and_then(|()| file.seek(SeekFrom::Start(reader.position)));
        synced.map_err(|why| failed(why.to_string()))?;
        Ok((Bindings::of(path, file, last, last_at)?, torn))
    }

    fn of(path: &Path, file: File, last: Time, at: u64) -> Result<Bindings, Error> {
        let failed = |why| Error::failed(format!("open bindings {}", path.display()), why);
        let (written, written_at, durable) = (last.into(), at.into(), last.into());
        let (path, synced) = (path.to_owned(), file.try_clone().map_err(failed)?);
        let (file, syncing) = (Mutex::new(file), Mutex::default());
        Ok(Bindings { path, file, synced, written, written_at, durable, syncing })
    }

    /// Where the record of the last tick begins, if this is its time.
    pub fn place(&self, time: Time) -> Option<u64> {
        (self.last() == time && time > 0).then(|| self.written_at.load(Ordering::Acquire))
    }

    /// The time of the last tick that is bound; 0 if none is.
    pub fn last(&self) -> Time {
        self.written.load(Ordering::Acquire)
    }

    /// The time up to which ticks are durable.
    pub fn durable(&self) -> Time {
        self.durable.load(Ordering::Acquire)
    }

    /// Appends a tick. It is durable after the next [`Bindings::sync`]. Where it cannot be written the same call can be tried again.
    pub fn append(&self, binding: &Binding) -> Result<(), Error> {
        assert!(binding.moment.time > self.last(), "ticks strictly increase");
        let mut file = self.file.lock().expect("no thread panics with the file");
        let failed = |why| Error::failed(format!("append to bindings {}", self.path.display()), why);
        let start = file.stream_position().map_err(failed)?;
        let record = encode(binding);
        let written = faults::around("bind_write", || match disk_is_full() {
            true => file.write_all(&record[..HEAD_BYTES]).and(Err(std::io::ErrorKind::StorageFull.into())),
            false => file.write_all(&record),
        });
        if let Err(why) = written {
            // Part of it may stand there: the next attempt begins where this one began.
            _ = file.set_len(start);
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            return Err(failed(why));
        }
        self.written_at.store(start, Ordering::Release);
        self.written.store(binding.moment.time, Ordering::Release);
        Ok(())
    }

    /// Makes all ticks up to `time` durable. Who comes while another does so waits, and need not do it again.
    pub fn sync(&self, time: Time) -> Result<(), Error> {
        let is_durable = || self.durable() >= time.min(self.last());
        if is_durable() {
            return Ok(());
        }
        let mut failure = self.syncing.lock().expect("no thread panics while it syncs");
        if let Some(why) = &*failure {
            return Err(why.clone());
        }
        if is_durable() {
            return Ok(());
        }
        let written = self.last();
        if let Err(why) = faults::around("bind_fsync", || self.synced.sync_data()) {
            let why = Error::failed(format!("sync bindings {}", self.path.display()), why);
            return Err(failure.insert(why).clone());
        }
        self.durable.store(written, Ordering::Release);
        Ok(())
    }
}

/// Reads a file of bindings from its beginning; also one that another process appends to.
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    position: u64,
    last: Time,
    torn: Option<String>,
}

impl Reader {
    /// Opens the file as it is now.
    pub fn open(path: &Path) -> Result<Reader, Error> {
        let failed = |why: String| Error::failed(format!("read bindings {}", path.display()), why);
        let file = File::open(path).map_err(|why| failed(why.to_string()))?;
        let length = file.metadata().map_err(|why| failed(why.to_string()))?.len();
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut magic = [0; 8];
        file.read_exact(&mut magic).map_err(|why| failed(why.to_string()))?;
        if &magic != MAGIC {
            return Err(failed("it does not begin as bindings do".into()));
        }
        Ok(Reader { path: path.to_owned(), file, length, position: MAGIC.len() as u64, last: 0, torn: None })
    }

    /// Opens the file after the record of a tick, which must begin there; none where another one does.
    pub fn open_at(path: &Path, time: Time, at: u64) -> Result<Option<(Reader, Binding)>, Error> {
        let mut reader = Reader::open(path)?;
        if at < MAGIC.len() as u64 || at >= reader.length {
            return Ok(None);
        }
        let failed = |why| Error::failed(format!("read bindings {}", path.display()), why);
        reader.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        reader.position = at;
        // Where something else stands there, it need not be a record.
        let found = reader.next().ok().flatten().filter(|binding| binding.moment.time == time);
        Ok(found.map(|binding| (reader, binding)))
    }

    /// The time of the tick it read last; 0 before the first.
    pub fn last(&self) -> Time {
        self.last
    }

    /// The times of the ticks from one to another, both included, where ticks of these times were bound.
    pub fn times(path: &Path, from: Time, to: Time) -> Result<Vec<Time>, Error> {
        let mut reader = Reader::open(path)?;
        let mut times = vec![];
        while let Some(binding) = reader.next()?.filter(|binding| binding.moment.time <= to) {
            times.extend(Some(binding.moment.time).filter(|time| *time >= from));
        }
        Ok(times)
    }

    /// The next tick; none at the end, which a torn tail is too.
    #[allow(clippy::should_implement_trait, reason = "an iterator of results hides the end behind errors")]
    pub fn next(&mut self) -> Result<Option<Binding>, Error> {
        let rest = self.length - self.position;
        if self.torn.is_some() || rest == 0 {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES];
        if rest < HEAD_BYTES as u64 {
            return self.tear("a head is cut short", rest);
        }
        self.read(&mut head)?;
        let length = u32_at(&head, 0) as usize;
        if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&length) {
            return self.tear("a length is impossible", rest);
        }
        if rest < (HEAD_BYTES + length) as u64 {
            return self.tear("a record is cut short", rest);
        }
        let mut body = vec![0; length];
        self.read(&mut body)?;
        let whole = (HEAD_BYTES + length) as u64;
        if crc32fast::hash(&body) != u32_at(&head, 4) {
            return self.tear("a checksum does not fit", whole);
        }
        match decode(&body) {
            Some(binding) if binding.moment.time > self.last => {
                self.last = binding.moment.time;
                self.position += whole;
                Ok(Some(binding))
            }
            _ => Err(self.corrupt("a record with a right checksum makes no sense")),
        }
    }

    fn read(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let failed = |why| Error::failed(format!("read bindings {}", self.path.display()), why);
        self.file.read_exact(out).map_err(failed)
    }

    /// A bad record is a torn tail if nothing follows it, and corruption otherwise.
    fn tear(&mut self, reason: &str, record_bytes: u64) -> Result<Option<Binding>, Error> {
        if self.position + record_bytes < self.length {
            return Err(self.corrupt(reason));
        }
        self.torn = Some(reason.to_owned());
        Ok(None)
    }

    fn corrupt(&self, reason: &str) -> Error {
        let tried = format!("read bindings {} at byte {}", self.path.display(), self.position);
        Error::failed(
            tried,
            format!("{reason}; restore the file, or move the data directory away and replay"),
        )
    }
}

fn encode(binding: &Binding) -> Vec<u8> {
    let mut body = Vec::with_capacity(BODY_BYTES_MIN + 12 * binding.positions.len());
    for number in [binding.moment.time, binding.moment.horizon, binding.records, binding.digest] {
        body.extend(number.to_le_bytes());
    }
    body.extend((binding.positions.len() as u32).to_le_bytes());
    for position in &binding.positions {
        body.extend(position.partition.to_le_bytes());
        body.extend(position.offset.to_le_bytes());
    }
    let mut record = Vec::with_capacity(HEAD_BYTES + body.len());
    record.extend((body.len() as u32).to_le_bytes());
    record.extend(crc32fast::hash(&body).to_le_bytes());
    record.extend(body);
    record
}

fn decode(body: &[u8]) -> Option<Binding> {
    let count = u32_at(body, 32) as usize;
    if body.len() != BODY_BYTES_MIN + 12 * count {
        return None;
    }
    let position = |i: usize| Position {
        partition: u32_at(body, BODY_BYTES_MIN + 12 * i),
        offset: u64_at(body, BODY_BYTES_MIN + 12 * i + 4),
    };
    Some(Binding {
        moment: Moment { time: u64_at(body, 0), horizon: u64_at(body, 8) },
        records: u64_at(body, 16),
        digest: u64_at(body, 24),
        positions: (0..count).map(position).collect(),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(time: Time, offset: u64) -> Binding {
        let positions =
            vec![Position { partition: 0, offset }, Position { partition: 3, offset: 2 * offset }];
        Binding { moment: Moment { time, horizon: time + 60 }, positions, records: 3 * offset, digest: !time }
    }

    fn read_all(path: &Path) -> Vec<Binding> {
        let mut reader = Reader::open(path).unwrap();
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_appending_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let (bindings, torn) = Bindings::open(&path, None).unwrap();
        assert_eq!(torn, None);
        for time in 1..=3 {
            bindings.append(&binding(time, time)).unwrap();
        }
        bindings.sync(3).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let record = encode(&binding(1, 1)).len();
        for length in MAGIC.len() + 2 * record..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (bindings, torn) = Bindings::open(&path, None).unwrap();
            let cut = (length - MAGIC.len() - 2 * record) as u64;
            assert_eq!(torn.map_or(0, |torn| torn.bytes), cut);
            assert_eq!(bindings.last(), 2);
            bindings.append(&binding(7, 9)).unwrap();
            assert_eq!(read_all(&path), [binding(1, 1), binding(2, 2), binding(7, 9)]);
        }
    }

    #[test]
    fn what_is_known_need_not_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let (bindings, _) = Bindings::open(&path, None).unwrap();
        let places: Vec<u64> = (1..=5)
            .map(|time| {
                bindings.append(&binding(time, time)).unwrap();
                bindings.place(time).unwrap()
            })
            .collect();
        assert_eq!(bindings.place(4), None);
        for known in [
            None,
            Some((3, places[2])),
            Some((5, places[4])),
            Some((3, places[1])),
            Some((3, 9)),
            Some((9, 1 << 40)),
        ] {
            let (bindings, torn) = Bindings::open(&path, known).unwrap();
            assert_eq!((bindings.last(), bindings.place(5), torn), (5, Some(places[4]), None), "{known:?}");
        }
        let (mut reader, third) = Reader::open_at(&path, 3, places[2]).unwrap().unwrap();
        assert_eq!((third, reader.last()), (binding(3, 3), 3));
        assert_eq!(reader.next().unwrap(), Some(binding(4, 4)));
        assert!(Reader::open_at(&path, 4, places[2]).unwrap().is_none());
        assert!(Reader::open_at(&path, 3, places[2] + 1).unwrap().is_none());
    }

    #[test]
    fn a_flipped_bit_is_never_a_binding() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let (bindings, _) = Bindings::open(&path, None).unwrap();
        bindings.append(&binding(1, 1)).unwrap();
        bindings.append(&binding(2, 2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for byte in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[byte] ^= 4;
            std::fs::write(&path, &bytes).unwrap();
            match Bindings::open(&path, None) {
                // Only the last record may be taken for torn.
                Ok((bindings, torn)) => assert!(torn.is_some() && bindings.last() <= 1, "byte {byte}"),
                Err(why) => assert!(why.to_string().contains("bindings"), "{why}"),
            }
        }
    }
}
