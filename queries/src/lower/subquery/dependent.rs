//! A subquery computed for many values of its outer columns at once: each operator of it, with these columns in front of its own.
use super::super::aggregate::sets::expand;
use super::outer::{Outer, same};
use super::{Flattener, Result, free, joined, project, unsupported};
use datafusion::common::{Column, TableReference};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, ExprFunctionExt, FetchType, Filter, Join, JoinType, Limit,
    LogicalPlan, LogicalPlanBuilder, SkipType, SortExpr, SubqueryAlias, Union, Values, Window, lit, when,
};
use std::sync::Arc;

/// Computes plans for all values of `outer`.
pub(super) struct Dependent<'a> {
    pub(super) outer: &'a Outer,
    pub(super) names: &'a mut Flattener,
}

impl Dependent<'_> {
    /// The outer columns, then those of the plan.
    pub(super) fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if !self.reads(&plan)? {
            return self.crossed(plan);
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let around = projection.input.schema().clone();
                let below = self.plan(Arc::unwrap_or_clone(projection.input))?;
                self.projected(projection.expr, &around, below)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = self.plan(alias.input.as_ref().clone())?;
                self.aliased(&alias, below)
            }
            LogicalPlan::Subquery(subquery) => self.plan(subquery.subquery.as_ref().clone()),
            LogicalPlan::Filter(filter) => {
                let predicate = self.bound(filter.predicate, filter.input.schema())?;
                let below = self.plan(Arc::unwrap_or_clone(filter.input))?;
                Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(below))?))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let below = self.plan(Arc::unwrap_or_clone(input))?;
                Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(below))))
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct),
            // Only a limit above it would keep the order.
            LogicalPlan::Sort(sort) => match sort.fetch {
                None => self.plan(Arc::unwrap_or_clone(sort.input)),
                Some(_) => unsupported(
                    "a correlated subquery with FETCH in its order is not maintained: write LIMIT",
                ),
            },
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            other => unsupported(&format!(
                "{} that reads columns of the query around it is not maintained: write it as a join",
                other.display().to_string().split([':', '(']).next().unwrap_or("a subquery").trim()
            )),
        }
    }

    fn reads(&self, plan: &LogicalPlan) -> Result<bool> {
        let read = free::columns(plan)?;
        Ok(self.outer.names.iter().any(|(name, _)| read.contains(name)))
    }

    /// A plan that is the same for all values.
    fn crossed(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Ok(self.outer.plan.clone()),
            plan => LogicalPlanBuilder::from(self.outer.plan.clone()).cross_join(plan)?.build(),
        }
    }

    fn bound(&self, expr: Expr, around: &datafusion::common::DFSchemaRef) -> Result<Expr> {
        free::bind(expr, &self.outer.names, around)
    }

    /// Expressions over a plan that was made dependent, under the names they had.
    fn list(&self, list: Vec<Expr>, around: &datafusion::common::DFSchemaRef) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        let one = |expr: Expr| {
            let name = names.save(&expr);
            Ok(name.restore(self.bound(expr, around)?))
        };
        list.into_iter().map(one).collect()
    }

    fn projected(
        &self,
        list: Vec<Expr>,
        around: &datafusion::common::DFSchemaRef,
        below: LogicalPlan,
    ) -> Result<LogicalPlan> {
        project(below, self.outer.columns().into_iter().chain(self.list(list, around)?))
    }

    fn aliased(&self, alias: &SubqueryAlias, below: LogicalPlan) -> Result<LogicalPlan> {
        let columns = alias.input.schema().columns().into_iter();
        let renamed = columns.zip(alias.schema.fields()).map(|(column, field)| {
            Expr::Column(column).alias_qualified(Some(alias.alias.clone()), field.name())
        });
        project(below, self.outer.columns().into_iter().chain(renamed))
    }

    fn limit(&mut self, limit: Limit) -> Result<LogicalPlan> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return unsupported("LIMIT and OFFSET must be numbers: write the number itself");
        };
        self.limited(Arc::unwrap_or_clone(limit.input), skip as u64, fetch.map(|fetch| fetch as u64))
    }

    /// A limit, moved down to the order that it needs.
    fn limited(&mut self, plan: LogicalPlan, skip: u64, fetch: Option<u64>) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Projection(projection) if leads_to_sort(&projection.input) => {
                let around = projection.input.schema().clone();
                let below = self.limited(Arc::unwrap_or_clone(projection.input), skip, fetch)?;
                self.projected(projection.expr, &around, below)
            }
            LogicalPlan::SubqueryAlias(alias) if leads_to_sort(&alias.input) => {
                let below = self.limited(alias.input.as_ref().clone(), skip, fetch)?;
                self.aliased(&alias, below)
            }
            LogicalPlan::Sort(sort) => {
                let around = sort.input.schema().clone();
                let order = sort.expr.into_iter().map(|by| {
                    let expr = self.bound(by.expr, &around)?;
                    Ok(SortExpr { expr, ..by })
                });
                let order = order.collect::<Result<Vec<_>>>()?;
                let below = self.plan(Arc::unwrap_or_clone(sort.input))?;
                self.numbered(below, vec![], order, skip, fetch)
            }
            other => {
                let order = other.schema().columns().into_iter().map(|c| Expr::Column(c).sort(true, false));
                let order = order.collect();
                let below = self.plan(other)?;
                self.numbered(below, vec![], order, skip, fetch)
            }
        }
    }

    /// The first row of each group for each of the outer values.
    fn distinct_on(&mut self, distinct: DistinctOn) -> Result<LogicalPlan> {
        let around = distinct.input.schema().clone();
        let groups = distinct.on_expr.into_iter().map(|expr| self.bound(expr, &around));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        let order = distinct.sort_expr.unwrap_or_default().into_iter().map(|by| {
            let expr = self.bound(by.expr, &around)?;
            Ok(SortExpr { expr, ..by })
        });
        let mut order = order.collect::<Result<Vec<_>>>()?;
        order.extend(around.columns().into_iter().map(|column| Expr::Column(column).sort(true, false)));
        let below = self.plan(Arc::unwrap_or_clone(distinct.input))?;
        let first = self.numbered(below, groups, order, 0, Some(1))?;
        self.projected(distinct.select_expr, &around, first)
    }

    /// The rows `skip + 1 ..= skip + fetch` for each of the outer values.
    fn numbered(
        &mut self,
        below: LogicalPlan,
        groups: Vec<Expr>,
        order: Vec<SortExpr>,
        skip: u64,
        fetch: Option<u64>,
    ) -> Result<LogicalPlan> {
        let columns = below.schema().columns();
        let name = self.names.name("number");
        let partition = self.outer.columns().into_iter().chain(groups).collect();
        let number = row_number().partition_by(partition).order_by(order).build()?.alias(&name);
        let window = LogicalPlan::Window(Window::try_new(vec![number], Arc::new(below))?);
        let number = Expr::Column(Column::from_name(&name));
        let most = fetch.map(|fetch| number.clone().lt_eq(lit(skip.saturating_add(fetch))));
        let least = (skip > 0).then(|| number.gt(lit(skip)));
        let kept = match conjunction(most.into_iter().chain(least)) {
            Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(window))?),
            None => window,
        };
        project(kept, columns.into_iter().map(Expr::Column))
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Result<LogicalPlan> {
        let around = aggregate.input.schema().clone();
        let total = aggregate.group_expr.is_empty();
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            let asks = aggregate.aggr_expr.iter().any(|expr| {
                matches!(expr.clone().unalias(), Expr::AggregateFunction(call) if call.func.name() == "grouping")
            });
            if asks {
                return unsupported(
                    "GROUPING() in a correlated subquery is not maintained: write one GROUP BY for each set and UNION ALL",
                );
            }
            return self.plan(expand(LogicalPlan::Aggregate(aggregate))?);
        }
        let below = self.plan(Arc::unwrap_or_clone(aggregate.input))?;
        let group = self.list(aggregate.group_expr, &around)?;
        let group = self.outer.columns().into_iter().chain(group).collect();
        let list = self.list(aggregate.aggr_expr, &around)?;
        let grouped = Aggregate::try_new(Arc::new(below), group, list.clone())?;
        if total { self.totals(grouped, &list) } else { Ok(LogicalPlan::Aggregate(grouped)) }
    }

    /// Aggregates over all rows have a row even where there are none.
    fn totals(&mut self, grouped: Aggregate, list: &[Expr]) -> Result<LogicalPlan> {
        let width = self.outer.names.len();
        let grouped = Arc::new(LogicalPlan::Aggregate(grouped));
        let schema = grouped.schema().clone();
        let column = |i: usize| Column::from(schema.qualified_field(i));
        let relation = TableReference::bare(self.names.name("group"));
        let (right, pairs) = self.outer.renamed(grouped, &relation)?;
        let left = self.outer.plan.clone();
        let (on, rest) = same(pairs.into_iter(), &left, &right)?;
        let whole = joined(left, right, on, conjunction(rest), JoinType::Left)?;
        let values = list.iter().enumerate().map(|(i, expr)| {
            let column = column(width + i);
            let (relation, name) = (column.relation.clone(), column.name.clone());
            let value = Expr::Column(column);
            let Expr::AggregateFunction(call) = expr.clone().unalias() else { return Ok(value) };
            let nothing = call.func.default_value(schema.field(width + i).data_type())?;
            if nothing.is_null() {
                return Ok(value);
            }
            let value = when(value.clone().is_null(), lit(nothing)).otherwise(value)?;
            Ok(value.alias_qualified(relation, name))
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        project(whole, self.outer.columns().into_iter().chain(values))
    }

    fn window(&mut self, window: Window) -> Result<LogicalPlan> {
        let around = window.input.schema().clone();
        let below = self.plan(Arc::unwrap_or_clone(window.input))?;
        let names = NamePreserver::new_for_projection();
        let list = window.window_expr.into_iter().map(|expr| {
            let name = names.save(&expr);
            let mut call = self.bound(expr, &around)?.unalias();
            if let Expr::WindowFunction(call) = &mut call {
                call.params.partition_by.extend(self.outer.columns());
            }
            Ok(name.restore(call))
        });
        let list = list.collect::<Result<Vec<_>>>()?;
        Ok(LogicalPlan::Window(Window::try_new(list, Arc::new(below))?))
    }

    fn join(&mut self, join: Join) -> Result<LogicalPlan> {
        let columns = join.schema.columns();
        let around = Arc::new(join.left.schema().join(join.right.schema())?);
        let filter = join.filter.map(|filter| self.bound(filter, &around)).transpose()?;
        let on = join
            .on
            .into_iter()
            .map(|(l, r)| Ok((self.bound(l, join.left.schema())?, self.bound(r, join.right.schema())?)));
        let mut on = on.collect::<Result<Vec<_>>>()?;
        let lateral = free::reads_any(&join.right, join.left.schema())?;
        let (reads_left, reads_right) = (self.reads(&join.left)?, self.reads(&join.right)?);
        use JoinType::*;
        let (on_left, on_right) = match join.join_type {
            _ if lateral => (true, false),
            Inner => (reads_left || !reads_right, reads_right),
            Left | LeftSemi | LeftAnti | LeftMark => (true, reads_right),
            Right | RightSemi | RightAnti | RightMark => (reads_left, true),
            Full => (true, true),
        };
        let mut left = join.left.as_ref().clone();
        let mut right = join.right.as_ref().clone();
        if on_left {
            left = self.plan(left)?;
        }
        if on_right {
            right = self.plan(right)?;
        }
        if lateral {
            right = free::rebind(right, &self.lateral_names(&join.left))?;
        }
        let mut filter = filter;
        let mut padded = None;
        if on_left && on_right {
            let relation = TableReference::bare(self.names.name("side"));
            let (renamed, pairs) = self.outer.renamed(right, &relation)?;
            right = renamed;
            padded = Some(pairs.clone());
            let (same, rest) = same(pairs.into_iter(), &left, &right)?;
            on.extend(same);
            filter = conjunction(filter.into_iter().chain(rest));
        }
        let joined = LogicalPlan::Join(Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?);
        let outer = self.outer.names.iter().enumerate().map(|(i, (_, here))| {
            let column = Expr::Column(here.clone());
            let there = padded.as_ref().map(|pairs: &Vec<(Column, Column)>| Expr::Column(pairs[i].1.clone()));
            match (join.join_type, there) {
                (Right | RightSemi | RightAnti | RightMark, Some(there)) => {
                    there.alias_qualified(here.relation.clone(), &here.name)
                }
                (Full, Some(there)) => datafusion::functions::core::expr_fn::coalesce(vec![column, there])
                    .alias_qualified(here.relation.clone(), &here.name),
                (_, _) => column,
            }
        });
        let list: Vec<Expr> = outer.chain(columns.into_iter().map(Expr::Column)).collect();
        project(joined, list.into_iter())
    }

    /// What a LATERAL side calls the outer columns that the side before it now has; its own scope comes first.
    fn lateral_names(&self, left: &LogicalPlan) -> Vec<(Column, Column)> {
        let names = self.outer.names.iter().filter(|(name, _)| !left.schema().has_column(name));
        names.cloned().collect()
    }

    fn union(&mut self, union: Union) -> Result<LogicalPlan> {
        let columns = union.schema.columns();
        let plain = |i: usize| format!("column_{i}");
        let inputs = union.inputs.into_iter().map(|input| {
            let dependent = self.plan(Arc::unwrap_or_clone(input))?;
            let list = dependent.schema().columns().into_iter().enumerate();
            let list: Vec<Expr> = list.map(|(i, column)| Expr::Column(column).alias(plain(i))).collect();
            Ok(Arc::new(project(dependent, list.into_iter())?))
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let union = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        let outer = self.outer.names.iter().map(|(_, here)| here.clone());
        let list = outer.chain(columns).enumerate().map(|(i, column)| {
            Expr::Column(Column::from_name(plain(i))).alias_qualified(column.relation, column.name)
        });
        let list: Vec<Expr> = list.collect();
        project(union, list.into_iter())
    }

    /// VALUES over outer columns: each row is a projection of them.
    fn values(&mut self, values: Values) -> Result<LogicalPlan> {
        let around = Arc::new(datafusion::common::DFSchema::empty());
        let columns = values.schema.columns();
        let plain = |i: usize| format!("column_{i}");
        let rows = values.values.into_iter().map(|row| {
            let row = row.into_iter().map(|expr| self.bound(expr, &around)).collect::<Result<Vec<_>>>()?;
            let list = self.outer.columns().into_iter().chain(row).enumerate();
            let list: Vec<Expr> = list.map(|(i, expr)| expr.alias(plain(i))).collect();
            Ok(Arc::new(project(self.outer.plan.clone(), list.into_iter())?))
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let all = match rows.as_slice() {
            [only] => only.as_ref().clone(),
            _ => LogicalPlan::Union(Union::try_new_with_loose_types(rows)?),
        };
        let outer = self.outer.names.iter().map(|(_, here)| here.clone());
        let list = outer.chain(columns).enumerate().map(|(i, column)| {
            Expr::Column(Column::from_name(plain(i))).alias_qualified(column.relation, column.name)
        });
        let list: Vec<Expr> = list.collect();
        project(all, list.into_iter())
    }

    fn unnest(&mut self, unnest: datafusion::logical_expr::Unnest) -> Result<LogicalPlan> {
        let below = self.plan(Arc::unwrap_or_clone(unnest.input))?;
        let columns = unnest.exec_columns;
        let rebuilt =
            LogicalPlanBuilder::from(below).unnest_columns_with_options(columns, unnest.options)?.build()?;
        Ok(rebuilt)
    }
}

fn leads_to_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => leads_to_sort(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => leads_to_sort(&alias.input),
        _ => false,
    }
}
