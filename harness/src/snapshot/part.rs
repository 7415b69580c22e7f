//! `Part`: rows in a file that is written once and never changed.
//!
//! ```text
//! part   magic "TFPART01" | format u32 | zeros u32 | zeros 5 x u64 | xxh3 of what is before it u64 | block ..
//! block  magic "TFBLOCK1" | rows u64 | length u64 | xxh3 of the payload u64 | zeros 3 x u64 | xxh3 of what is before it u64
//!        payload: an Arrow IPC stream with one batch, little-endian, its buffers on 64 byte boundaries | zeros up to 64 bytes
//! ```
//! The manifest names each part with its length and the xxh3 of the whole file, and both are compared before anything in it is used.
use super::manifest::Rejected;
use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::compute::concat_batches;
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const MAGIC: &[u8; 8] = b"TFPART01";
const BLOCK_MAGIC: &[u8; 8] = b"TFBLOCK1";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 64;
const BLOCK_ROWS: usize = 65_536;
const BLOCK_BYTES: usize = 16 << 20;

/// A file of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The xxh3 of all of it.
    pub xxh3: u64,
    /// Its rows.
    pub rows: u64,
}

/// Writes a part: under another name first, durable, then by its own. Nothing is left where it fails, or where `stop` is set meanwhile.
pub fn write(folder: &Path, name: &str, batches: &[RecordBatch], stop: &AtomicBool) -> Result<Part, String> {
    let new = folder.join(format!("{name}.new"));
    let written = write_file(&new, name, batches, stop).and_then(|part| {
        super::point("snap_rename.before")?;
        fs::rename(&new, folder.join(name))
            .map_err(|why| format!("cannot rename {}: {why}", new.display()))?;
        super::point("snap_rename.after")?;
        Ok(part)
    });
    if written.is_err() {
        _ = fs::remove_file(&new);
    }
    written
}

fn write_file(path: &Path, name: &str, batches: &[RecordBatch], stop: &AtomicBool) -> Result<Part, String> {
    let failed = |why: std::io::Error| format!("cannot write {}: {why}", path.display());
    super::point("snap_part.before")?;
    let file = File::options().write(true).create_new(true).open(path).map_err(failed)?;
    let mut out = Out { file: BufWriter::with_capacity(1 << 20, file), hash: Xxh3::new(), bytes: 0, rows: 0 };
    out.put(&file_head()).map_err(failed)?;
    let (mut waiting, mut rows, mut bytes) = (vec![], 0, 0);
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        waiting.push(batch);
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        if rows >= BLOCK_ROWS || bytes >= BLOCK_BYTES {
            if stop.load(Ordering::Relaxed) {
                return Err("the process is stopping".into());
            }
            out.block(&std::mem::take(&mut waiting)).map_err(failed)?;
            (rows, bytes) = (0, 0);
        }
    }
    if !waiting.is_empty() {
        out.block(&waiting).map_err(failed)?;
    }
    super::point("snap_part.after")?;
    let file = out.file.into_inner().map_err(|why| failed(why.into_error()))?;
    super::point("snap_fsync.before")?;
    file.sync_all().map_err(|why| format!("cannot sync {}: {why}", path.display()))?;
    super::point("snap_fsync.after")?;
    Ok(Part { name: name.to_owned(), bytes: out.bytes, xxh3: out.hash.digest(), rows: out.rows })
}

/// A file that is hashed as it is written.
struct Out {
    file: BufWriter<File>,
    hash: Xxh3,
    bytes: u64,
    rows: u64,
}

impl Out {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn block(&mut self, batches: &[&RecordBatch]) -> std::io::Result<()> {
        let broken = |why: arrow::error::ArrowError| std::io::Error::other(why.to_string());
        let schema = batches[0].schema();
        let batch = concat_batches(&schema, batches.iter().copied()).map_err(broken)?;
        let options = IpcWriteOptions::try_new(64, false, MetadataVersion::V5).map_err(broken)?;
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).map_err(broken)?;
        writer.write(&batch).and_then(|()| writer.finish()).map_err(broken)?;
        let payload = writer.into_inner().map_err(broken)?;
        self.rows += batch.num_rows() as u64;
        self.put(&block_head(batch.num_rows() as u64, &payload))?;
        self.put(&payload)?;
        self.put(&[0; HEAD_BYTES][..payload.len().next_multiple_of(HEAD_BYTES) - payload.len()])
    }
}

fn file_head() -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    sealed(head)
}

fn block_head(rows: u64, payload: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(BLOCK_MAGIC);
    head[8..16].copy_from_slice(&rows.to_le_bytes());
    head[16..24].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    head[24..32].copy_from_slice(&xxh3_64(payload).to_le_bytes());
    sealed(head)
}

fn sealed(mut head: [u8; HEAD_BYTES]) -> [u8; HEAD_BYTES] {
    let hash = xxh3_64(&head[..HEAD_BYTES - 8]);
    head[HEAD_BYTES - 8..].copy_from_slice(&hash.to_le_bytes());
    head
}

/// The rows of a part, once its length and hash are those that the manifest says. Batches share the bytes as they were read.
pub fn read(folder: &Path, part: &Part) -> Result<Vec<RecordBatch>, Rejected> {
    let path = folder.join(&part.name);
    let unreadable = |why: std::io::Error| match why.kind() {
        std::io::ErrorKind::NotFound => Rejected::new("missing", format!("{} is missing", path.display())),
        _ => Rejected::new("unreadable", format!("cannot read {}: {why}", path.display())),
    };
    let mut file = File::open(&path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes != part.bytes {
        let why = format!("{} has {bytes} bytes, not the {} that were written", path.display(), part.bytes);
        return Err(Rejected::new("length", why));
    }
    let mut content = MutableBuffer::from_len_zeroed(bytes as usize);
    file.read_exact(content.as_slice_mut()).map_err(unreadable)?;
    let content = Buffer::from(content);
    if xxh3_64(&content) != part.xxh3 {
        let place = match blocks(&content) {
            Ok(_) => "its blocks are whole, and others than those that were written".to_owned(),
            Err(place) => place,
        };
        return Err(Rejected::new("checksum", format!("{} is damaged: {place}", path.display())));
    }
    let broken = |why: String| Rejected::new("format", format!("cannot read {}: {why}", path.display()));
    let mut batches = Vec::new();
    for (from, length) in blocks(&content).map_err(broken)? {
        let mut payload = content.slice_with_length(from, length);
        let mut decoder = StreamDecoder::new();
        while !payload.is_empty() {
            batches.extend(decoder.decode(&mut payload).map_err(|why| broken(why.to_string()))?);
        }
    }
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows != part.rows {
        return Err(broken(format!("it has {rows} rows, not {}", part.rows)));
    }
    Ok(batches)
}

/// Where the payload of each block stands, and its length; or the first place that is damaged.
fn blocks(content: &[u8]) -> Result<Vec<(usize, usize)>, String> {
    let number = |at: usize| u64::from_le_bytes(content[at..at + 8].try_into().expect("eight bytes"));
    let is_sealed = |at: usize| number(at + HEAD_BYTES - 8) == xxh3_64(&content[at..at + HEAD_BYTES - 8]);
    if content.len() < HEAD_BYTES || content[..8] != *MAGIC || !is_sealed(0) {
        return Err("it does not begin as a part does".into());
    }
    let format = number(8) as u32;
    if format != FORMAT {
        return Err(format!("it has format {format}, this program reads {FORMAT}"));
    }
    let (mut list, mut at) = (vec![], HEAD_BYTES);
    while at < content.len() {
        let torn = || format!("the block at byte {at} is damaged");
        if content.len() - at < HEAD_BYTES || content[at..at + 8] != *BLOCK_MAGIC || !is_sealed(at) {
            return Err(torn());
        }
        let (length, hash) = (number(at + 16) as usize, number(at + 24));
        let from = at + HEAD_BYTES;
        if content.len() - from < length.next_multiple_of(HEAD_BYTES)
            || xxh3_64(&content[from..from + length]) != hash
        {
            return Err(torn());
        }
        list.push((from, length));
        at = from + length.next_multiple_of(HEAD_BYTES);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn batch(from: i64, rows: i64) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(from..from + rows);
        let texts: StringArray =
            (from..from + rows).map(|i| (i % 3 > 0).then(|| format!("row {i}"))).collect();
        RecordBatch::try_from_iter([("n", Arc::new(numbers) as _), ("t", Arc::new(texts) as _)]).unwrap()
    }

    fn written(folder: &Path) -> Part {
        let batches = [batch(0, 70_000), batch(70_000, 0), batch(70_000, 5), batch(70_005, 90)];
        write(folder, "part-1", &batches, &AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let part = written(folder.path());
        assert_eq!(part.rows, 70_095);
        let batches = read(folder.path(), &part).unwrap();
        assert_eq!(batches.len(), 2);
        assert_eq!(concat_batches(&batches[0].schema(), &batches).unwrap(), batch(0, 70_095));
        assert!(!folder.path().join("part-1.new").exists());
    }

    #[test]
    fn what_is_missing_cut_or_changed_anywhere_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let (part, path) = (written(folder.path()), folder.path().join("part-1"));
        let whole = fs::read(&path).unwrap();
        let rejected = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read(folder.path(), &part).unwrap_err()
        };
        for at in (0..whole.len()).step_by(9_973) {
            let mut bytes = whole.clone();
            bytes[at] ^= 32;
            let why = rejected(&bytes);
            assert_eq!(why.reason, "checksum", "byte {at}: {why:?}");
            assert_eq!(rejected(&whole[..at]).reason, "length", "cut at {at}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(read(folder.path(), &part).unwrap_err().reason, "missing");
    }
}
