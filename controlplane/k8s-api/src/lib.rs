//! Kubernetes, Gateway API and Istio objects as their users write them.
