//! What the writer does when the disk fails: `/dev/full` refuses writes, `/dev/null` takes them and refuses fsync.
use super::*;
use crate::log::{LogConfig, open};
use std::sync::mpsc;

fn event(text: &'static str) -> Payload {
    Payload::Structured(bytes::Bytes::from_static(text.as_bytes()))
}

fn commit(writer: &mut Writer, text: &'static str) -> Result<Vec<Position>, AppendError> {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |outcome| sender.send(outcome).unwrap());
    writer.commit(vec![Append { events: vec![(0, event(text))], bytes: 0, done }]);
    receiver.recv().unwrap()
}

/// A writer with one partition that holds one record.
fn writer(dir: &std::path::Path) -> Writer {
    let config = LogConfig { partitions: 1, ..LogConfig::default() };
    let (partitions, _, _) = open::open(dir, &config).unwrap();
    let tails = partitions.iter().cloned().map(|p| Tail::open(p).unwrap()).collect();
    let mut writer =
        Writer { tails, segment_bytes: 1 << 20, subscribers: Subscribers::default(), refused: None };
    assert_eq!(commit(&mut writer, "first"), Ok(vec![Position { partition: 0, offset: 1 }]));
    writer
}

fn fail_once(device: &str) -> [Result<Vec<Position>, AppendError>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    let broken = fs::OpenOptions::new().write(true).open(device).unwrap();
    let file = std::mem::replace(&mut writer.tails[0].file, broken);
    let first = commit(&mut writer, "second");
    writer.tails[0].file = file;
    let second = commit(&mut writer, "third");
    assert_eq!(writer.tails[0].partition.end(), 1, "nothing was published");
    assert_eq!(open::open(dir.path(), &LogConfig::default()).unwrap().0[0].end(), 1, "nothing was kept");
    [first, second]
}

fn assert_refused(outcomes: [Result<Vec<Position>, AppendError>; 2], why: &str) {
    let reasons = outcomes.map(|outcome| match outcome {
        Err(AppendError::Unavailable(reason)) => reason,
        other => panic!("{other:?}"),
    });
    assert!(reasons[0].contains(why), "{}", reasons[0]);
    assert!(reasons[1].contains("takes no more events until it is opened again"), "{}", reasons[1]);
}

#[test]
fn after_a_failed_fsync_the_log_takes_nothing_until_it_is_opened_again() {
    assert_refused(fail_once("/dev/null"), "durable: Invalid argument");
}

#[test]
fn after_a_failed_write_that_cannot_be_taken_back_the_log_takes_nothing() {
    assert_refused(fail_once("/dev/full"), "No space left on device");
}

#[test]
fn a_commit_that_failed_in_one_partition_is_in_none() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { partitions: 2, ..LogConfig::default() };
    let (partitions, _, _) = open::open(dir.path(), &config).unwrap();
    let tails = partitions.iter().cloned().map(|p| Tail::open(p).unwrap()).collect();
    let mut writer =
        Writer { tails, segment_bytes: 1 << 20, subscribers: Subscribers::default(), refused: None };
    writer.tails[1].file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |outcome| sender.send(outcome).unwrap());
    writer.commit(vec![Append { events: vec![(0, event("a")), (1, event("b"))], bytes: 0, done }]);
    assert!(matches!(receiver.recv().unwrap(), Err(AppendError::Unavailable(_))));
    assert_eq!(fs::metadata(&writer.tails[0].segment.path).unwrap().len(), HEADER_BYTES);
}
