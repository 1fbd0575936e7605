//! What each object becomes: one pure derivation per input kind.
