//! What was done to a catalogue, so that another process can do the same and compile the same plans.
use super::Catalogue;
use crate::DeclareError;
use std::sync::Arc;

/// A step in the life of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These statements were declared.
    Declare(Arc<str>),
    /// The table or view of this name was dropped.
    Drop(Arc<str>),
}

impl Change {
    /// As a text, from which [`Change::of`] makes it again.
    pub fn text(&self) -> String {
        match self {
            Change::Declare(sql) => format!("declare {sql}"),
            Change::Drop(name) => format!("drop {name}"),
        }
    }

    /// From its text.
    pub fn of(text: &str) -> Option<Change> {
        let (act, rest) = text.split_once(' ')?;
        match act {
            "declare" => Some(Change::Declare(rest.into())),
            "drop" => Some(Change::Drop(rest.into())),
            _ => None,
        }
    }
}

impl Catalogue {
    pub(super) fn note(&mut self, change: Change) {
        Arc::make_mut(&mut self.journal).push(change);
    }

    /// All that was done to it since it was empty: who does the same to [`Catalogue::default`] has the same.
    pub fn journal(&self) -> &[Change] {
        &self.journal
    }

    /// Does again what was done to another.
    pub fn again(&mut self, change: &Change) -> Result<(), DeclareError> {
        match change {
            Change::Declare(sql) => self.declare(sql).map(|_| ()),
            Change::Drop(name) => self.drop(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_the_same_has_the_same_plans() {
        let mut first = Catalogue::load("bss").unwrap();
        first.declare("CREATE FUNCTION twice(a BIGINT) RETURNS BIGINT LANGUAGE SQL RETURN a * 2").unwrap();
        let view = "CREATE MATERIALIZED VIEW n AS SELECT twice(count(*)) AS n FROM quarantine";
        first.declare(view).unwrap();
        first.declare("DROP FUNCTION twice").unwrap();
        first.declare("CREATE MATERIALIZED VIEW gone AS SELECT * FROM n").unwrap();
        first.drop("gone").unwrap();
        let mut second = Catalogue::default();
        for change in first.journal() {
            assert_eq!(Change::of(&change.text()).as_ref(), Some(change));
            second.again(change).unwrap();
        }
        let plans = |catalogue: &Catalogue| -> Vec<String> {
            catalogue.views().map(|compiled| compiled.plan.fingerprint()).collect()
        };
        assert_eq!(plans(&first), plans(&second));
        assert!(second.get("n").is_some() && second.get("gone").is_none());
    }
}
