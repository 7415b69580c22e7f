//! The events of Nexmark as rows of its three tables, by the rules and the parameters of the `nexmark` crate.
//!
//! The crate makes an event at a time, each of its letters drawn for itself: 1.3 µs an event, more than the peer takes for a whole query.
//! Here a batch is written as columns, and eight letters cost one random number. The first event is always at the same time of the same
//! day, so that answers and figures can be compared.
use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder};
use arrow::datatypes::SchemaRef;
use nexmark::config::NexmarkConfig;
use std::sync::Arc;

/// The tables, in the order of [`Events::new`]'s schemas.
pub const TABLES: [&str; 3] = ["person", "auction", "bid"];

/// 2026-01-01 08:00:00 UTC, in milliseconds.
const BASE_TIME: usize = 1_767_254_400_000;
/// Hot auctions, sellers and bidders are the first ones of so many.
const HOT: usize = 100;
/// Channels beside the hot ones.
const CHANNELS: usize = 10_000;
/// Room for a text: few are longer.
const TEXT_BYTES: usize = 96;

/// The events from the first on.
pub struct Events {
    config: NexmarkConfig,
    schemas: [SchemaRef; 3],
    random: Random,
    /// The number of the next event.
    next: usize,
    /// Names and addresses of all channels.
    channels: Vec<(String, String)>,
    letters: Letters,
}

impl Events {
    /// `schemas` are those of the tables: columns stand in the order of benches/nexmark/tables.sql.
    pub fn new(schemas: [SchemaRef; 3]) -> Events {
        let config = NexmarkConfig::default();
        let mut random = Random(1);
        let channels = (0..CHANNELS).map(|n| {
            let path: Vec<String> = (0..3).map(|_| random.word(3, 5)).collect();
            let id = match random.below(10) {
                0 => String::new(),
                _ => format!("&channel_id={}", i64::from((n as i32).reverse_bits()).abs()),
            };
            let url = format!("https://www.nexmark.com/{}/item.htm?query=1{id}", path.join("/"));
            (format!("channel-{n}"), url)
        });
        let channels = channels.collect();
        Events { config, schemas, random, next: 0, channels, letters: Letters(vec![]) }
    }

    /// The next events: the rows of the tables that have any.
    pub fn batch(&mut self, events: usize) -> Result<Vec<(Arc<str>, RecordBatch)>, String> {
        let (person, auction) = (self.config.person_proportion, self.config.auction_proportion);
        let all = person + auction + self.config.bid_proportion;
        let rows = |share| events * share / all + all;
        let (mut people, mut auctions) = (Person::of(rows(person)), Auction::of(rows(auction)));
        let mut bids = Bid::of(rows(self.config.bid_proportion));
        for number in self.next..self.next + events {
            match number % all {
                rest if rest < person => self.person(number, &mut people),
                rest if rest < person + auction => self.auction(number, &mut auctions),
                _ => self.bid(number, &mut bids),
            }
        }
        self.next += events;
        let columns = [people.columns(), auctions.columns(), bids.columns()];
        let mut out = vec![];
        for ((table, columns), schema) in TABLES.into_iter().zip(columns).zip(&self.schemas) {
            let batch = RecordBatch::try_new(schema.clone(), columns);
            let batch = batch.map_err(|e| format!("table {table}: {e}"))?;
            if batch.num_rows() > 0 {
                out.push((table.into(), batch));
            }
        }
        Ok(out)
    }

    /// Milliseconds.
    fn time(&self, number: usize) -> usize {
        BASE_TIME + number * 1000 / self.config.first_rate
    }

    fn all(&self) -> usize {
        self.config.person_proportion + self.config.auction_proportion + self.config.bid_proportion
    }

    /// The last person there is at an event, counted from 0.
    fn last_person(&self, number: usize) -> usize {
        let people = self.config.person_proportion;
        number / self.all() * people + (number % self.all()).min(people - 1)
    }

    /// The last auction there is at an event, counted from 0.
    fn last_auction(&self, number: usize) -> usize {
        let (people, auctions) = (self.config.person_proportion, self.config.auction_proportion);
        let (epoch, rest) = (number / self.all(), number % self.all());
        match rest.checked_sub(people) {
            Some(rest) => epoch * auctions + rest.min(auctions - 1),
            None => (epoch * auctions).saturating_sub(1),
        }
    }

    fn any_person(&mut self, number: usize) -> usize {
        let people = self.last_person(number) + 1;
        let active = people.min(self.config.active_people);
        people - active + self.random.below(active + self.config.person_id_lead)
    }

    fn any_auction(&mut self, number: usize) -> usize {
        let last = self.last_auction(number);
        let first = last.saturating_sub(self.config.in_flight_auctions);
        first + self.random.below(last - first + 1 + self.config.auction_id_lead)
    }

    fn price(&mut self) -> i64 {
        (10f32.powf(self.random.share() * 6.0) * 100.0).round() as i64
    }

    /// How long `extra` is, for rows of an average size.
    fn extra(&mut self, known: usize, average: usize) -> usize {
        let Some(wanted) = average.checked_sub(known) else { return 0 };
        let spread = (wanted + 2) / 5;
        wanted - spread + if spread == 0 { 0 } else { self.random.below(2 * spread) }
    }

    fn person(&mut self, number: usize, to: &mut Person) {
        let id = self.last_person(number) + self.config.first_person_id;
        let pick = |random: &mut Random, list: &[String]| list[random.below(list.len())].clone();
        let random = &mut self.random;
        let first = pick(random, &self.config.first_names);
        let name = format!("{first} {}", pick(random, &self.config.last_names));
        let email = format!("{}@{}.com", random.word(7, 8), random.word(5, 6));
        let card: Vec<String> = (0..4).map(|_| format!("{:04}", random.below(10_000))).collect();
        let city = pick(random, &self.config.us_cities);
        let state = pick(random, &self.config.us_states);
        let known = 8 + name.len() + email.len() + 19 + city.len() + state.len();
        let extra = self.extra(known, self.config.avg_person_byte_size);
        to.id.append_value(id as i64);
        let list = [&name, &email, &card.join(" "), &city, &state];
        to.texts.iter_mut().zip(list).for_each(|(builder, text)| builder.append_value(text));
        to.date_time.append_value(nanoseconds(self.time(number)));
        to.extra.append_value(self.letters.draw(&mut self.random, extra));
    }

    fn auction(&mut self, number: usize, to: &mut Auction) {
        let id = self.last_auction(number) + self.config.first_auction_id;
        let first = self.price();
        let reserve = first + self.price();
        let ahead = self.config.in_flight_auctions * self.all() / self.config.auction_proportion;
        let horizon = self.time(number + ahead) - self.time(number);
        let expires = self.time(number) + 1 + self.random.below((horizon * 2).max(1));
        let seller = match self.random.below(self.config.hot_seller_ratio) {
            0 => self.any_person(number),
            _ => self.last_person(number) / HOT * HOT,
        };
        let category = self.config.first_category_id + self.random.below(self.config.num_categories);
        let extra = self.extra(8 + 20 + 100 + 40, self.config.avg_auction_byte_size);
        let list =
            [id as i64, first, reserve, (seller + self.config.first_person_id) as i64, category as i64];
        to.ints.iter_mut().zip(list).for_each(|(builder, value)| builder.append_value(value));
        let times = [self.time(number), expires];
        to.times.iter_mut().zip(times).for_each(|(builder, time)| builder.append_value(nanoseconds(time)));
        for (builder, length) in to.texts.iter_mut().zip([20, 100, extra]) {
            builder.append_value(self.letters.draw(&mut self.random, length));
        }
    }

    fn bid(&mut self, number: usize, to: &mut Bid) {
        let auction = match self.random.below(self.config.hot_auction_ratio) {
            0 => self.any_auction(number),
            _ => self.last_auction(number) / HOT * HOT,
        };
        let bidder = match self.random.below(self.config.hot_bidder_ratio) {
            0 => self.any_person(number),
            _ => self.last_person(number) / HOT * HOT + 1,
        };
        let ids = [auction + self.config.first_auction_id, bidder + self.config.first_person_id];
        let list = [ids[0] as i64, ids[1] as i64, self.price()];
        to.ints.iter_mut().zip(list).for_each(|(builder, value)| builder.append_value(value));
        let (channel, url) = match self.random.below(self.config.hot_channel_ratio) {
            0 => {
                let (channel, url) = &self.channels[self.random.below(CHANNELS)];
                (channel, url)
            }
            _ => {
                let place = self.random.below(self.config.hot_channels.len());
                (&self.config.hot_channels[place], &self.config.hot_urls[place])
            }
        };
        to.texts[0].append_value(channel);
        to.texts[1].append_value(url);
        let time = nanoseconds(self.time(number));
        to.times.iter_mut().for_each(|builder| builder.append_value(time));
        let extra = self.extra(32, self.config.avg_bid_byte_size);
        to.texts[2].append_value(self.letters.draw(&mut self.random, extra));
    }
}

fn nanoseconds(milliseconds: usize) -> i64 {
    milliseconds as i64 * 1_000_000
}

/// Room for the texts of a column, of which few are longer.
fn texts<const COLUMNS: usize>(rows: usize) -> [StringBuilder; COLUMNS] {
    std::array::from_fn(|_| StringBuilder::with_capacity(rows, rows * TEXT_BYTES))
}

fn ints<const COLUMNS: usize>(rows: usize) -> [Int64Builder; COLUMNS] {
    std::array::from_fn(|_| Int64Builder::with_capacity(rows))
}

fn times<const COLUMNS: usize>(rows: usize) -> [TimestampNanosecondBuilder; COLUMNS] {
    std::array::from_fn(|_| TimestampNanosecondBuilder::with_capacity(rows))
}

/// Columns of persons. The texts are name, address of mail, card, city, state.
struct Person {
    id: Int64Builder,
    texts: [StringBuilder; 5],
    date_time: TimestampNanosecondBuilder,
    extra: StringBuilder,
}

impl Person {
    fn of(rows: usize) -> Person {
        let ([id], [date_time], [extra]) = (ints(rows), times(rows), texts(rows));
        Person { id, texts: texts(rows), date_time, extra }
    }

    fn columns(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.id.finish())];
        columns.extend(self.texts.iter_mut().map(|text| -> ArrayRef { Arc::new(text.finish()) }));
        columns.push(Arc::new(self.date_time.finish()));
        columns.push(Arc::new(self.extra.finish()));
        columns
    }
}

/// Columns of auctions: id, first bid, reserve, seller, category; begin and end; name, description, extra.
struct Auction {
    ints: [Int64Builder; 5],
    times: [TimestampNanosecondBuilder; 2],
    texts: [StringBuilder; 3],
}

impl Auction {
    fn of(rows: usize) -> Auction {
        Auction { ints: ints(rows), times: times(rows), texts: texts(rows) }
    }

    fn columns(self) -> Vec<ArrayRef> {
        let [mut id, mut first, mut reserve, mut seller, mut category] = self.ints;
        let ([mut begin, mut end], [mut name, mut description, mut extra]) = (self.times, self.texts);
        vec![
            Arc::new(id.finish()),
            Arc::new(name.finish()),
            Arc::new(description.finish()),
            Arc::new(first.finish()),
            Arc::new(reserve.finish()),
            Arc::new(begin.finish()),
            Arc::new(end.finish()),
            Arc::new(seller.finish()),
            Arc::new(category.finish()),
            Arc::new(extra.finish()),
        ]
    }
}

/// Columns of bids: auction, bidder, price; when, twice; channel, address, extra.
struct Bid {
    ints: [Int64Builder; 3],
    times: [TimestampNanosecondBuilder; 2],
    texts: [StringBuilder; 3],
}

impl Bid {
    fn of(rows: usize) -> Bid {
        Bid { ints: ints(rows), times: times(rows), texts: texts(rows) }
    }

    fn columns(self) -> Vec<ArrayRef> {
        let [mut auction, mut bidder, mut price] = self.ints;
        let ([mut date_time, mut p_time], [mut channel, mut url, mut extra]) = (self.times, self.texts);
        vec![
            Arc::new(auction.finish()),
            Arc::new(bidder.finish()),
            Arc::new(price.finish()),
            Arc::new(channel.finish()),
            Arc::new(url.finish()),
            Arc::new(date_time.finish()),
            Arc::new(p_time.finish()),
            Arc::new(extra.finish()),
        ]
    }
}

/// Numbers of wyrand.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// One of `0..count`.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.draw()) * count as u128) >> 64) as usize
    }

    /// One of [0, 1).
    fn share(&mut self) -> f32 {
        (self.draw() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Letters, at least `from` and fewer than `to`.
    fn word(&mut self, from: usize, to: usize) -> String {
        let length = from + self.below(to - from);
        (0..length).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}

/// Room for the text drawn last.
struct Letters(Vec<u8>);

impl Letters {
    fn draw(&mut self, random: &mut Random, length: usize) -> &str {
        self.0.clear();
        while self.0.len() < length {
            self.0.extend(random.draw().to_le_bytes().map(|byte| b'a' + ((u16::from(byte) * 26) >> 8) as u8));
        }
        self.0.truncate(length);
        std::str::from_utf8(&self.0).expect("letters of ASCII")
    }
}
