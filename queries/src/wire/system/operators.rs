//! Operators of expressions, their comparisons, and the members of lists and records.
use super::bind::{Scope, Typed, call, common, name, negated_if, shown, wider};
use super::node::{Node, Operator};
use super::value::Value;
use super::{Failure, calls, cast, refused};
use crate::wire::oid::{array_of_element, element_of};
use datafusion::sql::sqlparser::ast::{AccessExpr, BinaryOperator, CaseWhen, Expr, Subscript};
use datafusion_postgres::pgwire::api::Type;
use std::sync::Arc;

impl Scope<'_> {
    pub(super) fn compare(&self, left: &Expr, operator: Operator, right: &Expr) -> Result<Typed, Failure> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        self.learn(&left, &right.kind);
        self.learn(&right, &left.kind);
        let (left, right) = (cast::comparable(left, &right.kind)?, right);
        let right = cast::comparable(right, &left.kind)?;
        let node = Node::Compare { left: Box::new(left.node), operator, right: Box::new(right.node) };
        Ok(Typed::new(node, Type::BOOL))
    }

    pub(super) fn quantified(
        &self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        is_all: bool,
    ) -> Result<Typed, Failure> {
        let operator =
            operator(op).ok_or_else(|| refused(format!("{op} with ANY or ALL is not supported")))?;
        let left = self.expr(left)?;
        let right = match right {
            Expr::Subquery(query) => Typed::new(Node::Rows(Arc::new(self.query(query)?)), Type::TEXT_ARRAY),
            other => self.expr(other)?,
        };
        if let Some(list) = array_of_element(&shown(&left.kind)) {
            self.learn(&right, &list);
        }
        if let Some(element) = element_of(&right.kind) {
            self.learn(&left, &element);
        }
        let (left, list) = (Box::new(left.node), Box::new(right.node));
        Ok(Typed::new(Node::Quantified { left, operator, list, is_all }, Type::BOOL))
    }

    pub(super) fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, Failure> {
        if let Some(operator) = operator(op) {
            return self.compare(left, operator, right);
        }
        let custom = match op {
            BinaryOperator::PGCustomBinaryOperator(path) => path.last().cloned(),
            _ => None,
        };
        let written = custom.unwrap_or_else(|| op.to_string());
        let yes = |node| Ok(Typed::new(node, Type::BOOL));
        match (op, written.as_str()) {
            (BinaryOperator::And, _) => {
                yes(Node::And(Box::new(self.expr(left)?.node), Box::new(self.expr(right)?.node)))
            }
            (BinaryOperator::Or, _) => {
                yes(Node::Or(Box::new(self.expr(left)?.node), Box::new(self.expr(right)?.node)))
            }
            (_, "=" | "<>" | "!=" | "<" | ">" | "<=" | ">=") => {
                let operator = match written.as_str() {
                    "=" => Operator::Equal,
                    "<" => Operator::Less,
                    ">" => Operator::Greater,
                    "<=" => Operator::LessOrEqual,
                    ">=" => Operator::GreaterOrEqual,
                    _ => Operator::NotEqual,
                };
                self.compare(left, operator, right)
            }
            (_, "~" | "~*" | "!~" | "!~*") => {
                let run = if written.ends_with('*') { calls::matches_any_case } else { calls::matches };
                let node = call(run, vec![self.text(left)?, self.text(right)?]);
                yes(negated_if(written.starts_with('!'), node))
            }
            (_, "~~" | "!~~" | "~~*" | "!~~*") => {
                let run = if written.ends_with('*') { calls::like_any_case } else { calls::like };
                let escape = Node::Constant(Value::from("\\"));
                let node = call(run, vec![self.text(left)?, self.text(right)?, escape]);
                yes(negated_if(written.starts_with('!'), node))
            }
            (_, "||") => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                let lists = [&left, &right]
                    .iter()
                    .find(|side| element_of(&side.kind).is_some())
                    .map(|side| side.kind.clone());
                match lists {
                    Some(kind) => Ok(Typed::new(call(calls::appended, vec![left.node, right.node]), kind)),
                    None => {
                        self.learn(&left, &Type::TEXT);
                        self.learn(&right, &Type::TEXT);
                        let sides = vec![cast::to_text(left).node, cast::to_text(right).node];
                        Ok(Typed::new(call(calls::joined, sides), Type::TEXT))
                    }
                }
            }
            (_, "+" | "-" | "*" | "/" | "%" | "&" | "|") => {
                let run = match written.as_str() {
                    "+" => calls::plus,
                    "-" => calls::minus,
                    "*" => calls::times,
                    "/" => calls::over,
                    "%" => calls::rest,
                    "&" => calls::bits_and,
                    _ => calls::bits_or,
                };
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                self.learn(&left, &right.kind);
                self.learn(&right, &left.kind);
                let kind = wider(&left.kind, &right.kind);
                Ok(Typed::new(call(run, vec![left.node, right.node]), kind))
            }
            (_, "@>" | "<@" | "&&") => {
                let (left, right) = (self.expr(left)?.node, self.expr(right)?.node);
                yes(match written.as_str() {
                    "@>" => call(calls::contains, vec![left, right]),
                    "<@" => call(calls::contains, vec![right, left]),
                    _ => call(calls::overlaps, vec![left, right]),
                })
            }
            _ => Err(refused(format!("the operator {written} over system tables is not supported"))),
        }
    }

    pub(super) fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Typed, Failure> {
        let (mut tests, mut values) = (vec![], vec![]);
        for CaseWhen { condition, result } in conditions {
            let test = match operand {
                Some(operand) => self.compare(operand, Operator::Equal, condition)?,
                None => self.expr(condition)?,
            };
            tests.push(test.node);
            values.push(self.expr(result)?);
        }
        values.extend(otherwise.map(|value| self.expr(value)).transpose()?);
        let kind = common(&values);
        let mut values = values.into_iter().map(|value| value.node);
        let arms: Vec<_> = tests
            .into_iter()
            .map(|test| (test, values.next().unwrap_or(Node::Constant(Value::Null))))
            .collect();
        Ok(Typed::new(Node::Case { arms, otherwise: values.next().map(Box::new) }, kind))
    }

    pub(super) fn access(&self, root: &Expr, chain: &[AccessExpr]) -> Result<Typed, Failure> {
        // `source.column[1]` comes as a root with fields behind it; `(record).field` has parentheses.
        let mut path = match root {
            Expr::Identifier(ident) => vec![name(ident)],
            Expr::CompoundIdentifier(path) => path.iter().map(name).collect(),
            _ => vec![],
        };
        let mut rest = chain;
        while let ([AccessExpr::Dot(Expr::Identifier(field)), behind @ ..], false) = (rest, path.is_empty()) {
            path.push(name(field));
            rest = behind;
        }
        let mut typed = if path.is_empty() { self.expr(root)? } else { self.column(&path)? };
        for access in rest {
            typed = match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let kind = match typed.kind {
                        Type::INT2_VECTOR => Type::INT2,
                        Type::OID_VECTOR => Type::OID,
                        ref list => element_of(list).unwrap_or(Type::TEXT),
                    };
                    Typed::new(Node::Item(Box::new(typed.node), Box::new(self.expr(index)?.node)), kind)
                }
                AccessExpr::Dot(Expr::Identifier(field)) => {
                    let place = typed.fields.iter().position(|known| *known == name(field));
                    let place = place.ok_or_else(|| {
                        Failure::of("42703", &format!("column \"{field}\" not found in record"))
                    })?;
                    Typed::new(Node::Field(Box::new(typed.node), place), Type::INT4)
                }
                other => return Err(refused(format!("{other} over system tables is not supported"))),
            };
        }
        Ok(typed)
    }
}

fn operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Equal,
        BinaryOperator::NotEq => Operator::NotEqual,
        BinaryOperator::Lt => Operator::Less,
        BinaryOperator::LtEq => Operator::LessOrEqual,
        BinaryOperator::Gt => Operator::Greater,
        BinaryOperator::GtEq => Operator::GreaterOrEqual,
        _ => return None,
    })
}
