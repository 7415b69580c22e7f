//! The sources of a query: tables, queries, functions, and where each condition is asked.
use super::bind::{Cte, Scope, last, name, shown};
use super::node::{Body, Column, Node, Operator, Plan, Source, Step};
use super::query::{body, parts, query, scope};
use super::{Failure, calls, refused};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Join, JoinConstraint, JoinOperator, SetExpr, SetOperator,
    SetQuantifier, TableAlias, TableFactor, TableWithJoins,
};
use datafusion_postgres::pgwire::api::Type;
use std::rc::Rc;

/// The sources of a FROM clause, and the conditions that are not at their place yet.
#[derive(Default)]
pub(super) struct From {
    pub(super) steps: Vec<Step>,
    pub(super) waiting: Vec<Node>,
}

impl From {
    pub(super) fn part(&mut self, scope: &mut Scope<'_>, part: &TableWithJoins) -> Result<(), Failure> {
        self.source(scope, &part.relation, false)?;
        for Join { relation, join_operator, .. } in &part.joins {
            let (constraint, is_outer) = match join_operator {
                JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::CrossJoin(constraint) => (constraint, false),
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (constraint, true),
                _ => {
                    return Err(refused(
                        "over system tables there are inner and left joins only: write a left join".into(),
                    ));
                }
            };
            let before = scope.columns.len();
            self.source(scope, relation, is_outer)?;
            let mut conditions = vec![];
            match constraint {
                JoinConstraint::On(condition) => {
                    for condition in parts(condition) {
                        conditions.push(scope.expr(condition)?.node);
                    }
                }
                JoinConstraint::Using(names) => {
                    for column in names.iter().map(last) {
                        let find = |range: std::ops::Range<usize>, merged: &[usize]| {
                            range
                                .into_iter()
                                .find(|at| scope.columns[*at].name == column && !merged.contains(at))
                        };
                        let sides = (find(0..before, &scope.merged), find(before..scope.columns.len(), &[]));
                        let (Some(left), Some(right)) = sides else {
                            return Err(Failure::of(
                                "42703",
                                &format!("column \"{column}\" specified in USING clause does not exist"),
                            ));
                        };
                        scope.merged.push(right);
                        let column = |at| Box::new(Node::Column { up: 0, at });
                        conditions.push(Node::Compare {
                            left: column(left),
                            operator: Operator::Equal,
                            right: column(right),
                        });
                    }
                }
                JoinConstraint::Natural => {
                    return Err(refused(
                        "NATURAL JOIN of system tables is not supported: write USING".into(),
                    ));
                }
                JoinConstraint::None => {}
            }
            match self.steps.last_mut() {
                Some(step) if is_outer => step.on = conditions,
                _ => self.waiting.extend(conditions),
            }
        }
        Ok(())
    }

    fn source(&mut self, scope: &mut Scope<'_>, factor: &TableFactor, is_outer: bool) -> Result<(), Failure> {
        let (source, columns) = source(scope, factor)?;
        let width = columns.len();
        if let (Source::Table(key), Some(column)) = (&source, columns.first()) {
            scope.tables.push((column.of.clone(), key.clone()));
        }
        scope.columns.extend(columns);
        self.steps.push(Step { source, width, is_outer, on: vec![], keys: vec![], after: vec![] });
        Ok(())
    }

    /// Each condition at the first source after which it can be asked.
    pub(super) fn placed(mut self) -> Vec<Step> {
        if self.steps.is_empty() && !self.waiting.is_empty() {
            let body = Body::Values(vec![vec![]]);
            let plan = Plan { columns: vec![], body, order: vec![], limit: None, offset: None };
            self.steps.push(Step {
                source: Source::Query(plan, false),
                width: 0,
                is_outer: false,
                on: vec![],
                keys: vec![],
                after: vec![],
            });
        }
        let mut ends = vec![];
        for step in &self.steps {
            ends.push(ends.last().copied().unwrap_or(0) + step.width);
        }
        let final_step = self.steps.len().saturating_sub(1);
        for condition in self.waiting {
            let reads = condition.reads();
            let highest = reads.as_ref().and_then(|reads| reads.last().copied());
            let place = highest.map_or(final_step, |highest| {
                ends.iter().position(|end| highest < *end).unwrap_or(final_step)
            });
            let step = &mut self.steps[place];
            if step.is_outer { step.after.push(condition) } else { step.on.push(condition) }
        }
        for (i, step) in self.steps.iter_mut().enumerate() {
            let (start, end) = (ends[i] - step.width, ends[i]);
            let (mut keys, mut rest) = (vec![], vec![]);
            for condition in std::mem::take(&mut step.on) {
                match condition {
                    Node::Compare { left, operator: Operator::Equal, right } => {
                        let side = |node: &Node| {
                            let reads = node.reads()?;
                            let here = reads.iter().filter(|at| (start..end).contains(*at)).count();
                            Some((here, reads.len()))
                        };
                        match (side(&left), side(&right)) {
                            (Some((0, _)), Some((here, all))) if here > 0 && here == all => {
                                keys.push((*left, *right))
                            }
                            (Some((here, all)), Some((0, _))) if here > 0 && here == all => {
                                keys.push((*right, *left))
                            }
                            _ => rest.push(Node::Compare { left, operator: Operator::Equal, right }),
                        }
                    }
                    other => rest.push(other),
                }
            }
            (step.keys, step.on) = (keys, rest);
        }
        self.steps
    }
}

fn source(scope: &Scope<'_>, factor: &TableFactor) -> Result<(Source, Vec<Column>), Failure> {
    match factor {
        TableFactor::Table { name: table, alias, args: None, .. } => {
            let called = last(table);
            let is_bare = table.0.len() == 1;
            if let Some((_, cte)) = scope.ctes.iter().find(|(known, _)| is_bare && *known == called) {
                let (source, columns) = common(scope, &called, cte)?;
                return Ok((source, aliased(columns, alias.as_ref(), &called)?));
            }
            let schema = table.0.len().checked_sub(2).and_then(|at| table.0[at].as_ident()).map(name);
            let key = scope.shared.world.table(schema.as_deref(), &called)?;
            let columns = scope.shared.world.columns(&key)?;
            Ok((Source::Table(key), aliased(columns, alias.as_ref(), &called)?))
        }
        TableFactor::Table { name: table, alias, args: Some(arguments), with_ordinality, .. } => {
            series(scope, &[(last(table), arguments.args.clone())], *with_ordinality, alias.as_ref())
        }
        TableFactor::Function { name: table, args, with_ordinality, alias, .. } => {
            series(scope, &[(last(table), args.clone())], *with_ordinality, alias.as_ref())
        }
        TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
            let call = |expr: &Expr| {
                ("unnest".to_string(), vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(expr.clone()))])
            };
            let calls: Vec<_> = array_exprs.iter().map(call).collect();
            series(scope, &calls, *with_ordinality, alias.as_ref())
        }
        TableFactor::Derived { lateral, subquery, alias, .. } => {
            // A query that is not LATERAL sees what stands around this one, and not its sources.
            let outer = if *lateral { Some(scope) } else { scope.outer };
            let plan = query(scope.shared, subquery, outer, &scope.ctes)?;
            let columns = aliased(plan.columns.clone(), alias.as_ref(), "")?;
            Ok((Source::Query(plan, *lateral), columns))
        }
        TableFactor::NestedJoin { table_with_joins, alias: None } => {
            let mut inner = self::scope(scope.shared, scope.outer, &scope.ctes, vec![]);
            let mut from = From::default();
            from.part(&mut inner, table_with_joins)?;
            Ok((Source::Joined(from.placed()), inner.columns))
        }
        other => Err(refused(format!("{other} together with system tables is not supported"))),
    }
}

/// A query by its name.
fn common(scope: &Scope<'_>, called: &str, cte: &Cte) -> Result<(Source, Vec<Column>), Failure> {
    let (written, names, ctes, is_recursive) = match cte {
        Cte::Working { slot, columns } => return Ok((Source::Recursive(*slot), columns.clone())),
        Cte::Query { query, columns, ctes, is_recursive } => (query, columns, ctes, *is_recursive),
    };
    let renamed = |columns: &[Column]| {
        let mut columns = columns.to_vec();
        columns.iter_mut().zip(names).for_each(|(column, name)| column.name.clone_from(name));
        columns
    };
    if let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } = &*written.body
        && is_recursive
        && right.to_string().to_lowercase().contains(called)
    {
        let slot = scope.shared.slots.get();
        scope.shared.slots.set(slot + 1);
        let seed = body(scope.shared, left, &[], scope.outer, ctes)?;
        let columns = renamed(&seed.columns);
        let mut inner = ctes.clone();
        inner.insert(0, (called.to_string(), Rc::new(Cte::Working { slot, columns: columns.clone() })));
        let step = body(scope.shared, right, &[], scope.outer, &inner)?;
        let is_all = *set_quantifier == SetQuantifier::All;
        let body = Body::Recursive { slot, seed: Box::new(seed), step: Box::new(step), is_all };
        let plan = Plan { columns: columns.clone(), body, order: vec![], limit: None, offset: None };
        return Ok((Source::Query(plan, false), columns));
    }
    let plan = query(scope.shared, written, scope.outer, ctes)?;
    let columns = renamed(&plan.columns);
    Ok((Source::Query(plan, false), columns))
}

/// Functions that give rows.
fn series(
    scope: &Scope<'_>,
    written: &[(String, Vec<FunctionArg>)],
    is_numbered: bool,
    alias: Option<&TableAlias>,
) -> Result<(Source, Vec<Column>), Failure> {
    let (mut all, mut columns) = (vec![], vec![]);
    let of = alias.map_or_else(|| written[0].0.clone(), |alias| name(&alias.name));
    for (called, arguments) in written {
        let mut typed = vec![];
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => typed.push(scope.expr(expr)?),
                other => return Err(refused(format!("the argument {other} of {called} is not supported"))),
            }
        }
        let column = |name: String, kind: Type| Column { of: of.clone(), name, kind, fields: vec![] };
        match calls::series(called, &typed) {
            Some(series) if series.fields.is_empty() => {
                let one = if written.len() == 1 {
                    alias.map_or(called.clone(), |alias| name(&alias.name))
                } else {
                    called.clone()
                };
                columns.push(column(one, series.kind));
                all.push((series.run, typed.into_iter().map(|typed| typed.node).collect()));
            }
            Some(series) => {
                columns.extend(
                    series.fields.iter().map(|field| column((*field).to_string(), series.kind.clone())),
                );
                all.push((series.run, typed.into_iter().map(|typed| typed.node).collect()));
            }
            None => {
                let known = calls::call(called, &typed)
                    .ok_or_else(|| Failure::of("42883", &format!("function {called} does not exist")))?;
                columns.push(column(called.clone(), shown(&known.kind)));
                let node = Node::List(vec![Node::Call {
                    run: known.run,
                    is_strict: known.is_strict,
                    arguments: typed.into_iter().map(|typed| typed.node).collect(),
                }]);
                all.push((calls::unnest as super::node::Run, vec![node]));
            }
        }
    }
    if is_numbered {
        columns.push(Column { of: of.clone(), name: "ordinality".into(), kind: Type::INT8, fields: vec![] });
    }
    if let Some(alias) = alias {
        columns.iter_mut().zip(&alias.columns).for_each(|(column, alias)| column.name = name(&alias.name));
    }
    Ok((Source::Series(all, is_numbered), columns))
}

fn aliased(
    mut columns: Vec<Column>,
    alias: Option<&TableAlias>,
    called: &str,
) -> Result<Vec<Column>, Failure> {
    let of = alias.map_or_else(|| called.to_string(), |alias| name(&alias.name));
    let names = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
    if names.len() > columns.len() {
        return Err(Failure::of(
            "42P10",
            &format!("table \"{of}\" has fewer columns than it is given names"),
        ));
    }
    columns.iter_mut().for_each(|column| column.of.clone_from(&of));
    columns.iter_mut().zip(names).for_each(|(column, alias)| column.name = name(&alias.name));
    Ok(columns)
}
