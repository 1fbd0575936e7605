//! Which policies apply to what came in, and to which rules more are attached.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::l7::attach::Place;
use mesh_model::l7::route::Rules;
use mesh_model::l7::{Route, Target};
use mesh_state::l7::L7Snapshot;
use mesh_types::Strng;

use crate::filters::applied::Applied;

/// What applies at a frontend; where policies are attached to its routes, to their rules.
#[derive(Debug)]
pub(super) struct Applies {
    here: Rc<Applied>,
    /// By the route's key and the rule's place; only rules to which something more is attached.
    at_rules: HashMap<(Strng, usize), Rc<Applied>>,
}

impl Applies {
    pub(super) fn compile(snapshot: &L7Snapshot, place: &Place, routes: &[Arc<Route>]) -> Self {
        let mut at_rules = HashMap::new();
        // Nearly no mesh has any.
        let attached = snapshot.route_policies().is_some();
        for route in routes.iter().filter(|_| attached) {
            let whole = snapshot
                .policies_of(&Target::Route(route.object.clone()))
                .is_some();
            for (number, name) in rule_names(route).enumerate() {
                let named = name.is_some_and(|name| {
                    let target = Target::RouteRule(route.object.clone(), name.clone());
                    snapshot.policies_of(&target).is_some()
                });
                if whole || named {
                    let place = place.clone().with_route(route.object.clone(), name.cloned());
                    let applied = Rc::new(Applied::compile(snapshot, &place));
                    at_rules.insert((route.key(), number), applied);
                }
            }
        }
        Self {
            here: Rc::new(Applied::compile(snapshot, place)),
            at_rules,
        }
    }

    pub(super) fn here(&self) -> &Rc<Applied> {
        &self.here
    }

    pub(super) fn at(&self, route: &Route, rule: usize) -> &Rc<Applied> {
        if self.at_rules.is_empty() {
            return &self.here;
        }
        self.at_rules.get(&(route.key(), rule)).unwrap_or(&self.here)
    }
}

fn rule_names(route: &Route) -> Box<dyn Iterator<Item = Option<&Strng>> + '_> {
    match &route.rules {
        Rules::Http { rules, .. } => Box::new(rules.iter().map(|rule| rule.name.as_ref())),
        Rules::Tls(rules) => Box::new(rules.iter().map(|rule| rule.name.as_ref())),
        Rules::Tcp(rules) => Box::new(rules.iter().map(|rule| rule.name.as_ref())),
    }
}
