//! The classes of waypoints, and who makes the Gateways of a class (Gateway API reference, "GatewayClass").

use controlplane_k8s_api::gateway::GatewayClass;

use crate::status::{ConditionType, StatusCondition, StatusReason};

/// A class that a cluster has as soon as there is a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaypointClass {
    /// Its name.
    pub name: &'static str,
    /// Who makes its Gateways.
    pub controller: &'static str,
    /// For people.
    pub description: &'static str,
}

/// Istio's own, which its tools and documents name, and ours for clusters that have both.
pub const CLASSES: [WaypointClass; 2] = [
    WaypointClass {
        name: "istio-waypoint",
        controller: "istio.io/mesh-controller",
        description: "A waypoint of the mesh",
    },
    WaypointClass {
        name: "lateen-waypoint",
        controller: "lateen.dev/mesh-controller",
        description: "A waypoint of the mesh, made by Lateen",
    },
];

/// Core features of Gateway API that waypoints support, by the names of its conformance suite.
pub const CORE_FEATURES: [&str; 3] = ["GRPCRoute", "HTTPRoute", "Mesh"];

/// The extended ones: all those of the profiles for meshes, and those of routes on which further tests of meshes
/// depend: without ResponseHeaderModification MeshFrontend, MeshFrontendHostname, MeshPorts and MeshConsumerRoute are not run.
pub const EXTENDED_FEATURES: [&str; 14] = [
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteParentRefPort",
    "HTTPRouteResponseHeaderModification",
    "MeshClusterIPMatching",
    "MeshConsumerRoute",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteNamedRouteRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
];

/// Who makes the Gateways of a class, if that is us: by the class itself, else by its well-known name.
#[must_use]
pub fn controller(name: &str, class: Option<&GatewayClass>) -> Option<&'static str> {
    let of_class = |class: &GatewayClass| {
        let ours = |known: &&WaypointClass| *known.controller == *class.spec.controller_name;
        CLASSES.iter().find(ours)
    };
    let known = match class {
        Some(class) => of_class(class),
        None => CLASSES.iter().find(|known| known.name == name),
    };
    known.map(|known| known.controller)
}

/// Whether a class is taken; nothing for those of other controllers.
pub(crate) fn accepted(class: &GatewayClass) -> Option<StatusCondition> {
    controller(&class.metadata.name, Some(class))?;
    let accepted = ConditionType::Accepted;
    Some(match &class.spec.parameters_ref {
        None => StatusCondition::new(
            accepted,
            true,
            StatusReason::Accepted,
            "its Gateways become waypoints",
        ),
        Some(parameters) => StatusCondition::new(
            accepted,
            false,
            StatusReason::InvalidParameters,
            format!(
                "spec.parametersRef: {} {} is not read: settings of a class are in ConfigMaps with the label \
                 gateway.istio.io/defaults-for-class",
                parameters.kind, parameters.name
            ),
        ),
    })
}

#[cfg(test)]
mod tests;
