//! Operands of comparisons and arguments of functions (RFC 9535, 2.4).

use jsonpath_rust::parser::model::{
    Comparable, FnArg, Literal, SingularQuery, SingularQuerySegment, Test, TestFunction,
};
use serde_json::{Number, Value};

use super::pattern::regex;
use super::translate::{Translation, costly, invalid, unknown_function};
use super::{Filter, JsonPath, Operand, PathSegment, Pick, Query, Refused};

impl Translation {
    pub(super) fn comparable(&mut self, comparable: &Comparable) -> Result<Operand, Refused> {
        match comparable {
            Comparable::Literal(value) => literal(value),
            Comparable::Function(function) => self.function(function),
            Comparable::SingularQuery(query) => {
                let (from_root, segments) = match query {
                    SingularQuery::Current(segments) => (false, segments),
                    SingularQuery::Root(segments) => (true, segments),
                };
                let step = |segment: &SingularQuerySegment| PathSegment {
                    descends: false,
                    picks: vec![match segment {
                        SingularQuerySegment::Index(index) => Pick::Index(*index),
                        SingularQuerySegment::Name(name) => Pick::Name(name.clone()),
                    }],
                };
                let path = JsonPath {
                    steps: segments.iter().map(step).collect(),
                };
                Ok(Operand::Single(Query { from_root, path }))
            }
        }
    }

    /// A function that returns a value.
    fn function(&mut self, function: &TestFunction) -> Result<Operand, Refused> {
        match function {
            TestFunction::Length(argument) => Ok(Operand::Length(Box::new(self.value(argument, "length")?))),
            TestFunction::Count(argument) => Ok(Operand::Count(self.nodes(argument, "count")?)),
            TestFunction::Value(argument) => Ok(Operand::Single(self.nodes(argument, "value")?)),
            TestFunction::Match(..) | TestFunction::Search(..) => Err(invalid(format!(
                "`{function}` is true or false and cannot be compared"
            ))),
            TestFunction::Custom(name, _) => Err(unknown_function(name)),
        }
    }

    /// An argument that must be one value (RFC 9535, 2.4.3).
    fn value(&mut self, argument: &FnArg, function: &str) -> Result<Operand, Refused> {
        let operand = self.any_value(argument, function)?;
        if operand.is_from_root() {
            return Err(costly(
                format!("`{function}()` of a `$` path in a filter is computed again for every item"),
                "make it a condition of its own",
            ));
        }
        Ok(operand)
    }

    fn any_value(&mut self, argument: &FnArg, function: &str) -> Result<Operand, Refused> {
        match argument {
            FnArg::Literal(value) => literal(value),
            FnArg::Test(test) => match test.as_ref() {
                Test::Function(function) => self.function(function),
                Test::RelQuery(_) | Test::AbsQuery(_) => {
                    let query = self.query(test)?;
                    if query.path.is_singular() {
                        Ok(Operand::Single(query))
                    } else {
                        Err(Refused {
                            hint: Some(format!("`{function}(value(@..x))`, or `count()` of the values")),
                            ..invalid(format!(
                                "`{function}()` takes one value, and `{argument}` may be many"
                            ))
                        })
                    }
                }
            },
            FnArg::Filter(_) => Err(invalid(format!("`{function}()` takes a value, not a condition"))),
        }
    }

    /// An argument that must be a query.
    fn nodes(&mut self, argument: &FnArg, function: &str) -> Result<Query, Refused> {
        match argument {
            FnArg::Test(test) => self.query(test),
            FnArg::Literal(_) | FnArg::Filter(_) => Err(invalid(format!(
                "`{function}()` takes a JSONPath, not `{argument}`"
            ))),
        }
    }

    pub(super) fn pattern(
        &mut self,
        text: &FnArg,
        pattern: &FnArg,
        function: &str,
        whole: bool,
    ) -> Result<Filter, Refused> {
        let FnArg::Literal(Literal::String(pattern)) = pattern else {
            return Err(costly(
                format!("the pattern of `{function}()` must be a literal: a payload must not choose it"),
                &format!("write it in quotes: `{function}(@.name, 'v[0-9]+')`"),
            ));
        };
        Ok(Filter::Pattern(
            self.value(text, function)?,
            regex(pattern, whole)?,
        ))
    }
}

impl Operand {
    /// True if the operand reads the payload from its root.
    pub(super) fn is_from_root(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Single(query) | Self::Count(query) => query.from_root,
            Self::Length(operand) => operand.is_from_root(),
        }
    }
}

fn literal(literal: &Literal) -> Result<Operand, Refused> {
    Ok(Operand::Literal(match literal {
        Literal::Int(number) => Value::from(*number),
        Literal::Float(number) => Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| invalid(format!("the number `{literal}` is out of range")))?,
        Literal::String(text) => Value::from(text.as_str()),
        Literal::Bool(value) => Value::from(*value),
        Literal::Null => Value::Null,
    }))
}
