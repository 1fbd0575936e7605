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
#[derive(Clone, Debug)]
pub(super) struct Applies {
    here: Rc<Applied>,
    /// By the route's key and the rule's place; only rules to which something more is attached.
    at_rules: HashMap<(Strng, usize), Rc<Applied>>,
}

impl Applies {
    pub(super) fn compile<'r>(
        snapshot: &L7Snapshot,
        place: &Place,
        routes: impl Iterator<Item = &'r Arc<Route>>,
    ) -> Self {
        let mut applies = Self {
            here: Rc::new(Applied::compile(snapshot, place)),
            at_rules: HashMap::new(),
        };
        // Nearly no mesh has any.
        if snapshot.route_policies().is_some() {
            routes.for_each(|route| applies.attach(snapshot, place, route));
        }
        applies
    }

    /// While no policy changed: with one route in the place of another.
    pub(super) fn replace(
        this: &mut Rc<Self>,
        snapshot: &L7Snapshot,
        place: &Place,
        was: Option<&Arc<Route>>,
        is: Option<&Arc<Route>>,
    ) {
        if snapshot.route_policies().is_none() {
            return;
        }
        let rules = was
            .into_iter()
            .flat_map(|was| (0..rule_names(was).count()).map(|n| (was.key(), n)));
        for rule in rules
            .filter(|rule| this.at_rules.contains_key(rule))
            .collect::<Vec<_>>()
        {
            Rc::make_mut(this).at_rules.remove(&rule);
        }
        if let Some(is) = is
            && has_policies(snapshot, is)
        {
            Rc::make_mut(this).attach(snapshot, place, is);
        }
    }

    fn attach(&mut self, snapshot: &L7Snapshot, place: &Place, route: &Arc<Route>) {
        let whole = snapshot
            .policies_of(&Target::Route(route.object.clone()))
            .is_some();
        for (number, name) in rule_names(route).enumerate() {
            if whole || name.is_some_and(|name| rule_has_policies(snapshot, route, name)) {
                let place = place.clone().with_route(route.object.clone(), name.cloned());
                let applied = Rc::new(Applied::compile(snapshot, &place));
                self.at_rules.insert((route.key(), number), applied);
            }
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

fn has_policies(snapshot: &L7Snapshot, route: &Route) -> bool {
    let whole = Target::Route(route.object.clone());
    snapshot.policies_of(&whole).is_some()
        || rule_names(route)
            .flatten()
            .any(|name| rule_has_policies(snapshot, route, name))
}

fn rule_has_policies(snapshot: &L7Snapshot, route: &Route, rule: &Strng) -> bool {
    let target = Target::RouteRule(route.object.clone(), rule.clone());
    snapshot.policies_of(&target).is_some()
}

fn rule_names(route: &Route) -> Box<dyn Iterator<Item = Option<&Strng>> + '_> {
    match &route.rules {
        Rules::Http { rules, .. } => Box::new(rules.iter().map(|rule| rule.name.as_ref())),
        Rules::Tls(rules) => Box::new(rules.iter().map(|rule| rule.name.as_ref())),
        Rules::Tcp(rules) => Box::new(rules.iter().map(|rule| rule.name.as_ref())),
    }
}
