//! Offsets, order, replay, and readers beside the writer.
use super::*;
use dataflows::Position;
use sources::SourceError;
use sources::log::{AppendError, LogError};
use std::collections::BTreeMap;

/// A log with events 0..count in batches of 10, and what each append said.
fn filled(dir: &Path, config: LogConfig, count: u64) -> (Arc<Log>, Vec<Position>) {
    let (log, repairs) = open(dir, config);
    assert_eq!(repairs, []);
    let numbers: Vec<u64> = (0..count).collect();
    let positions = numbers
        .chunks(10)
        .flat_map(|chunk| log.append_wait(chunk.iter().map(|n| event(*n)).collect()).unwrap());
    let positions = positions.collect();
    (log, positions)
}

#[test]
fn what_was_appended_is_read_where_it_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, positions) = filled(dir.path(), config(3, 4_000), 500);
    assert!((0..3).all(|p| files(dir.path(), p).len() > 3), "there are several segments");
    for (n, position) in positions.iter().enumerate() {
        let record = log.read(position.partition, position.offset - 1).unwrap();
        let expected =
            Record { partition: position.partition, offset: position.offset - 1, payload: event(n as u64) };
        assert_eq!(record, expected);
    }
    let all = drain(&mut log.reader());
    assert_eq!(all.len(), 500);
    for record in all {
        let position = Position { partition: record.partition, offset: record.offset + 1 };
        assert_eq!(positions[number(&record.payload) as usize], position);
    }
}

#[test]
fn replay_from_any_offset_is_the_tail_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = filled(dir.path(), config(2, 2_000), 200);
    let whole = drain(&mut log.reader());
    let ends = log.ends();
    let tails = |from: &[Position]| {
        let mut tail: Vec<Record> =
            whole.iter().filter(|r| r.offset >= from[r.partition as usize].offset).cloned().collect();
        tail.sort_by_key(|r| (r.partition, r.offset));
        tail
    };
    let mut readers = [log.reader(), LogReader::open_read_only(dir.path()).unwrap()];
    for reader in &mut readers {
        for offset in 0..=ends[0].offset {
            let from = [
                Position { partition: 0, offset },
                Position { partition: 1, offset: ends[1].offset.saturating_sub(offset) },
            ];
            reader.seek(&from).unwrap();
            let mut found = drain(reader);
            found.sort_by_key(|r| (r.partition, r.offset));
            assert_eq!(found, tails(&from), "from {from:?}");
        }
        reader.seek(&[Position { partition: 1, offset: ends[1].offset }]).unwrap();
        assert_eq!(reader.positions()[0].offset, 0, "a partition that is not named is at its beginning");
        let beyond = reader.seek(&[Position { partition: 0, offset: ends[0].offset + 1 }]);
        assert!(matches!(beyond, Err(SourceError::Fatal(text)) if text.contains("the log ends at")));
        let unknown = reader.seek(&[Position { partition: 7, offset: 0 }]);
        assert!(matches!(unknown, Err(SourceError::Fatal(text)) if text.contains("has 2 partitions")));
    }
}

#[test]
fn a_log_that_is_opened_again_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    for round in 0..5u64 {
        // The number of partitions asked for counts at creation only.
        let (log, repairs) = open(dir.path(), config(2 + round as u32, 1_500));
        assert_eq!(repairs, []);
        assert_eq!(log.ends().len(), 2);
        let numbers: Vec<u64> = (round * 40..round * 40 + 40).collect();
        let positions = log.append_wait(numbers.iter().map(|n| event(*n)).collect()).unwrap();
        for (n, position) in numbers.into_iter().zip(positions) {
            assert_eq!(expected.insert((position.partition, position.offset - 1), n), None);
        }
        let found =
            drain(&mut log.reader()).into_iter().map(|r| ((r.partition, r.offset), number(&r.payload)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    }
}

#[test]
fn appenders_at_the_same_time_get_offsets_without_gaps_each_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), config(3, 20_000));
    let woken = log.subscribe();
    let keyed = |thread: u64, n: u64| {
        Payload::Structured(Bytes::from(format!(
            r#"{{"id":"{}","source":"/t","subject":"s{thread}"}}"#,
            thread * 1_000 + n
        )))
    };
    let mut given: Vec<Vec<Position>> = std::thread::scope(|scope| {
        let one = |thread: u64| {
            let log = &log;
            move || {
                let numbers: Vec<u64> = (0..300).collect();
                let append = |chunk: &[u64]| {
                    log.append_wait(chunk.iter().map(|n| keyed(thread, *n)).collect()).unwrap()
                };
                numbers.chunks(1 + thread as usize).flat_map(append).collect()
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(one(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(woken.try_recv().is_ok(), "a subscriber is told");
    for (thread, positions) in given.iter().enumerate() {
        assert!(positions.is_sorted(), "one key is one partition, in order");
        for (n, position) in positions.iter().enumerate() {
            let record = log.read(position.partition, position.offset - 1).unwrap();
            assert_eq!(record.payload, keyed(thread as u64, n as u64));
        }
    }
    let mut all: Vec<Position> = given.drain(..).flatten().collect();
    all.sort();
    let ends = log.ends();
    let expected = ends
        .iter()
        .flat_map(|end| (1..=end.offset).map(|offset| Position { partition: end.partition, offset }));
    assert_eq!(all, expected.collect::<Vec<_>>());
}

#[test]
fn a_reader_of_another_process_follows_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), config(2, 900));
    let mut reader = LogReader::open_read_only(dir.path()).unwrap();
    let mut found = Vec::new();
    for n in 0..100 {
        log.append_wait(vec![event(n)]).unwrap();
        assert!(reader.has_backlog());
        found.extend(drain(&mut reader).iter().map(|record| number(&record.payload)));
        assert_eq!(found, (0..=n).collect::<Vec<_>>());
    }
}

#[test]
fn a_poll_gives_about_what_was_asked_of_every_partition_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = filled(dir.path(), config(4, 1 << 20), 2_000);
    let mut reader = log.reader();
    let records = reader.poll(40_000).unwrap();
    let bytes: usize = records.len() * 60;
    assert!((20_000..80_000).contains(&bytes), "{bytes}");
    for partition in 0..4 {
        let count = records.iter().filter(|r| r.partition == partition).count();
        assert!(count > records.len() / 8, "partition {partition} gave {count} of {}", records.len());
    }
    assert_eq!(reader.poll(1).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_done_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), LogConfig { record_bytes_max: 100, ..config(2, 1 << 20) });
    let long = Payload::Structured(Bytes::from(vec![b'x'; 101]));
    let refused = log.append_wait(vec![event(0), long]);
    assert!(
        matches!(refused, Err(AppendError::TooLarge(text)) if text.contains("event 2 of 2: it has 101 bytes"))
    );
    assert_eq!(log.append_wait(Vec::new()), Ok(Vec::new()));
    assert!(log.ends().iter().all(|end| end.offset == 0), "nothing of a refused append is kept");

    let twice = Log::open(dir.path(), LogConfig::default()).err();
    assert!(matches!(twice, Some(LogError::Unavailable(text)) if text.contains("open for writing already")));
    assert!(matches!(log.read(0, 0), Err(SourceError::Retry(text)) if text.contains("the log ends at 0")));
    assert!(matches!(log.read(2, 0), Err(SourceError::Fatal(_))));

    let empty = tempfile::tempdir().unwrap();
    let none = LogReader::open_read_only(empty.path()).err();
    assert!(matches!(none, Some(LogError::Unavailable(text)) if text.contains("there is no log.json")));
    let zero = Log::open(&empty.path().join("new"), config(0, 1)).err();
    assert!(matches!(zero, Some(LogError::Unavailable(text)) if text.contains("must be 1 or more")));
}

#[test]
fn records_of_many_sizes_pass_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 255, 65_536, 262_119, 262_144, 1 << 20, 16 << 20];
    let payloads: Vec<Payload> =
        sizes.iter().map(|n| Payload::Structured(Bytes::from(vec![b'a'; *n]))).collect();
    let positions = {
        let (log, _) = open(dir.path(), config(1, 1 << 20));
        payloads.iter().map(|p| log.append_wait(vec![p.clone()]).unwrap()[0].offset).collect::<Vec<_>>()
    };
    assert_eq!(positions, (1..=sizes.len() as u64).collect::<Vec<_>>());
    let (log, _) = open(dir.path(), LogConfig::default());
    let found: Vec<Payload> = drain(&mut log.reader()).into_iter().map(|r| r.payload).collect();
    assert!(found == payloads);
}

#[test]
fn what_is_below_a_floor_goes_by_whole_files_and_the_rest_reads_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = filled(dir.path(), config(2, 2_000), 400);
    let (ends, later) = (log.ends(), std::time::SystemTime::now() + std::time::Duration::from_secs(60));
    let whole = drain(&mut log.reader());
    // A reader that stands in the first file goes on in it.
    let mut slow = log.reader();
    let first = slow.poll_partition(0, 100).unwrap();
    let floor = [Position { partition: 0, offset: ends[0].offset / 2 }];
    // What was written just now is not old; what was read from the beginning as of a time is not gone before a later one.
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    assert_eq!(log.trim(8, &floor, long_ago).unwrap(), []);
    drop(log.reading_whole(7));
    assert_eq!(log.trim(7, &floor, later).unwrap(), []);
    let begins = log.trim(8, &floor, later).unwrap();
    assert_eq!((begins.len(), begins[0].partition), (1, 0));
    let begin = begins[0].offset;
    assert!(0 < begin && begin <= floor[0].offset, "{begin}");
    assert_eq!(log.begins(), [begins[0].clone(), Position { partition: 1, offset: 0 }]);
    let why = log.read(0, begin - 1).unwrap_err().to_string();
    assert!(why.contains(&format!("the log begins at {begin}")), "{why}");
    let kept = |records: Vec<Record>| {
        let mut kept: Vec<Record> =
            records.into_iter().filter(|r| r.partition == 1 || r.offset >= begin).collect();
        kept.sort_by_key(|r| (r.partition, r.offset));
        kept
    };
    let expected = kept(whole);
    let read = |log: &Log| {
        let mut reader = log.reader();
        reader.seek(&log.begins()).unwrap();
        let mut all = vec![];
        while reader.has_backlog() {
            all.extend(reader.poll(1_000).unwrap());
        }
        kept(all)
    };
    assert!(first.iter().all(|record| record.offset < begin));
    assert!(slow.poll_partition(0, 100).unwrap().iter().all(|record| record.offset < begin));
    assert_eq!(read(&log), expected);
    drop((slow, log));
    let (log, repairs) = open(dir.path(), config(2, 2_000));
    assert_eq!((repairs, read(&log)), (vec![], expected));
    // The last file stays, whatever is below the floor.
    log.trim(8, &ends, later).unwrap();
    assert_eq!((files(dir.path(), 0).len(), log.ends()), (1, ends));
}
