//! `Producer`: events into a topic. Idempotent, acknowledged by all replicas, in the order of their keys.
use super::payload::headers;
use super::{KafkaConfig, Shared};
use crate::Payload;
use crate::log::{AppendError, partition_key};
use dataflows::Position;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message};
use std::sync::{Arc, Mutex, Weak};

/// The greatest event that is appended, as the embedded log takes it.
pub(super) const RECORD_BYTES_MAX: usize = 16 << 20;

/// What is called when all events of an append are durable, or are not.
pub type Done = Box<dyn FnOnce(Result<Vec<Position>, AppendError>) + Send>;

/// Appends to one topic.
pub(super) struct Producer {
    topic: String,
    config: ClientConfig,
    shared: Weak<Shared>,
    client: Mutex<Arc<ThreadedProducer<Deliveries>>>,
}

impl Producer {
    pub fn new(config: &KafkaConfig, topic: &str, shared: &Arc<Shared>) -> Result<Producer, String> {
        let config = config.producer(RECORD_BYTES_MAX)?;
        let shared = Arc::downgrade(shared);
        let client = Mutex::new(Arc::new(client(&config, &shared)?));
        Ok(Producer { topic: topic.to_owned(), config, shared, client })
    }

    /// Sends the events; `done` is called by the producer's own thread, or by this one where nothing was sent.
    pub fn append(&self, events: Vec<Payload>, done: Done) {
        if events.is_empty() {
            return done(Ok(vec![]));
        }
        let count = events.len();
        let client = match self.client() {
            Ok(client) => client,
            Err(why) => return done(Err(AppendError::Unavailable(why))),
        };
        let waiting = Waiting { positions: vec![None; count], open: count, failed: None, done: Some(done) };
        let waiting = Arc::new(Mutex::new(waiting));
        for (index, event) in events.iter().enumerate() {
            if let Err(why) = self.send(&client, event, Delivery { waiting: waiting.clone(), index }) {
                // What was sent before it is on its way: the answer waits for that, and is that it failed.
                (index..count).for_each(|_| Waiting::end(&waiting, Err(why.clone())));
                return;
            }
        }
    }

    fn send(
        &self,
        client: &ThreadedProducer<Deliveries>,
        event: &Payload,
        delivery: Delivery,
    ) -> Result<(), AppendError> {
        let (names, value) = headers(event);
        let mut headers = OwnedHeaders::new_with_capacity(names.len());
        for (key, value) in &names {
            headers = headers.insert(Header { key, value: Some(*value) });
        }
        let key = partition_key(event);
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(delivery));
        let record = record.key(&*key).payload(&value[..]).headers(headers);
        client.send(record).map_err(|(why, _)| refused(&self.topic, &why))
    }

    /// The client; a new one where the old one met what it cannot go on after.
    fn client(&self) -> Result<Arc<ThreadedProducer<Deliveries>>, String> {
        let mut held = self.client.lock().expect("no thread panics with the producer");
        if held.client().fatal_error().is_some() {
            *held = Arc::new(client(&self.config, &self.shared)?);
        }
        Ok(held.clone())
    }
}

fn client(config: &ClientConfig, shared: &Weak<Shared>) -> Result<ThreadedProducer<Deliveries>, String> {
    let context = Deliveries { shared: shared.clone() };
    config.create_with_context(context).map_err(|why| format!("cannot make a producer for Kafka: {why}"))
}

fn refused(topic: &str, why: &KafkaError) -> AppendError {
    match why.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => AppendError::TooLarge(format!(
            "cannot append to topic {topic}: an event is greater than it takes"
        )),
        Some(RDKafkaErrorCode::QueueFull) => AppendError::Unavailable(format!(
            "cannot append to topic {topic}: what waits for the brokers is as much as may wait"
        )),
        Some(code) => AppendError::Unavailable(format!("cannot append to topic {topic}: {code}")),
        None => AppendError::Unavailable(format!("cannot append to topic {topic}: {why}")),
    }
}

/// An append whose events are on their way.
struct Waiting {
    positions: Vec<Option<Position>>,
    open: usize,
    failed: Option<AppendError>,
    done: Option<Done>,
}

impl Waiting {
    /// One event came to its end; the last one answers for all.
    fn end(waiting: &Mutex<Waiting>, outcome: Result<(usize, Position), AppendError>) {
        let mut this = waiting.lock().expect("no thread panics with an append");
        match outcome {
            Ok((index, position)) => this.positions[index] = Some(position),
            Err(why) => _ = this.failed.get_or_insert(why),
        }
        this.open -= 1;
        if this.open > 0 {
            return;
        }
        let done = this.done.take().expect("the last event ends once");
        let result = match this.failed.take() {
            Some(why) => Err(why),
            None => Ok(this.positions.drain(..).map(|one| one.expect("none failed")).collect()),
        };
        drop(this);
        done(result);
    }
}

/// One event on its way.
pub(super) struct Delivery {
    waiting: Arc<Mutex<Waiting>>,
    index: usize,
}

/// Takes what the brokers answered.
struct Deliveries {
    shared: Weak<Shared>,
}

impl ClientContext for Deliveries {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) => {
                let number = self.shared.upgrade().map_or_else(
                    || Err("the log is closed".to_owned()),
                    |shared| shared.number_of(message.topic(), message.partition()),
                );
                let position = |partition| Position { partition, offset: message.offset() as u64 + 1 };
                number.map(|number| (delivery.index, position(number))).map_err(AppendError::Unavailable)
            }
            Err((why, message)) => Err(refused(message.topic(), why)),
        };
        Waiting::end(&delivery.waiting, outcome);
    }
}
