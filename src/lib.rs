//! Gwanmun (관문, "gateway"): an ebXML message-routing gateway for a customs Single Window.
//!
//! The floors, from the ground up; a floor imports only from floors beneath it (`docs/architecture.md`,
//! kept by `tests/architecture.rs`):
//!
//! ```text
//! 7  main.rs
//! 6  gateway  practice  cli  bench
//! 5  config
//! 4  engine
//! 3  msh  case  security
//! 2  codec  store  routing  telemetry
//! 1  model  transport  ffi
//! ```

pub mod bench;
pub mod case;
pub mod cli;
pub mod codec;
pub mod config;
pub mod engine;
#[allow(unsafe_code, reason = "the one floor that talks to C libraries; every block says why it is sound")]
pub mod ffi;
pub mod gateway;
pub mod model;
pub mod msh;
pub mod practice;
pub mod routing;
pub mod security;
pub mod store;
pub mod telemetry;
pub mod transport;
