//! The node agent: enrols pods, keeps their rules, hands them to ztunnel.
