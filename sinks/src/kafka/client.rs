//! Clients of a cluster, and their errors by what can be done about them.
use crate::{Setting, SinkError};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::collections::BTreeMap;

/// Stands for a view's name in the option `topic`.
const VIEW: &str = "{view}";
/// Longer than this nothing of one transaction is waited for.
const TRANSACTION_MS: &str = "60000";
const MESSAGE_MS: &str = "55000";
/// What the client sends at most, as a record and as a batch, where nothing is said.
const BYTES_DEFAULT: usize = 1_000_000;

/// Where the cluster is, and what is asked of it.
#[derive(Clone)]
pub(super) struct Cluster {
    properties: BTreeMap<String, String>,
    /// Whose rows these are.
    pub(super) pipeline: String,
    /// Names the instance: one producer with this name writes at a time.
    pub(super) transactional_id: String,
    /// The topic of a view; `{view}` stands for its name.
    topic: String,
    /// Where the times are kept.
    pub(super) progress: String,
    /// Partitions of topics that are made.
    pub(super) partitions: i32,
    /// Replicas of topics that are made; -1: what the cluster does by default.
    pub(super) replication: i32,
    /// Whether topics that are missing are made.
    pub(super) creates: bool,
    /// The longest record that the client sends.
    pub(super) record_bytes_max: usize,
    /// The longest batch that it sends.
    pub(super) batch_bytes: usize,
}

impl Cluster {
    /// Options are `brokers` (or `url`), `topic`, `partitions`, `replication`, `create_topics`, and `kafka.X` for the client's property X.
    pub(super) fn new(setting: &Setting) -> Result<Cluster, String> {
        let mut options = setting.options.clone();
        let brokers = options.remove("brokers").or_else(|| options.remove("url"));
        let brokers = brokers.ok_or("a kafka sink has the option brokers = 'host:port,..'")?;
        let brokers = brokers.strip_prefix("kafka://").unwrap_or(&brokers).to_owned();
        let mut number = |name: &str, default: i32| match options.remove(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name} = '{text}' is no number")),
        };
        let (partitions, replication) = (number("partitions", 1)?, number("replication", -1)?);
        if partitions < 1 {
            return Err(format!("partitions = {partitions}: there is one at least"));
        }
        let creates = match options.remove("create_topics").as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(format!("create_topics = '{other}' is neither true nor false")),
        };
        let topic = options.remove("topic").unwrap_or_else(|| VIEW.into());
        // Beside the topics, under the same prefix: who writes the same topics by the same name is fenced, whatever his pipeline.
        let progress = match topic.contains(VIEW) {
            true => topic.replace(VIEW, "tallyflow-progress"),
            false => format!("{topic}.tallyflow-progress"),
        };
        let mut properties = BTreeMap::from([("bootstrap.servers".to_owned(), brokers)]);
        for (name, value) in options {
            match name.strip_prefix("kafka.") {
                Some(property) => _ = properties.insert(property.to_owned(), value),
                None => {
                    return Err(format!(
                        "a kafka sink has no option {name}: known are brokers, topic, partitions, replication, create_topics and \
                         kafka.X for the client's property X"
                    ));
                }
            }
        }
        let bytes = |name: &str| match properties.get(name) {
            None => Ok(BYTES_DEFAULT),
            Some(text) => text.parse().map_err(|_| format!("kafka.{name} = '{text}' is no number")),
        };
        let (record_bytes_max, batch_bytes) = (bytes("message.max.bytes")?, bytes("batch.size")?);
        Ok(Cluster {
            record_bytes_max,
            batch_bytes,
            properties,
            transactional_id: format!("tallyflow.{}.{progress}", setting.sink),
            pipeline: setting.pipeline.clone(),
            topic,
            progress,
            partitions,
            replication,
            creates,
        })
    }

    /// The topic of a view. What a topic's name cannot hold is `_` in it.
    pub(super) fn topic_of(&self, view: &str) -> Result<String, SinkError> {
        let letter =
            |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
        let topic: String = self.topic.replace(VIEW, view).chars().map(letter).collect();
        match topic.len() {
            1..=249 => Ok(topic),
            length => Err(SinkError::Fatal(format!(
                "view {view:?} has no topic: its name would have {length} letters, and 249 is the limit: give one with the option topic"
            ))),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// What writes: transactional, and so idempotent and acknowledged by all replicas in sync.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.config();
        config
            .set("transactional.id", &self.transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_MS)
            .set("message.timeout.ms", MESSAGE_MS)
            .set("queue.buffering.max.kbytes", "65536")
            .set("linger.ms", "5")
            .set("batch.size", self.batch_bytes.to_string())
            .set("partitioner", "murmur2_random");
        config
    }

    /// What reads topics to their ends; committed records only, or also how far the others reach.
    pub(super) fn consumer(&self, committed: bool) -> ClientConfig {
        let mut config = self.config();
        config
            .set("group.id", "tallyflow")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" });
        config
    }
}

/// What can be done about an error.
pub(super) fn error(tried: &str, why: &KafkaError) -> SinkError {
    let text = format!("cannot {tried}: {why}");
    let code = match why {
        KafkaError::Transaction(inner) => Some(inner.code()),
        other => other.rdkafka_error_code(),
    };
    match code {
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => SinkError::Fenced(text),
        Some(
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::InvalidTopic
            | Code::MessageSizeTooLarge,
        ) => SinkError::Fatal(text),
        _ if matches!(why, KafkaError::ClientConfig(..)) => SinkError::Fatal(text),
        _ => SinkError::Retry(text),
    }
}
