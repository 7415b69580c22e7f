//! Calls within expressions: of aggregates, of functions that give rows, of all others.
use super::bind::{Scope, Typed, common, last, shown};
use super::node::{Aggregate, Extra, Node};
use super::{Failure, calls, cast, refused};
use crate::wire::oid::array_of_element;
use datafusion::sql::sqlparser::ast::{
    Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, WindowType,
};
use datafusion_postgres::pgwire::api::Type;
use std::sync::Arc;

impl Scope<'_> {
    pub(super) fn function(&self, function: &Function) -> Result<Typed, Failure> {
        let called = last(&function.name);
        let list = match &function.args {
            FunctionArguments::None => return self.call(&called, vec![]),
            FunctionArguments::Subquery(query) => {
                let plan = self.query(query)?;
                let element = plan.columns.first().map_or(Type::TEXT, |column| shown(&column.kind));
                let kind = array_of_element(&element).unwrap_or(Type::TEXT_ARRAY);
                return Ok(Typed::new(Node::Rows(Arc::new(plan)), kind));
            }
            FunctionArguments::List(list) => list,
        };
        let mut arguments = vec![];
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(self.expr(expr)?),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
                other => return Err(refused(format!("the argument {other} of {called} is not supported"))),
            }
        }
        let by = list.clauses.iter().find_map(|clause| match clause {
            FunctionArgumentClause::OrderBy(by) => Some(by.as_slice()),
            _ => None,
        });
        let order = self.order(by.unwrap_or_default())?;
        if let Some(WindowType::WindowSpec(window)) = &function.over {
            if called != "row_number" {
                return Err(refused(format!(
                    "{called} OVER over system tables is not supported: only row_number is"
                )));
            }
            let partition = window
                .partition_by
                .iter()
                .map(|expr| Ok(self.expr(expr)?.node))
                .collect::<Result<_, Failure>>()?;
            let order = self.order(&window.order_by)?;
            return Ok(self.extra(Extra::RowNumber { partition, order }, Type::INT8, vec![]));
        }
        if let Some(kind) = aggregate(&called) {
            let result = match kind {
                Aggregate::Count | Aggregate::Sum => Type::INT8,
                Aggregate::Every | Aggregate::Any => Type::BOOL,
                Aggregate::Strings => Type::TEXT,
                Aggregate::Min | Aggregate::Max => common(&arguments),
                Aggregate::List => array_of_element(&shown(&common(&arguments))).unwrap_or(Type::TEXT_ARRAY),
            };
            let filter = function
                .filter
                .as_ref()
                .map(|filter| Ok::<_, Failure>(self.expr(filter)?.node))
                .transpose()?;
            let is_distinct =
                list.duplicate_treatment.is_some_and(|treatment| treatment.to_string() == "DISTINCT");
            let arguments = arguments.into_iter().map(|argument| cast::named(argument).node).collect();
            return Ok(self.extra(
                Extra::Aggregate { kind, arguments, order, filter, is_distinct },
                result,
                vec![],
            ));
        }
        if let Some(series) = calls::series(&called, &arguments) {
            let arguments = arguments.into_iter().map(|argument| argument.node).collect();
            return Ok(self.extra(Extra::Series { run: series.run, arguments }, series.kind, series.fields));
        }
        self.call(&called, arguments)
    }

    pub(super) fn call(&self, called: &str, arguments: Vec<Typed>) -> Result<Typed, Failure> {
        match (called, arguments.len()) {
            ("coalesce", 1..) => {
                let kind = common(&arguments);
                arguments.iter().for_each(|argument| self.learn(argument, &kind));
                let nodes = arguments.into_iter().map(|argument| argument.node).collect();
                return Ok(Typed::new(Node::Coalesce(nodes), kind));
            }
            ("row", _) => {
                let nodes = arguments.into_iter().map(|argument| argument.node).collect();
                return Ok(Typed::new(Node::Record(nodes), Type::RECORD));
            }
            _ => {}
        }
        let known = calls::call(called, &arguments).ok_or_else(|| {
            Failure::of(
                "42883",
                &format!("function {called} of {} arguments does not exist", arguments.len()),
            )
        })?;
        for (argument, kind) in arguments.iter().zip(known.takes) {
            self.learn(argument, &kind);
        }
        let arguments = match known.takes_text {
            true => arguments.into_iter().map(|argument| cast::named(argument).node).collect(),
            false => arguments.into_iter().map(|argument| argument.node).collect(),
        };
        Ok(Typed::new(Node::Call { run: known.run, is_strict: known.is_strict, arguments }, known.kind))
    }
}

fn aggregate(called: &str) -> Option<Aggregate> {
    Some(match called {
        "count" => Aggregate::Count,
        "sum" => Aggregate::Sum,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "bool_and" | "every" => Aggregate::Every,
        "bool_or" => Aggregate::Any,
        "string_agg" => Aggregate::Strings,
        "array_agg" => Aggregate::List,
        _ => return None,
    })
}
