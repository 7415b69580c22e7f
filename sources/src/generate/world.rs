//! Who and what there is in the generated business.

/// Given names.
pub(super) const GIVEN: [&str; 16] = [
    "Anna", "Ben", "Carla", "David", "Elif", "Finn", "Greta", "Hugo", "Inès", "Jonas", "Klara", "Łukasz",
    "Mia", "Noah", "Olga", "Søren",
];
/// Family names.
pub(super) const FAMILY: [&str; 16] = [
    "Müller", "Schmidt", "Rossi", "García", "Dubois", "Novák", "Kowalski", "Jansen", "O'Brien", "Smith",
    "Huber", "Meier", "Larsen", "Silva", "Yılmaz", "Weber",
];
/// Countries with their language and currency.
pub(super) const COUNTRIES: [(&str, &str, &str); 8] = [
    ("DE", "de", "EUR"),
    ("FR", "fr", "EUR"),
    ("IT", "it", "EUR"),
    ("ES", "es", "EUR"),
    ("AT", "de", "EUR"),
    ("NL", "nl", "EUR"),
    ("GB", "en", "GBP"),
    ("CH", "de", "CHF"),
];
/// What customers are to the business.
pub(super) const SEGMENTS: [&str; 4] = ["consumer", "smallBusiness", "enterprise", "wholesale"];
/// How far customers are trusted.
pub(super) const RISKS: [&str; 3] = ["low", "medium", "high"];

/// What is sold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offering {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    pub(super) cents: u64,
    pub(super) recurring: bool,
}

const fn offering(id: &'static str, name: &'static str, category: &'static str, cents: u64) -> Offering {
    Offering { id, name, category, cents, recurring: false }
}

const fn plan(id: &'static str, name: &'static str, category: &'static str, cents: u64) -> Offering {
    Offering { id, name, category, cents, recurring: true }
}

/// The price list.
pub(super) const OFFERINGS: [Offering; 12] = [
    plan("mobile-s", "Mobile S", "mobile", 999),
    plan("mobile-m", "Mobile M", "mobile", 1999),
    plan("mobile-l", "Mobile L", "mobile", 3499),
    plan("fibre-250", "Fibre 250", "broadband", 3999),
    plan("fibre-1000", "Fibre 1000", "broadband", 5999),
    plan("tv-basic", "TV Basic", "tv", 1250),
    offering("sim-card", "SIM card", "equipment", 495),
    offering("router", "Router", "equipment", 12900),
    offering("phone-a", "Phone A", "equipment", 39900),
    offering("phone-b", "Phone B", "equipment", 84999),
    offering("installation", "Installation", "service", 6950),
    offering("roaming-day", "Roaming day pass", "mobile", 295),
];

/// A customer; the number is its place among all.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) version: u32,
    pub(super) given: u8,
    pub(super) family: u8,
    /// An index of [`COUNTRIES`].
    pub(super) country: u8,
    pub(super) segment: u8,
    pub(super) risk: u8,
    pub(super) birth_year: u16,
    /// Counts changes of the address, which the address shows.
    pub(super) mailbox: u8,
    pub(super) status: &'static str,
    pub(super) created_ms: u64,
}

/// A position of an order, and of its bill.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item {
    /// An index of [`OFFERINGS`].
    pub(super) offering: u8,
    pub(super) quantity: u8,
}

/// From order to cash: an order, its bill and what was paid.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// The number of order and bill.
    pub(super) number: u64,
    pub(super) customer: u32,
    pub(super) channel: &'static str,
    pub(super) order_version: u32,
    pub(super) order_state: &'static str,
    pub(super) ordered_ms: u64,
    pub(super) bill_version: u32,
    pub(super) bill_state: &'static str,
    pub(super) billed_ms: u64,
    pub(super) items: [Item; 4],
    pub(super) item_count: u8,
}

impl Flow {
    /// The positions.
    pub(super) fn items(&self) -> &[Item] {
        &self.items[..usize::from(self.item_count)]
    }

    /// The sum of the positions without tax, in cents.
    pub(super) fn net(&self) -> u64 {
        self.items().iter().map(|item| item.net()).sum()
    }

    /// The sum of the positions' taxes, in cents.
    pub(super) fn tax(&self) -> u64 {
        self.items().iter().map(|item| item.tax()).sum()
    }
}

impl Item {
    /// What is sold.
    pub(super) fn offering(&self) -> &'static Offering {
        &OFFERINGS[usize::from(self.offering)]
    }

    /// Without tax, in cents.
    pub(super) fn net(&self) -> u64 {
        self.offering().cents * u64::from(self.quantity)
    }

    /// A fifth of it, rounded half up once for the position, in cents.
    pub(super) fn tax(&self) -> u64 {
        (self.net() + 2) / 5
    }
}

/// An attempt to pay.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) number: u64,
    pub(super) customer: u32,
    /// The flow whose bill it pays; none for an attempt of a burst.
    pub(super) flow: Option<u32>,
    pub(super) bill: Option<u64>,
    pub(super) cents: u64,
    pub(super) method: &'static str,
    /// Its letter and number: `I` with the number of its owner, `X` for one of a burst.
    pub(super) instrument: (u8, u64),
    pub(super) version: u32,
    pub(super) attempt: u8,
    /// The payment that this one tries again.
    pub(super) retry_of: Option<u64>,
}

/// A product in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    pub(super) number: u64,
    pub(super) customer: u32,
    pub(super) offering: u8,
    pub(super) version: u8,
    pub(super) started_ms: u64,
}

/// A visit to the shop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    /// Not known before a login.
    pub(super) customer: Option<u32>,
    pub(super) device: &'static str,
    pub(super) views_left: u8,
}
