//! The values that a path needs of a JSON text, for a reader that keeps no others.
//!
//! Names, indexes and wildcards are planned step by step. From any other selector on (`..`, slices,
//! filters, several selectors), and where the path ends, the whole value is kept.

use super::{Filter, JsonPath, Operand, PathSegment, Pick, Query};
use crate::base::json_plan::Plan;

impl JsonPath {
    /// Adds the values that the path reads to `plan`.
    pub fn add_to(&self, plan: &mut Plan) {
        self.each_root_query(&mut |path| path.add_to(plan));
        let mut at = plan;
        for step in &self.steps {
            at = match step.single() {
                Some(Pick::Name(name)) => at.name(name),
                Some(Pick::Index(index)) => at.index(*index),
                Some(Pick::Wildcard) => at.every(),
                _ => break,
            };
        }
        at.all();
    }

    /// Adds the values that the filters of the path read by `$` paths to `plan`.
    pub fn add_root_queries_to(&self, plan: &mut Plan) {
        self.each_root_query(&mut |path| path.add_to(plan));
    }

    /// True if the path selects the same values among those that were read by `plan` as in the
    /// whole text.
    pub fn is_covered(&self, plan: &Plan) -> bool {
        let mut roots = true;
        self.each_root_query(&mut |path| roots &= path.is_covered(plan));
        roots && self.is_walk_covered(plan)
    }

    fn is_walk_covered(&self, plan: &Plan) -> bool {
        let mut at = plan;
        for step in &self.steps {
            if at.is_whole() {
                return true;
            }
            let below = match step.single() {
                Some(Pick::Name(name)) => at.of_name(name),
                Some(Pick::Index(index)) => usize::try_from(*index).ok().and_then(|index| at.of_index(index)),
                Some(Pick::Wildcard) => at.of_every(),
                _ => None,
            };
            let Some(below) = below else { return false };
            at = below;
        }
        at.is_whole()
    }

    /// Visits the `$` paths in the filters of this path. They are read from the root, wherever the
    /// filter stands.
    fn each_root_query(&self, visit: &mut dyn FnMut(&Self)) {
        for pick in self.steps.iter().flat_map(|step| &step.picks) {
            if let Pick::Filter(filter) = pick {
                filter.each_root_query(visit);
            }
        }
    }
}

impl PathSegment {
    /// The only selector of a segment that does not descend.
    fn single(&self) -> Option<&Pick> {
        match self.picks.as_slice() {
            [pick] if !self.descends => Some(pick),
            _ => None,
        }
    }
}

impl Filter {
    fn each_root_query(&self, visit: &mut dyn FnMut(&JsonPath)) {
        match self {
            Self::Any(filters) | Self::All(filters) => {
                for filter in filters {
                    filter.each_root_query(visit);
                }
            }
            Self::Not(filter) => filter.each_root_query(visit),
            Self::Exists(query) => query.each_root_query(visit),
            Self::Pattern(operand, _) => operand.each_root_query(visit),
            Self::Compare(left, _, right) => {
                left.each_root_query(visit);
                right.each_root_query(visit);
            }
        }
    }
}

impl Operand {
    fn each_root_query(&self, visit: &mut dyn FnMut(&JsonPath)) {
        match self {
            Self::Literal(_) => {}
            Self::Single(query) | Self::Count(query) => query.each_root_query(visit),
            Self::Length(operand) => operand.each_root_query(visit),
        }
    }
}

impl Query {
    fn each_root_query(&self, visit: &mut dyn FnMut(&JsonPath)) {
        if self.from_root {
            visit(&self.path);
        }
        self.path.each_root_query(visit);
    }
}
