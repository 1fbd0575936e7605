//! The control plane: discovers, validates, distributes configuration and issues certificates.
//!
//! ```text
//!  API server --kube----+
//!  YAML files --config--+-- sources                    +--> xDS: what is true, to whom it is told -> proxies
//!                       v                              |
//!                    control (one loop) -- derivation -+--> registration: assignments --------> node agents
//!                       ^                              |
//!  node agents --registrar, leases                     +--> what runs where --> node authorizer --> certificates
//! ```
//!
//! # Layout
//! - [`app`]: wiring, and nothing else. [`args`]: the command line. [`build`]: which version this is, as istioctl reads it.
//! - [`config`]: the directory of YAML files, with its last good content. [`sources`]: files and API server together.
//! - [`control`]: the loop that changes anything; the only owner of the next four.
//! - [`delivery`]: how many proxies have what an object became, over all replicas.
//! - [`settled`]: who has heard that a pod has left the mesh, over all replicas.
//! - [`derivation`]: the index, in the words of this crate.
//! - [`address_claims`]: which addresses a place may claim, by the manifests; pure.
//! - [`leases`]: who runs where, as the places say it, and for how long they are believed; pure.
//! - [`registration_store`], [`address_store`]: leases, and addresses of hosts, in the state directory. [`state_file`]:
//!   writing a file in one step.
//! - [`registrar`]: what the places report, on its way to the loop. [`registrations`]: the result, for lookers-on.
//! - [`gateways`]: whom the proxies of each Gateway run as. [`pods`]: which instance each pod of a cluster is.
//! - [`cluster`]: what is done with a cluster, beside watching its objects.
//! - [`serve`]: the port of proxies and agents. [`monitoring`]: the port of operators; [`statuses`]: a page of it.
//! - [`remarks`]: what is said in the statuses of objects that are not understood; pure.
//! - [`waypoints`]: what Gateways become in a cluster, printed. [`unenroll`]: the mesh without anybody in it.
//! - [`mesh_test`]: what `helm test` runs.

pub mod address_claims;
pub mod address_store;
pub mod app;
pub mod args;
pub mod build;
pub mod cluster;
pub mod config;
pub mod control;
pub mod delivery;
pub mod derivation;
pub mod gateways;
pub mod leases;
pub mod mesh_test;
pub mod monitoring;
pub mod pods;
pub mod registrar;
pub mod registration_store;
pub mod registrations;
pub mod remarks;
pub mod serve;
pub mod settled;
pub mod sources;
pub mod state_file;
pub mod statuses;
pub mod unenroll;
pub mod waypoints;
