use super::*;
use arrow::array::*;
use arrow::datatypes::*;

fn columns() -> (SchemaRef, Vec<ArrayRef>) {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(-7)]),
    ]);
    let long = "x".repeat(300);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        ("i", Arc::new(Int32Array::from(vec![Some(0), Some(i32::MIN), None, Some(i32::MAX)]))),
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(0), None, Some(1 << 63)]))),
        ("t", Arc::new(StringArray::from(vec![Some(""), Some("é"), None, Some(long.as_str())]))),
        (
            "v",
            Arc::new(StringViewArray::from(vec![
                Some("view"),
                None,
                Some(""),
                Some("a longer view than 12"),
            ])),
        ),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![Some(-1), Some(i128::from(i64::MIN) * 1000), None, Some(0)])
                    .with_precision_and_scale(38, 3)
                    .unwrap(),
            ),
        ),
        ("f", Arc::new(Float64Array::from(vec![Some(1.5), Some(-2.0), None, Some(f64::INFINITY)]))),
        ("g", Arc::new(Float32Array::from(vec![Some(0.1), Some(-2.0), None, Some(f32::MAX)]))),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![Some(-1), Some(i64::MAX), None, Some(0)]))),
        (
            "tz",
            Arc::new(
                TimestampMillisecondArray::from(vec![Some(5), None, None, Some(0)]).with_timezone("+00:00"),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(14_943), None, Some(-1), Some(0)]))),
        ("bin", Arc::new(BinaryArray::from(vec![Some(&b"\0\xff"[..]), None, Some(b""), Some(b"abc")]))),
        (
            "iv",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(IntervalMonthDayNano::new(-1, 2, -3)),
                None,
                Some(IntervalMonthDayNano::new(0, 0, 0)),
                Some(IntervalMonthDayNano::new(i32::MAX, i32::MIN, i64::MIN)),
            ])),
        ),
        ("list", Arc::new(list)),
        ("n", Arc::new(NullArray::new(4))),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    (Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect())
}

#[test]
fn every_type_comes_back_as_it_went() {
    let (schema, columns) = columns();
    let codec = Codec::new(&schema).unwrap();
    let rows = codec.encode(&columns, 4);
    let back = codec.decode(&rows.iter().collect::<Vec<_>>());
    for (i, field) in schema.fields().iter().enumerate() {
        assert_eq!(&back[i], &columns[i], "column {}", field.name());
    }
    let text: Vec<String> = codec
        .values(rows.row(0))
        .map(|v| {
            let mut out = String::new();
            v.write_text(&mut out);
            out
        })
        .collect();
    let expected = ["t", "0", "18446744073709551615", "", "view", "-0.001", "1.5", "0.1"];
    assert_eq!(text[..8], expected);
    assert_eq!(
        text[8..12],
        ["1969-12-31 23:59:59.999999999", "1970-01-01 00:00:00.005+00", "2010-11-30", "\\x00ff"]
    );
    assert!(codec.values(rows.row(2)).take(4).skip(2).all(|v| v == Value::Null));
}

#[test]
fn rows_that_group_by_counts_as_one_have_the_same_bytes() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
    let schema = Arc::new(Schema::new(vec![Field::new("f", DataType::Float64, true)]));
    let rows = Codec::new(&schema).unwrap().encode(&[floats], 4);
    assert_eq!(rows.row(0), rows.row(1));
    assert_eq!(rows.row(2), rows.row(3));
    assert_ne!(rows.row(0), rows.row(2));
}

#[test]
fn cells_do_not_run_into_each_other() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Utf8, true),
    ]));
    let a: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("a"), Some(""), None]));
    let b: ArrayRef = Arc::new(StringArray::from(vec![Some("c"), Some("bc"), None, Some("")]));
    let rows = Codec::new(&schema).unwrap().encode(&[a, b], 4);
    let distinct: std::collections::BTreeSet<&[u8]> = rows.iter().collect();
    assert_eq!(distinct.len(), 4);
}
