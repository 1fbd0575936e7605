//! Fixtures for tests: a fake CA, a scripted xDS server, echo applications, object builders.
