//! The control plane: discovers, validates, distributes configuration and issues certificates.
