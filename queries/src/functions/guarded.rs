//! Functions of DataFusion whose results have no bound, with one: what they would give is measured before they are called.
use super::call::{bounded, fail, fresh};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How many bytes a row gives at most.
type Measure = fn(&[ArrayRef], usize) -> usize;

const GUARDS: [(&str, Measure); 9] = [
    ("array_repeat", |columns, i| number(columns, 1, i).saturating_mul(8 + bytes(&columns[0], i))),
    ("array_resize", |columns, i| {
        number(columns, 1, i).saturating_mul(8 + columns.get(2).map_or(0, |c| bytes(c, i)))
    }),
    ("regexp_replace", |columns, i| {
        let (input, replacement) = (bytes(&columns[0], i), columns.get(2).map_or(0, |c| bytes(c, i)));
        input.saturating_add((input + 1).saturating_mul(replacement))
    }),
    ("translate", |columns, i| bytes(&columns[0], i).saturating_mul(4)),
    ("overlay", all),
    ("concat", all),
    ("concat_ws", |columns, i| {
        all(columns, i).saturating_add(bytes(&columns[0], i).saturating_mul(columns.len()))
    }),
    ("array_to_string", |columns, i| {
        let elements = bytes(&columns[0], i);
        elements.saturating_mul(2).saturating_add(elements.saturating_mul(bytes(&columns[1], i)))
    }),
    ("array_concat", all),
];

/// Puts a guard before each of these functions.
pub(super) fn guard(state: &mut SessionState) {
    for (name, measure) in GUARDS {
        let Ok(inner) = state.udf(name) else { continue };
        let guarded = Guarded { inner: inner.inner().clone(), measure };
        let guarded = ScalarUDF::new_from_impl(guarded);
        state.register_udf(Arc::new(guarded)).expect("a session state registers every function");
    }
    if let Ok(inner) = state.udf("arrow_cast") {
        let guarded = Guarded { inner: inner.inner().clone(), measure: |_, _| 0 };
        state
            .register_udf(Arc::new(ScalarUDF::new_from_impl(guarded)))
            .expect("a session state registers every function");
    }
}

fn all(columns: &[ArrayRef], i: usize) -> usize {
    columns.iter().map(|column| bytes(column, i)).fold(0, usize::saturating_add)
}

/// A count that is not NULL and not negative.
fn number(columns: &[ArrayRef], k: usize, i: usize) -> usize {
    let Some(column) = columns.get(k).filter(|column| column.is_valid(i)) else { return 0 };
    match cast(&column.slice(i, 1), &DataType::Int64) {
        Ok(one) if one.is_valid(0) => usize::try_from(one.as_primitive::<Int64Type>().value(0)).unwrap_or(0),
        _ => usize::from(column.data_type().is_numeric()) * usize::MAX,
    }
}

/// The bytes of a value.
fn bytes(column: &ArrayRef, i: usize) -> usize {
    match column.data_type() {
        _ if column.is_null(i) => 0,
        DataType::Utf8 => column.as_string::<i32>().value(i).len(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(i).len(),
        DataType::Utf8View => column.as_string_view().value(i).len(),
        _ => column.slice(i, 1).to_data().get_slice_memory_size().unwrap_or(0),
    }
}

#[derive(Debug)]
struct Guarded {
    inner: Arc<dyn ScalarUDFImpl>,
    measure: Measure,
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Guarded) -> bool {
        self.inner.name() == other.inner.name()
    }
}
impl Eq for Guarded {}
impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn display_name(&self, arguments: &[Expr]) -> Result<String> {
        #[allow(deprecated, reason = "the name that DataFusion shows")]
        self.inner.display_name(arguments)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(arguments)?;
        match field.data_type() {
            DataType::FixedSizeBinary(size) | DataType::FixedSizeList(_, size) if *size > 1 << 16 => {
                fail(format!("values of {size} elements each: at most {} are allowed", 1 << 16))
            }
            _ => Ok(field),
        }
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        // Others would become calls without a guard.
        match self.name() {
            "arrow_cast" => self.inner.simplify(arguments, context),
            _ => Ok(ExprSimplifyResult::Original(arguments)),
        }
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = call.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { call.number_rows };
        let columns = call.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        fresh();
        (0..rows).try_for_each(|i| bounded(self.name(), (self.measure)(&columns, i)))?;
        self.inner.invoke_with_args(call)
    }
}
