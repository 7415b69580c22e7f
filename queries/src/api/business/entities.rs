//! `Entity`: what a business keeps, under which names, and the versions of it that events stated.
use super::super::literal;
use super::super::problem::Problem;
use arrow::array::{ArrayRef, new_null_array};
use serde_json::{Map, Value};
use sinks::memory::kept::Kept;
use sinks::memory::page::Entry;
use warp::http::StatusCode;

/// A kind of thing that has an id, a state and versions.
pub(super) struct Entity {
    /// As the path names it.
    pub(super) word: &'static str,
    /// The view that tells how it is.
    pub(super) view: &'static str,
    /// The table that keeps what was said of it.
    pub(super) versions: &'static str,
    /// The member of `data` with its id.
    pub(super) id: &'static str,
    /// What stands before the id in an event's subject.
    pub(super) subject: &'static str,
    /// What the ids that are given here begin with.
    pub(super) prefix: &'static str,
    /// The types of events, without what stands before and behind.
    pub(super) created: &'static str,
    pub(super) changed: &'static str,
    pub(super) removed: &'static str,
    /// What the last event states: members and values; NULL leaves one out.
    pub(super) end: &'static [(&'static str, Option<&'static str>)],
    /// The types of events that stand for a state that was stated.
    pub(super) by_state: &'static [(&'static str, &'static str)],
    /// What a command states, as JSON, for the description.
    pub(super) example: &'static str,
    /// A row of the view, likewise.
    pub(super) row: &'static str,
}

/// All of them.
pub(super) const ENTITIES: [Entity; 7] = [
    Entity {
        word: "customers",
        view: "customers",
        versions: "customer_versions",
        id: "customerId",
        subject: "customer",
        prefix: "C",
        created: "customer.created",
        changed: "customer.updated",
        removed: "customer.erased",
        end: &[
            ("status", Some("closed")),
            ("name", None),
            ("email", None),
            ("phone", None),
            ("birthYear", None),
            ("documentId", None),
        ],
        by_state: &[],
        example: r#"{"customerId": "C-api", "name": "Ada Lovelace", "partyType": "individual", "country": "GB", "status": "active"}"#,
        row: r#"{"customer_id": "C-api", "name": "Ada Lovelace", "country": "GB", "status": "active"}"#,
    },
    Entity {
        word: "orders",
        view: "orders",
        versions: "order_versions",
        id: "orderId",
        subject: "productOrder",
        prefix: "O",
        created: "productOrder.created",
        changed: "productOrder.amended",
        removed: "productOrder.cancelled",
        end: &[("state", Some("cancelled"))],
        by_state: &[],
        example: r#"{"orderId": "O-api", "customerId": "C-api", "state": "acknowledged", "orderDate": "2026-01-05T08:00:00Z", "items": [{"itemId": 1, "action": "add", "offeringId": "OF-1", "qty": 1, "unitPrice": {"unit": "EUR", "value": "20.00"}}]}"#,
        row: r#"{"order_id": "O-api", "customer_id": "C-api", "state": "acknowledged", "lines": 1}"#,
    },
    Entity {
        word: "invoices",
        view: "invoices",
        versions: "invoice_versions",
        id: "billId",
        subject: "customerBill",
        prefix: "B",
        created: "customerBill.created",
        changed: "customerBill.stateChanged",
        removed: "customerBill.voided",
        end: &[("state", Some("voided"))],
        by_state: &[],
        example: r#"{"billId": "B-api", "accountId": "A-api", "customerId": "C-api", "state": "validated", "billDate": "2026-01-31", "paymentDueDate": "2026-02-14", "taxExcluded": {"unit": "EUR", "value": "20.00"}, "taxIncluded": {"unit": "EUR", "value": "24.00"}}"#,
        row: r#"{"bill_id": "B-api", "account_id": "A-api", "gross": "24.00", "remaining": "24.00", "status": "validated", "overdue": false}"#,
    },
    Entity {
        word: "payments",
        view: "payments",
        versions: "payment_versions",
        id: "paymentId",
        subject: "payment",
        prefix: "P",
        created: "payment.pendingAuthorization",
        changed: "payment.authorized",
        removed: "payment.canceled",
        end: &[("state", Some("canceled"))],
        by_state: &[
            ("pendingAuthorization", "payment.pendingAuthorization"),
            ("authorized", "payment.authorized"),
            ("captured", "payment.captured"),
            ("settled", "payment.settled"),
            ("failed", "payment.failed"),
            ("denied", "payment.denied"),
            ("canceled", "payment.canceled"),
            ("chargedBack", "payment.chargedBack"),
            ("representmentWon", "payment.representmentWon"),
        ],
        example: r#"{"paymentId": "P-api", "accountId": "A-api", "customerId": "C-api", "billId": "B-api", "state": "captured", "amount": {"unit": "EUR", "value": "24.00"}, "method": "card", "billAllocations": [{"billId": "B-api", "amount": "24.00"}]}"#,
        row: r#"{"payment_id": "P-api", "state": "captured", "amount": "24.00", "currency": "EUR", "net": "24.00"}"#,
    },
    Entity {
        word: "subscriptions",
        view: "subscriptions",
        versions: "subscription_versions",
        id: "productId",
        subject: "product",
        prefix: "S",
        created: "product.created",
        changed: "product.planChanged",
        removed: "product.terminated",
        end: &[("state", Some("terminated"))],
        by_state: &[],
        example: r#"{"productId": "S-api", "customerId": "C-api", "accountId": "A-api", "offeringId": "OF-api", "state": "active", "qty": 1, "recurringAmount": {"unit": "EUR", "value": "20.00"}, "billingPeriod": "P1M", "startDate": "2026-01-05T08:00:00Z"}"#,
        row: r#"{"subscription_id": "S-api", "customer_id": "C-api", "state": "active", "mrr": "20.00"}"#,
    },
    Entity {
        word: "products",
        view: "offering_states",
        versions: "product_versions",
        id: "offeringId",
        subject: "productOffering",
        prefix: "OF",
        created: "productOffering.created",
        changed: "productOffering.changed",
        removed: "productOffering.stateChanged",
        end: &[("lifecycleStatus", Some("Retired"))],
        by_state: &[],
        example: r#"{"offeringId": "OF-api", "name": "Fibre 100", "category": "broadband", "lifecycleStatus": "Active", "listPrice": {"unit": "EUR", "value": "20.00"}}"#,
        row: r#"{"offering_id": "OF-api", "name": "Fibre 100", "category": "broadband", "lifecycle": "Active", "list_price": "20.00"}"#,
    },
    Entity {
        word: "services",
        view: "services",
        versions: "service_versions",
        id: "serviceId",
        subject: "service",
        prefix: "SV",
        created: "service.designed",
        changed: "service.activated",
        removed: "service.terminated",
        end: &[("state", Some("terminated"))],
        by_state: &[
            ("designed", "service.designed"),
            ("reserved", "service.reserved"),
            ("active", "service.activated"),
            ("suspended", "service.suspended"),
            ("terminated", "service.terminated"),
        ],
        example: r#"{"serviceId": "SV-api", "productId": "S-api", "customerId": "C-api", "serviceType": "broadband", "state": "designed"}"#,
        row: r#"{"service_id": "SV-api", "subscription_id": "S-api", "state": "designed"}"#,
    },
];

impl Entity {
    /// The one that a path names.
    pub(super) fn named(word: &str) -> Option<&'static Entity> {
        ENTITIES.iter().find(|entity| entity.word == word)
    }

    /// The type of the event that states this.
    pub(super) fn stated(&self, data: &Map<String, Value>, otherwise: &'static str) -> &'static str {
        let state = data.get("state").and_then(Value::as_str);
        let stated = self.by_state.iter().find(|(word, _)| Some(*word) == state);
        stated.map_or(otherwise, |(_, kind)| kind)
    }
}

/// What was said of an entity last.
pub(super) struct Newest {
    pub(super) version: i64,
    pub(super) data: Map<String, Value>,
}

/// The last version of an id.
pub(super) fn newest(kept: &Kept, id: &str) -> Result<Option<Newest>, Problem> {
    let newest = versions(kept, id)?.pop();
    Ok(newest.map(|mut row| Newest {
        version: row["version"].as_i64().unwrap_or(0),
        data: match row["data"].take() {
            Value::Object(data) => data,
            _ => Map::new(),
        },
    }))
}

/// Every version of an id, the oldest first, with the data as JSON.
pub(super) fn versions(kept: &Kept, id: &str) -> Result<Vec<Value>, Problem> {
    let mut versions: Vec<Value> = vec![];
    for row in rows(kept, id)? {
        let mut row: Value = serde_json::from_str(&row).map_err(|_| Problem::internal())?;
        let data = row["data"].as_str().and_then(|text| serde_json::from_str(text).ok());
        row["data"] = data.unwrap_or(Value::Null);
        versions.push(row);
    }
    // Versions that are not stated come first, and count for less than any.
    versions.sort_by_key(|row| row["version"].as_i64());
    Ok(versions)
}

/// The rows whose key begins with an id, as JSON.
pub(super) fn rows(kept: &Kept, id: &str) -> Result<Vec<String>, Problem> {
    let shape = kept.shape();
    let start = start(kept, id)?;
    let mut rows = vec![];
    for Entry { row, count, .. } in
        kept.rows().from(&start, &[]).take_while(|entry| entry.key.starts_with(&start))
    {
        let mut json = String::new();
        shape.write_json(row, &mut json);
        rows.extend((0..count).map(|_| json.clone()));
    }
    Ok(rows)
}

/// What the bytes of all keys with this first column begin with.
fn start(kept: &Kept, id: &str) -> Result<Vec<u8>, Problem> {
    let view = kept.shape().view();
    let mut columns: Vec<ArrayRef> =
        view.key.iter().map(|i| new_null_array(view.schema.field(*i).data_type(), 1)).collect();
    let key = |columns: &[ArrayRef]| {
        kept.shape().key(columns).map_err(|why| {
            Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The id cannot be understood", why)
        })
    };
    // A text that is NULL takes one byte; the other columns take the same with any text before them.
    let rest = key(&columns)?.len().saturating_sub(1);
    let Some((first, index)) = columns.first_mut().zip(view.key.first()) else { return Ok(vec![]) };
    *first = literal::column(view.schema.field(*index).data_type(), id).map_err(Problem::bad)?;
    let mut bytes = key(&columns)?;
    bytes.truncate(bytes.len() - rest);
    Ok(bytes)
}
