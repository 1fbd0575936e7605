//! What rules keep from request to request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::l7::Route;
use mesh_model::l7::resilience::Retry;
use mesh_model::l7::route::Rules;
use mesh_model::l7::select::Spread;
use mesh_types::Strng;

/// What a rule keeps from request to request.
#[derive(Debug)]
pub(super) struct Memory {
    /// As logs name it.
    pub(super) name: Strng,
    /// The shares of its destinations go on where they were.
    pub(super) spread: Spread,
    /// When its requests are tried again.
    pub(super) retry: Rc<Retry>,
    /// It is known by its address, which nothing else may get meanwhile.
    route: Arc<Route>,
}

/// Those of the rules of one frontend, by the route's address and the rule's place. Others than the routes that change
/// keep theirs.
#[derive(Debug, Default)]
pub(super) struct Memories {
    kept: RefCell<HashMap<(usize, usize), Rc<Memory>>>,
    /// How many were there after the last look for those that nobody needs.
    looked: Cell<usize>,
}

impl Memories {
    /// That of a rule; `retry` is asked when it has no retries of its own.
    pub(super) fn of(
        &self,
        route: &Arc<Route>,
        rule: usize,
        retry: impl FnOnce() -> Rc<Retry>,
    ) -> Rc<Memory> {
        let mut kept = self.kept.borrow_mut();
        let memory = kept.entry((address(route), rule));
        memory
            .or_insert_with(|| Rc::new(Memory::new(route, rule, retry)))
            .clone()
    }

    /// A route is gone, or another one is in its place.
    pub(super) fn forget(&self, route: &Arc<Route>) {
        let mut kept = self.kept.borrow_mut();
        for rule in 0..rule_count(route) {
            kept.remove(&(address(route), rule));
        }
        // A request that was under way may have noted its rule again.
        if kept.len() > 2 * self.looked.get() + SOME {
            kept.retain(|_, memory| Arc::strong_count(&memory.route) > 1);
            self.looked.set(kept.len());
        }
    }
}

impl Memory {
    fn new(route: &Arc<Route>, place: usize, usual: impl FnOnce() -> Rc<Retry>) -> Self {
        let (name, retry) = match &route.rules {
            Rules::Http { rules, .. } => {
                let rule = rules.get(place);
                (
                    rule.and_then(|r| r.name.as_ref()),
                    rule.and_then(|r| r.retry.as_ref()),
                )
            }
            Rules::Tls(rules) => (rules.get(place).and_then(|rule| rule.name.as_ref()), None),
            Rules::Tcp(rules) => (rules.get(place).and_then(|rule| rule.name.as_ref()), None),
        };
        let object = &route.object.name;
        let name = match name {
            Some(rule) => format!("{}.{}.{rule}", object.namespace, object.name),
            None => format!("{}.{}.{place}", object.namespace, object.name),
        };
        Self {
            name: name.into(),
            spread: Spread::new(fastrand::u64(..)),
            retry: retry.map_or_else(usual, |retry| Rc::new(retry.clone())),
            route: route.clone(),
        }
    }
}

fn address(route: &Arc<Route>) -> usize {
    Arc::as_ptr(route).addr()
}

fn rule_count(route: &Route) -> usize {
    match &route.rules {
        Rules::Http { rules, .. } => rules.len(),
        Rules::Tls(rules) => rules.len(),
        Rules::Tcp(rules) => rules.len(),
    }
}

/// So many are not worth a look.
const SOME: usize = 64;
