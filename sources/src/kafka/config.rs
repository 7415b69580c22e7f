//! How Kafka is reached: what the user says, made into the settings of clients.
use arrow::array::StringArray;
use arrow::compute::regexp_is_match_scalar;
use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Where Kafka is, and what is read of it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// `host:port`, with commas between them.
    pub brokers: String,
    /// Names of topics; one that begins with `^` is a regular expression for whole names.
    pub topics: Vec<String>,
    /// The topic that events are appended to; without it the first that is named in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produce_topic: Option<String>,
    /// Further properties of librdkafka. A value `file:PATH` or `env:NAME` is read from there when a client is made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// How often partitions and topics that are new are looked for, in milliseconds; 10,000 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_ms: Option<u64>,
}

/// Values that must not stand in a file or on a command line.
const SECRETS: [&str; 7] = [
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.assertion.private.key.pem",
    "sasl.oauthbearer.client.assertion.private.key.passphrase",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

/// What exactly-once rests on, and so nobody may set.
const OURS: [&str; 14] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "isolation.level",
    "message.timeout.ms",
    "metadata.broker.list",
    "request.required.acks",
    "transactional.id",
];

/// The greatest record a broker could hold: what is too large for us is refused by us, with a reason.
const FETCH_BYTES_MAX: usize = 100 << 20;
const REFRESH: Duration = Duration::from_secs(10);
/// How long an append may take before its end is called unknown.
const DELIVER_MS_MAX: u32 = 15_000;

impl KafkaConfig {
    /// Whether it can be meant; else what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.brokers.trim().is_empty() {
            return Err("no broker is named: give host:port of one at least".into());
        }
        if self.topics.is_empty() || self.topics.iter().any(|topic| topic.trim().is_empty()) {
            return Err("no topic is named: give the names of topics, or ^ and a regular expression".into());
        }
        for key in self.properties.keys() {
            if OURS.contains(&key.as_str()) {
                return Err(format!("property {key} cannot be set: exactly-once rests on its value"));
            }
        }
        for (key, value) in &self.properties {
            let refers = value.starts_with("file:") || value.starts_with("env:");
            if SECRETS.contains(&key.as_str()) && !refers {
                return Err(format!("property {key} is a secret: give file:PATH or env:NAME in place of it"));
            }
        }
        for topic in self.topics.iter().filter(|topic| topic.starts_with('^')) {
            matches(topic, "")?;
        }
        if self.produce_topic.as_ref().is_some_and(|topic| !self.reads(topic)) {
            return Err("the topic to produce to is not among those that are read".into());
        }
        Ok(())
    }

    /// The topic that events are appended to, if there is one.
    pub fn produce_topic(&self) -> Option<&str> {
        let named = || self.topics.iter().find(|topic| !topic.starts_with('^')).map(String::as_str);
        self.produce_topic.as_deref().or_else(named)
    }

    /// Whether a topic is read: it is named in full, or a pattern means it.
    pub fn reads(&self, topic: &str) -> bool {
        let means = |name: &String| name == topic || matches(name, topic) == Ok(true);
        self.topics.iter().any(means)
    }

    /// The topics that are named in full.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(String::as_str).filter(|topic| !topic.starts_with('^'))
    }

    pub(super) fn has_pattern(&self) -> bool {
        self.topics.iter().any(|topic| topic.starts_with('^'))
    }

    pub(super) fn refresh(&self) -> Duration {
        self.refresh_ms.map_or(REFRESH, |ms| Duration::from_millis(ms.max(50)))
    }

    /// For a consumer that is told where to read, and that never guesses.
    pub(super) fn consumer(&self) -> Result<ClientConfig, String> {
        let mut config = ClientConfig::new();
        // A group is named because librdkafka wants one; it is never joined, and nothing is committed to it.
        config.set("group.id", "tallyflow");
        config.set("fetch.wait.max.ms", "500").set("fetch.error.backoff.ms", "100");
        config.set("queued.max.messages.kbytes", "32768").set("queued.min.messages", "10000");
        // A full queue is filled again once it is read: by default the client asks for no more for a whole second.
        config.set("fetch.queue.backoff.ms", "2");
        config.set("topic.metadata.refresh.interval.ms", "30000");
        config.set("fetch.message.max.bytes", "8388608").set("fetch.max.bytes", "67108864");
        config.set("receive.message.max.bytes", (FETCH_BYTES_MAX + 1_024).to_string());
        self.common(&mut config)?;
        config.set("auto.offset.reset", "error").set("isolation.level", "read_committed");
        config.set("check.crcs", "true").set("enable.partition.eof", "true");
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("allow.auto.create.topics", "false");
        Ok(config)
    }

    /// For a producer whose every record stands once, in order, or is told to have failed.
    pub(super) fn producer(&self, record_bytes_max: usize) -> Result<ClientConfig, String> {
        let mut config = ClientConfig::new();
        config.set("linger.ms", "2").set("partitioner", "murmur2_random").set("compression.type", "none");
        config.set("queue.buffering.max.kbytes", "131072").set("queue.buffering.max.messages", "500000");
        config.set("message.max.bytes", (record_bytes_max + (64 << 10)).to_string());
        self.common(&mut config)?;
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("message.timeout.ms", DELIVER_MS_MAX.to_string());
        config.set("allow.auto.create.topics", "false");
        Ok(config)
    }

    fn common(&self, config: &mut ClientConfig) -> Result<(), String> {
        config.set("client.id", "tallyflow").set("log_level", "3");
        config.set("reconnect.backoff.ms", "100").set("reconnect.backoff.max.ms", "2000");
        for (key, value) in &self.properties {
            config.set(
                key,
                crate::secret::resolved(value).map_err(|why| format!("cannot read property {key}: {why}"))?,
            );
        }
        config.set("bootstrap.servers", &self.brokers);
        Ok(())
    }
}

/// Whether a pattern means a topic. Topics of the brokers themselves are meant by no pattern.
fn matches(pattern: &str, topic: &str) -> Result<bool, String> {
    let Some(pattern) = pattern.strip_prefix('^').filter(|_| !topic.starts_with("__")) else {
        return Ok(false);
    };
    let topic = StringArray::from_iter_values([topic]);
    let whole = format!("^(?:{})$", pattern.strip_suffix('$').unwrap_or(pattern));
    let found = regexp_is_match_scalar(&topic, &whole, None);
    found.map(|found| found.value(0)).map_err(|_| format!("topic ^{pattern} is no regular expression"))
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("produce_topic", &self.produce_topic)
            .field("properties", &keys)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(topics: &[&str], properties: &[(&str, &str)]) -> KafkaConfig {
        KafkaConfig {
            brokers: "127.0.0.1:1".into(),
            topics: topics.iter().map(|topic| topic.to_string()).collect(),
            properties: properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            ..KafkaConfig::default()
        }
    }

    #[test]
    fn what_exactly_once_rests_on_and_secrets_cannot_be_given() {
        let refused = |properties| config(&["a"], properties).check().unwrap_err();
        assert!(
            refused(&[("isolation.level", "read_uncommitted")]).contains("isolation.level cannot be set")
        );
        assert!(refused(&[("sasl.password", "open sesame")]).contains("file:PATH or env:NAME"));
        assert!(config(&["a"], &[("sasl.password", "env:HOME")]).check().is_ok());
        assert!(config(&["^a("], &[]).check().unwrap_err().contains("no regular expression"));
        assert!(config(&[], &[]).check().unwrap_err().contains("no topic"));
        let shown = format!("{:?}", config(&["a"], &[("sasl.username", "somebody")]));
        assert!(shown.contains("sasl.username") && !shown.contains("somebody"), "{shown}");
    }

    #[test]
    fn patterns_mean_whole_names() {
        let config = config(&["orders", "^bss\\.(a|b).*"], &[]);
        let read =
            ["orders", "orders2", "bss.a", "bss.box", "xbss.a", "bss.c", "__bss.a"].map(|t| config.reads(t));
        assert_eq!(read, [true, false, true, true, false, false, false]);
    }

    #[test]
    fn references_are_read_where_a_client_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "open sesame\n").unwrap();
        let reference = format!("file:{}", path.display());
        let made = config(&["a"], &[("sasl.password", &reference)]).consumer().unwrap();
        assert_eq!(made.get("sasl.password"), Some("open sesame"));
        assert_eq!(made.get("auto.offset.reset"), Some("error"));
        let missing = config(&["a"], &[("sasl.password", "env:TALLYFLOW_IS_NOT_SET")]).consumer();
        assert!(missing.unwrap_err().contains("TALLYFLOW_IS_NOT_SET"));
    }

    #[test]
    fn clients_can_be_made_for_every_common_way_to_prove_who_one_is() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
            let properties = [
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", mechanism),
                ("sasl.username", "somebody"),
                ("sasl.password", "env:HOME"),
            ];
            let config = config(&["a"], &properties);
            let consumer: Result<rdkafka::consumer::BaseConsumer, _> = config.consumer().unwrap().create();
            assert!(consumer.is_ok(), "{mechanism}: {:?}", consumer.err());
            let producer: Result<rdkafka::producer::BaseProducer, _> =
                config.producer(1 << 20).unwrap().create();
            assert!(producer.is_ok(), "{mechanism}: {:?}", producer.err());
        }
    }

    #[test]
    fn events_are_appended_to_the_first_topic_that_is_named() {
        assert_eq!(config(&["^a.*", "b", "c"], &[]).produce_topic(), Some("b"));
        assert_eq!(config(&["^a.*"], &[]).produce_topic(), None);
        let other = KafkaConfig { produce_topic: Some("abc".into()), ..config(&["^a.*"], &[]) };
        assert_eq!((other.check(), other.produce_topic()), (Ok(()), Some("abc")));
        let unread = KafkaConfig { produce_topic: Some("x".into()), ..config(&["^a.*"], &[]) };
        assert!(unread.check().is_err());
    }
}
