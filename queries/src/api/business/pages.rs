//! The table of paths that a view answers. A path is added by a line here; the description follows.

/// A path below `/api/v1/` and what answers it.
pub(super) struct Page {
    /// Segments; `{id}` stands for any.
    pub(super) path: &'static str,
    pub(super) view: &'static str,
    pub(super) shown: Shown,
    /// What it tells, for the description.
    pub(super) about: &'static str,
    /// A row of it, as JSON.
    pub(super) example: &'static str,
}

/// Which rows a path shows.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    /// All, as a list is asked for them.
    List,
    /// Those whose key begins with the path's id.
    One,
    /// Those with the path's id in a column, as a list.
    Of(&'static str),
}

/// What is recorded under `metrics/`.
pub(super) const METRICS: [&str; 5] = ["customer", "order", "payment", "revenue", "system"];

const fn page(
    path: &'static str,
    view: &'static str,
    shown: Shown,
    about: &'static str,
    example: &'static str,
) -> Page {
    Page { path, view, shown, about, example }
}

/// Every path but those of entities, schemas and streams.
pub(super) const PAGES: [Page; 20] = [
    page(
        "metrics/customer",
        "customer_activity_hourly",
        Shown::List,
        "What customers did in each hour",
        r#"{"customer_id": "C-1", "hour": "2026-01-01T08:00:00", "events": 3}"#,
    ),
    page(
        "metrics/order",
        "order_to_cash_funnel",
        Shown::List,
        "How far the orders of each week came",
        r#"{"week": "2026-01-05", "country": "GB", "orders": 12, "stuck": 1}"#,
    ),
    page(
        "metrics/payment",
        "payment_status_daily",
        Shown::List,
        "What became of the payments of each day",
        r#"{"day": "2026-01-05", "method": "card", "currency": "EUR", "state": "captured", "payments": 7, "amount": "99.50"}"#,
    ),
    page(
        "metrics/revenue",
        "revenue_daily",
        Shown::List,
        "What was billed on each day",
        r#"{"day": "2026-01-05", "country": "GB", "currency": "EUR", "bills": 3, "revenue": "90.00"}"#,
    ),
    page(
        "metrics/system",
        "system_metrics_minutely",
        Shown::List,
        "What systems measured in each minute of the last day",
        r#"{"minute": "2026-01-05T08:00:00", "metric_name": "system.load", "resource_id": "gw-1", "unit": "1", "mean": "0.700000"}"#,
    ),
    page(
        "analytics/revenue/summary",
        "revenue_daily",
        Shown::List,
        "What was billed on each day, by country and currency",
        r#"{"day": "2026-01-05", "country": "GB", "currency": "EUR", "bills": 3, "revenue": "90.00"}"#,
    ),
    page(
        "analytics/revenue/region",
        "revenue_by_region",
        Shown::List,
        "Revenue by month, country, region and city; NULL is all of them",
        r#"{"month": "2026-01-01", "currency": "EUR", "country": "GB", "region": null, "city": null, "revenue": "90.00"}"#,
    ),
    page(
        "analytics/revenue/category",
        "revenue_by_category",
        Shown::List,
        "Revenue by month and category, as it was billed and as offerings are arranged now",
        r#"{"month": "2026-01-01", "variant": "billed", "category": "mobile", "currency": "EUR", "revenue": "90.00"}"#,
    ),
    page(
        "analytics/revenue/forecast",
        "revenue_forecast",
        Shown::List,
        "The revenue of the next 30 days by the line of the last 28",
        r#"{"country": "GB", "currency": "EUR", "next_30_days": "2700.00", "low": "2500.00", "high": "2900.00"}"#,
    ),
    page(
        "analytics/customer/top",
        "top_customers",
        Shown::List,
        "The ten customers with the greatest revenue in EUR",
        r#"{"customer_id": "C-1", "name": "Ada", "segment": "gold", "bills": 3, "revenue": "90.00"}"#,
    ),
    page(
        "analytics/customer/metrics/{id}",
        "customer_360",
        Shown::One,
        "All that is known of a customer, in one row",
        r#"{"customer_id": "C-1", "open_orders": 1, "balance_due": "12.00", "mrr": "20.00"}"#,
    ),
    page(
        "fraud/anomalies",
        "payment_anomalies",
        Shown::List,
        "Payments whose steps do not follow from each other",
        r#"{"payment_id": "P-1", "anomaly": "captured before it was authorized"}"#,
    ),
    page(
        "fraud/patterns",
        "fraud_hits",
        Shown::List,
        "What the rules F1 to F12 found, with the evidence",
        r#"{"rule_id": "F1", "pivot": "instrument/t-1", "score": "0.7000", "evidence": "P-1,P-2"}"#,
    ),
    page(
        "fraud/payments/status",
        "payment_status_daily",
        Shown::List,
        "What became of the payments of each day",
        r#"{"day": "2026-01-05", "method": "card", "currency": "EUR", "state": "captured", "payments": 7}"#,
    ),
    page(
        "fraud/payments/unusual-amounts",
        "fraud_amount_outlier",
        Shown::List,
        "Payments far above what their customer usually pays (F2)",
        r#"{"payment_id": "P-1", "customer_id": "C-1", "amount": "900.00", "mean_30d": "12.00", "z": "9.10"}"#,
    ),
    page(
        "fraud/alerts",
        "fraud_alerts",
        Shown::List,
        "What somebody should look at, and what was done about it",
        r#"{"rule_id": "F1", "pivot": "instrument/t-1", "state": "open", "hits": 3, "evidence": "P-1,P-2"}"#,
    ),
    page(
        "fraud/rings",
        "fraud_rings",
        Shown::List,
        "Customers who are tied by what they share (F12)",
        r#"{"ring": "C-1", "customers": 4, "kinds": 2, "score": "0.9200"}"#,
    ),
    page(
        "pricing/recommendations",
        "recommended_price",
        Shown::List,
        "A price for each offering and region, with the bounds that acted",
        r#"{"offering_id": "O-1", "region": "GB", "price_now": "20.00", "price": "20.99", "bounds": "ending"}"#,
    ),
    page(
        "recommendations/{id}",
        "recommendations",
        Shown::Of("customer_id"),
        "What to offer to a customer, each with the reason",
        r#"{"customer_id": "C-1", "place": 1, "offering_id": "O-1", "reason": "bought with O-2"}"#,
    ),
    page(
        "invoice-previews/{id}",
        "invoice_preview",
        Shown::Of("account_id"),
        "The bills of an account, by period, the one that runs included",
        r#"{"account_id": "A-1", "period_start": "2026-01-01", "currency": "EUR", "total": "24.00"}"#,
    ),
];

impl Page {
    /// The page of a path's segments, and the id in it.
    pub(super) fn at<'a>(parts: &[&'a str]) -> Option<(&'static Page, Option<&'a str>)> {
        PAGES.iter().find_map(|page| {
            let mut id = None;
            let mut wanted = page.path.split('/');
            for part in parts {
                match wanted.next()? {
                    "{id}" if !part.is_empty() => id = Some(*part),
                    segment if segment == *part => {}
                    _ => return None,
                }
            }
            wanted.next().is_none().then_some((page, id))
        })
    }
}
