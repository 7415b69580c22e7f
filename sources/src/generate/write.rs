//! An event of each kind as CloudEvents JSON: the envelope, then the data.
use super::json::Json;
use super::world::{
    COUNTRIES, Customer, FAMILY, Flow, GIVEN, Item, OFFERINGS, Payment, RISKS, SEGMENTS, Session,
    Subscription,
};

/// When an event happened, and when it was recorded if that was much later.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) time_ms: u64,
    pub(super) recorded_ms: Option<u64>,
}

/// What stands before the data of an event.
pub(super) struct Head {
    /// Its number among all events of the run.
    pub(super) sequence: u64,
    pub(super) when: When,
    /// The part of the source that names the writer, with slashes around it.
    pub(super) source: &'static str,
    /// The whole type.
    pub(super) kind: &'static str,
    /// The kind of thing with a slash, then the letter and number of its id.
    pub(super) subject: (&'static str, u8, u64),
    /// The customer by whom the log is partitioned.
    pub(super) customer: Option<u32>,
    /// The version of the thing; facts have none.
    pub(super) version: Option<u32>,
}

impl Head {
    /// Writes the whole event, whose data `data` writes.
    pub(super) fn write(self, out: &mut Vec<u8>, tag: [u8; 6], data: impl FnOnce(&mut Json<'_>)) {
        let json = &mut Json::new(out, tag);
        json.object();
        json.text("specversion", "1.0");
        json.serial("id", self.sequence);
        json.tagged("source", self.source);
        json.text("type", self.kind);
        let (entity, letter, number) = self.subject;
        json.id("subject", entity, letter, number);
        json.time("time", self.when.time_ms);
        if let Some(recorded_ms) = self.when.recorded_ms {
            json.time("recordedtime", recorded_ms);
        }
        json.text("datacontenttype", "application/json");
        match self.customer {
            Some(customer) => json.id("partitionkey", "", b'C', u64::from(customer)),
            None => json.id("partitionkey", "", letter, number),
        }
        if let Some(version) = self.version {
            json.number("entityversion", u64::from(version));
        }
        json.member("data");
        data(json);
        json.end();
        json.end();
    }
}

/// A customer as it is now.
pub(super) fn customer(json: &mut Json<'_>, number: u32, customer: &Customer, changed: &[&str]) {
    let (country, language, _) = COUNTRIES[usize::from(customer.country)];
    json.id("customerId", "", b'C', u64::from(number));
    json.text("partyType", if customer.segment == 0 { "individual" } else { "organization" });
    json.parts("name", &[GIVEN[usize::from(customer.given)], " ", FAMILY[usize::from(customer.family)]]);
    json.mail("email", customer.mailbox, u64::from(number));
    json.number("birthYear", u64::from(customer.birth_year));
    json.text("segment", SEGMENTS[usize::from(customer.segment)]);
    json.text("riskClass", RISKS[usize::from(customer.risk)]);
    json.text("language", language);
    json.text("country", country);
    json.text("status", customer.status);
    json.time("createdAt", customer.created_ms);
    if !changed.is_empty() {
        json.texts("changedFields", changed);
    }
}

/// An order as it is now.
pub(super) fn order(json: &mut Json<'_>, flow: &Flow, country: u8, changed: &[&str]) {
    let (country, _, currency) = COUNTRIES[usize::from(country)];
    json.id("orderId", "", b'O', flow.number);
    json.id("customerId", "", b'C', u64::from(flow.customer));
    json.text("channel", flow.channel);
    json.text("region", country);
    json.text("state", flow.order_state);
    json.time("orderDate", flow.ordered_ms);
    json.member("totals");
    json.money("net", currency, flow.net());
    json.money("tax", currency, flow.tax());
    json.money("gross", currency, flow.net() + flow.tax());
    json.end();
    json.list("items", |json| {
        for (index, item) in flow.items().iter().enumerate() {
            json.object();
            json.number("itemId", index as u64 + 1);
            json.text("action", "add");
            json.text("offeringId", item.offering().id);
            json.text("name", item.offering().name);
            json.number("qty", u64::from(item.quantity));
            json.money("unitPrice", currency, item.offering().cents);
            json.end();
        }
    });
    if flow.order_state == "cancelled" {
        json.text("cancellationReason", "customerRequest");
    }
    if !changed.is_empty() {
        json.texts("changedFields", changed);
    }
}

/// A bill as it is now.
pub(super) fn bill(json: &mut Json<'_>, flow: &Flow, country: u8, changed: &[&str]) {
    let currency = COUNTRIES[usize::from(country)].2;
    json.id("billId", "", b'B', flow.number);
    json.serial("billNo", flow.number);
    json.id("customerId", "", b'C', u64::from(flow.customer));
    json.id("orderId", "", b'O', flow.number);
    json.text("runType", "offCycle");
    json.text("state", flow.bill_state);
    json.date("billDate", flow.billed_ms);
    json.date("paymentDueDate", flow.billed_ms + 14 * 86_400_000);
    json.money("taxExcluded", currency, flow.net());
    json.money("taxIncluded", currency, flow.net() + flow.tax());
    json.list("lines", |json| {
        for (index, item) in flow.items().iter().enumerate() {
            bill_line(json, index, item, currency);
        }
    });
    if !changed.is_empty() {
        json.texts("changedFields", changed);
    }
}

fn bill_line(json: &mut Json<'_>, index: usize, item: &Item, currency: &str) {
    json.object();
    json.number("lineId", index as u64 + 1);
    json.text("type", if item.offering().recurring { "recurring" } else { "oneTime" });
    json.text("offeringId", item.offering().id);
    json.text("category", item.offering().category);
    json.number("qty", u64::from(item.quantity));
    json.money("unitPrice", currency, item.offering().cents);
    json.money("amount", currency, item.net());
    json.money("tax", currency, item.tax());
    json.end();
}

/// A payment in a state; `error` where it failed.
pub(super) fn payment(json: &mut Json<'_>, payment: &Payment, country: u8, state: &str, error: Option<&str>) {
    json.id("paymentId", "", b'P', payment.number);
    json.id("customerId", "", b'C', u64::from(payment.customer));
    if let Some(bill) = payment.bill {
        json.id("billId", "", b'B', bill);
    }
    json.text("state", state);
    json.money("amount", COUNTRIES[usize::from(country)].2, payment.cents);
    json.text("method", payment.method);
    json.id("instrumentToken", "", payment.instrument.0, payment.instrument.1);
    json.number("attempt", u64::from(payment.attempt));
    if let Some(number) = payment.retry_of {
        json.id("retryOf", "", b'P', number);
    }
    if let Some(error) = error {
        json.text("errorCode", error);
    }
}

/// A subscription in a state.
pub(super) fn product(json: &mut Json<'_>, subscription: &Subscription, country: u8, state: &str) {
    let offering = &OFFERINGS[usize::from(subscription.offering)];
    json.id("productId", "", b'S', subscription.number);
    json.id("customerId", "", b'C', u64::from(subscription.customer));
    json.text("offeringId", offering.id);
    json.text("name", offering.name);
    json.text("state", state);
    json.number("qty", 1);
    json.money("recurringAmount", COUNTRIES[usize::from(country)].2, offering.cents);
    json.text("billingPeriod", "P1M");
    json.time("startDate", subscription.started_ms);
    json.truth("autoRenew", true);
    if state == "terminated" {
        json.text("terminationReason", "voluntary");
    }
}

/// What a subscription used; `hundredths` of `units`.
pub(super) fn usage(json: &mut Json<'_>, number: u64, of: &Subscription, time_ms: u64, hundredths: u64) {
    let (kind, units) = match OFFERINGS[usize::from(of.offering)].category {
        "mobile" if number.is_multiple_of(3) => ("voice", "min"),
        "tv" => ("content", "min"),
        _ => ("data", "MB"),
    };
    json.id("usageId", "", b'U', number);
    json.text("usageType", kind);
    json.id("productId", "", b'S', of.number);
    json.id("customerId", "", b'C', u64::from(of.customer));
    json.time("startTime", time_ms);
    json.member("volume");
    json.decimal("amount", hundredths);
    json.text("units", units);
    json.end();
    json.text("status", "received");
}

/// A page that was viewed.
pub(super) fn page_view(
    json: &mut Json<'_>,
    session: &Session,
    page: &str,
    offering: Option<u8>,
    milliseconds: u64,
) {
    json.id("sessionId", "", b'V', session.number);
    if let Some(customer) = session.customer {
        json.id("customerId", "", b'C', u64::from(customer));
    }
    match offering.map(|index| OFFERINGS[usize::from(index)].id) {
        Some(id) => {
            json.parts("url", &["/", page, "/", id]);
            json.text("offeringId", id);
        }
        None => json.parts("url", &["/", page]),
    }
    json.text("device", session.device);
    json.number("milliseconds", milliseconds);
}
