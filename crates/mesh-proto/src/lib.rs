//! Wire messages: the `.proto` files in `proto/`, the code generated from them, and type URLs. No logic.
//!
//! The generated code in `src/pb/` is checked in, so that a build needs no protobuf compiler; `tests/generated.rs` of
//! the tests package fails when the two differ, and rewrites the code when run with `LATEEN_UPDATE=1`.
//!
//! Maps are ordered (`BTreeMap`), so that equal messages have equal bytes and content versions are stable; `bytes`
//! fields are [`bytes::Bytes`].

#[allow(
    clippy::all,
    clippy::or_fun_call,
    clippy::use_self,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    missing_docs,
    reason = "generated code"
)]
mod pb;

pub mod type_url;

pub use pb::{envoy, google, istio, lateen, opentelemetry};

impl std::fmt::Debug for lateen::l7::v1::Certificate {
    /// The key is never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}
