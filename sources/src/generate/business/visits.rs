//! Visits to the shop: pages, products that are viewed, and carts.
use super::agenda::Act;
use super::{Business, HOUR, busy};
use crate::generate::world::OFFERINGS;

/// Someone who visits, again and again.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    session: u64,
    person: Option<u32>,
    left: u64,
    has_cart: bool,
}

impl Business {
    /// Visitors: one for every five customers.
    pub(super) fn plan_visitors(&mut self, customers: u64) {
        for place in 0..customers.div_ceil(5) {
            self.visits.push(Visit { session: 0, person: None, left: 0, has_cart: false });
            let at = self.config.from_ms + self.wait(6 * HOUR);
            self.agenda.plan(at, Act::Visit(place as u32));
        }
    }

    pub(super) fn visit(&mut self, now_ms: u64, place: u32, out: &mut Vec<u8>) -> bool {
        if self.visits[place as usize].left == 0 {
            if self.random.below(100) >= busy(now_ms) || self.people.is_empty() {
                let at = now_ms + self.wait(HOUR);
                self.agenda.plan(at, Act::Visit(place));
                return false;
            }
            let session = self.next_number();
            let is_known = self.random.below(10) < 7;
            let person = is_known.then(|| self.random.below(self.people.len() as u64) as u32);
            let left = 1 + self.random.below(20);
            self.visits[place as usize] =
                Visit { session, person, left, has_cart: self.random.below(4) == 0 };
        }
        self.visits[place as usize].left -= 1;
        let Visit { session, person, left, has_cart } = self.visits[place as usize];
        let wait = if left > 0 { self.wait(40_000) } else { self.wait(2 * HOUR) };
        self.agenda.plan(now_ms + wait, Act::Visit(place));
        let offering = OFFERINGS[self.random.below(OFFERINGS.len() as u64) as usize].id;
        let milliseconds = 5 + self.random.below(40) * self.random.below(60);
        let kind = match (left % 4, has_cart, left) {
            (_, true, 0) => "com.example.bss.cart.itemAdded.v1",
            (1, _, _) => "com.example.bss.product.viewed.v1",
            (3, true, _) => "com.example.bss.product.searched.v1",
            _ => "com.example.bss.pageView.recorded.v1",
        };
        self.write(now_ms, out, "/bss/web/", kind, person, |json, _| {
            json.id("sessionId", "", b'N', session);
            json.id("anonymousId", "", b'N', u64::from(place));
            if let Some(person) = person {
                json.id("customerId", "", b'C', u64::from(person));
            }
            json.parts("url", &["/offerings/", offering]);
            json.text("offeringId", offering);
            json.text("device", "phone");
            json.number("milliseconds", milliseconds);
            if kind.contains("cart") {
                json.id("cartId", "", b'Y', session);
                json.number("qty", 1);
            }
        });
        true
    }
}
