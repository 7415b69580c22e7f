//! The pool that decodes: the records of a tick are cut into pieces, and each piece is decoded and hashed by one thread.
use super::{Piece, Tables};
use crate::faults;
use crossbeam_channel::{Receiver, Sender};
use sources::{Payload, Record};
use std::sync::Arc;
use std::thread::JoinHandle;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

const PIECE_BYTES: usize = 512 << 10;

pub(super) fn split(records: Vec<Record>) -> Vec<Vec<Record>> {
    let (mut pieces, mut piece, mut bytes) = (vec![], vec![], 0);
    for record in records {
        bytes += payload_bytes(&record.payload);
        piece.push(record);
        if bytes >= PIECE_BYTES {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

fn payload_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Structured(bytes) => bytes.len(),
        Payload::Binary { attributes, body } => {
            body.len() + attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        }
    }
}

/// Records to be decoded, and where they go then.
pub(crate) type Work = (Vec<Record>, Sender<Piece>);

pub(crate) fn decode((records, reply): Work, tables: &std::sync::RwLock<Arc<Tables>>) {
    let tables = tables.read().expect("no thread panics with the tables").clone();
    // The ticker may have stopped: then nobody waits for this.
    _ = reply.send(piece(records, tables));
}

pub(crate) fn piece(records: Vec<Record>, tables: Arc<Tables>) -> Piece {
    let decoded = faults::around("decode", || tables.decoder.decode(&records));
    let hashes = records.iter().map(hash).collect();
    Piece { records, decoded, hashes, tables, away: None }
}

pub(super) fn spawn_decoder(
    index: usize,
    work: &Receiver<Work>,
    tables: &Arc<std::sync::RwLock<Arc<Tables>>>,
) -> JoinHandle<()> {
    let (work, tables) = (work.clone(), tables.clone());
    let run = move || {
        for piece in work {
            decode(piece, &tables);
        }
    };
    std::thread::Builder::new().name(format!("decode-{index}")).spawn(run).expect("threads can be started")
}

/// What a replay must find again in a record.
pub fn hash(record: &Record) -> u64 {
    let seed = record.offset ^ (u64::from(record.partition) << 48);
    match &record.payload {
        Payload::Structured(bytes) => xxh3_64_with_seed(bytes, seed),
        Payload::Binary { attributes, body } => {
            let mut hash = Xxh3::with_seed(!seed);
            for text in attributes.iter().flat_map(|(name, value)| [name, value]) {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
            hash.update(body);
            hash.digest()
        }
    }
}
