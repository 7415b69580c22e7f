//! Two things that rdkafka has no safe call for: headers of any bytes, and positions without a question to another thread.
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use std::ffi::{CStr, c_char, c_void};

/// The headers of a message in their order. Names are any bytes: rdkafka's own iterator panics where one is not UTF-8.
pub(super) fn headers<'m>(
    message: &'m BorrowedMessage<'_>,
) -> impl Iterator<Item = (&'m [u8], Option<&'m [u8]>)> + Clone {
    let headers =
        message.headers().map(|headers| std::ptr::from_ref(headers).cast::<native::rd_kafka_headers_t>());
    (0..).map_while(move |index| {
        let headers = headers?;
        let (mut name, mut value, mut length) = (std::ptr::null::<c_char>(), std::ptr::null::<c_void>(), 0);
        // SAFETY: the headers belong to the message, which is borrowed for 'm; what the call gives points into them.
        unsafe {
            let found = native::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut length);
            if found != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), length));
            Some((CStr::from_ptr(name).to_bytes(), value))
        }
    })
}

/// Where the consumer's application stands in each partition of the list, control records included; none before its first record.
pub(super) fn positions<C: ClientContext>(
    client: &Client<C>,
    list: &TopicPartitionList,
) -> Vec<(String, i32, u64)> {
    // SAFETY: the client and the list outlive the call, which writes the offsets into the list.
    let failed = unsafe { native::rd_kafka_position(client.native_ptr(), list.ptr()) };
    if failed != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return vec![];
    }
    let elements = list.elements();
    let known = elements.iter().filter_map(|one| match one.offset() {
        Offset::Offset(offset) => {
            Some((one.topic().to_owned(), one.partition(), u64::try_from(offset).ok()?))
        }
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    });
    known.collect()
}
