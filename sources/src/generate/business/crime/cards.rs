//! Frauds of payments.
use super::super::agenda::Act;
use super::super::paying::Step;
use super::super::{Business, DAY, HOUR, MINUTE};
use super::{Call, Crime, Label};

impl Business {
    /// A payment of a fraud: stolen card, amount, how often of a hundred it is declined.
    fn plan_payment(&mut self, at_ms: u64, person: u32, card: u64, cents: u64, declined: u64) -> u32 {
        let payment = self.new_payment(person, None, cents, "card");
        self.payments[payment as usize].instrument = (b'X', card);
        self.payments[payment as usize].declined = declined;
        self.agenda.plan(at_ms, Act::Pay(payment, Step::Attempt));
        payment
    }

    fn number_of(&self, payment: u32) -> u64 {
        self.payments[payment as usize].number
    }

    /// F1: eight payments in four minutes, with three cards.
    pub(super) fn try_fast(&mut self, now_ms: u64) -> Option<()> {
        let person = self.someone(now_ms, |_| true)?;
        let card = self.next_number();
        for i in 0..8 {
            let payment = self.plan_payment(now_ms + i * 30_000, person, card + i % 3, 1_999, 60);
            if i == 7 {
                let label = Label::of(Crime::Velocity, now_ms).payment(self.number_of(payment));
                self.plan_label(label.customer(person));
            }
        }
        Some(())
    }

    /// F2: one who loads small amounts pays a large one.
    pub(super) fn overspend(&mut self, now_ms: u64) -> Option<()> {
        let person = self.someone(now_ms - 21 * DAY, |person| person.is_prepaid)?;
        let card = self.next_number();
        let payment = self.plan_payment(now_ms, person, card, 90_000, 0);
        let label = Label::of(Crime::Outlier, now_ms).payment(self.number_of(payment));
        self.plan_label(label.customer(person));
        Some(())
    }

    /// F3: cards of many are copied at one terminal, a day and a half apart: what is known of the first shows the later ones.
    pub(super) fn skim(&mut self, now_ms: u64) -> Option<()> {
        let card = self.next_number();
        for i in 0..12 {
            let person = self.someone(now_ms, |_| true)?;
            let at = now_ms + i * 3 * DAY / 2;
            let payment = self.plan_payment(at, person, card + i, 15_000 + i, 0);
            self.payments[payment as usize].terminal = card;
            let label = Label::of(Crime::Terminal, at).payment(self.number_of(payment)).customer(person);
            self.plan_label(Label { terminal: Some(card), ..label });
        }
        Some(())
    }

    /// F5: twelve small amounts on seven cards from one device; then a large one.
    pub(super) fn test_cards(&mut self, now_ms: u64) -> Option<()> {
        let people = self.several(now_ms, 4)?;
        let card = self.next_number();
        for i in 0..13 {
            let (cents, declined) = if i == 12 { (6_000, 0) } else { (100 + 17 * i, 88) };
            let person = people[i as usize % people.len()];
            let payment = self.plan_payment(now_ms + i * 50_000, person, card + i % 7, cents, declined);
            self.payments[payment as usize].bin = 499_000 + card % 1_000;
            self.payments[payment as usize].device = card;
            if i == 12 {
                let label = Label::of(Crime::Testing, now_ms).payment(self.number_of(payment));
                self.plan_label(label.customer(person));
            }
        }
        Some(())
    }

    /// F6: most of what a customer pays comes back.
    pub(super) fn refund_often(&mut self, now_ms: u64) -> Option<()> {
        let person = self.someone(now_ms, |person| !person.is_prepaid)?;
        let card = self.next_number();
        for i in 0..6 {
            let payment = self.plan_payment(now_ms + i * DAY / 2, person, card, 12_000, 0);
            let refund = Call::Refund { payment, dealer: None };
            self.agenda.plan(now_ms + i * DAY / 2 + 8 * HOUR, Act::Call(Box::new(refund)));
        }
        self.plan_label(Label::of(Crime::Refunds, now_ms).customer(person));
        Some(())
    }

    /// F6: a dealer pays back what was paid half an hour ago, seven times a day.
    pub(super) fn refund_at_once(&mut self, now_ms: u64) -> Option<()> {
        let people = self.several(now_ms, 7)?;
        let dealer = self.next_number();
        for (i, person) in people.into_iter().enumerate() {
            let card = self.next_number();
            let at = now_ms + i as u64 * HOUR;
            let payment = self.plan_payment(at, person, card, 7_000, 0);
            let refund = Call::Refund { payment, dealer: Some(dealer) };
            self.agenda.plan(at + 30 * MINUTE, Act::Call(Box::new(refund)));
        }
        self.plan_label(Label::of(Crime::Dealer, now_ms).pivot("dealer/", b'Y', dealer));
        Some(())
    }

    /// A payment on the account of another.
    fn plan_gift(&mut self, at_ms: u64, from: u32, to: u32, cents: u64) {
        let card = self.next_number();
        let payment = self.plan_payment(at_ms, from, card, cents, 0);
        self.payments[payment as usize].account = to;
    }

    /// F12: three or four pay on each other's accounts in a circle.
    pub(super) fn go_round(&mut self, now_ms: u64) -> Option<()> {
        let count = 3 + self.random.below(2) as usize;
        let people = self.several(now_ms, count)?;
        for (i, from) in people.iter().enumerate() {
            let to = people[(i + 1) % people.len()];
            self.plan_gift(now_ms + i as u64 * 9 * HOUR, *from, to, 80_000 - 1_500 * i as u64);
        }
        let first = people.into_iter().min()?;
        self.plan_label(Label::of(Crime::Circle, now_ms).customer(first));
        Some(())
    }

    /// F12: seven pay one within hours, or one pays seven.
    pub(super) fn fan(&mut self, now_ms: u64, crime: Crime) -> Option<()> {
        let people = self.several(now_ms, 8)?;
        let (one, others) = people.split_first()?;
        for (i, other) in others.iter().enumerate() {
            let (from, to) = if crime == Crime::FanIn { (*other, *one) } else { (*one, *other) };
            self.plan_gift(now_ms + i as u64 * HOUR, from, to, 20_000 + 500 * i as u64);
        }
        self.plan_label(Label::of(crime, now_ms).customer(*one));
        Some(())
    }
}
