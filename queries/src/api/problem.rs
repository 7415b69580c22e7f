//! `Problem`: why a request was not done, as an RFC 9457 problem document.
use super::host::DeclareError;
use serde_json::{Map, Value, json};
use warp::http::{HeaderName, HeaderValue, StatusCode, header};
use warp::reply::Response;

/// A problem document in the making; boxed, as it rides in every `Result`.
#[derive(Debug)]
pub(super) struct Problem(Box<Document>);

#[derive(Debug)]
struct Document {
    status: StatusCode,
    word: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// `word` is stable: it ends the document's `type`.
    pub(super) fn new(
        status: StatusCode,
        word: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem(Box::new(Document {
            status,
            word,
            title,
            detail: detail.into(),
            members: Map::new(),
            headers: vec![],
        }))
    }

    pub(super) fn bad(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    pub(super) fn media_type(detail: impl Into<String>) -> Problem {
        let title = "The media type is not supported";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", title, detail)
    }

    /// 503: the same request may succeed in some seconds.
    pub(super) fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail)
            .header(header::RETRY_AFTER, "1")
    }

    /// 500: what went wrong stays inside.
    pub(super) fn internal() -> Problem {
        let detail = "the request failed inside the service; its log tells why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "An error of the service", detail)
    }

    pub(super) fn method(methods: &'static str) -> Problem {
        let detail = format!("use one of: {methods}");
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed here", detail)
            .header(header::ALLOW, methods)
    }

    /// With a further member.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.0.members.insert(name.into(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: &'static str) -> Problem {
        self.0.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    pub(super) fn into_response(self) -> Response {
        let problem = *self.0;
        let mut document = Map::new();
        document.insert("type".into(), format!("urn:tallyflow:problem:{}", problem.word).into());
        document.insert("title".into(), problem.title.into());
        document.insert("status".into(), problem.status.as_u16().into());
        document.insert("detail".into(), problem.detail.into());
        document.extend(problem.members);
        let mut response = Response::new(Value::Object(document).to_string().into());
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(problem.headers);
        response
    }
}

impl From<DeclareError> for Problem {
    fn from(error: DeclareError) -> Problem {
        let text = error.to_string();
        match error {
            DeclareError::Syntax { at, .. } => {
                let title = "The text is not SQL";
                let problem = Problem::new(StatusCode::BAD_REQUEST, "sql-syntax", title, text);
                match at {
                    Some((line, column)) => problem.with("line", json!(line)).with("column", json!(column)),
                    None => problem,
                }
            }
            DeclareError::Unsupported(_) => Problem::new(
                StatusCode::BAD_REQUEST,
                "sql-unsupported",
                "This SQL cannot be maintained",
                text,
            ),
            DeclareError::Invalid(_) => Problem::new(
                StatusCode::BAD_REQUEST,
                "sql-invalid",
                "The statement does not fit what is declared",
                text,
            ),
            DeclareError::NotFound(_) => Problem::not_found(text),
            DeclareError::Conflict(_) => {
                Problem::new(StatusCode::CONFLICT, "conflict", "The name is taken or in use", text)
            }
            DeclareError::Constraint(_) => Problem::new(
                StatusCode::CONFLICT,
                "constraint",
                "A row breaks a constraint of its table",
                text,
            ),
            DeclareError::Unavailable(_) => Problem::unavailable(text),
            // The text may name files or threads, which are nobody's business outside.
            DeclareError::Internal(_) => Problem::internal(),
        }
    }
}
