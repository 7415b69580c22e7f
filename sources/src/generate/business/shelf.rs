//! What is sold, at which prices, and what use costs: as `usage_charges` computes it.
use super::agenda::Act;
use super::{Business, DAY};
use crate::generate::world::OFFERINGS;

/// How use is priced. Quantities are in hundredths, prices in ten-thousandths of the currency's unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Model {
    /// (up to, unit price, flat fee in cents): each unit at the price of its tier.
    Graduated(&'static [(u64, u64, u64)]),
    /// The same: all units at the price of the tier that the total reaches.
    Volume(&'static [(u64, u64, u64)]),
    /// (size, price): as many packages as are begun.
    Package(u64, u64),
    /// Quantity times price.
    Unit(u64),
}

/// The price of a kind of use for an offering.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    pub(super) id: &'static str,
    pub(super) usage: &'static str,
    pub(super) units: &'static str,
    pub(super) model: Model,
    /// What is included, in hundredths.
    pub(super) included: u64,
}

const END: u64 = u64::MAX;
const VOICE: &[(u64, u64, u64)] = &[(30_000, 900, 0), (60_000, 500, 100), (END, 190, 0)];
const DATA: &[(u64, u64, u64)] = &[(100_000, 50, 0), (500_000, 30, 200), (END, 10, 500)];

/// The kinds of use of an offering, by its place in the price list.
pub(super) fn prices(offering: u8) -> &'static [Price] {
    const MOBILE_S: &[Price] = &[
        Price {
            id: "use-mobile-s-voice",
            usage: "voice",
            units: "min",
            model: Model::Graduated(VOICE),
            included: 5_000,
        },
        Price {
            id: "use-mobile-s-data",
            usage: "data",
            units: "MB",
            model: Model::Volume(DATA),
            included: 50_000,
        },
    ];
    const MOBILE_M: &[Price] = &[
        Price {
            id: "use-mobile-m-voice",
            usage: "voice",
            units: "min",
            model: Model::Graduated(VOICE),
            included: 20_000,
        },
        Price {
            id: "use-mobile-m-data",
            usage: "data",
            units: "MB",
            model: Model::Volume(DATA),
            included: 200_000,
        },
    ];
    const MOBILE_L: &[Price] = &[
        Price { id: "use-mobile-l-voice", usage: "voice", units: "min", model: Model::Unit(0), included: 0 },
        Price {
            id: "use-mobile-l-data",
            usage: "data",
            units: "MB",
            model: Model::Package(1_000_000, 20_000),
            included: 500_000,
        },
    ];
    const FIBRE: &[Price] =
        &[Price { id: "use-fibre-data", usage: "data", units: "MB", model: Model::Unit(0), included: 0 }];
    const FIBRE_1000: &[Price] = &[Price {
        id: "use-fibre-1000-data",
        usage: "data",
        units: "MB",
        model: Model::Unit(0),
        included: 0,
    }];
    const TV: &[Price] = &[Price {
        id: "use-tv-content",
        usage: "content",
        units: "min",
        model: Model::Unit(125),
        included: 6_000,
    }];
    match offering {
        0 => MOBILE_S,
        1 => MOBILE_M,
        2 => MOBILE_L,
        3 => FIBRE,
        4 => FIBRE_1000,
        5 => TV,
        _ => &[],
    }
}

/// The catalogue, to be told first.
pub(super) fn acts() -> impl Iterator<Item = Act> {
    (0..OFFERINGS.len() as u8).flat_map(|place| {
        let prices = (0..prices(place).len() as u8).map(move |of| Act::Price(place, of));
        std::iter::once(Act::Offering(place)).chain(prices)
    })
}

/// What a quantity in hundredths costs in cents, rounded half up once.
pub(super) fn charge(price: &Price, quantity: u64) -> u64 {
    let total = quantity.saturating_sub(price.included);
    // Millionths: hundredths times ten-thousandths.
    let (millionths, cents) = match price.model {
        Model::Unit(unit) => (total * unit, 0),
        Model::Package(size, unit) => (total.div_ceil(size) * unit * 100, 0),
        Model::Graduated(tiers) => {
            let (mut sum, mut fees, mut from) = (0, 0, 0);
            for (up_to, unit, fee) in tiers {
                if total > from {
                    sum += (total.min(*up_to) - from) * unit;
                    fees += fee;
                }
                from = *up_to;
            }
            (sum, fees)
        }
        Model::Volume(tiers) => {
            let reached = tiers.iter().find(|(up_to, _, _)| total <= *up_to).filter(|_| total > 0);
            reached.map_or((0, 0), |(_, unit, fee)| (total * unit, *fee))
        }
    };
    cents + (millionths + 5_000) / 10_000
}

impl Business {
    pub(super) fn offering(&mut self, now_ms: u64, place: u8, out: &mut Vec<u8>) -> bool {
        let offering = &OFFERINGS[usize::from(place)];
        let kind = "com.example.bss.productOffering.created.v1";
        let subject = ("productOffering/", b'F', u64::from(place));
        self.write_as(now_ms, out, "/bss/catalogue/", kind, None, subject, Some(1), |json| {
            json.text("offeringId", offering.id);
            json.text("name", offering.name);
            json.text("category", offering.category);
            json.texts("categoryPath", &["all", offering.category]);
            json.truth("isBundle", false);
            json.text("lifecycleStatus", "Active");
            json.money("cost", "EUR", offering.cents * 6 / 10);
            json.money("listPrice", "EUR", offering.cents * 12 / 10);
            json.member("validFor");
            json.time("start", now_ms - 365 * DAY);
            json.end();
        });
        true
    }

    pub(super) fn price(&mut self, now_ms: u64, place: u8, of: u8, out: &mut Vec<u8>) -> bool {
        let price = prices(place)[usize::from(of)];
        let kind = "com.example.bss.productOfferingPrice.created.v1";
        let subject = ("productOfferingPrice/", b'F', u64::from(place) * 10 + u64::from(of));
        self.write_as(now_ms, out, "/bss/catalogue/", kind, None, subject, Some(1), |json| {
            json.text("priceId", price.id);
            json.number("version", 1);
            json.text("offeringId", OFFERINGS[usize::from(place)].id);
            json.text("priceType", "usage");
            json.text("usageType", price.usage);
            json.text("unitOfMeasure", price.units);
            json.text("currency", "EUR");
            json.decimal("included", price.included);
            json.text("priceListId", "list-1");
            json.text("lifecycleStatus", "Active");
            json.member("validFor");
            json.time("start", now_ms - 365 * DAY);
            json.end();
            let unit = |json: &mut crate::generate::json::Json<'_>, ten_thousandths: u64| {
                json.member("unitPrice");
                json.text("unit", "EUR");
                json.fine("value", ten_thousandths);
                json.end();
            };
            match price.model {
                Model::Unit(value) => {
                    json.text("model", "unit");
                    unit(json, value);
                }
                Model::Package(size, value) => {
                    json.text("model", "package");
                    json.decimal("packageSize", size);
                    unit(json, value);
                }
                Model::Graduated(tiers) | Model::Volume(tiers) => {
                    let is_volume = matches!(price.model, Model::Volume(_));
                    json.text("model", if is_volume { "volume" } else { "graduated" });
                    json.list("tiers", |json| {
                        for (up_to, value, fee) in tiers {
                            json.object();
                            if *up_to != END {
                                json.decimal("upTo", *up_to);
                            }
                            json.fine("unitPrice", *value);
                            json.decimal("flatFee", *fee);
                            json.end();
                        }
                    });
                }
            }
        });
        true
    }
}
