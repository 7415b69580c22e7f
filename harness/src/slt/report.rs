//! What became of each record, counted: per file and mode, and by reason.
use super::Mode;
use std::collections::BTreeMap;

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did what the script says.
    Passed,
    /// The product refused it: why.
    Refused(String),
    /// It answers where the script expects an error.
    Accepted,
    /// It answers something else, or fails inside: what.
    Wrong(String),
    /// The runner does not run such records: what they are.
    Skipped(String),
}

/// A query or statement that was run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In which way it was run.
    pub mode: Mode,
    /// Whether it is a query; else a statement.
    pub is_query: bool,
    /// File and line.
    pub place: String,
    /// Its text.
    pub sql: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// As the script says.
    pub passed: usize,
    /// Refused by the product.
    pub refused: usize,
    /// Answered where an error is expected.
    pub accepted: usize,
    /// Another answer.
    pub wrong: usize,
    /// Not run.
    pub skipped: usize,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, verdict: &Verdict) {
        let count = match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Refused(_) => &mut self.refused,
            Verdict::Accepted => &mut self.accepted,
            Verdict::Wrong(_) => &mut self.wrong,
            Verdict::Skipped(_) => &mut self.skipped,
        };
        *count += 1;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "passed {:>5}  refused {:>4}  wrong {:>4}", self.passed, self.refused, self.wrong)?;
        if self.accepted > 0 {
            write!(f, "  accepted {:>3}", self.accepted)?;
        }
        if self.skipped > 0 {
            write!(f, "  skipped {:>3}", self.skipped)?;
        }
        Ok(())
    }
}

/// Counts of one file or of all, by mode, queries apart from statements.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(Mode, bool), Counts>,
    reasons: BTreeMap<(Mode, String), usize>,
}

impl Tally {
    /// Counts one more outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        self.counts.entry((outcome.mode, !outcome.is_query)).or_default().add(&outcome.verdict);
        if let Verdict::Refused(reason) | Verdict::Skipped(reason) = &outcome.verdict {
            *self.reasons.entry((outcome.mode, kind_of(reason))).or_default() += 1;
        }
    }

    /// The counts of a mode's queries.
    pub fn queries(&self, mode: Mode) -> Counts {
        self.counts.get(&(mode, false)).copied().unwrap_or_default()
    }

    /// How many answers are wrong, in all modes, of queries and statements.
    pub fn wrong(&self) -> usize {
        self.counts.values().map(|counts| counts.wrong).sum()
    }

    /// A line per mode.
    pub fn lines(&self) -> Vec<String> {
        self.counts
            .iter()
            .map(|((mode, statements), counts)| {
                let what = if *statements { "statements" } else { "queries" };
                format!("{:<9}{what:<11}{counts}", mode.to_string())
            })
            .collect()
    }

    /// The reasons of what was refused or skipped, most frequent first.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|((mode, _), count)| (*mode, std::cmp::Reverse(**count)));
        reasons.into_iter().map(|((mode, reason), count)| format!("{mode:<9}{count:>5}  {reason}")).collect()
    }
}

/// A reason without the names and numbers of the case at hand, so that equal causes are counted together.
fn kind_of(reason: &str) -> String {
    const REASON_CHARS_MAX: usize = 140;
    let mut kind = String::new();
    let mut quote = None;
    for c in reason.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => {
                quote = Some(c);
                kind.push('_');
            }
            (None, c) if c.is_ascii_digit() => {
                if !kind.ends_with('#') {
                    kind.push('#');
                }
            }
            (None, c) => kind.push(c),
        }
    }
    kind.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_causes_have_one_reason() {
        assert_eq!(kind_of("line 1, column 12: no function \"f\""), "line #, column #: no function _");
    }
}
