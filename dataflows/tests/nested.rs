//! Types that rows keep as `arrow::row` does: each comes back as it went, and prints as PostgreSQL prints it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arrow::array::*;
use arrow::datatypes::*;
use dataflows::codec::Codec;
use std::sync::Arc;

/// Two rows of each type, and the text and the JSON of the first; the second is NULL.
fn cases() -> Vec<(ArrayRef, &'static str, &'static str)> {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
    let large = LargeListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(7)]), None]);
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
        vec![Some(vec![Some(1), Some(2)]), None],
        2,
    );
    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.values().append_value("a b");
    texts.values().append_value("c\"d");
    texts.values().append_value("");
    texts.append(true);
    texts.append_null();
    let fields =
        Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1, 0])), Arc::new(StringArray::from(vec!["x y", ""]))];
    let row = StructArray::new(fields, columns, Some(vec![true, false].into()));
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(5);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let dictionary: DictionaryArray<Int32Type> = vec![Some("word"), None].into_iter().collect();
    let wide = Decimal256Array::from(vec![Some(i256::from_i128(-12345)), None]);
    let month = IntervalYearMonthArray::from(vec![Some(14), None]);
    let day = IntervalDayTimeArray::from(vec![Some(IntervalDayTime::new(1, 2000)), None]);
    vec![
        (Arc::new(list), "{1,NULL}", "[1,null]"),
        (Arc::new(large), "{7}", "[7]"),
        (Arc::new(fixed), "{1,2}", "[1,2]"),
        (Arc::new(texts.finish()), r#"{"a b","c\"d",""}"#, r#"["a b","c\"d",""]"#),
        (Arc::new(row), "(1,\"x y\")", r#"{"a":1,"b":"x y"}"#),
        (Arc::new(map.finish()), "{k:5}", r#"{"k":5}"#),
        (Arc::new(dictionary), "word", "\"word\""),
        (Arc::new(wide.with_precision_and_scale(60, 3).unwrap()), "-12.345", "\"-12.345\""),
        (
            Arc::new(Decimal32Array::from(vec![Some(5), None]).with_precision_and_scale(9, 2).unwrap()),
            "0.05",
            "\"0.05\"",
        ),
        (
            Arc::new(Decimal64Array::from(vec![Some(-5), None]).with_precision_and_scale(18, 0).unwrap()),
            "-5",
            "\"-5\"",
        ),
        (Arc::new(month), "1 year 2 mons", "\"1 year 2 mons\""),
        (Arc::new(day), "1 day 00:00:02", "\"1 day 00:00:02\""),
        (
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some([1u8, 255]), None].into_iter(), 2)
                    .unwrap(),
            ),
            "\\x01ff",
            "\"\\\\x01ff\"",
        ),
    ]
}

#[test]
fn a_value_made_of_values_comes_back_and_prints() {
    for (column, text, json) in cases() {
        let schema = Arc::new(Schema::new(vec![Field::new("c", column.data_type().clone(), true)]));
        let codec = Codec::new(&schema).unwrap();
        let rows = codec.encode(std::slice::from_ref(&column), 2);
        let back = codec.decode(&rows.iter().collect::<Vec<_>>());
        assert_eq!(&back[0], &column);
        let (mut as_text, mut as_json, mut null) = (String::new(), String::new(), String::new());
        codec.value(rows.row(0), 0).write_text(&mut as_text);
        codec.value(rows.row(0), 0).write_json(&mut as_json);
        codec.value(rows.row(1), 0).write_json(&mut null);
        assert_eq!((as_text.as_str(), as_json.as_str(), null.as_str()), (text, json, "null"));
    }
}
