//! Processes that are killed and disks that are full: this test's own binary, started again as a child.
use super::*;
use sources::log::AppendError;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

const CHILD_DIR: &str = "TALLYFLOW_LOG_CHILD_DIR";

/// This binary, to run one ignored test in a folder.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(CHILD_DIR, dir);
    command
}

fn child_dir() -> std::path::PathBuf {
    std::env::var_os(CHILD_DIR).expect("started by its parent").into()
}

#[test]
#[ignore = "the child of kill_9_loses_nothing_that_was_acknowledged"]
fn append_until_killed() {
    let (log, _) = open(&child_dir(), config(2, 20_000));
    let start = log.ends().iter().map(|end| end.offset).sum::<u64>();
    for number in (start..).step_by(7) {
        let events = (number..number + 7).map(event).collect();
        let done = move |outcome: Result<Vec<dataflows::Position>, AppendError>| {
            let positions = outcome.unwrap();
            let line: String =
                positions.iter().zip(number..).fold(String::new(), |line, (position, number)| {
                    format!("{line}ack {number} {} {}\n", position.partition, position.offset - 1)
                });
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        };
        log.append(events, Box::new(done));
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    for round in 0..12u64 {
        let mut process = child("crash::append_until_killed", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stderr.take().unwrap());
        let mut text = String::new();
        let lines_before_kill = 1 + round * 7919 % 2_000;
        for _ in 0..lines_before_kill {
            assert!(output.read_line(&mut text).unwrap() > 0, "the child died by itself: {text}");
        }
        process.kill().unwrap();
        process.wait().unwrap();
        // What it said in the meantime counts too, but for a line that is not whole.
        output.read_to_string(&mut text).unwrap();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let words: Vec<u64> = line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect();
            assert_eq!(
                acknowledged.insert((words[1] as u32, words[2]), words[0]),
                None,
                "an offset given twice"
            );
        }
        let (log, _) = open(dir.path(), config(2, 20_000));
        let all = drain(&mut log.reader());
        let found: BTreeMap<_, _> = all.iter().map(|r| ((r.partition, r.offset), &r.payload)).collect();
        assert_eq!(found.len(), all.len());
        for (place, number) in &acknowledged {
            assert_eq!(found.get(place), Some(&&event(*number)), "round {round}: {place:?}");
        }
    }
    assert!(acknowledged.len() > 1_000);
}

fn limit_files_to(bytes: u64) {
    // SAFETY: the struct lives through the calls, which only read it, and nothing else is handed over.
    let outcome = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY })
    };
    assert_eq!(outcome, 0);
}

fn longest_file(dir: &Path) -> u64 {
    let files = (0..2).flat_map(|partition| files(dir, partition));
    files.map(|path| std::fs::metadata(path).unwrap().len()).max().unwrap()
}

#[test]
#[ignore = "the child of a_full_disk_acknowledges_nothing_and_recovers"]
fn append_to_a_full_disk() {
    let dir = child_dir();
    let mut acknowledged = BTreeMap::new();
    let mut refused = 0;
    let (log, _) = open(&dir, config(2, 1 << 30));
    for number in 0..3_000u64 {
        // Space runs out after a while, for writes of several sizes, and comes back.
        match number % 1_000 {
            300 => limit_files_to(longest_file(&dir) + 5_003),
            600 => limit_files_to(libc::RLIM_INFINITY),
            _ => {}
        }
        let outcome = log.append_wait((0..1 + number % 9).map(|i| event(number * 10 + i)).collect());
        match outcome {
            Ok(positions) => {
                for (i, position) in positions.iter().enumerate() {
                    acknowledged.insert((position.partition, position.offset - 1), number * 10 + i as u64);
                }
            }
            Err(AppendError::Unavailable(text)) => {
                assert!((300..600).contains(&(number % 1_000)), "event {number}: {text}");
                assert!(text.contains("cannot write") && text.contains("File too large"), "{text}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 100, "the limit was met: {refused}");
    let check = |log: &Log| {
        let found =
            drain(&mut log.reader()).into_iter().map(|r| ((r.partition, r.offset), number(&r.payload)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), acknowledged);
    };
    check(&log);
    drop(log);
    let (log, repairs) = open(&dir, LogConfig::default());
    assert_eq!(repairs, []);
    check(&log);
}

#[test]
fn a_full_disk_acknowledges_nothing_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let output = child("crash::append_to_a_full_disk", dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
