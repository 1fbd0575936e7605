//! Which rules a pod and its node need, as data, and their nftables form.
