//! What tells a topic from another of the same name: the id that the brokers gave it when it was created.
//!
//! librdkafka asks for it, rdkafka does not show it: this file and `native` call the C library themselves.
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

/// What an id of zeroes is written as: the brokers gave none.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The ids of those topics that exist. Brokers before 2.8 know none.
pub(super) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    wait: Duration,
) -> Result<BTreeMap<String, String>, String> {
    let mut ids = BTreeMap::new();
    if topics.is_empty() {
        return Ok(ids);
    }
    let names: Result<Vec<CString>, _> = topics.iter().map(|topic| CString::new(*topic)).collect();
    let names = names.map_err(|_| "a topic's name has a zero byte".to_owned())?;
    let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let wait_ms = wait.as_millis() as i32;
    let failed = |what: &str| Err(format!("cannot ask for the ids of topics: {what}"));
    // SAFETY: the client outlives the call. Each object made here is destroyed here, the event after all that was read of it;
    // the names live until the end of the function, and the library copies them.
    unsafe {
        let client = client.native_ptr();
        let collection = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let describe = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = native::rd_kafka_AdminOptions_new(client, describe);
        let (mut why, queue) = ([0 as c_char; 256], native::rd_kafka_queue_new(client));
        native::rd_kafka_AdminOptions_set_request_timeout(options, wait_ms, why.as_mut_ptr(), why.len());
        native::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = native::rd_kafka_queue_poll(queue, wait_ms + 1_000);
        let outcome = if event.is_null() {
            failed("no answer came")
        } else if native::rd_kafka_event_error(event)
            != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            failed(&text(native::rd_kafka_event_error_string(event)))
        } else {
            let mut count = 0;
            let result = native::rd_kafka_event_DescribeTopics_result(event);
            let list = native::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            for i in 0..count {
                let topic = *list.add(i);
                let error = native::rd_kafka_error_code(native::rd_kafka_TopicDescription_error(topic));
                if error == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let name = text(native::rd_kafka_TopicDescription_name(topic));
                    let id = native::rd_kafka_TopicDescription_topic_id(topic);
                    let id = text(native::rd_kafka_Uuid_base64str(id));
                    ids.insert(name, if id == NO_ID { String::new() } else { id });
                }
            }
            Ok(ids)
        };
        if !event.is_null() {
            native::rd_kafka_event_destroy(event);
        }
        native::rd_kafka_queue_destroy(queue);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_TopicCollection_destroy(collection);
        outcome
    }
}

/// # Safety
/// The pointer is null, or to a text that ends with a zero byte.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
