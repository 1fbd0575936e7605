//! What a Gateway's listeners become: a bind for each that is served.

use mesh_model::l7::Bind;
use mesh_types::{NamespacedName, Strng};

use super::Scoped;
use super::hosts::Gateways;
use super::listeners::{Served, provenance};
use crate::derived::Derived;

/// The binds of a Gateway, by their keys, for its own proxies.
pub(crate) fn binds_from_listeners(
    name: &NamespacedName,
    listeners: &Derived<Vec<Served>>,
) -> Vec<(Strng, Derived<Scoped<Bind>>)> {
    let served = listeners.value.iter().flatten();
    let binds = served.filter_map(|served| {
        let bind = Bind {
            gateway: name.clone(),
            listener: served.point.listener.clone(),
            port: served.point.port,
            protocol: served.protocol.clone()?,
        };
        let scoped = Scoped {
            gateways: Gateways::from([name.clone()]),
            value: bind,
        };
        Some((scoped.value.key(), Derived::of(provenance(name), scoped)))
    });
    binds.collect()
}
