//! ProxyConfig.

use crate::error::FieldPath;
use crate::networking::ProxyConfig;
use crate::validate::Check;

pub(in crate::validate) fn proxy_config(check: &mut Check, config: &ProxyConfig) {
    let (spec, path) = (&config.spec, FieldPath::from("spec"));
    if let Some(selector) = &spec.selector {
        check.labels(
            path.field("selector").field("matchLabels"),
            &selector.match_labels,
        );
    }
    for (name, given) in [
        ("environmentVariables", !spec.environment_variables.is_empty()),
        ("image", spec.image.is_some()),
    ] {
        if given {
            check.warn(path.field(name), "has no effect: it is about Istio's own proxy");
        }
    }
}
