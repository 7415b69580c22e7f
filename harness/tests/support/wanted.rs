//! Statements and what each answers.
use super::said::said;
use harness::Tallyflow;

/// Each statement answers what is wanted of it; after `! ` a part of its error is.
pub fn all(tallyflow: &Tallyflow, cases: &[(&str, &str)]) {
    for (sql, wanted) in cases {
        let got = said(tallyflow, sql);
        let fits = match wanted.strip_prefix("! ") {
            Some(part) => got.starts_with("! ") && got.contains(part),
            None => got == *wanted,
        };
        assert!(fits, "{sql}\n  wanted {wanted}\n  got    {got}");
    }
}
