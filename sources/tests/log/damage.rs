//! Torn tails are cut and told; damage before the end stops everything. No reader ever gets a wrong record.
use super::*;
use sources::SourceError;
use sources::log::LogError;
use std::fs;

/// A closed log of one partition with events 0..count, one a commit.
fn closed(dir: &Path, count: u64, segment_bytes: u64) {
    let (log, _) = open(dir, config(1, segment_bytes));
    for n in 0..count {
        log.append_wait(vec![event(n)]).unwrap();
    }
}

fn numbers(reader: &mut LogReader) -> Vec<u64> {
    drain(reader).iter().map(|record| number(&record.payload)).collect()
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_told_and_the_offset_is_given_again() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 5, 1 << 20);
    let path = files(dir.path(), 0).remove(0);
    let five = fs::read(&path).unwrap();
    open(dir.path(), config(1, 1 << 20)).0.append_wait(vec![event(5)]).unwrap();
    let six = fs::read(&path).unwrap();
    assert_eq!(five, six[..five.len()]);
    // Cut short, or as long as it should be with zeros where nothing was written.
    for length in five.len() + 1..six.len() {
        let zeros = [&six[..length], &vec![0; six.len() - length]].concat();
        for torn in [six[..length].to_vec(), zeros] {
            if torn == six {
                continue;
            }
            fs::write(&path, &torn).unwrap();
            assert_eq!(
                numbers(&mut LogReader::open_read_only(dir.path()).unwrap()),
                (0..5).collect::<Vec<_>>()
            );
            let (log, repairs) = open(dir.path(), config(1, 1 << 20));
            assert_eq!(repairs.len(), 1, "cut at {length}");
            let Repair { partition, offset, bytes_cut, reason } = &repairs[0];
            assert_eq!((*partition, *offset, *bytes_cut), (0, 5, (torn.len() - five.len()) as u64));
            assert!(reason.contains(".seg\", byte ") && reason.contains("(offset 5)"), "{reason}");
            assert_eq!(log.append_wait(vec![event(5)]).unwrap()[0].offset, 6);
            assert_eq!(numbers(&mut log.reader()), (0..6).collect::<Vec<_>>());
            drop(log);
            assert_eq!(open(dir.path(), config(1, 1 << 20)).1, [], "repaired once");
        }
    }
}

#[test]
fn no_bit_that_flips_makes_a_wrong_record() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 4, 1 << 20);
    let path = files(dir.path(), 0).remove(0);
    let whole = fs::read(&path).unwrap();
    let last = {
        let shorter = tempfile::tempdir().unwrap();
        closed(shorter.path(), 3, 1 << 20);
        fs::read(files(shorter.path(), 0).remove(0)).unwrap().len()
    };
    for at in 0..whole.len() {
        for bit in [at % 8, (at + 3) % 8] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, &flipped).unwrap();
            match Log::open(dir.path(), config(1, 1 << 20)) {
                Ok((log, repairs)) => {
                    assert!(at >= last, "byte {at}: a record before others was cut");
                    assert_eq!(repairs.len(), 1);
                    assert_eq!(numbers(&mut log.reader()), [0, 1, 2], "byte {at}");
                }
                Err(LogError::Corrupt(text)) => {
                    assert!(at < last, "byte {at}: {text}");
                    assert!(text.contains("00000000000000000000.seg\", byte "), "{text}");
                    assert_eq!(fs::read(&path).unwrap(), flipped, "what is damaged is left as it is");
                }
                Err(LogError::Unavailable(text)) => panic!("byte {at}: {text}"),
            }
        }
    }
}

#[test]
fn damage_in_an_earlier_segment_stops_the_reader_there() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 20, 400);
    let paths = files(dir.path(), 0);
    assert!(paths.len() > 3);
    let whole = fs::read(&paths[1]).unwrap();
    let first: u64 = paths[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let mut damages: Vec<Vec<u8>> = (28..whole.len())
        .map(|at| {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            flipped
        })
        .collect();
    damages.extend((28..whole.len()).map(|length| whole[..length].to_vec()));
    for damaged in damages {
        fs::write(&paths[1], &damaged).unwrap();
        let (log, repairs) = open(dir.path(), config(1, 400));
        assert_eq!(repairs, []);
        for mut reader in [log.reader(), LogReader::open_read_only(dir.path()).unwrap()] {
            let mut found: Vec<u64> = Vec::new();
            let error = loop {
                match reader.poll(1_000) {
                    Ok(records) => {
                        assert!(!records.is_empty(), "it does not end before the end");
                        found.extend(records.iter().map(|r| number(&r.payload)));
                    }
                    Err(error) => break error,
                }
            };
            assert!(found.len() as u64 >= first && found == (0..found.len() as u64).collect::<Vec<_>>());
            let name = paths[1].file_name().unwrap().to_str().unwrap();
            assert!(matches!(&error, SourceError::Fatal(text) if text.contains(name)), "{error}");
            assert!(reader.poll(1_000).is_err(), "and stays there");
        }
    }
    fs::write(&paths[1], &whole).unwrap();
    assert_eq!(numbers(&mut open(dir.path(), config(1, 400)).0.reader()), (0..20).collect::<Vec<_>>());
}

#[test]
fn what_is_missing_is_told() {
    /// Does the damage.
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 4] = [
        ("log.json is missing", |dir| fs::remove_file(dir.join("log.json")).unwrap()),
        ("log.json", |dir| fs::write(dir.join("log.json"), "{").unwrap()),
        ("there is no segment", |dir| files(dir, 0).iter().for_each(|path| fs::remove_file(path).unwrap())),
        ("the header is cut short", |dir| fs::write(files(dir, 0).pop().unwrap(), "TALLY").unwrap()),
    ];
    for (expected, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        closed(dir.path(), 20, 400);
        damage(dir.path());
        let error = Log::open(dir.path(), config(1, 400)).err();
        assert!(
            matches!(&error, Some(LogError::Corrupt(text)) if text.contains(expected)),
            "{expected}: {error:?}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 20, 400);
    fs::remove_file(&files(dir.path(), 0)[2]).unwrap();
    let (log, _) = open(dir.path(), config(1, 400));
    let mut reader = log.reader();
    let error = std::iter::repeat_with(|| reader.poll(10_000)).find_map(Result::err).unwrap();
    assert!(
        matches!(&error, SourceError::Fatal(text) if text.contains("the next file begins at")),
        "{error}"
    );
}
