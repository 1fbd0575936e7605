//! Mutual TLS with SPIFFE identities: provider, verifiers, configurations, certificates and signing requests.
