//! Topics: made where they are missing, and read to their ends.
use super::client::{Cluster, error};
use crate::SinkError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const CALL: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
/// Transactions of others hold back what can be read, at most until the broker ends them.
const READ: Duration = Duration::from_secs(90);

/// How many partitions a topic has; none: it is not there.
pub(super) fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Option<i32>, SinkError> {
    let tried = format!("ask for topic {topic}");
    let metadata = consumer.fetch_metadata(Some(topic), CALL).map_err(|why| error(&tried, &why))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map(|found| found.partitions().len() as i32).filter(|count| *count > 0))
}

/// Makes a compacted topic unless it is there; how many partitions it has.
pub(super) fn ensure(
    cluster: &Cluster,
    consumer: &BaseConsumer,
    topic: &str,
    count: i32,
) -> Result<i32, SinkError> {
    if let Some(found) = partitions(consumer, topic)? {
        return Ok(found);
    }
    if !cluster.creates {
        return Err(SinkError::Fatal(format!("there is no topic {topic}, and create_topics is false")));
    }
    let tried = format!("make topic {topic}");
    let admin: AdminClient<DefaultClientContext> =
        cluster.consumer(true).create().map_err(|why| error(&tried, &why))?;
    let new = NewTopic::new(topic, count, TopicReplication::Fixed(cluster.replication))
        .set("cleanup.policy", "compact");
    let options = AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| SinkError::Retry(format!("cannot {tried}: {why}")))?;
    let made = runtime.block_on(admin.create_topics([&new], &options)).map_err(|why| error(&tried, &why))?;
    for result in made {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(error(&tried, &KafkaError::AdminOp(code))),
        }
    }
    // The broker that is asked next may not have heard of it yet.
    let end = Instant::now() + CALL;
    while Instant::now() < end {
        if let Some(found) = partitions(consumer, topic)? {
            return Ok(found);
        }
        std::thread::sleep(POLL);
    }
    Err(SinkError::Retry(format!("cannot {tried}: no broker knows it after {} s", CALL.as_secs())))
}

/// The longest record that a topic takes from this client. Who may not ask for it is held to the client's own limit.
pub(super) fn record_bytes_max(cluster: &Cluster, topic: &str) -> Result<usize, SinkError> {
    let tried = format!("ask how long a record of topic {topic} may be");
    let admin: AdminClient<DefaultClientContext> =
        cluster.consumer(true).create().map_err(|why| error(&tried, &why))?;
    let options = AdminOptions::new().request_timeout(Some(CALL));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| SinkError::Retry(format!("cannot {tried}: {why}")))?;
    let asked = [ResourceSpecifier::Topic(topic)];
    let found =
        runtime.block_on(admin.describe_configs(&asked, &options)).map_err(|why| error(&tried, &why))?;
    let said = found.into_iter().filter_map(Result::ok).find_map(|one| {
        let entry = one.entries.into_iter().find(|entry| entry.name == "max.message.bytes")?;
        entry.value?.parse::<usize>().ok()
    });
    Ok(said.unwrap_or(usize::MAX).min(cluster.record_bytes_max))
}

/// Where reading a topic ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// Where it ended at the call; transactions that are open below that are waited for.
    Settled,
    /// Where what is committed ends now.
    Now,
}

/// Reads all committed records of a topic. What cannot be read to its end is an error, never less.
pub(super) fn read(
    cluster: &Cluster,
    topic: &str,
    count: i32,
    ends: Ends,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    let tried = format!("read topic {topic} to its end");
    let failed = |why: &KafkaError| error(&tried, why);
    let all: BaseConsumer = cluster.consumer(false).create().map_err(|why| failed(&why))?;
    let committed: BaseConsumer = cluster.consumer(true).create().map_err(|why| failed(&why))?;
    let late = || SinkError::Retry(format!("cannot {tried}: not done after {} s", READ.as_secs()));
    let end = Instant::now() + READ;
    let mut wanted = TopicPartitionList::new();
    for partition in 0..count {
        let (_, high) = all.fetch_watermarks(topic, partition, CALL).map_err(|why| failed(&why))?;
        // Until every transaction that stood below is ended, some of it may still come.
        loop {
            let (low, stable) =
                committed.fetch_watermarks(topic, partition, CALL).map_err(|why| failed(&why))?;
            if stable >= high || ends == Ends::Now {
                if low < stable {
                    let at = wanted.add_partition_offset(topic, partition, Offset::Offset(low));
                    at.map_err(|why| failed(&why))?;
                }
                break;
            }
            if Instant::now() > end {
                return Err(late());
            }
            std::thread::sleep(POLL);
        }
    }
    let mut open = wanted.count();
    if open == 0 {
        return Ok(());
    }
    committed.assign(&wanted).map_err(|why| failed(&why))?;
    while open > 0 {
        match committed.poll(POLL) {
            Some(Ok(message)) => each(&message)?,
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(why)) => return Err(failed(&why)),
            None if Instant::now() > end => return Err(late()),
            None => {}
        }
    }
    Ok(())
}

/// A record's key and value as text.
pub(super) fn texts<'a>(
    topic: &str,
    message: &'a BorrowedMessage<'_>,
) -> Result<(&'a str, Option<&'a str>), SinkError> {
    let text = |bytes: &'a [u8]| {
        std::str::from_utf8(bytes).map_err(|_| {
            let (partition, offset) = (message.partition(), message.offset());
            SinkError::Fatal(format!(
                "topic {topic}, partition {partition}, offset {offset} is not a record of ours: its text is not UTF-8"
            ))
        })
    };
    Ok((message.key().map(text).transpose()?.unwrap_or(""), message.payload().map(text).transpose()?))
}
