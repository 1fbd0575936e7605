//! The mesh on one machine: the lab, the demo, the bench and the tests that need all of it.
