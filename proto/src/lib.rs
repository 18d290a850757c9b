//! The schema of Busbar's control messages, and nothing else.
//!
//! The Rust code in `generated/` is committed; `tests/codegen.rs` regenerates it from
//! `schema/` and compares. Only `bus-core/src/frame` names these types: every other room
//! uses the domain types that it converts them to. Field numbers are never reused.

/// Version 1 of the control protocol.
pub mod v1 {
    #![allow(missing_docs, clippy::all)]
    include!("generated/bus.v1.rs");
}
