//! The description of the API in OpenAPI: what `openapi.json` says, and the paths of the business from their tables. The columns
//! that a list is filtered and sorted by are those of the views that can be read now.
use super::entities::{ENTITIES, Entity};
use super::pages::{METRICS, PAGES, Page, Shown};
use super::{commands, schemas};
use arrow::datatypes::{DataType, Schema};
use serde_json::{Map, Value, json};
use sinks::memory::Read;

/// The whole description.
pub(in crate::api) fn whole(read: &Read) -> String {
    let text = include_str!("../openapi.json");
    let mut document: Value = serde_json::from_str(text).expect("a test reads it");
    let Some(paths) = document["paths"].as_object_mut() else { return text.to_owned() };
    for (path, item) in paths_of(read) {
        paths.insert(format!("/api/v1/{path}"), item);
    }
    serde_json::to_string_pretty(&document).expect("a JSON value is written")
}

fn paths_of(read: &Read) -> Vec<(String, Value)> {
    let mut paths = vec![];
    for entity in &ENTITIES {
        paths.extend(entity_paths(read, entity));
    }
    for page in &PAGES {
        paths.push((page.path.to_owned(), page_path(read, page)));
    }
    paths.extend(stream_paths());
    paths.extend(schema_paths());
    paths
}

fn entity_paths(read: &Read, entity: &Entity) -> Vec<(String, Value)> {
    let (word, one) = (entity.word, entity.subject);
    let row: Value = parsed(entity.row);
    let example: Value = parsed(entity.example);
    let id = json!([id_parameter(&example[entity.id])]);
    let versioned = json!({"time": 1_700_000_000_000_u64, "version": 1, "rows": [row]});
    let version = json!({"time": 1_700_000_000_000_u64, "rows": [{"version": 1, "event_id": "1", "event_type": schemas::event_type(entity.created), "source": "/bss/crm", "data": example}]});
    let mut paths = vec![
        (
            word.to_owned(),
            json!({
                "get": list(read, entity.view, &format!("The {word}"), word, &row),
                "post": command(&format!("State a new {one}"), &format!("{word}_create"), Some(body(entity, true)), false),
            }),
        ),
        (
            format!("{word}/{{id}}"),
            json!({
                "parameters": id,
                "get": get(&format!("One of the {word}, with its version"), &format!("{word}_one"), &versioned),
                "put": command(&format!("State the whole {one} anew"), &format!("{word}_replace"), Some(body(entity, false)), true),
                "delete": command(&format!("State the end of a {one}: {}", entity.removed), &format!("{word}_remove"), None, true),
            }),
        ),
        (
            format!("{word}/{{id}}/history"),
            json!({
                "parameters": id,
                "get": get(&format!("What was said of a {one}, version by version"), &format!("{word}_history"), &version),
            }),
        ),
    ];
    if word == "invoices" {
        let send = command("State that an invoice was sent", "invoices_send", None, true);
        paths.push((format!("{word}/{{id}}/send"), json!({"parameters": id, "post": send})));
    }
    paths
}

fn page_path(read: &Read, page: &Page) -> Value {
    let row = parsed(page.example);
    let id = page.path.replace(['/', '-'], "_").replace("{id}", "of");
    let metric = page.path.strip_prefix("metrics/").filter(|kind| METRICS.contains(kind));
    let about = page.about;
    let mut item = match page.shown {
        Shown::List => json!({"get": list(read, page.view, about, &id, &row)}),
        Shown::Of(column) => json!({
            "parameters": [id_parameter(&row[column])],
            "get": list(read, page.view, about, &id, &row),
        }),
        Shown::One => {
            let example = json!({"time": 1_700_000_000_000_u64, "rows": [row]});
            json!({"parameters": [id_parameter(&row["customer_id"])], "get": get(about, &id, &example)})
        }
    };
    if let Some(kind) = metric {
        let mut schema = schemas::schema(commands::RECORDED)["properties"]["data"].clone();
        schema["properties"]["metricName"]["minLength"] = 1.into();
        let example = json!({"metricName": "load", "value": "0.7", "unit": "1", "resourceId": "gw-1"});
        let body = json!({"required": true, "content": {"application/json": {"schema": schema, "example": example}}});
        item["post"] =
            command(&format!("Record a measurement as {kind}.*"), &format!("{id}_record"), Some(body), false);
    }
    item
}

fn stream_paths() -> Vec<(String, Value)> {
    let time = 1_700_000_000_000_u64;
    let waiting = parameters(&["at_least", "wait"]);
    let path = |what: &str, about: &str, parameters: &Value, example: Value| {
        let item = json!({"get": {
            "summary": about, "operationId": what.replace('/', "_"), "parameters": parameters,
            "responses": responses(200, &json!({"type": "object"}), &example, &["400", "503", "504"]),
        }});
        (what.to_owned(), item)
    };
    let none = json!([]);
    let stream = json!({"name": "orders", "state": "running", "rows": 7, "errors": 0, "key_violations": 0});
    let declared = json!({"name": "orders", "kind": "MaterializedView", "sql": "CREATE MATERIALIZED VIEW ..", "since": time});
    let health = json!({"time": time, "status": "healthy", "missing": null, "views": 80, "building": 0, "errors": 0, "key_violations": 0});
    let schema = json!({
        "type": "object", "required": ["quarantined_before"], "additionalProperties": false,
        "properties": {"quarantined_before": {"type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64}},
    });
    let cleanup = json!({"post": {
        "summary": "Discard what waits in quarantine from before a time, and forget commands that can be read",
        "operationId": "streams_cleanup",
        "requestBody": {"required": true, "content": {"application/json": {"schema": schema, "example": {"quarantined_before": time}}}},
        "responses": responses(200, &json!({"type": "object"}), &json!({"discarded": 2, "forgotten": 0}), &["400", "408", "413", "415", "503"]),
    }});
    vec![
        path(
            "streams/status",
            "How far the log is read, and each view",
            &waiting,
            json!({"time": time, "positions": [{"partition": 0, "offset": 12}], "streams": [stream]}),
        ),
        path(
            "streams/metadata",
            "What is declared, with its statements",
            &none,
            json!({"streams": [declared]}),
        ),
        path(
            "streams/metrics",
            "The metrics of /metrics as JSON",
            &none,
            json!({"metrics": [{"name": "tallyflow_view_rows", "labels": "view=\"orders\"", "value": "7"}]}),
        ),
        path("analytics/system/health", "Whether all views answer without failures", &waiting, health),
        ("streams/cleanup".to_owned(), cleanup),
    ]
}

fn schema_paths() -> Vec<(String, Value)> {
    let name = schemas::event_type("customer.created");
    let all = json!({"schemas": [{"type": name, "url": format!("/api/v1/schemas/{name}")}]});
    let one = json!({"title": "customer created", "type": "object", "required": ["id", "data"]});
    let get = |about: &str, id: &str, example: &Value, errors: &[&str]| {
        let responses = responses(200, &json!({"type": "object"}), example, errors);
        json!({"summary": about, "operationId": id, "responses": responses})
    };
    let parameter = json!({"name": "type", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}, "example": name});
    vec![
        (
            "schemas".to_owned(),
            json!({"get": get("The types of events and where their schemas are", "schemas", &all, &["400"])}),
        ),
        (
            "schemas/{type}".to_owned(),
            json!({"parameters": [parameter], "get": get("The JSON schema of a type of event", "schema", &one, &["400", "404"])}),
        ),
    ]
}

/// A list of a view's rows: search, sort, filters by its columns.
fn list(read: &Read, view: &str, about: &str, id: &str, row: &Value) -> Value {
    let mut parameters = parameters(&["at_least", "wait", "limit", "cursor", "if_none_match"]);
    let more = parameters.as_array_mut().expect("it was made as an array");
    more.push(json!({"name": "q", "in": "query", "schema": {"type": "string"}, "description": "Rows of which a text holds this, however it is capitalised", "example": "ada"}));
    let schema = read.view(view).map(|kept| kept.shape().view().schema.clone());
    let names: Vec<&str> = match &schema {
        Some(schema) => schema.fields().iter().map(|field| field.name().as_str()).collect(),
        None => row.as_object().into_iter().flat_map(|row| row.keys()).map(String::as_str).collect(),
    };
    let columns = names.join("|");
    let pattern = format!("^-?({columns})(,-?({columns}))*$");
    let example = names.first().map(|name| format!("-{name}"));
    more.push(json!({"name": "sort", "in": "query", "schema": {"type": "string", "pattern": pattern}, "description": "Columns by commas; a leading - is descending", "example": example}));
    more.extend(schema.iter().flat_map(|schema| filters(schema)));
    let example = json!({"time": 1_700_000_000_000_u64, "rows": [row]});
    json!({
        "summary": about,
        "description": format!("Rows of `{view}`, in the order of its key. `column=value` keeps rows whose column equals it; `column[lt|lte|gt|gte|ne]=value` and `column[null]=true|false` as at /api/v1/views/{{name}}. 404 where the catalogue has no `{view}`."),
        "operationId": id,
        "parameters": parameters,
        "responses": responses(200, &json!({"$ref": "#/components/schemas/Rows"}), &example, &["304", "400", "404", "503", "504"]),
    })
}

/// A parameter for each column that has a simple type.
fn filters(schema: &Schema) -> Vec<Value> {
    let fields = schema.fields().iter().filter_map(|field| {
        let kind = match field.data_type() {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => json!({"type": "string"}),
            DataType::Boolean => json!({"type": "boolean"}),
            DataType::Int64 => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
            DataType::Int32 => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
            DataType::Date32 => json!({"type": "string", "format": "date"}),
            _ => return None,
        };
        Some(json!({"name": field.name(), "in": "query", "schema": kind, "description": "Rows with this value"}))
    });
    fields.collect()
}

fn get(about: &str, id: &str, example: &Value) -> Value {
    let rows = json!({"$ref": "#/components/schemas/Rows"});
    json!({
        "summary": about, "operationId": id, "parameters": parameters(&["at_least", "wait", "if_none_match"]),
        "responses": responses(200, &rows, example, &["304", "400", "404", "503", "504"]),
    })
}

/// A command: 202 when it is in the log, 200 when it can be read.
fn command(about: &str, id: &str, body: Option<Value>, versioned: bool) -> Value {
    let header = |name: &str, schema: Value, about: &str, example: &str| json!({"name": name, "in": "header", "schema": schema, "description": about, "example": example});
    let text = || json!({"type": "string"});
    let key = json!({"type": "string", "pattern": "^([A-Za-z0-9_.:-]{1,128}|\"[A-Za-z0-9_.:-]{1,128}\")$"});
    let mut parameters = vec![
        header(
            "Prefer",
            text(),
            "`wait`, or `wait=` seconds: answers 200 with the rows once they can be read, 202 if that is later",
            "wait=1",
        ),
        header("Idempotency-Key", key, "The same request with the same key is done once", "order-7-attempt"),
    ];
    if versioned {
        parameters.push(header(
            "If-Match",
            text(),
            "The version that is replaced, or *: 412 where it is another",
            "\"1\"",
        ));
    }
    let event = json!({"id": "order-7-attempt", "source": "/bss/api/customers", "type": schemas::event_type("customer.created")});
    let example =
        json!({"id": "C-api", "version": 1, "event": event, "positions": [{"partition": 0, "offset": 12}]});
    let schema = json!({
        "type": "object", "required": ["id", "event", "positions"],
        "properties": {"id": {"type": "string"}, "version": {"type": "integer"}, "event": {"type": "object"}, "rows": {"type": "array"},
            "positions": {"type": "array", "items": {"$ref": "#/components/schemas/Position"}}},
    });
    let errors: &[&str] = match (&body, versioned) {
        (Some(_), true) => &["400", "404", "408", "409", "412", "413", "415", "422", "503", "504"],
        (Some(_), false) => &["400", "404", "408", "409", "412", "413", "415", "422", "503", "504"],
        (None, _) => &["400", "404", "409", "412", "422", "503", "504"],
    };
    let mut responses = responses(202, &schema, &example, errors);
    responses["200"] = content("It can be read", &schema, &example);
    let mut operation =
        json!({"summary": about, "operationId": id, "parameters": parameters, "responses": responses});
    if let Some(body) = body {
        operation["requestBody"] = body;
    }
    operation
}

/// The body of a command: the data of its event. The id is in the path, or is given where it is left out.
fn body(entity: &Entity, with_id: bool) -> Value {
    let mut schema = schemas::schema(entity.created)["properties"]["data"].clone();
    let mut example = parsed(entity.example);
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name != entity.id);
    }
    if with_id {
        schema["properties"][entity.id]["minLength"] = 1.into();
    } else if let (Some(properties), Some(example)) =
        (schema["properties"].as_object_mut(), example.as_object_mut())
    {
        properties.remove(entity.id);
        example.remove(entity.id);
    }
    json!({"required": true, "content": {"application/json": {"schema": schema, "example": example}}})
}

fn parameters(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")})).collect()
}

fn id_parameter(example: &Value) -> Value {
    json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}, "description": "The id, percent-encoded", "example": example})
}

/// The answers of an operation: what it is for, and the problems.
fn responses(status: u16, schema: &Value, example: &Value, problems: &[&str]) -> Value {
    let about = if status == 202 { "In the log; give its positions to `at_least`" } else { "What is known" };
    let mut responses = Map::new();
    responses.insert(status.to_string(), content(about, schema, example));
    for problem in problems {
        let name = match *problem {
            "304" => "NotModified",
            "404" => "NotFound",
            "408" => "Slow",
            "409" => "Conflict",
            "412" => "Version",
            "413" => "TooLarge",
            "415" => "MediaType",
            "422" => "Unfit",
            "503" => "Unavailable",
            "504" => "TooEarly",
            _ => "BadRequest",
        };
        responses.insert((*problem).to_owned(), json!({"$ref": format!("#/components/responses/{name}")}));
    }
    responses.into()
}

fn content(about: &str, schema: &Value, example: &Value) -> Value {
    json!({"description": about, "content": {"application/json": {"schema": schema, "example": example}}})
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("a test reads every example")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sinks::memory::{Limits, Memory};
    use std::collections::BTreeSet;

    #[test]
    fn every_path_is_described_with_an_example_and_its_own_name() {
        let document: Value =
            serde_json::from_str(&whole(&Memory::new(1, Limits::default()).read())).unwrap();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
            {
                assert!(names.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            }
        }
        for (path, item) in paths_of(&Memory::new(1, Limits::default()).read()) {
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
            {
                let answer = operation["responses"].as_object().unwrap().values().next().unwrap();
                assert!(answer["content"]["application/json"]["example"].is_object(), "{method} {path}");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    if let Some(name) = response["$ref"].as_str() {
                        let name = name.rsplit('/').next().unwrap();
                        assert!(
                            document["components"]["responses"][name].is_object(),
                            "{method} {path} {status}"
                        );
                    }
                }
            }
        }
    }
}
