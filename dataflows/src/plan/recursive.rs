//! Recursion in a plan: relations whose bodies read what they held a round ago.
use super::Plan;
use arrow::datatypes::SchemaRef;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A relation of a recursion.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The name by which [`Plan::Local`] reads it.
    pub name: Arc<str>,
    /// Its columns.
    pub schema: SchemaRef,
    /// What a round computes, with these columns.
    pub body: Plan,
    /// What the rounds make of it.
    pub rounds: Rounds,
}

/// How the rounds of a binding follow each other.
#[derive(Clone, Debug)]
pub enum Rounds {
    /// It begins empty, and each round replaces it by what the body gives: its rows are those of the last round.
    Replaced,
    /// It begins as `base`, and the body reads the rows that the last round added: its rows are those of all rounds (UNION ALL).
    Added {
        /// The rows of the first round; reads no binding.
        base: Box<Plan>,
    },
    /// The same, but a round adds a row only if no round had it before (UNION).
    New {
        /// The rows of the first round; reads no binding.
        base: Box<Plan>,
    },
}

/// When a recursion stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The greatest number of rounds; at least 1.
    pub rounds: u64,
    /// Whether what that round holds is then the answer; else it is a failure of the view.
    pub returns: bool,
}

impl Limit {
    /// Where nothing else is said.
    pub const DEFAULT: Limit = Limit { rounds: 10_000, returns: false };
}

impl Binding {
    pub(super) fn inputs(&self) -> Vec<&Plan> {
        match &self.rounds {
            Rounds::Replaced => vec![&self.body],
            Rounds::Added { base } | Rounds::New { base } => vec![base, &self.body],
        }
    }
}

impl Plan {
    /// The bindings that it reads of recursions around it.
    pub fn locals(&self) -> BTreeSet<&Arc<str>> {
        let mut names: BTreeSet<&Arc<str>> = self.inputs().into_iter().flat_map(Plan::locals).collect();
        match self {
            Plan::Local { name, .. } => _ = names.insert(name),
            Plan::Recursive { bindings, .. } => {
                bindings.iter().for_each(|binding| _ = names.remove(&binding.name));
            }
            _ => {}
        }
        names
    }

    /// Whether it means something only inside a recursion.
    pub fn is_open(&self) -> bool {
        !self.locals().is_empty()
    }
}

pub(super) fn describe(bindings: &[Binding], output: usize, limit: &Limit) -> String {
    let names = bindings.iter().map(|binding| {
        let rounds = match &binding.rounds {
            Rounds::Replaced => "replaced",
            Rounds::Added { .. } => "added",
            Rounds::New { .. } => "new",
        };
        format!("{} ({rounds})", binding.name)
    });
    let end = if limit.returns { "at most" } else { "to the end within" };
    format!(
        "Recursive {} of {}, {end} {} rounds",
        bindings[output].name,
        names.collect::<Vec<_>>().join(", "),
        limit.rounds
    )
}
