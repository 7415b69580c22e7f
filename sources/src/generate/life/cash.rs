//! From order to cash: an order is fulfilled, billed and paid, step by step.
use super::pay::Stage;
use super::{Life, Step};
use crate::generate::random::Random;
use crate::generate::world::{Flow, Item, OFFERINGS, Subscription};
use crate::generate::write::{self, Head, When};

impl Life {
    /// Writes a new order and plans what follows.
    pub(super) fn order(&mut self, random: &mut Random, now_ms: u64, when: When, out: &mut Vec<u8>) {
        let mut items = [Item::default(); 4];
        let item_count = random.pick(&[1, 1, 1, 2, 2, 3, 4]);
        for item in &mut items[..usize::from(item_count)] {
            item.offering = random.below(OFFERINGS.len() as u64) as u8;
            item.quantity = random.pick(&[1, 1, 1, 1, 2, 3]);
        }
        let flow = Flow {
            number: self.next_number(),
            customer: self.someone(random),
            channel: random.pick(&["web", "web", "app", "shop", "partner"]),
            order_version: 0,
            order_state: "acknowledged",
            ordered_ms: when.time_ms,
            bill_version: 0,
            bill_state: "",
            billed_ms: 0,
            items,
            item_count,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.flows[place as usize] = flow;
                place
            }
            None => {
                self.flows.push(flow);
                self.flows.len() as u32 - 1
            }
        };
        self.write_order(place, "com.example.bss.productOrder.created.v1", &[], when, out);
        let step = if random.below(25) == 0 { Step::Cancel(place) } else { Step::Start(place) };
        self.plan(now_ms + random.between(500, 3_000), step);
    }

    /// Writes the event of a step that is due, and plans what follows from it.
    pub(super) fn step(
        &mut self,
        random: &mut Random,
        now_ms: u64,
        step: Step,
        when: When,
        out: &mut Vec<u8>,
    ) {
        let soon_ms = now_ms + random.between(300, 2_500);
        match step {
            Step::Start(place) => {
                self.flows[place as usize].order_state = "inProgress";
                self.write_order(
                    place,
                    "com.example.bss.productOrder.stateChanged.v1",
                    &["state"],
                    when,
                    out,
                );
                self.plan(soon_ms, Step::Complete(place));
            }
            Step::Cancel(place) => {
                self.flows[place as usize].order_state = "cancelled";
                self.write_order(place, "com.example.bss.productOrder.cancelled.v1", &["state"], when, out);
                self.release(place);
            }
            Step::Complete(place) => {
                self.flows[place as usize].order_state = "completed";
                self.write_order(place, "com.example.bss.productOrder.completed.v1", &["state"], when, out);
                self.deliver(place, soon_ms, when);
                self.plan(soon_ms, Step::Bill(place));
            }
            Step::Provide(mut subscription) => {
                let kind = "com.example.bss.product.created.v1";
                self.write_product(&mut subscription, kind, "pendingActive", when, out);
                self.plan(soon_ms, Step::Activate(subscription));
            }
            Step::Activate(mut subscription) => {
                let kind = "com.example.bss.product.activated.v1";
                self.write_product(&mut subscription, kind, "active", when, out);
                self.subscriptions.push(subscription);
            }
            Step::Bill(place) => {
                let flow = &mut self.flows[place as usize];
                (flow.bill_state, flow.billed_ms) = ("sent", when.time_ms);
                self.write_bill(place, "com.example.bss.customerBill.created.v1", &[], when, out);
                let void = random.below(33) == 0;
                let next = if void {
                    Step::Void(place)
                } else {
                    Step::Pay(Stage::Attempt, self.first_payment(random, place))
                };
                self.plan(soon_ms, next);
            }
            Step::Void(place) => {
                self.flows[place as usize].bill_state = "voided";
                self.write_bill(place, "com.example.bss.customerBill.voided.v1", &["state"], when, out);
                self.release(place);
            }
            Step::Close(place) => {
                self.flows[place as usize].bill_state = "settled";
                self.write_bill(place, "com.example.bss.customerBill.stateChanged.v1", &["state"], when, out);
                self.release(place);
            }
            Step::Pay(stage, payment) => self.pay(random, now_ms, stage, payment, when, out),
        }
    }

    /// Plans the subscriptions that a completed order brings.
    fn deliver(&mut self, place: u32, due_ms: u64, when: When) {
        let flow = self.flows[place as usize].clone();
        for item in flow.items().iter().filter(|item| item.offering().recurring) {
            let subscription = Subscription {
                number: self.next_number(),
                customer: flow.customer,
                offering: item.offering,
                version: 0,
                started_ms: when.time_ms,
            };
            self.plan(due_ms, Step::Provide(subscription));
        }
    }

    /// Writes an order or a bill with a changed quantity; false where nothing of the flow can be corrected now.
    pub(super) fn correct_flow(
        &mut self,
        random: &mut Random,
        place: u32,
        when: When,
        out: &mut Vec<u8>,
    ) -> bool {
        let flow = &mut self.flows[place as usize];
        let billed = flow.bill_state == "sent";
        if !billed && !matches!(flow.order_state, "acknowledged" | "inProgress") {
            return false;
        }
        let item = &mut flow.items[random.below(u64::from(flow.item_count)) as usize];
        item.quantity = if item.quantity > 1 { item.quantity - 1 } else { item.quantity + 1 };
        if billed {
            self.write_bill(place, "com.example.bss.customerBill.stateChanged.v1", &["lines"], when, out);
        } else {
            self.write_order(place, "com.example.bss.productOrder.amended.v1", &["items"], when, out);
        }
        true
    }

    fn release(&mut self, place: u32) {
        self.free.push(place);
    }

    fn write_order(
        &mut self,
        place: u32,
        kind: &'static str,
        changed: &[&str],
        when: When,
        out: &mut Vec<u8>,
    ) {
        let sequence = self.next_number();
        let flow = &mut self.flows[place as usize];
        flow.order_version += 1;
        let head = Head {
            sequence,
            when,
            source: "/bss/orders/",
            kind,
            subject: ("productOrder/", b'O', flow.number),
            customer: Some(flow.customer),
            version: Some(flow.order_version),
        };
        let country = self.customers[flow.customer as usize].country;
        head.write(out, self.tag, |json| write::order(json, flow, country, changed));
    }

    fn write_bill(
        &mut self,
        place: u32,
        kind: &'static str,
        changed: &[&str],
        when: When,
        out: &mut Vec<u8>,
    ) {
        let sequence = self.next_number();
        let flow = &mut self.flows[place as usize];
        flow.bill_version += 1;
        let head = Head {
            sequence,
            when,
            source: "/bss/billing/",
            kind,
            subject: ("customerBill/", b'B', flow.number),
            customer: Some(flow.customer),
            version: Some(flow.bill_version),
        };
        let country = self.customers[flow.customer as usize].country;
        head.write(out, self.tag, |json| write::bill(json, flow, country, changed));
    }
}
