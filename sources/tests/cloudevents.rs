//! CloudEvents 1.0.2: which payloads are events, and by which rule the others are not.
use bytes::Bytes;
use serde_json::Value;
use sources::Payload;
use sources::event::{Attribute, Data, EVENT_BYTES_MAX, Rule, binary, parse, parse_batch};
use std::path::{Path, PathBuf};

const SUITE: &str = "/work/shared/suites/cloudevents";

/// The conformance suite; none, with a line that says so, where it is not there. CI must have it.
fn suite(part: &str) -> Option<PathBuf> {
    let path = Path::new(SUITE).join(part);
    if path.exists() {
        return Some(path);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", path.display());
    println!("skipped: {} is missing", path.display());
    None
}

fn structured(text: impl Into<String>) -> Payload {
    Payload::Structured(text.into().into())
}

/// A minimal event with more members.
fn with(members: &str) -> Payload {
    structured(format!(r#"{{"specversion":"1.0","id":"1","type":"t","source":"/s"{members}}}"#))
}

fn rule(payload: &Payload) -> Option<&'static str> {
    parse(payload).err().map(|reject| reject.rule.word())
}

#[test]
fn the_json_format_suite_is_told_apart() {
    let Some(folder) = suite("json-format-v1") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bad = ["fail_", "_invalid", "_upper_case"].iter().any(|mark| name.contains(mark));
        let payload = structured(std::fs::read_to_string(&path).unwrap());
        assert_eq!(parse(&payload).is_err(), bad, "{name}: {:?}", parse(&payload));
        seen += 1;
    }
    assert!(seen >= 17, "only {seen} cases were found");
}

/// Runs the scenarios of the binding's feature file: each has a request, a table of attributes, JSON data, and examples.
#[test]
fn the_http_binding_scenarios_hold() {
    let Some(file) = suite("features/http-protocol-binding.feature") else { return };
    let feature = std::fs::read_to_string(file).unwrap();
    let mut runs = 0;
    for scenario in feature.split("Scenario Outline:").skip(1) {
        let (steps, examples) = scenario.split_once("Examples:").unwrap();
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        for example in examples.lines().filter(|line| line.contains('|')).skip(1) {
            let content_type = &cells(example)[1];
            let steps = steps.replace("<contentType>", content_type);
            let blocks: Vec<&str> = steps.split("\"\"\"").collect();
            let payload = request(blocks[1]);
            let event = parse(&payload).unwrap();
            for row in blocks[2].lines().filter(|line| line.contains('|')).skip(1) {
                let row = cells(row);
                assert_eq!(event.attribute(&row[1]).as_deref(), Some(row[2].as_str()), "{content_type}");
            }
            let Data::Json(data) = &event.data else { panic!("the data are JSON: {event:?}") };
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data, serde_json::from_str::<Value>(blocks[3]).unwrap());
            runs += 1;
        }
    }
    assert_eq!(runs, 4);
}

fn request(text: &str) -> Payload {
    let (head, body) = text.trim().split_once("\n\n").expect("a request has a body");
    let headers: Vec<(&str, &str)> =
        head.lines().skip(1).filter_map(|line| line.trim().split_once(": ")).collect();
    let content_type =
        headers.iter().find(|(name, _)| *name == "Content-Type").expect("every request has one").1;
    let body = Bytes::copy_from_slice(body.as_bytes());
    match content_type.starts_with("application/cloudevents") {
        true => Payload::Structured(body),
        false => binary(Some(content_type), headers, body).expect("the scenarios are valid events"),
    }
}

#[test]
fn each_violation_names_its_rule() {
    let cases = [
        (r#""#, "json"),
        (r#"[]"#, "json"),
        (r#"{"specversion":"1.0","id":"1","type":"t","source":"/s"} x"#, "json"),
        (r#"{"specversion":"1.0","id":"1","type":"t","source":"/s","id":"1"}"#, "json"),
        (r#"{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{"a":1,"a":1}}"#, "json"),
        (r#"{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{"a":01}}"#, "json"),
        (r#"{"id":"1","type":"t","source":"/s"}"#, "specversion"),
        (r#"{"specversion":"0.3","id":"1","type":"t","source":"/s"}"#, "specversion"),
        (r#"{"specversion":1.0,"id":"1","type":"t","source":"/s"}"#, "type"),
        (r#"{"specversion":1,"id":"1","type":"t","source":"/s"}"#, "type"),
        (r#"{"specversion":"1.0","type":"t","source":"/s"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"","type":"t","source":"/s"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":7,"type":"t","source":"/s"}"#, "type"),
        (r#"{"specversion":"1.0","id":null,"type":"t","source":"/s"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"1","type":"","source":"/s"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"1","type":"t","source":"a b"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"a\u0001","type":"t","source":"/s"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"a\u0085","type":"t","source":"/s"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"a\uffff","type":"t","source":"/s"}"#, "attribute"),
        (r#"{"specversion":"1.0","id":"a\ud800","type":"t","source":"/s"}"#, "json"),
    ];
    for (text, expected) in cases {
        assert_eq!(rule(&structured(text)), Some(expected), "{text}");
    }
    let members = [
        (r#","subject":"""#, "attribute"),
        (r#","dataschema":"/relative""#, "attribute"),
        (r#","dataschema":"http://a b""#, "attribute"),
        (r#","datacontenttype":"json""#, "attribute"),
        (r#","time":"yesterday""#, "time"),
        (r#","time":"2018-04-26T14:48:09""#, "time"),
        (r#","time":"2018-02-30T14:48:09Z""#, "time"),
        (r#","time":1524754089"#, "type"),
        (r#","Ext":"x""#, "extension"),
        (r#","my_ext":"x""#, "extension"),
        (r#","":"x""#, "extension"),
        (r#","ext":1.5"#, "extension"),
        (r#","ext":1e2"#, "extension"),
        (r#","ext":2147483648"#, "extension"),
        (r#","ext":{}"#, "type"),
        (r#","ext":[1]"#, "type"),
        (r#","ext":"a\u007f""#, "extension"),
        (r#","data":1,"data_base64":"e30=""#, "data"),
        (r#","data_base64":7"#, "data"),
        (r#","data_base64":"e30""#, "data"),
        (r#","data_base64":"e3""#, "data"),
        (r#","data_base64":"e307""#, "data"),
        (r#","datacontenttype":"text/plain","data":{"a":1}"#, "data"),
    ];
    for (text, expected) in members {
        let payload = with(text);
        assert_eq!(rule(&payload), Some(expected), "{text}");
        let reject = parse(&payload).unwrap_err();
        let identity = (reject.event_id.as_deref(), reject.event_source.as_deref());
        assert_eq!(identity, (Some("1"), Some("/s")), "{text}");
    }
    assert_eq!(rule(&Payload::Structured(Bytes::from_static(b"{\"id\":\"\xff\"}"))), Some("json"));
    assert_eq!(rule(&structured(" ".repeat(EVENT_BYTES_MAX + 1))), Some("size"));
}

#[test]
fn what_the_specification_allows_is_taken() {
    let members = [
        r#","subject":null,"time":null,"ext":null,"data_base64":null"#,
        r#","time":"2018-04-26t14:48:09.123456789123z""#,
        r#","time":"2016-12-31T23:59:60Z""#,
        r#","averylongextensionnamethatthespecificationwouldlikeshorter":"x""#,
        r#","ext":-2147483648,"b":false"#,
        r#","id2":"é😀","subject":"Größe""#,
        r#","dataschema":"urn:x:y","datacontenttype":"application/vnd.x+json; charset=\"utf-8\"","data":[1]"#,
        r#","data":null"#,
        r#","data":null,"data_base64":"e30=""#,
    ];
    for text in members {
        assert_eq!(rule(&with(text)), None, "{text}");
    }
}

#[test]
fn attributes_and_data_are_read_as_written() {
    let payload = structured(
        r#" { "data" : { "a" : [ 1 ] } , "ext" : "x\ty" , "n" : 42 , "b" : true , "source" : "/s" ,
              "type" : "t" , "i\u0064" : "\u0031" , "specversion" : "1.0" , "time" : "1970-01-01T00:00:01.5Z" } "#,
    );
    assert_eq!(rule(&payload), Some("extension"), "a tab is a control character");
    let payload = structured(
        r#" { "data" : { "a" : [ 1 ] } , "ext" : "x\"y" , "n" : 42 , "b" : true , "source" : "/s" ,
              "type" : "t" , "i\u0064" : "\u0031" , "specversion" : "1.0" , "time" : "1970-01-01T00:00:01.5Z" } "#,
    );
    let event = parse(&payload).unwrap();
    assert_eq!((event.id.as_ref(), event.moment.unwrap().millis()), ("1", 1500));
    let values: Vec<_> = event.extensions.iter().map(|e| (e.name.as_ref(), e.value.clone())).collect();
    let expected = [
        ("ext", Attribute::Text("x\"y".into())),
        ("n", Attribute::Integer(42)),
        ("b", Attribute::Boolean(true)),
    ];
    assert_eq!(values, expected);
    assert_eq!(event.data, Data::Json(r#"{ "a" : [ 1 ] }"#.into()));
    let cases = [
        (r#","data":" x ""#, Data::Json(r#"" x ""#.into())),
        (r#","datacontenttype":"text/plain","data":"a\nb""#, Data::Text("a\nb".into())),
        (r#","datacontenttype":"text/plain","data_base64":"SGk=""#, Data::Bytes(b"Hi".as_slice().into())),
        (r#","datacontenttype":"application/json","data_base64":"IHt9IA==""#, Data::Json("{}".into())),
        (r#","datacontenttype":"text/plain","data":null"#, Data::None),
        ("", Data::None),
    ];
    for (members, data) in cases {
        assert_eq!(parse(&with(members)).unwrap().data, data, "{members}");
    }
}

#[test]
fn a_binary_request_is_an_event_or_a_reject() {
    let good =
        [("CE-Id", "1"), ("ce-source", "/s"), ("ce-type", "t"), ("ce-specversion", "1.0"), ("host", "x")];
    let read = |content_type, more: &[(&str, &str)], body: &'static str| {
        let headers: Vec<_> = good.iter().chain(more).copied().collect();
        binary(content_type, headers, body.into()).map_err(|reject| reject.rule)
    };
    let payload = read(Some("text/plain"), &[("ce-subject", "Euro%20%E2%82%AC")], "hi").unwrap();
    let event = parse(&payload).unwrap();
    assert_eq!(event.subject.as_deref(), Some("Euro €"));
    assert_eq!(event.data, Data::Bytes(b"hi".as_slice().into()));
    assert_eq!(parse(&read(None, &[], "{}").unwrap()).unwrap().data, Data::Json("{}".into()));
    assert_eq!(parse(&read(None, &[], "{").unwrap()).unwrap().data, Data::Bytes(b"{".as_slice().into()));
    assert_eq!(parse(&read(Some("application/json"), &[], "").unwrap()).unwrap().data, Data::None);
    let none: &[(&str, &str)] = &[];
    let cases = [
        (Some("application/json"), none, "{", Rule::Data),
        (Some("nonsense"), none, "", Rule::Attribute),
        (None, &[("ce-id", "2")], "", Rule::Attribute),
        (None, &[("ce-subject", "%f")], "", Rule::Attribute),
        (None, &[("ce-my-ext", "x")], "", Rule::Extension),
        (None, &[("ce-datacontenttype", "a/b")], "", Rule::Attribute),
        (None, &[("ce-time", "now")], "", Rule::Time),
    ];
    for (content_type, more, body, rule) in cases {
        assert_eq!(read(content_type, more, body), Err(rule), "{more:?}");
    }
}

#[test]
fn a_batch_is_taken_as_a_whole_or_not_at_all() {
    let one = r#"{"specversion":"1.0","id":"1","type":"t","source":"/s"}"#;
    let bytes = Bytes::from(format!("[ {one} ,{one}]"));
    assert_eq!(parse_batch(&bytes).unwrap(), [structured(one), structured(one)]);
    assert_eq!(parse_batch(&Bytes::from_static(b" [] ")).unwrap(), []);
    let cases = [
        (format!("[{one},{{}}]"), Rule::Specversion, "event 1 of the batch: "),
        (format!("[{one},7]"), Rule::Json, "event 1 of the batch: "),
        (format!("[{one}"), Rule::Json, "not JSON at byte"),
        (one.to_owned(), Rule::Json, "cannot read a batch"),
    ];
    for (text, rule, reason) in cases {
        let reject = parse_batch(&Bytes::from(text)).unwrap_err();
        assert_eq!(reject.rule, rule);
        assert!(reject.reason.starts_with(reason), "{reject}");
    }
}
