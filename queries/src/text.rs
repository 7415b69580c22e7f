//! A cell of an Arrow column as the text that PostgreSQL prints: for the PostgreSQL wire, test suites and other readers.
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use dataflows::value::Value;
use std::fmt::Write;

const DAY_NS: i128 = 86_400_000_000_000;

/// The text of a cell; none for NULL. Times with a zone are shown in UTC, `FixedSizeBinary(16)` is a uuid.
pub fn cell(array: &dyn Array, row: usize) -> Option<String> {
    let mut out = String::new();
    write(array, row, &mut out).then_some(out)
}

/// Appends the text of a cell; false, with nothing appended, for NULL.
fn write(array: &dyn Array, row: usize, out: &mut String) -> bool {
    if array.is_null(row) {
        return false;
    }
    match array.data_type() {
        DataType::Null => return false,
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            return match scalar(dictionary.keys(), row) {
                Some(Value::Int(key)) => write(dictionary.values().as_ref(), key as usize, out),
                _ => false,
            };
        }
        DataType::Union(_, _) => {
            let union = array.as_union();
            return write(union.child(union.type_id(row)).as_ref(), union.value_offset(row), out);
        }
        DataType::List(_) => write_list(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(row), out),
        DataType::ListView(_) => write_list(&array.as_list_view::<i32>().value(row), out),
        DataType::LargeListView(_) => write_list(&array.as_list_view::<i64>().value(row), out),
        DataType::FixedSizeList(_, _) => write_list(&array.as_fixed_size_list().value(row), out),
        DataType::Struct(_) => write_struct(array.as_struct().columns(), row, out),
        DataType::FixedSizeBinary(16) => write_uuid(array.as_fixed_size_binary().value(row), out),
        DataType::Float32 => write_real(array.as_primitive::<Float32Type>().value(row), out),
        DataType::Float16 => write_real(array.as_primitive::<Float16Type>().value(row).to_f32(), out),
        DataType::Decimal32(_, _) => {
            out.push_str(&array.as_primitive::<Decimal32Type>().value_as_string(row))
        }
        DataType::Decimal64(_, _) => {
            out.push_str(&array.as_primitive::<Decimal64Type>().value_as_string(row))
        }
        DataType::Decimal256(_, _) => {
            out.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row));
        }
        _ => match scalar(array, row) {
            Some(value) => value.write_text(out),
            None => write_as_arrow(array, row, out),
        },
    }
    true
}

/// A cell that `Value` can hold, if its type is such.
fn scalar(array: &dyn Array, row: usize) -> Option<Value<'_>> {
    Some(match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8 => integer::<Int8Type>(array, row),
        DataType::Int16 => integer::<Int16Type>(array, row),
        DataType::Int32 => integer::<Int32Type>(array, row),
        DataType::Int64 => integer::<Int64Type>(array, row),
        DataType::UInt8 => integer::<UInt8Type>(array, row),
        DataType::UInt16 => integer::<UInt16Type>(array, row),
        DataType::UInt32 => integer::<UInt32Type>(array, row),
        DataType::UInt64 => integer::<UInt64Type>(array, row),
        DataType::Decimal128(_, scale) => {
            Value::Decimal(array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Value::Text(array.as_string_view().value(row)),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Value::Bytes(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Value::Bytes(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Date64 => {
            let days = array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000);
            Value::Date(i32::try_from(days).ok()?)
        }
        DataType::Time32(unit) => time_of_day(array, row, *unit)?,
        DataType::Time64(unit) => time_of_day(array, row, *unit)?,
        DataType::Timestamp(unit, zone) => Value::Timestamp(timestamp_ns(array, row, *unit), zone.is_some()),
        DataType::Duration(unit) => {
            // The difference of two timestamps: PostgreSQL counts it in days and the time left.
            let ns = duration_ns(array, row, *unit);
            Value::Interval(0, i32::try_from(ns / DAY_NS).ok()?, i64::try_from(ns % DAY_NS).ok()?)
        }
        DataType::Interval(unit) => interval(array, row, *unit)?,
        _ => return None,
    })
}

fn integer<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &dyn Array, row: usize) -> Value<'_> {
    Value::Int(array.as_primitive::<T>().value(row).into())
}

fn nanoseconds(value: impl Into<i128>, unit: TimeUnit) -> i128 {
    value.into()
        * match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        }
}

fn time_of_day(array: &dyn Array, row: usize, unit: TimeUnit) -> Option<Value<'_>> {
    let ns = match unit {
        TimeUnit::Second => nanoseconds(array.as_primitive::<Time32SecondType>().value(row), unit),
        TimeUnit::Millisecond => nanoseconds(array.as_primitive::<Time32MillisecondType>().value(row), unit),
        TimeUnit::Microsecond => nanoseconds(array.as_primitive::<Time64MicrosecondType>().value(row), unit),
        TimeUnit::Nanosecond => nanoseconds(array.as_primitive::<Time64NanosecondType>().value(row), unit),
    };
    Some(Value::TimeOfDay(i64::try_from(ns).ok()?))
}

fn timestamp_ns(array: &dyn Array, row: usize, unit: TimeUnit) -> i128 {
    let count = match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
    };
    nanoseconds(count, unit)
}

fn duration_ns(array: &dyn Array, row: usize, unit: TimeUnit) -> i128 {
    let count = match unit {
        TimeUnit::Second => array.as_primitive::<DurationSecondType>().value(row),
        TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().value(row),
        TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().value(row),
    };
    nanoseconds(count, unit)
}

fn interval(array: &dyn Array, row: usize, unit: IntervalUnit) -> Option<Value<'_>> {
    Some(match unit {
        IntervalUnit::YearMonth => {
            Value::Interval(array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0)
        }
        IntervalUnit::DayTime => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(row);
            Value::Interval(0, value.days, i64::from(value.milliseconds) * 1_000_000)
        }
        IntervalUnit::MonthDayNano => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            Value::Interval(value.months, value.days, value.nanoseconds)
        }
    })
}

/// PostgreSQL's `real`: the shortest digits that read back as the same 32 bits, with an exponent from 1e6 on.
fn write_real(value: f32, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else if value != 0.0 && (value.abs() >= 1e6 || value.abs() < 1e-4) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').expect("the format writes an exponent");
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
    } else {
        _ = write!(out, "{value}");
    }
}

fn write_uuid(bytes: &[u8], out: &mut String) {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        _ = write!(out, "{byte:02x}");
    }
}

fn write_list(items: &ArrayRef, out: &mut String) {
    let nested = items.data_type().is_list();
    let mut text = String::new();
    out.push('{');
    for row in 0..items.len() {
        if row > 0 {
            out.push(',');
        }
        text.clear();
        if !write(items.as_ref(), row, &mut text) {
            out.push_str("NULL");
            continue;
        }
        let quoted = !nested
            && (text.is_empty()
                || text.eq_ignore_ascii_case("null")
                || text.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || is_space(c)));
        match quoted {
            true => write_quoted(&text, "\\\"", out),
            false => out.push_str(&text),
        }
    }
    out.push('}');
}

fn write_struct(fields: &[ArrayRef], row: usize, out: &mut String) {
    let mut text = String::new();
    out.push('(');
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        text.clear();
        // NULL is nothing at all, so an empty text has to be quoted.
        if !write(field.as_ref(), row, &mut text) {
            continue;
        }
        let quoted = text.is_empty()
            || text.contains(|c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || is_space(c));
        match quoted {
            true => write_quoted(&text, "\"\"", out),
            false => out.push_str(&text),
        }
    }
    out.push(')');
}

/// What C's `isspace` takes for one.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn write_quoted(text: &str, quote: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str(quote),
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Types that PostgreSQL does not have, such as maps.
fn write_as_arrow(array: &dyn Array, row: usize, out: &mut String) {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    match ArrayFormatter::try_new(array, &options) {
        Ok(formatter) => _ = write!(out, "{}", formatter.value(row)),
        Err(why) => _ = write!(out, "{why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use std::sync::Arc;

    fn check(array: impl Array, texts: &[Option<&str>]) {
        let found: Vec<Option<String>> = (0..array.len()).map(|row| cell(&array, row)).collect();
        let found: Vec<Option<&str>> = found.iter().map(|text| text.as_deref()).collect();
        assert_eq!(found, texts, "{}", array.data_type());
    }

    #[test]
    fn numbers_are_as_postgresql_prints_them() {
        check(BooleanArray::from(vec![Some(true), Some(false), None]), &[Some("t"), Some("f"), None]);
        check(Int64Array::from(vec![i64::MIN]), &[Some("-9223372036854775808")]);
        check(UInt64Array::from(vec![u64::MAX]), &[Some("18446744073709551615")]);
        check(
            Float64Array::from(vec![
                0.1,
                1e14,
                1e15,
                1.5e-5,
                1e-4,
                -0.0,
                1e20,
                1e308,
                f64::NAN,
                f64::INFINITY,
            ]),
            &[
                Some("0.1"),
                Some("100000000000000"),
                Some("1e+15"),
                Some("1.5e-05"),
                Some("0.0001"),
                Some("-0"),
                Some("1e+20"),
                Some("1e+308"),
                Some("NaN"),
                Some("Infinity"),
            ],
        );
        check(
            Float32Array::from(vec![0.1, 999999.0, 1e6, 1.5e-5, f32::NEG_INFINITY]),
            &[Some("0.1"), Some("999999"), Some("1e+06"), Some("1.5e-05"), Some("-Infinity")],
        );
        let money = Decimal128Array::from(vec![Some(-1250), Some(5), None]).with_precision_and_scale(10, 2);
        check(money.expect("within the precision"), &[Some("-12.50"), Some("0.05"), None]);
        let wide = Decimal256Array::from(vec![i256::from_i128(1250)]).with_precision_and_scale(50, 3);
        check(wide.expect("within the precision"), &[Some("1.250")]);
    }

    #[test]
    fn times_are_as_postgresql_prints_them() {
        check(Date32Array::from(vec![14_943, -1]), &[Some("2010-11-30"), Some("1969-12-31")]);
        check(
            TimestampMillisecondArray::from(vec![Some(1_400), Some(-1), None]),
            &[Some("1970-01-01 00:00:01.4"), Some("1969-12-31 23:59:59.999"), None],
        );
        check(TimestampSecondArray::from(vec![253_402_300_800]), &[Some("10000-01-01 00:00:00")]);
        let zoned = TimestampMicrosecondArray::from(vec![0]).with_timezone("Europe/Berlin");
        check(zoned, &[Some("1970-01-01 00:00:00+00")]);
        check(Time64MicrosecondArray::from(vec![3_723_000_500]), &[Some("01:02:03.0005")]);
        check(Time32SecondArray::from(vec![86_399]), &[Some("23:59:59")]);
        let interval = |months, days, ns| IntervalMonthDayNano::new(months, days, ns);
        check(
            IntervalMonthDayNanoArray::from(vec![
                interval(0, 1, 7_384_000_000_000),
                interval(-14, 3, -1_500_000_000),
                interval(0, -1, 7_200_000_000_000),
                interval(0, 0, 0),
            ]),
            &[
                Some("1 day 02:03:04"),
                Some("-1 years -2 mons +3 days -00:00:01.5"),
                Some("-1 days +02:00:00"),
                Some("00:00:00"),
            ],
        );
        check(DurationSecondArray::from(vec![90_061, -3_600]), &[Some("1 day 01:01:01"), Some("-01:00:00")]);
    }

    #[test]
    fn texts_bytes_and_uuids() {
        check(StringArray::from(vec![Some("a b"), Some(""), None]), &[Some("a b"), Some(""), None]);
        check(StringViewArray::from(vec!["é"]), &[Some("é")]);
        check(BinaryArray::from(vec![b"\x00\xff".as_slice()]), &[Some("\\x00ff")]);
        let id = (0..16).collect::<Vec<u8>>();
        let ids = FixedSizeBinaryArray::try_from_iter([id].into_iter()).expect("one width");
        check(ids, &[Some("00010203-0405-0607-0809-0a0b0c0d0e0f")]);
        check(DictionaryArray::<Int8Type>::from_iter([Some("a"), None]), &[Some("a"), None]);
        check(NullArray::new(1), &[None]);
    }

    #[test]
    fn arrays_and_rows_quote_what_would_be_misread() {
        let mut list = ListBuilder::new(StringBuilder::new());
        for text in ["a", "", "null", "b c", "d\"e\\", "{,}"] {
            list.values().append_value(text);
        }
        list.values().append_null();
        list.append(true);
        list.append(true);
        list.append(false);
        let expected = r#"{a,"","null","b c","d\"e\\","{,}",NULL}"#;
        check(list.finish(), &[Some(expected), Some("{}"), None]);

        let mut nested = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
        nested.values().append_value([Some(1), None]);
        nested.values().append_value([Some(2)]);
        nested.append(true);
        check(nested.finish(), &[Some("{{1,NULL},{2}}")]);

        let columns: [(&str, ArrayRef); 4] = [
            ("a", Arc::new(Int32Array::from(vec![1]))),
            ("b", Arc::new(StringArray::from(vec!["x \"y\""]))),
            ("c", Arc::new(StringArray::from(vec![None::<&str>]))),
            ("d", Arc::new(StringArray::from(vec![""]))),
        ];
        let row = StructArray::try_from(columns.to_vec()).expect("one length");
        check(row, &[Some(r#"(1,"x ""y""",,"")"#)]);
    }
}
