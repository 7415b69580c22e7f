//! Errors as clients read them: a severity, an SQLSTATE and a message.
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use datafusion::error::DataFusionError;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

/// An error with its SQLSTATE.
pub(super) fn fault(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".into(), code.into(), message)))
}

/// The same, and the connection ends.
pub(super) fn fatal(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".into(), code.into(), message)))
}

/// What a statement failed with.
pub(super) fn of(why: DeclareError) -> PgWireError {
    let code = state(&why);
    fault(code, why.to_string())
}

/// What DataFusion failed with.
pub(super) fn fault_of_plan(why: DataFusionError) -> PgWireError {
    of(from_datafusion(why))
}

/// The SQLSTATE. Where the kind of an error says too little, its message tells: our own wording, Arrow's and DataFusion's.
fn state(why: &DeclareError) -> &'static str {
    match why {
        DeclareError::Syntax { .. } => "42601",
        DeclareError::Unsupported(_) => "0A000",
        DeclareError::NotFound(_) => "42P01",
        DeclareError::Constraint(text) => known(text).unwrap_or("23000"),
        DeclareError::Conflict(text) => known(text).unwrap_or("42P07"),
        DeclareError::Unavailable(text) => known(text).unwrap_or("57P03"),
        DeclareError::Internal(text) => known(text).unwrap_or("XX000"),
        DeclareError::Invalid(text) => known(text).unwrap_or("42804"),
    }
}

fn known(text: &str) -> Option<&'static str> {
    const WORDS: [(&str, &str); 34] = [
        ("value too long", "22001"),
        ("duplicate key", "23505"),
        ("violates check constraint", "23514"),
        ("generated always", "428C9"),
        ("reached maximum value", "2200H"),
        ("more than one row", "21000"),
        ("divide by zero", "22012"),
        ("division by zero", "22012"),
        ("no table", "42P01"),
        ("no view", "42P01"),
        ("does not exist", "42P01"),
        ("no column", "42703"),
        ("ambiguous", "42702"),
        ("invalid function", "42883"),
        ("no function", "42883"),
        ("null value in column", "23502"),
        ("violates not-null", "23502"),
        ("canceling statement", "57014"),
        ("name a time from", "22023"),
        ("time limit", "57014"),
        ("was stopped after", "57014"),
        ("timeout", "57014"),
        ("too much memory", "53200"),
        ("memory", "53200"),
        ("resources exhausted", "53200"),
        ("used by", "2BP01"),
        ("depend", "2BP01"),
        ("out of range", "22003"),
        ("overflow", "22003"),
        ("cannot cast string", "22P02"),
        ("parse error", "22P02"),
        ("error parsing", "22P02"),
        ("invalid input syntax", "22P02"),
        ("must appear in the group by", "42803"),
    ];
    let text = text.to_lowercase();
    WORDS.iter().find(|(words, _)| text.contains(words)).map(|(_, code)| *code)
}

/// Whether a statement was stopped, and may have done its work all the same.
pub(super) fn is_cancelled(why: &PgWireError) -> bool {
    match why {
        PgWireError::QueryCanceled => true,
        PgWireError::UserError(info) => info.code == "57014",
        _ => false,
    }
}
