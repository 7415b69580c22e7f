//! `Remote`: a process that is running, asked over HTTP.
use super::DATA_DEFAULT;
use crate::Error;
use crate::data::Data;
use clap::Args;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

const ANSWER_WAIT: Duration = Duration::from_secs(120);

/// Which process is meant.
#[derive(Args, Debug, Clone)]
pub(super) struct Where {
    /// The data directory that the process holds [default: ./tallyflow-data].
    #[arg(long, value_name = "DIR", conflicts_with = "url", global = true)]
    data: Option<PathBuf>,
    /// Where it answers, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
}

pub(super) struct Remote {
    address: String,
}

impl Remote {
    pub(super) fn of(meant: &Where) -> Result<Remote, Error> {
        if let Some(url) = &meant.url {
            let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
            let address = address.filter(|address| address.contains(':') && !address.contains('/'));
            let wrong = || Error::Usage(format!("cannot use --url {url}: write http://HOST:PORT"));
            return Ok(Remote { address: address.ok_or_else(wrong)?.to_owned() });
        }
        let data = meant.data.clone().unwrap_or_else(|| DATA_DEFAULT.into());
        let tried = format!("ask the process that holds {}", data.display());
        let holder = Data::holder(&data)?.ok_or_else(|| {
            Error::failed(
                &tried,
                "none does: start one by 'tallyflow run', or name another with --data or --url",
            )
        })?;
        let address = holder.address.ok_or_else(|| Error::failed(&tried, "it does not answer HTTP yet"))?;
        Ok(Remote { address })
    }

    /// The answer's JSON. What the process refuses is an error in its own words.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Value, Error> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::failed(format!("ask {method} http://{}{path}", self.address), why)
        };
        let mut stream = TcpStream::connect(&self.address).map_err(|why| failed(&why))?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|why| failed(&why))?;
        let (media_type, bytes) = body.unwrap_or(("text/plain", b""));
        // HTTP/1.0: the body comes as it is, and ends with the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            bytes.len()
        );
        stream.write_all(head.as_bytes()).map_err(|why| failed(&why))?;
        stream.write_all(bytes).map_err(|why| failed(&why))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|why| failed(&why))?;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let value: Value =
            serde_json::from_str(body).map_err(|_| failed(&format!("it answered {status} and no JSON")))?;
        if status.starts_with('2') {
            return Ok(value);
        }
        let detail = value["detail"].as_str().unwrap_or("it does not say why");
        Err(Error::Failed(detail.to_owned()))
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Error> {
        self.ask("GET", path, None)
    }

    pub(super) fn post(&self, path: &str) -> Result<Value, Error> {
        self.ask("POST", path, None)
    }
}
