//! The life of a certificate: schedule, manager, and the signing service, both ends.
