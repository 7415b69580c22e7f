//! `Data`: the data directory. One process at a time holds it; it belongs to the catalogue it was made with.
use crate::Error;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const DEFAULT_CATALOGUE: &str = "bss";

/// A data directory, held by this process until it is dropped.
#[derive(Debug)]
pub struct Data {
    path: PathBuf,
    catalogue: String,
    epoch: u64,
    lock: File,
    _temporary: Option<tempfile::TempDir>,
}

/// The process that holds a data directory.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Where it answers HTTP, once it does.
    pub address: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    format: u32,
    catalogue: String,
}

impl Data {
    /// Takes hold of a directory, which is made if it is missing. Without a catalogue: the one it was made with, else the default.
    pub fn open(path: &Path, catalogue: Option<&str>) -> Result<Data, Error> {
        let tried = format!("open data directory {}", path.display());
        fs::create_dir_all(path).map_err(|why| Error::failed(&tried, why))?;
        let lock = match take_lock(path).map_err(|why| Error::failed(&tried, why))? {
            Ok(lock) => lock,
            Err(holder) => {
                let why =
                    format!("process {} holds it; stop that one, or name another with --data", holder.pid);
                return Err(Error::failed(&tried, why));
            }
        };
        let catalogue = settle_catalogue(path, catalogue)?;
        let epoch = next_epoch(path).map_err(|why| Error::failed(&tried, why))?;
        let data = Data { path: path.to_owned(), catalogue, epoch, lock, _temporary: None };
        data.write_holder(None)?;
        Ok(data)
    }

    /// A directory that is removed when it is dropped.
    pub fn temporary(catalogue: Option<&str>) -> Result<Data, Error> {
        let made = tempfile::Builder::new().prefix("tallyflow-").tempdir();
        let directory = made.map_err(|why| Error::failed("make a temporary data directory", why))?;
        let mut data = Data::open(directory.path(), catalogue)?;
        data._temporary = Some(directory);
        Ok(data)
    }

    /// The process that holds a directory now, if any does.
    pub fn holder(path: &Path) -> Result<Option<Holder>, Error> {
        if !path.join("lock").exists() {
            return Ok(None);
        }
        let taken =
            take_lock(path).map_err(|why| Error::failed(format!("look at {}", path.display()), why))?;
        Ok(taken.err())
    }

    /// The catalogue a directory was made with; none where there is no data.
    pub fn catalogue_of(path: &Path) -> Result<Option<String>, Error> {
        let meta =
            read_meta(path).map_err(|why| Error::failed(format!("look at {}", path.display()), why))?;
        Ok(meta.map(|meta| meta.catalogue))
    }

    /// Tells other processes where this one answers HTTP.
    pub fn announce(&self, address: &str) -> Result<(), Error> {
        self.write_holder(Some(address.to_owned()))
    }

    /// The catalogue it was made with.
    pub fn catalogue(&self) -> &str {
        &self.catalogue
    }

    /// How often it was taken hold of: a number greater than that of every holder before, durable, for fencing at stores outside.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it goes when it is dropped.
    pub fn is_temporary(&self) -> bool {
        self._temporary.is_some()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write_holder(&self, address: Option<String>) -> Result<(), Error> {
        let holder = Holder { pid: std::process::id(), address };
        let text = serde_json::to_string(&holder).expect("a pid and a text are JSON");
        let mut file = &self.lock;
        let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| writeln!(file, "{text}"));
        written.map_err(|why| Error::failed(format!("write {}", self.path.join("lock").display()), why))
    }
}

/// The folder of the log.
pub fn log_path(data: &Path) -> PathBuf {
    data.join("log")
}

/// The file that says which Kafka the log is in.
pub fn kafka_path(data: &Path) -> PathBuf {
    data.join("kafka.json")
}

/// The file that numbers the partitions of Kafka.
pub fn kafka_partitions_path(data: &Path) -> PathBuf {
    data.join("kafka.partitions")
}

/// The file of the bindings.
pub fn bindings_path(data: &Path) -> PathBuf {
    data.join("bindings")
}

/// The file of the statements given at run time.
pub fn statements_path(data: &Path) -> PathBuf {
    data.join("queries.sql")
}

/// The file of what late events changed.
pub fn late_path(data: &Path) -> PathBuf {
    data.join("late")
}

/// The folder of the snapshots.
pub fn snapshots_path(data: &Path) -> PathBuf {
    data.join("snapshots")
}

/// The lock, or who has it.
fn take_lock(path: &Path) -> Result<Result<File, Holder>, String> {
    let file = path.join("lock");
    let lock = File::options().read(true).write(true).create(true).truncate(false).open(&file);
    let lock = lock.map_err(|why| format!("cannot open {}: {why}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(Ok(lock)),
        Err(TryLockError::WouldBlock) => {
            let text = fs::read_to_string(&file).unwrap_or_default();
            // The holder may be writing its line right now: it holds the directory all the same.
            Ok(Err(serde_json::from_str(&text).unwrap_or(Holder { pid: 0, address: None })))
        }
        Err(TryLockError::Error(why)) => Err(format!("cannot lock {}: {why}", file.display())),
    }
}

fn settle_catalogue(path: &Path, wanted: Option<&str>) -> Result<String, Error> {
    let failed = |why: String| Error::failed(format!("open data directory {}", path.display()), why);
    let wanted = wanted.map(whole_name);
    let Some(meta) = read_meta(path).map_err(failed)? else {
        let catalogue = wanted.unwrap_or_else(|| DEFAULT_CATALOGUE.to_owned());
        // A directory must not belong to a catalogue that never worked.
        queries::Catalogue::load(&catalogue).map_err(|why| {
            let (why, named) = (why.to_string(), format!("cannot load catalogue {catalogue:?}: "));
            Error::failed(format!("load catalogue {catalogue}"), why.strip_prefix(&named).unwrap_or(&why))
        })?;
        let meta = Meta { format: FORMAT, catalogue: catalogue.clone() };
        write_meta(path, &meta).map_err(|why| failed(format!("cannot write meta.json: {why}")))?;
        return Ok(catalogue);
    };
    match wanted {
        Some(wanted) if wanted != meta.catalogue => Err(failed(format!(
            "it was made with catalogue '{}', not '{wanted}': use --catalog {}, or another --data",
            meta.catalogue, meta.catalogue
        ))),
        _ => Ok(meta.catalogue),
    }
}

/// A folder by its whole path, so that the directory can be opened from anywhere; a shipped catalogue by its name.
fn whole_name(catalogue: &str) -> String {
    let folder = || fs::canonicalize(catalogue).ok()?.into_os_string().into_string().ok();
    if queries::catalogue::is_shipped(catalogue) { None } else { folder() }
        .unwrap_or_else(|| catalogue.to_owned())
}

fn read_meta(path: &Path) -> Result<Option<Meta>, String> {
    let file = path.join("meta.json");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(format!("cannot read {}: {why}", file.display())),
    };
    let meta: Meta =
        serde_json::from_str(&text).map_err(|why| format!("{} is not ours: {why}", file.display()))?;
    if meta.format != FORMAT {
        return Err(format!("{} has format {}, this program writes {FORMAT}", file.display(), meta.format));
    }
    Ok(Some(meta))
}

fn write_meta(path: &Path, meta: &Meta) -> std::io::Result<()> {
    write_whole(path, "meta.json", serde_json::to_string(meta)?.as_bytes())
}

/// Counts a holder more. The lock is held: nobody counts meanwhile.
fn next_epoch(path: &Path) -> Result<u64, String> {
    let file = path.join("epoch");
    let last = match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse::<u64>().map_err(|_| {
            format!(
                "{} holds {text:?}, which is no number: write one greater than all that stores outside know",
                file.display()
            )
        })?,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => 0,
        Err(why) => return Err(format!("cannot read {}: {why}", file.display())),
    };
    let epoch = last + 1;
    let written = write_whole(path, "epoch", format!("{epoch}\n").as_bytes());
    written.map_err(|why| format!("cannot write {}: {why}", file.display()))?;
    Ok(epoch)
}

/// Whole or not at all, also when the power fails.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let (new, file) = (folder.join(format!("{name}.new")), folder.join(name));
    let mut out = File::create(&new)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&new, &file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_and_one_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = Data::open(&path, Some("retail")).unwrap();
        first.announce("127.0.0.1:8080").unwrap();
        let holder = Data::holder(&path).unwrap().unwrap();
        assert_eq!(holder, Holder { pid: std::process::id(), address: Some("127.0.0.1:8080".into()) });
        let refused = Data::open(&path, Some("retail")).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} holds it", std::process::id())), "{refused}");
        drop(first);
        assert_eq!(Data::holder(&path).unwrap(), None);
        let refused = Data::open(&path, Some("bss")).unwrap_err().to_string();
        assert!(refused.contains("made with catalogue 'retail', not 'bss'"), "{refused}");
        assert_eq!(Data::open(&path, None).unwrap().catalogue(), "retail");
        let path = folder.path().join("other");
        let refused = Data::open(&path, Some("/nowhere")).unwrap_err().to_string();
        assert!(refused.contains("cannot load catalogue"), "{refused}");
        assert_eq!(Data::open(&path, Some("bss")).unwrap().catalogue(), "bss");
    }

    #[test]
    fn every_holder_has_a_greater_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let epochs: Vec<u64> =
            (0..3).map(|_| Data::open(folder.path(), Some("retail")).unwrap().epoch()).collect();
        assert_eq!(epochs, [1, 2, 3]);
        fs::write(folder.path().join("epoch"), "9").unwrap();
        assert_eq!(Data::open(folder.path(), None).unwrap().epoch(), 10);
        fs::write(folder.path().join("epoch"), "?").unwrap();
        let refused = Data::open(folder.path(), None).unwrap_err().to_string();
        assert!(refused.contains("which is no number"), "{refused}");
    }

    #[test]
    fn a_folder_is_the_same_catalogue_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (path, catalogue) = (folder.path().join("data"), folder.path().join("cat"));
        fs::create_dir_all(catalogue.join("tables")).unwrap();
        fs::create_dir_all(catalogue.join("views")).unwrap();
        let sql = "CREATE EXTERNAL TABLE t (a TEXT) STORED AS CLOUDEVENTS LOCATION 'x'";
        fs::write(catalogue.join("tables/t.sql"), sql).unwrap();
        let detour = folder.path().join("data/../cat");
        for name in [&catalogue, &detour] {
            let data = Data::open(&path, name.to_str()).unwrap();
            assert_eq!(Path::new(data.catalogue()), fs::canonicalize(&catalogue).unwrap());
        }
    }
}
