//! Topics, records and transactions of a real Kafka, for tests.
use crate::services::Service;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sources::kafka::KafkaConfig;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// No call takes longer unless something hangs.
pub const LONG: Duration = Duration::from_secs(120);

/// A broker for those tests that do not harm it. It ends with the process.
pub static SHARED: LazyLock<Service> =
    LazyLock::new(|| Service::start_with("kafka", &["message.max.bytes=20000000"]));

static NAMES: AtomicU32 = AtomicU32::new(0);

/// Topics of one test.
pub struct Topics {
    brokers: String,
    replicas: i32,
    /// The name of its topic.
    pub name: String,
}

impl Topics {
    /// A new topic at a broker.
    pub fn new(brokers: &str, partitions: i32) -> Topics {
        Topics::replicated(brokers, partitions, 1)
    }

    /// A new topic that so many brokers hold.
    pub fn replicated(brokers: &str, partitions: i32, replicas: i32) -> Topics {
        let name = format!("t{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed));
        let topics = Topics { brokers: brokers.to_owned(), replicas, name: name.clone() };
        topics.create(&name, partitions);
        topics
    }

    /// How a process reads the topic.
    pub fn config(&self) -> KafkaConfig {
        let topics = vec![self.name.clone()];
        KafkaConfig { brokers: self.brokers.clone(), topics, refresh_ms: Some(200), ..KafkaConfig::default() }
    }

    fn admin<T>(&self, act: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> T) -> T {
        let client: AdminClient<DefaultClientContext> = self.client(&[]).create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(LONG)).request_timeout(Some(LONG));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(act(&client, &options))
    }

    fn client(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        settings.iter().for_each(|(key, value)| _ = config.set(*key, *value));
        config
    }

    pub fn create(&self, name: &str, partitions: i32) {
        self.create_limited(name, partitions, "20000000");
    }

    /// One that takes no record longer than so many bytes.
    pub fn create_limited(&self, name: &str, partitions: i32, bytes_max: &str) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.replicas))
            .set("max.message.bytes", bytes_max);
        let made = self.admin(async |admin, options| admin.create_topics([&topic], options).await.unwrap());
        made.into_iter().for_each(|one| _ = one.unwrap());
        self.known(name);
    }

    /// Waits until the broker tells of a topic: it does so a little after it was created.
    fn known(&self, name: &str) {
        let (producer, began) = (self.producer(&[]), Instant::now());
        loop {
            let metadata = producer.client().fetch_metadata(Some(name), LONG).unwrap();
            if metadata.topics().iter().any(|topic| !topic.partitions().is_empty()) {
                return;
            }
            assert!(began.elapsed() < LONG, "{name} does not appear");
        }
    }

    pub fn delete(&self, name: &str) {
        let gone = self.admin(async |admin, options| admin.delete_topics(&[name], options).await.unwrap());
        gone.into_iter().for_each(|one| _ = one.unwrap());
    }

    pub fn grow(&self, partitions: usize) {
        let more = NewPartitions::new(&self.name, partitions);
        self.admin(async |admin, options| admin.create_partitions([&more], options).await.unwrap());
    }

    /// Deletes the records below an offset, as retention does.
    pub fn delete_below(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        self.admin(async |admin, options| admin.delete_records(&list, options).await.unwrap());
    }

    pub fn producer(&self, settings: &[(&str, &str)]) -> BaseProducer {
        self.client(&[&[("message.max.bytes", "20000000")], settings].concat()).create().unwrap()
    }

    /// A producer within a transaction.
    pub fn transaction(&self, id: &str) -> BaseProducer {
        let producer = self.producer(&[("transactional.id", id)]);
        producer.init_transactions(LONG).unwrap();
        producer.begin_transaction().unwrap();
        producer
    }

    /// Sends structured events, and waits until they are stored.
    pub fn send(&self, partition: i32, events: &[String]) {
        let producer = self.producer(&[]);
        for event in events {
            send(&producer, &self.name, partition, &[], Some(event.as_bytes()));
        }
        producer.flush(LONG).unwrap();
    }
}

/// Hands one record to a producer.
pub fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    headers: &[(&str, &str)],
    value: Option<&[u8]>,
) {
    let mut owned = OwnedHeaders::new();
    for (key, value) in headers {
        owned = owned.insert(Header { key, value: Some(*value) });
    }
    let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(topic).partition(partition).headers(owned);
    record.payload = value;
    while let Err((why, again)) = producer.send(record) {
        assert!(why.to_string().contains("QueueFull"), "{why}");
        record = again;
        producer.poll(Duration::from_millis(10));
    }
    producer.poll(Duration::ZERO);
}

/// Sale `n` of `amount`, as an event.
pub fn sale(n: usize, amount: i64) -> String {
    let region = ["north", "south", "east"][n % 3];
    format!(
        r#"{{"specversion":"1.0","id":"{n}","source":"/shop","type":"sale","data":{{"region":"{region}","amount":{amount}}}}}"#
    )
}
