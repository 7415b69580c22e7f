//! Files of events: however they are compressed, split and ended, each line that says something is one event.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use flate2::{Compression, write::GzEncoder};
use sources::Payload;
use sources::file::{File, LINE_BYTES_MAX};
use std::io::Write;
use std::path::PathBuf;

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Writes the contents to files and reads them all: the lines, then the error if one comes.
fn read(contents: &[Vec<u8>], bytes_max: usize) -> (Vec<String>, Option<String>) {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..contents.len()).map(|i| dir.path().join(format!("{i}.ndjson"))).collect();
    for (path, content) in paths.iter().zip(contents) {
        std::fs::write(path, content).unwrap();
    }
    let mut file = File::open(&paths).unwrap();
    assert_eq!(file.bytes_total(), contents.iter().map(|c| c.len() as u64).sum::<u64>());
    let mut lines = Vec::new();
    loop {
        let chunk = match file.next_chunk(bytes_max) {
            Ok(chunk) => chunk,
            Err(error) => {
                assert!(file.next_chunk(bytes_max).is_err(), "what failed does not go on behind the failure");
                return (lines, Some(error.to_string()));
            }
        };
        if chunk.is_empty() {
            assert_eq!(file.bytes_read(), file.bytes_total());
            assert_eq!(file.next_chunk(bytes_max).unwrap(), []);
            return (lines, None);
        }
        lines.extend(chunk.into_iter().map(|payload| match payload {
            Payload::Structured(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Payload::Binary { .. } => panic!("a line has no attributes"),
        }));
    }
}

#[test]
fn a_line_is_an_event_whatever_ends_it() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("\n", &[]),
        ("a", &["a"]),
        ("a\n", &["a"]),
        ("a\nb", &["a", "b"]),
        ("a\r\nb\r\n", &["a", "b"]),
        ("a\r\n\r\n\n\nb\r", &["a", "b"]),
        ("\u{feff}a\nb\n", &["a", "b"]),
        ("\u{feff}", &[]),
        ("\u{feff}\n\u{feff}b", &["\u{feff}b"]),
        ("ab", &["ab"]),
        (" \n", &[" "]),
        ("{\"id\":1}\n{broken\n\"text\"\n", &["{\"id\":1}", "{broken", "\"text\""]),
    ];
    for (content, lines) in cases {
        for form in [content.as_bytes().to_vec(), gz(content.as_bytes()), zst(content.as_bytes())] {
            assert_eq!(
                read(&[form], 1 << 20),
                (lines.iter().map(|l| l.to_string()).collect(), None),
                "{content:?}"
            );
        }
    }
}

#[test]
fn files_are_read_in_order_whatever_their_form() {
    let members = [gz(b"1\n2"), gz(b"3\n")].concat();
    let frames = [zst(b"4\n5"), zst(b"6\n7")].concat();
    // A skippable frame of three bytes first.
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9][..], &zst(b"9")].concat();
    let contents = [b"0".to_vec(), members, Vec::new(), frames, b"\xef\xbb\xbf8\r\n".to_vec(), skippable];
    let expected = ["0", "1", "23", "4", "56", "7", "8", "9"].map(str::to_string).to_vec();
    assert_eq!(read(&contents, 1), (expected, None));
}

#[test]
fn the_size_of_chunks_changes_nothing() {
    let lines: Vec<String> = (0..30_000).map(|i| format!("{i}:{}", "x".repeat(i * 7919 % 97))).collect();
    let mut lines = lines;
    lines[777] = "y".repeat(3_000_000);
    lines[778] = "z".repeat(LINE_BYTES_MAX);
    let content = lines.join("\n").into_bytes();
    for form in [content.clone(), gz(&content), zst(&content)] {
        for bytes_max in [1, 5_000, 1 << 20, usize::MAX >> 1] {
            let (found, error) = read(std::slice::from_ref(&form), bytes_max);
            assert_eq!(error, None);
            assert!(found == lines, "chunks of {bytes_max}");
        }
    }
}

#[test]
fn an_error_names_file_and_line_after_the_events_before_it() {
    let body: String = (0..40_000).map(|i| format!("{{\"number\":{}}}\n", i * 7919 % 65_537)).collect();
    let long = [b"a\n\nb\n".to_vec(), vec![b'x'; LINE_BYTES_MAX + 1], b"\nc\n".to_vec()].concat();
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() * 9 / 10);
        bytes
    };
    let flipped = |mut bytes: Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xff);
        bytes
    };
    let cases = [
        ("cut gz", cut(gz(body.as_bytes()))),
        ("cut zst", cut(zst(body.as_bytes()))),
        ("broken zst", flipped(zst(body.as_bytes()))),
        ("a gz header that is none", b"\x1f\x8b\x07no".to_vec()),
        ("rubbish after a member", [gz(b"a\n"), b"rubbish".to_vec()].concat()),
    ];
    for (name, content) in cases {
        let (lines, error) = read(&[b"before\n".to_vec(), content, b"after\n".to_vec()], 64 << 10);
        let error = error.unwrap_or_else(|| panic!("{name}: no error"));
        assert!(error.contains("1.ndjson\", line "), "{name}: {error}");
        assert_eq!(lines[0], "before", "{name}");
        assert!(body.starts_with(&lines[1..].join("\n")) || lines[1..] == ["a"], "{name}");
    }
    for bytes_max in [1, 64 << 10, 1 << 30] {
        let (lines, error) = read(std::slice::from_ref(&long), bytes_max);
        assert_eq!(lines, ["a", "b"]);
        let error = error.unwrap();
        assert!(error.contains("0.ndjson\", line 4: it is longer than 16777216 bytes"), "{error}");
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [("none.ndjson", "none.ndjson\": No such file"), ("", "it is a folder")];
    for (name, expected) in cases {
        let error = File::open(&[dir.path().join(name)]).err().expect("an error").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_name_that_promises_compression_keeps_its_word() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, refused) in [
        ("a.zst", b"no zstd".to_vec(), true),
        ("a.gz", b"{}\n".to_vec(), true),
        ("b.zst", gz(b"{}\n"), false),
        ("c.gz", Vec::new(), false),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut file = File::open(std::slice::from_ref(&path)).unwrap();
        let found = file.next_chunk(1 << 20);
        assert_eq!(found.is_err(), refused, "{name}");
        assert!(!refused || found.unwrap_err().to_string().contains("but its content is not"), "{name}");
    }
}
