//! `Wishes`: what the headers of a command ask for.
use super::super::Api;
use super::super::call::Call;
use super::super::problem::Problem;
use super::no_parameters;
use std::time::Duration;
use warp::http::{HeaderName, header};

/// What the headers ask for.
pub(super) struct Wishes {
    /// How long to wait until it can be read.
    pub(super) wait: Option<Duration>,
    /// The versions that are expected; none: any.
    pub(super) versions: Option<String>,
    pub(super) key: Option<String>,
}

impl Wishes {
    /// Understands them; refuses parameters.
    pub(super) fn of(api: &Api, call: &Call) -> Result<Wishes, Problem> {
        no_parameters(call)?;
        let key = HeaderName::from_static("idempotency-key");
        let key = call.header(&key).map(|key| {
            let inner = key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            inner.unwrap_or(key).to_owned()
        });
        let plain = |key: &String| {
            (1..=128).contains(&key.len())
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        if call.headers.contains_key("idempotency-key") && !key.as_ref().is_some_and(plain) {
            return Err(Problem::bad("Idempotency-Key: write 1 to 128 letters, digits or -_.:"));
        }
        let prefer = call.header(&HeaderName::from_static("prefer")).unwrap_or_default().to_owned();
        // What cannot be understood of a preference is ignored, as RFC 7240 has it.
        let wait = prefer.split([',', ';']).map(str::trim).find_map(|one| match one.split_once('=') {
            None => (one == "wait").then_some(api.config.at_least_wait_max),
            Some(("wait", seconds)) => seconds.trim().parse().ok().map(Duration::from_secs),
            Some(_) => None,
        });
        let wait = wait.map(|wait| wait.min(api.config.at_least_wait_max));
        let versions = call.header(&header::IF_MATCH).map(str::to_owned);
        Ok(Wishes { wait, versions, key })
    }

    /// Whether a version is one of those expected. `*` is any that there is.
    pub(super) fn expect(&self, version: i64) -> bool {
        let Some(versions) = &self.versions else { return true };
        let number = |one: &str| one.trim().trim_start_matches("W/").trim_matches('"').parse::<i64>().ok();
        versions.trim() == "*" || versions.split(',').any(|one| number(one) == Some(version))
    }
}
