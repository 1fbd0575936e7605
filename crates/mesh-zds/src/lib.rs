//! ZDS: the socket between the node agent and ztunnel that hands over pods, both ends.
