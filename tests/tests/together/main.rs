//! What a user writes and what happens to a request, together: see [`harness`].

mod ambient;
mod authorization;
mod bad_input;
mod cases;
mod entries;
mod external_auth;
mod external_processing;
mod gateway_api;
mod grpc_routes;
#[expect(
    dead_code,
    reason = "what tests may need; not all of it is in use at any time"
)]
mod harness;
mod l4_routes;
mod lowering;
mod mesh_config;
mod own_kinds;
mod properties;
mod rate_limits;
mod request_authentication;
mod services;
mod spellings;
mod standing;
mod telemetry;
mod tokens;
mod upstream;
mod usual;
mod virtual_services;
