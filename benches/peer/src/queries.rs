//! The queries, by hand.
use crate::rows::{Auction, Bid, Person, Rows};
use dbsp::algebra::F64;
use dbsp::operator::{Max, Min};
use dbsp::typed_batch::IndexedZSetReader;
use dbsp::utils::{Tup2, Tup3, Tup4, Tup5, Tup7, Tup9};
use dbsp::{DBData, OrdIndexedZSet, OrdZSet, RootCircuit, Stream, ZSetHandle};

type Rel<T> = Stream<RootCircuit, OrdZSet<T>>;
type Index<K, V> = Stream<RootCircuit, OrdIndexedZSet<K, V>>;

const SECOND: i64 = 1_000_000;

/// Takes the events.
pub struct Inputs {
    people: ZSetHandle<Person>,
    auctions: ZSetHandle<Auction>,
    bids: ZSetHandle<Bid>,
}

impl Inputs {
    pub fn append(&self, mut rows: Rows) {
        self.people.append(&mut rows.people);
        self.auctions.append(&mut rows.auctions);
        self.bids.append(&mut rows.bids);
    }
}

/// Says how many changes left with the last transaction, each row once.
pub type Told = Box<dyn Fn() -> usize + Send>;

fn told<T: DBData>(rows: &Rel<T>) -> Told
where
    <T as dbsp::trace::Deserializable>::ArchivedDeser: Ord,
{
    let output = rows.accumulate_output();
    Box::new(move || output.concat().consolidate().iter().count())
}

/// A circuit for a query, what takes its events, and what says how many changes left.
pub fn build(circuit: &mut RootCircuit, query: &str) -> Result<(Inputs, Told), anyhow::Error> {
    let (person, people) = circuit.add_input_zset::<Person>();
    let (auction, auctions) = circuit.add_input_zset::<Auction>();
    let (bid, bids) = circuit.add_input_zset::<Bid>();
    let told = match query {
        "q0" => told(&bid.map(Bid::clone)),
        "q1" => told(&bid.map(|b| Tup5(b.0, b.1, b.2 * 908, b.5, b.6.clone()))),
        "q2" => told(&bid.filter(|b| b.0 % 123 == 0).map(|b| Tup2(b.0, b.2))),
        "q3" => told(&sellers(&person, &auction)),
        "q4" => told(&averages(&auction, &bid)),
        "q5" => told(&hottest(&bid)),
        "q7" => told(&highest(&bid)),
        "q8" => told(&newcomers(&person, &auction)),
        "q9" => told(&winners(&auction, &bid)),
        "q17" => told(&statistics(&bid)),
        "q18" => told(&last(&bid)),
        "q20" => told(&expanded(&auction, &bid)),
        other => anyhow::bail!("{other} is not among the peer's queries"),
    };
    Ok((Inputs { people, auctions, bids }, told))
}

fn sellers(person: &Rel<Person>, auction: &Rel<Auction>) -> Rel<Tup4<String, String, String, i64>> {
    let there = ["or", "id", "ca", "OR", "ID", "CA"];
    let person = person.filter(move |p| there.contains(&&*p.5));
    let person = person.map_index(|p| (p.0, Tup3(p.1.clone(), p.4.clone(), p.5.clone())));
    let auction = auction.filter(|a| a.8 == 10).map_index(|a| (a.7, a.0));
    person.join(&auction, |_, p, id| Tup4(p.0.clone(), p.1.clone(), p.2.clone(), *id))
}

fn averages(auction: &Rel<Auction>, bid: &Rel<Bid>) -> Rel<Tup2<i64, F64>> {
    let auction = auction.map_index(|a| (a.0, Tup3(a.8, a.5, a.6)));
    let bid = bid.map_index(|b| (b.0, Tup2(b.2, b.5)));
    let prices =
        auction.join_index(&bid, |id, a, b| (a.1 <= b.1 && b.1 <= a.2).then(|| (Tup2(*id, a.0), b.0)));
    let finals = prices.aggregate(Max).map_index(|(key, price)| (key.1, *price));
    let averages = finals.aggregate_linear_postprocess(
        |price| Tup2(*price, 1i64),
        |sums| F64::from(sums.0 as f64 / sums.1 as f64),
    );
    averages.map(|(category, average)| Tup2(*category, *average))
}

fn hottest(bid: &Rel<Bid>) -> Rel<Tup2<i64, i64>> {
    let starts = |time: i64| {
        let last = time.div_euclid(2 * SECOND) * 2 * SECOND;
        (0..5).map(move |i| last - i * 2 * SECOND)
    };
    let counts = bid.flat_map(move |b| {
        let auction = b.0;
        starts(b.5).map(move |start| Tup2(start, auction)).collect::<Vec<_>>()
    });
    let counts = counts.weighted_count();
    let by_window: Index<i64, Tup2<i64, i64>> = counts.map_index(|(key, count)| (key.0, Tup2(*count, key.1)));
    let most = by_window.map_index(|(start, count)| (*start, count.0)).aggregate(Max);
    by_window.join_flatmap(&most, |_, count, most| (count.0 >= *most).then_some(Tup2(count.1, count.0)))
}

fn highest(bid: &Rel<Bid>) -> Rel<Tup5<i64, i64, i64, i64, String>> {
    let window = |time: i64| time.div_euclid(10 * SECOND);
    let most = bid.map_index(move |b| (window(b.5), b.2)).aggregate(Max);
    let most = most.map_index(|(window, price)| (Tup2(*window, *price), ()));
    let bid = bid.map_index(move |b| (Tup2(window(b.5), b.2), Tup4(b.0, b.1, b.5, b.6.clone())));
    bid.join(&most, |key, b, ()| Tup5(b.0, key.1, b.1, b.2, b.3.clone()))
}

fn newcomers(person: &Rel<Person>, auction: &Rel<Auction>) -> Rel<Tup3<i64, String, i64>> {
    let window = |time: i64| time.div_euclid(10 * SECOND) * 10 * SECOND;
    let person = person.map(move |p| Tup3(p.0, window(p.6), p.1.clone())).distinct();
    let auction = auction.map(move |a| Tup2(a.7, window(a.5))).distinct();
    let person = person.map_index(|p| (Tup2(p.0, p.1), p.2.clone()));
    let auction = auction.map_index(|a| (*a, ()));
    person.join(&auction, |key, name, ()| Tup3(key.0, name.clone(), key.1))
}

/// The best bid is the greatest by price, and of those the first; its time is negated so that it counts as greater.
fn winners(auction: &Rel<Auction>, bid: &Rel<Bid>) -> Rel<Tup2<Auction, Tup4<i64, i64, i64, String>>> {
    let by_id = auction.map_index(|a| (a.0, a.clone()));
    let bid = bid.map_index(|b| (b.0, Tup4(b.2, -b.5, b.1, b.6.clone())));
    let times = auction.map_index(|a| (a.0, Tup2(a.5, a.6)));
    let within = times.join_index(&bid, |id, a, b| (a.0 <= -b.1 && -b.1 <= a.1).then(|| (*id, b.clone())));
    let best = within.aggregate(Max);
    by_id.join(&best, |_, a, b| Tup2(a.clone(), b.clone()))
}

fn statistics(bid: &Rel<Bid>) -> Rel<Tup9<i64, i64, i64, i64, i64, i64, i64, i64, i64>> {
    let day = |time: i64| time.div_euclid(86_400 * SECOND);
    let prices = bid.map_index(move |b| (Tup2(b.0, day(b.5)), b.2));
    let sums = prices.aggregate_linear(|price| {
        let rank = |from: i64, to: i64| i64::from((from..to).contains(price));
        Tup5(1i64, rank(i64::MIN, 10_000), rank(10_000, 1_000_000), rank(1_000_000, i64::MAX), *price)
    });
    let ends = prices
        .aggregate(Min)
        .join_index(&prices.aggregate(Max), |key, min, max| Some((*key, Tup2(*min, *max))));
    sums.join(&ends, |key, s, e| Tup9(key.0, key.1, s.0, s.1, s.2, s.3, e.0, e.1, s.4))
}

fn last(bid: &Rel<Bid>) -> Rel<Bid> {
    let bid = bid.map_index(|b| (Tup2(b.1, b.0), Tup5(b.5, b.2, b.3.clone(), b.4.clone(), b.6.clone())));
    bid.aggregate(Max).map(|(key, b)| Tup7(key.1, key.0, b.1, b.2.clone(), b.3.clone(), b.0, b.4.clone()))
}

fn expanded(auction: &Rel<Auction>, bid: &Rel<Bid>) -> Rel<Tup2<Bid, Auction>> {
    let auction = auction.filter(|a| a.8 == 10).map_index(|a| (a.0, a.clone()));
    let bid = bid.map_index(|b| (b.0, b.clone()));
    bid.join(&auction, |_, b, a| Tup2(b.clone(), a.clone()))
}
