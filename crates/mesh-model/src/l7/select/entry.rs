//! One match of one rule of one route.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Selected;
use super::rank::Rank;
use crate::l7::route::{HttpMatch, HttpRule, Order, Route, Rules};

/// One match of one rule of one route; a rule without any has one entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    route: Arc<Route>,
    rule: u32,
    /// One more than its place.
    matched: Option<NonZeroU32>,
}

impl Entry {
    /// One for each match of each rule. What is behind a rule that takes everything, in a list that is read in order,
    /// never has its turn.
    pub(super) fn all_of(route: &Arc<Route>) -> impl Iterator<Item = Self> {
        let rules = match &route.rules {
            Rules::Http { rules, .. } => rules.as_slice(),
            Rules::Tls(_) | Rules::Tcp(_) => &[],
        };
        let places = (0..).zip(rules).flat_map(|(rule, content)| {
            let none = content.matches.is_empty().then_some((rule, None));
            let each = (1..).map(NonZeroU32::new).take(content.matches.len());
            none.into_iter().chain(each.map(move |matched| (rule, matched)))
        });
        let mut closed = false;
        places.map_while(move |(rule, matched)| {
            let entry = Self {
                route: route.clone(),
                rule,
                matched,
            };
            let open = !closed;
            closed |= entry.rank().closes_list();
            open.then_some(entry)
        })
    }

    pub(super) fn rank(&self) -> Rank<'_> {
        let order = match &self.route.rules {
            Rules::Http { order, .. } => *order,
            Rules::Tls(_) | Rules::Tcp(_) => Order::Specificity,
        };
        Rank::of(
            &self.route,
            self.rule_place(),
            (self.matched_place(), self.matched()),
            order,
        )
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }

    pub(super) fn matched(&self) -> Option<&HttpMatch> {
        self.matched_place().map(|at| &self.rule().matches[at])
    }

    pub(super) fn selected(&self) -> Selected<'_> {
        Selected {
            route: &self.route,
            rule: self.rule(),
            rule_index: self.rule_place(),
            match_index: self.matched_place(),
        }
    }

    fn rule(&self) -> &HttpRule {
        let Rules::Http { rules, .. } = &self.route.rules else {
            unreachable!("entries are made of rules for requests only")
        };
        &rules[self.rule_place()]
    }

    fn rule_place(&self) -> usize {
        self.rule as usize
    }

    fn matched_place(&self) -> Option<usize> {
        self.matched.map(|matched| matched.get() as usize - 1)
    }
}
