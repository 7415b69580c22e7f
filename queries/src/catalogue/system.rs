//! The tables that the process itself keeps, in every catalogue: nobody declares, writes or drops them.
use super::Catalogue;
use crate::DeclareError;
use dataflows::{Mode, Table};

/// The records that do not count.
pub const QUARANTINE: &str = "quarantine";
/// The events that count and came late.
pub const LATE_EVENTS: &str = "late_events";
/// What those events changed.
pub const LATE_CHANGES: &str = "late_changes";

const FILES: [&str; 3] = [
    include_str!("../../system/quarantine.sql"),
    include_str!("../../system/late_events.sql"),
    include_str!("../../system/late_changes.sql"),
];

/// Whether the process itself keeps the table of this name.
pub fn is_system(name: &str) -> bool {
    [QUARANTINE, LATE_EVENTS, LATE_CHANGES].contains(&name)
}

/// Whether INSERT, UPDATE and DELETE change a table.
pub fn takes_statements(table: &Table) -> bool {
    matches!(table.mode, Mode::Changes { .. }) && !is_system(&table.name)
}

/// A catalogue with these tables alone.
pub(super) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for sql in FILES {
        catalogue.declare(sql).expect("the files are shipped, and a test declares them");
    }
    catalogue
}

/// An error where a name is one of these.
pub(super) fn refuse(act: &str, name: &str) -> Result<(), DeclareError> {
    match is_system(name) {
        true => Err(DeclareError::Conflict(format!(
            "cannot {act} {name:?}: the process itself keeps this table; it can be read, and views can use it"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_catalogue_has_them_and_none_drops_them() {
        let mut catalogue = Catalogue::load("empty").unwrap();
        for name in [QUARANTINE, LATE_EVENTS, LATE_CHANGES] {
            assert!(catalogue.get(name).is_some());
            let why = catalogue.drop(name).unwrap_err().to_string();
            assert!(why.contains("the process itself keeps"), "{why}");
        }
        catalogue
            .declare("CREATE MATERIALIZED VIEW n AS SELECT rule, count(*) AS n FROM quarantine GROUP BY rule")
            .unwrap();
    }
}
