//! The events as rows of the peer: tuples, in the order of the columns of benches/nexmark/tables.sql.
use crate::Outcome;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use dbsp::utils::{Tup2, Tup7, Tup8, Tup10};
use std::sync::Arc;

/// id, name, email_address, credit_card, city, state, date_time, extra
pub type Person = Tup8<i64, String, String, String, String, String, i64, String>;
/// id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra
pub type Auction = Tup10<i64, String, String, i64, i64, i64, i64, i64, i64, String>;
/// auction, bidder, price, channel, url, date_time, extra; p_time is in none of the queries here
pub type Bid = Tup7<i64, i64, i64, String, String, i64, String>;

/// Some events.
#[derive(Default)]
pub struct Rows {
    pub people: Vec<Tup2<Person, i64>>,
    pub auctions: Vec<Tup2<Auction, i64>>,
    pub bids: Vec<Tup2<Bid, i64>>,
}

impl Rows {
    /// Of what [`crate::events::Events`] made. Times are microseconds.
    pub fn of(tables: Vec<(Arc<str>, RecordBatch)>) -> Outcome<Rows> {
        let mut rows = Rows::default();
        for (table, batch) in tables {
            let number = |i: usize, row: usize| batch.column(i).as_primitive::<Int64Type>().value(row);
            let text = |i: usize, row: usize| batch.column(i).as_string::<i32>().value(row).to_owned();
            let time = |i: usize, row: usize| {
                batch.column(i).as_primitive::<TimestampNanosecondType>().value(row) / 1_000
            };
            for i in 0..batch.num_rows() {
                match &*table {
                    "person" => rows.people.push(Tup2(
                        Tup8(
                            number(0, i),
                            text(1, i),
                            text(2, i),
                            text(3, i),
                            text(4, i),
                            text(5, i),
                            time(6, i),
                            text(7, i),
                        ),
                        1,
                    )),
                    "auction" => rows.auctions.push(Tup2(
                        Tup10(
                            number(0, i),
                            text(1, i),
                            text(2, i),
                            number(3, i),
                            number(4, i),
                            time(5, i),
                            time(6, i),
                            number(7, i),
                            number(8, i),
                            text(9, i),
                        ),
                        1,
                    )),
                    "bid" => rows.bids.push(Tup2(
                        Tup7(
                            number(0, i),
                            number(1, i),
                            number(2, i),
                            text(3, i),
                            text(4, i),
                            time(5, i),
                            text(7, i),
                        ),
                        1,
                    )),
                    other => return Err(format!("no table {other}").into()),
                }
            }
        }
        Ok(rows)
    }
}

/// The columns of person, auction and bid.
pub fn schemas() -> [SchemaRef; 3] {
    let table = |columns: &str| {
        let field = |name: &str| {
            let kind = match name {
                "id" | "initial_bid" | "reserve" | "seller" | "category" | "auction" | "bidder" | "price" => {
                    DataType::Int64
                }
                "date_time" | "expires" | "p_time" => DataType::Timestamp(TimeUnit::Nanosecond, None),
                _ => DataType::Utf8,
            };
            Field::new(name, kind, true)
        };
        Arc::new(Schema::new(columns.split(' ').map(field).collect::<Vec<_>>()))
    };
    [
        table("id name email_address credit_card city state date_time extra"),
        table("id item_name description initial_bid reserve date_time expires seller category extra"),
        table("auction bidder price channel url date_time p_time extra"),
    ]
}
