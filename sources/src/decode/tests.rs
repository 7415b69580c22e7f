//! Given these events, these rows: cases, the two forms of one event, and mutated bytes.
use super::*;
use crate::event::Rule;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `name TYPE path` for each column; `!` after the type means NOT NULL.
fn table(
    name: &str,
    types: &str,
    mode: Mode,
    each: Option<&str>,
    columns: &[(&str, &str, DataType)],
) -> Mapping {
    let fields = columns.iter().map(|(name, _, data_type)| {
        Field::new(name.trim_end_matches('!'), data_type.clone(), !name.ends_with('!'))
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let deletes = (mode != Mode::Append).then(|| Pattern::parse("*.deleted").unwrap());
    let mapping = Mapping {
        table: Arc::new(Table { name: name.into(), schema, mode }),
        types: Pattern::parse(types).unwrap(),
        deletes,
        each: each.map(|path| Path::parse(path).unwrap()),
        columns: columns.iter().map(|(_, path, _)| Path::parse(path).unwrap()).collect(),
        from_what_is_kept: false,
    };
    mapping.check().unwrap();
    mapping
}

fn record(event_type: &str, rest: &str) -> Record {
    let text = format!(r#"{{{rest},"source":"/s","id":"1","specversion":"1.0","type":"{event_type}"}}"#);
    Record { partition: 0, offset: 7, payload: Payload::Structured(text.into()) }
}

fn decode(mapping: &Mapping, records: &[Record]) -> Decoded {
    Decoder::new(vec![Arc::new(mapping.clone())]).decode(records)
}

/// Every row as its cells' texts with bars between them; NULL is empty.
fn texts(rows: &RecordBatch) -> Vec<String> {
    let cell = |column: usize, row| array_value_to_string(rows.column(column), row).unwrap();
    let row = |row| (0..rows.num_columns()).map(|column| cell(column, row)).collect::<Vec<_>>().join("|");
    (0..rows.num_rows()).map(row).collect()
}

/// The rows of one event, or the reason why there are none.
fn outcome(mapping: &Mapping, event: Record) -> Result<Vec<String>, String> {
    let decoded = decode(mapping, &[event]);
    match &decoded.heads[0].outcome {
        Outcome::Event(_) => Ok(decoded.tables.first().map_or(vec![], |table| texts(&table.rows))),
        Outcome::Reject(reject) => {
            assert!(decoded.tables.is_empty(), "a rejected event has no rows");
            assert_eq!(reject.rule, Rule::Column);
            assert_eq!(reject.event_id.as_deref(), Some("1"));
            Err(reject.reason.clone())
        }
    }
}

#[test]
fn values_become_columns_or_reject_the_event() {
    let decimal = DataType::Decimal128(6, 2);
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let plain = DataType::Timestamp(TimeUnit::Second, None);
    let clock = DataType::Time64(TimeUnit::Microsecond);
    let cases = [
        (DataType::Utf8, r#""a\u0041\n😀""#, Some("aA\n😀")),
        (DataType::Utf8, "1.50", Some("1.50")),
        (DataType::Utf8View, "true", Some("true")),
        (DataType::LargeUtf8, r#"{"a": [1, 2]}"#, Some(r#"{"a": [1, 2]}"#)),
        (DataType::Utf8, "null", Some("")),
        (DataType::Int64, "-9223372036854775808", Some("-9223372036854775808")),
        (DataType::Int64, "9223372036854775808", None),
        (DataType::Int64, r#""12""#, Some("12")),
        (DataType::Int64, "1.0", None),
        (DataType::Int64, "1e2", None),
        (DataType::Int64, "true", None),
        (DataType::Int64, r#""""#, None),
        (DataType::Int32, "2147483648", None),
        (DataType::Int16, "-32768", Some("-32768")),
        (DataType::Int8, "128", None),
        (DataType::UInt64, "18446744073709551615", Some("18446744073709551615")),
        (DataType::UInt8, "-1", None),
        (decimal.clone(), "12.5", Some("12.50")),
        (decimal.clone(), r#""-0012.500""#, Some("-12.50")),
        (decimal.clone(), "1.25e1", Some("12.50")),
        (decimal.clone(), "12.505", None),
        (decimal.clone(), "10000.00", None),
        (decimal.clone(), r#""12,5""#, None),
        (decimal, "[]", None),
        (DataType::Float64, "0.1", Some("0.1")),
        (DataType::Float64, r#""NaN""#, Some("NaN")),
        (DataType::Float64, r#""-Infinity""#, Some("-inf")),
        (DataType::Float64, "1e400", None),
        (DataType::Float32, "1e40", None),
        (DataType::Float32, "0.1", Some("0.1")),
        (DataType::Boolean, "true", Some("true")),
        (DataType::Boolean, r#""false""#, Some("false")),
        (DataType::Boolean, "1", None),
        (DataType::Boolean, r#""yes""#, None),
        (zoned.clone(), r#""2018-04-26T14:48:09.1234567+02:00""#, Some("2018-04-26T12:48:09.123456Z")),
        (zoned.clone(), r#""2018-04-26 14:48:09""#, Some("2018-04-26T14:48:09Z")),
        (zoned.clone(), r#""2018-04-26""#, None),
        (zoned, "1524754089", None),
        (plain, r#""2018-04-26T14:48:09+02:00""#, Some("2018-04-26T12:48:09")),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), r#""9999-01-01T00:00:00Z""#, None),
        (DataType::Date32, r#""2018-04-26""#, Some("2018-04-26")),
        (DataType::Date32, r#""2018-04-26T23:30:00-02:00""#, Some("2018-04-26")),
        (DataType::Date32, r#""2018-02-29""#, None),
        (clock.clone(), r#""14:48:09.5""#, Some("14:48:09.500")),
        (clock, r#""24:00:00""#, None),
        (DataType::Binary, r#""SGk=""#, Some("4869")),
        (DataType::BinaryView, r#""SGk""#, None),
    ];
    for (data_type, json, expected) in cases {
        let mapping = table("t", "x", Mode::Append, None, &[("c", "data.a.b", data_type.clone())]);
        let found = outcome(&mapping, record("x", &format!(r#""data":{{"z":1,"a":{{"b":{json}}}}}"#)));
        match expected {
            Some(text) => assert_eq!(found, Ok(vec![text.to_owned()]), "{data_type} {json}"),
            None => {
                let start = format!("table \"t\", column \"c\": data.a.b is {json}, wanted ");
                assert!(
                    found.as_ref().is_err_and(|reason| reason.starts_with(&start)),
                    "{data_type} {json}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn attributes_and_extensions_are_columns() {
    let columns = [
        ("id", "id", DataType::Utf8),
        ("n", "n", DataType::Int64),
        ("flag", "flag", DataType::Boolean),
        ("none", "none", DataType::Utf8),
        ("all", "data", DataType::Utf8),
    ];
    let mapping = table("t", "x", Mode::Append, None, &columns);
    let event = record("x", r#""n":5,"flag":true,"data":{"a":1}"#);
    assert_eq!(outcome(&mapping, event), Ok(vec![r#"1|5|true||{"a":1}"#.into()]));
    let text = record("x", r#""datacontenttype":"text/plain","data":"hi""#);
    assert_eq!(outcome(&mapping, text), Ok(vec!["1||||".into()]));
    let base64 = record("x", r#""data_base64":"eyJhIjoxfQ==""#);
    assert_eq!(outcome(&mapping, base64), Ok(vec![r#"1||||{"a":1}"#.into()]));
}

#[test]
fn each_element_is_a_row() {
    let columns = [
        ("doc!", "data.doc", DataType::Utf8),
        ("no", "ordinal", DataType::Int64),
        ("p", "item.p.q", DataType::Utf8),
        ("whole", "item", DataType::Utf8),
    ];
    let mapping = table("t", "x", Mode::Append, Some("data.items"), &columns);
    let cases = [
        (
            r#"{"items":[{"p":{"q":"a"}},{"r":1},7],"doc":"d"}"#,
            Ok(vec![r#"d|1|a|{"p":{"q":"a"}}"#, r#"d|2||{"r":1}"#, "d|3||7"]),
        ),
        (r#"{"items":[],"doc":"d"}"#, Ok(vec![])),
        (r#"{"items":null,"doc":"d"}"#, Ok(vec![])),
        (r#"{"doc":"d"}"#, Ok(vec![])),
        (r#"{"items":{},"doc":"d"}"#, Err(r#"table "t" wants an array at data.items, not {}"#)),
        (r#"{"items":[1]}"#, Err(r#"table "t", column "doc": data.doc is null, wanted TEXT NOT NULL"#)),
    ];
    for (data, expected) in cases {
        let expected = expected.map(|rows: Vec<&str>| rows.iter().map(|row| row.to_string()).collect());
        assert_eq!(
            outcome(&mapping, record("x", &format!(r#""data":{data}"#))),
            expected.map_err(str::to_owned),
            "{data}"
        );
    }
}

#[test]
fn the_latest_mode_has_hidden_columns_and_deletions() {
    let columns = [
        ("k", "data.k", DataType::Utf8),
        ("v", "data.v", DataType::Int64),
        ("name!", "data.name", DataType::Utf8),
    ];
    let mode = Mode::Latest { key: vec![0], version: vec![1] };
    let mapping = table("t", "x.*", mode.clone(), None, &columns);
    let time = r#""time":"1970-01-01T00:00:01Z""#;
    let hash =
        content::key(&crate::event::parse(&record("x", "\"a\":1").payload).unwrap(), &mut vec![]) as u64;
    let cases = [
        ("x.created", r#"{"k":"a","v":1,"name":"n"}"#, Ok(format!("a|1|n|1000000000|{hash}|false"))),
        ("x.deleted", r#"{"k":"a","v":2,"name":"n"}"#, Ok(format!("a|2||1000000000|{hash}|true"))),
        (
            "x.created",
            r#"{"v":1,"name":"n"}"#,
            Err(r#"table "t", column "k": data.k is null, wanted TEXT NOT NULL"#),
        ),
        (
            "x.created",
            r#"{"k":"a","v":1}"#,
            Err(r#"table "t", column "name": data.name is null, wanted TEXT NOT NULL"#),
        ),
        ("x.deleted", r#"{"k":"a"}"#, Err(r#"table "t", column "v": data.v is null, wanted BIGINT"#)),
    ];
    for (event_type, data, expected) in cases {
        let found = outcome(&mapping, record(event_type, &format!(r#"{time},"data":{data}"#)));
        assert_eq!(found, expected.map(|row| vec![row]).map_err(str::to_owned), "{event_type} {data}");
    }
    let columns = [("k", "data.k", DataType::Utf8), ("i", "item", DataType::Int64)];
    let listed = table("t", "x.*", Mode::Latest { key: vec![0], version: vec![] }, Some("data.i"), &columns);
    for data in [r#"{"k":"a","i":[]}"#, r#"{"k":"a"}"#] {
        let found = outcome(&listed, record("x.created", &format!(r#""data":{data}"#)));
        assert_eq!(found, Ok(vec![format!("a||0|{hash}|true")]));
    }
}

#[test]
fn a_rejected_event_leaves_no_row_in_any_table() {
    let good = table("good", "x", Mode::Append, None, &[("a", "data.a", DataType::Utf8)]);
    let picky = table("picky", "x", Mode::Append, Some("data.l"), &[("i", "item", DataType::Int64)]);
    let decoder = Decoder::new(vec![Arc::new(good), Arc::new(picky)]);
    let records: Vec<Record> = [r#"{"a":"1","l":[1]}"#, r#"{"a":"2","l":[2,"x"]}"#, r#"{"a":"3","l":[3,4]}"#]
        .iter()
        .map(|data| record("x", &format!(r#""data":{data}"#)))
        .collect();
    let decoded = decoder.decode(&records);
    let found: Vec<_> = decoded.tables.iter().map(|t| (texts(&t.rows), t.records.clone())).collect();
    let rows = |list: &[&str]| list.iter().map(|row| row.to_string()).collect::<Vec<_>>();
    assert_eq!(found, [(rows(&["1", "3"]), vec![0, 2]), (rows(&["1", "3", "4"]), vec![0, 2, 2])]);
    assert!(matches!(decoded.heads[1].outcome, Outcome::Reject(_)));
}

fn accepted(payload: Payload) -> Accepted {
    let decoded = Decoder::new(vec![]).decode(&[Record { partition: 0, offset: 0, payload }]);
    match &decoded.heads[0].outcome {
        Outcome::Event(accepted) => accepted.clone(),
        Outcome::Reject(reject) => panic!("{reject}"),
    }
}

fn carried(attributes: &[(&str, &str)], body: &'static str) -> Payload {
    let attributes = attributes.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Payload::Binary { attributes, body: Bytes::from_static(body.as_bytes()) }
}

#[test]
fn one_event_has_one_content_however_it_is_carried() {
    let base =
        [("specversion", "1.0"), ("id", "1"), ("type", "t"), ("source", "/s"), ("abc", "5"), ("zed", "true")];
    let envelope = r#""zed":true,"specversion":"1.0","abc":5,"id":"1","type":"t","source":"/s""#;
    let cases = [
        (
            r#","datacontenttype":"application/json","data":{ "a" : "x y" }"#,
            Some("application/json"),
            " {\"a\": \"x y\"}\n",
        ),
        (r#","data":{"a":1}"#, Some("application/json"), "{\"a\":1}"),
        (r#","data":{"a":1}"#, None, "{\"a\":1}"),
        (r#","data":" x ""#, Some("application/json"), "\" x \""),
        (r#","datacontenttype":"text/plain","data":"a\nb""#, Some("text/plain"), "a\nb"),
        (r#","datacontenttype":"text/plain","data_base64":"YQpi""#, Some("text/plain"), "a\nb"),
        (
            r#","datacontenttype":"application/json","data_base64":"eyAiYSI6MX0=""#,
            Some("application/json"),
            "{\"a\":1}",
        ),
        ("", None, ""),
    ];
    for (data, content_type, body) in cases {
        let structured = accepted(Payload::Structured(format!("{{{envelope}{data}}}").into()));
        let attributes: Vec<_> =
            base.into_iter().chain(content_type.map(|c| ("datacontenttype", c))).collect();
        assert_eq!(structured, accepted(carried(&attributes, body)), "{data}");
    }
    let of = |data: &str| accepted(Payload::Structured(format!("{{{envelope}{data}}}").into()));
    let different = [
        "",
        r#","data":{}"#,
        r#","data":{"a":"x y"}"#,
        r#","data":{"a":"xy"}"#,
        r#","subject":"x""#,
        r#","data":null"#,
    ];
    let contents: std::collections::BTreeSet<u64> = different.iter().map(|data| of(data).content).collect();
    assert_eq!(contents.len(), different.len());
    assert!(different.iter().all(|data| of(data).key == of("").key));
    let with_id = |id, source| {
        accepted(carried(&[("specversion", "1.0"), ("id", id), ("type", "t"), ("source", source)], "")).key
    };
    assert_ne!(with_id("bc", "a"), with_id("c", "ab"));
}

#[test]
fn whatever_the_bytes_every_record_is_in_its_tables_or_a_reject() {
    let columns = [
        ("k!", "data.k", DataType::Utf8),
        ("n", "item.n", DataType::Decimal128(9, 2)),
        ("t", "time", DataType::Date32),
    ];
    let lines = table("lines", "x*", Mode::Append, Some("data.items"), &columns);
    let heads = table("heads", "x", Mode::Append, None, &columns[..1]);
    let decoder = Decoder::new(vec![Arc::new(lines), Arc::new(heads)]);
    let seed = 20_261_121;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let text = r#"{"specversion":"1.0","type":"x","source":"/s","id":"1","ext":12,"time":"2018-04-26T14:48:09.5+02:00","data":{"k":"a\u0041\\","items":[{"n":1.5},{"n":"2e1"},{"n":null}]}}"#;
    let pool = br#"{}[]",:\u0dn1e.-+tfx "#;
    let mut survivors = 0;
    for _ in 0..2_000 {
        let records: Vec<Record> = (0..10)
            .map(|offset| {
                let mut bytes = text.as_bytes().to_vec();
                for _ in 0..random.random_range(0..4) {
                    let at = random.random_range(0..bytes.len());
                    match random.random_range(0..4) {
                        0 => bytes[at] = random.random(),
                        1 => bytes[at] = pool[random.random_range(0..pool.len())],
                        2 if bytes.len() > 1 => _ = bytes.remove(at),
                        _ => bytes.truncate(at.max(1)),
                    }
                }
                Record { partition: 0, offset, payload: Payload::Structured(bytes.into()) }
            })
            .collect();
        let decoded = decoder.decode(&records);
        assert_eq!(decoded.heads.len(), records.len());
        for (index, head) in decoded.heads.iter().enumerate() {
            let rows = |mapping| {
                let found = decoded.tables.iter().filter(|table| table.mapping == mapping);
                found.flat_map(|table| &table.records).filter(|record| **record == index as u32).count()
            };
            match &head.outcome {
                Outcome::Reject(reject) => assert_eq!((rows(0), rows(1)), (0, 0), "{reject}"),
                Outcome::Event(accepted) => {
                    survivors += 1;
                    let Payload::Structured(bytes) = &records[index].payload else {
                        unreachable!("all are structured")
                    };
                    assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok(), "{bytes:?}");
                    assert_eq!(rows(1), usize::from(*accepted.event_type == *"x"));
                    assert_eq!(accepted.matched, accepted.event_type.starts_with('x'));
                }
            }
        }
        for table in &decoded.tables {
            assert_eq!(table.rows.num_rows(), table.records.len());
            assert!(table.records.is_sorted());
        }
    }
    assert!(survivors > 4_000, "only {survivors} events survived: the fuzz tests nothing");
}

#[test]
fn a_mapping_that_cannot_work_is_refused() {
    let good = table("t", "x", Mode::Append, None, &[("c", "data.c", DataType::Utf8)]);
    let list = DataType::new_list(DataType::Utf8, true);
    let cases = [
        (Mapping { columns: vec![], ..good.clone() }, "has 1 columns and 0 paths"),
        (
            Mapping { deletes: Some(good.types.clone()), ..good.clone() },
            "deletes is for tables of mode latest",
        ),
        (Mapping { each: Some(Path::Ordinal), ..good.clone() }, "each is \"ordinal\""),
        (Mapping { columns: vec![Path::parse("item.x").unwrap()], ..good.clone() }, "the table has no each"),
    ];
    for (mapping, reason) in cases {
        assert!(mapping.check().unwrap_err().contains(reason), "{:?}", mapping.check());
    }
    let schema = Arc::new(Schema::new(vec![Field::new("c", list, true)]));
    let odd = Arc::new(Table { name: "t".into(), schema, mode: Mode::Append });
    let odd = Mapping { table: odd, ..good };
    assert!(odd.check().unwrap_err().contains("which no event can fill"));
    assert!(outcome(&odd, record("x", r#""data":{"c":[]}"#)).is_err());
    assert_eq!(outcome(&odd, record("x", r#""data":{}"#)), Ok(vec!["".into()]));
}

#[test]
fn patterns_match_with_stars() {
    let cases = [
        ("a.b", "a.b", true),
        ("a.b", "a.bc", false),
        ("a.*", "a.b.c", true),
        ("a.*", "a.", true),
        ("*", "", true),
        ("*.v1", "x.v1", true),
        ("*.v1", "x.v2", false),
        ("a*b*c", "aXbXbXc", true),
        ("a*b*c", "acb", false),
        ("a*a", "a", false),
        ("x, a.*", "a.b", true),
        ("a**b", "ab", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
    }
    assert!(Pattern::parse("a,,b").is_err());
}
