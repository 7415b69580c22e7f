//! Frauds of names: logins, take-overs, and customers who sign up in order not to pay.
use super::super::agenda::Act;
use super::super::{Business, DAY, HOUR, MINUTE};
use super::{Call, Crime, Label};
use chrono::{DateTime, Datelike};

impl Business {
    fn plan_login(&mut self, at_ms: u64, person: u32, device: u64, city: u8, failed: bool) {
        let login = Call::Login { person, device, city, failed };
        self.agenda.plan(at_ms, Act::Call(Box::new(login)));
    }

    /// F4: two logins in two cities within ten minutes.
    pub(super) fn log_in_twice(&mut self, now_ms: u64) -> Option<()> {
        let person = self.someone(now_ms, |_| true)?;
        let (city, device) = (self.people[person as usize].city, self.next_number());
        for (i, city) in [city, (city + 2) % 4].into_iter().enumerate() {
            self.plan_login(now_ms + i as u64 * 10 * MINUTE, person, device + i as u64, city, false);
        }
        self.plan_label(Label::of(Crime::Travel, now_ms).customer(person));
        Some(())
    }

    /// F11: somebody guesses, resets, gets in from a new device, and helps himself: to the payouts, or to a card.
    pub(super) fn take_over(&mut self, now_ms: u64, crime: Crime) -> Option<()> {
        let person = self.someone(now_ms - DAY, |_| true)?;
        let (city, device) = (self.people[person as usize].city, self.next_number());
        for i in 0..6 {
            self.plan_login(now_ms + i * MINUTE, person, device, city, true);
        }
        let reset = ("com.example.bss.mfa.reset.v1", "mfa", 10);
        let password = ("com.example.bss.credential.changed.v1", "password", 20);
        let payout = ("com.example.bss.credential.changed.v1", "payout", 60);
        let changes =
            if crime == Crime::Payout { vec![reset, password, payout] } else { vec![reset, password] };
        for (kind, field, minutes) in changes {
            let change = Call::Credential { person, device, kind, field };
            self.agenda.plan(now_ms + minutes * MINUTE, Act::Call(Box::new(change)));
        }
        self.plan_login(now_ms + 15 * MINUTE, person, device, city, false);
        if crime == Crime::Esim {
            let card = self.next_number();
            self.agenda.plan(now_ms + HOUR, Act::Call(Box::new(Call::Esim { person, card })));
        }
        self.plan_label(Label::of(crime, now_ms).customer(person));
        Some(())
    }

    /// F10: one who shares what a customer has whose debts are written off, and is billed in three days.
    pub(super) fn sign_up_not_to_pay(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Option<()> {
        let Some(debtor) =
            self.someone(now_ms, |person| person.is_defaulter).or_else(|| self.someone(now_ms, |_| true))
        else {
            self.agenda.plan(now_ms + DAY, Act::Crime(Crime::Subscription));
            return None;
        };
        self.agenda.plan(now_ms + 6 * DAY, Act::Call(Box::new(Call::WriteOff { person: debtor })));
        let person = self.new_person(now_ms, Some(debtor));
        let bill = DateTime::from_timestamp_millis((now_ms + 3 * DAY) as i64).expect("the calendar knows it");
        self.people[person as usize].cycle_day = u64::from(bill.day().min(28));
        self.people[person as usize].is_defaulter = true;
        self.plan_label(Label::of(Crime::Subscription, now_ms).customer(person));
        self.write_person(now_ms, person, "com.example.bss.customer.created.v1", &[], out);
        Some(())
    }

    /// F12: four sign up within hours and share what a customer has.
    pub(super) fn hang_together(&mut self, now_ms: u64) -> Option<()> {
        let person = self.someone(now_ms, |person| !person.is_defaulter)?;
        for i in 1..5 {
            self.agenda.plan(now_ms + i * HOUR, Act::Crime(Crime::Member(person)));
        }
        self.plan_label(Label::of(Crime::Ring, now_ms).customer(person));
        Some(())
    }

    pub(super) fn join_ring(&mut self, now_ms: u64, of: u32, out: &mut Vec<u8>) -> bool {
        let person = self.new_person(now_ms, Some(of));
        self.write_person(now_ms, person, "com.example.bss.customer.created.v1", &[], out);
        true
    }
}
