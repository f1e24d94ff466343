//! The real program from outside: gateway and partners as processes of their own, real sockets, real mutual TLS, a
//! real store; one scenario a file.
//!
//! Promises: every world has its own directory, keys and ports, and its processes end with it; nothing waits for
//! time to pass, only for conditions, each with a deadline.

mod activation;
mod audited;
mod by_themselves;
mod changes;
mod configuration;
mod connection;
mod correspondent;
mod crowd;
mod eighteenth;
mod errors;
mod evidence;
mod failed_store;
mod fees;
mod foretold;
mod forgery;
mod forgotten;
mod golden;
mod hosted;
mod http;
mod inside;
mod intermediary;
mod kept;
mod large;
mod low_disk;
mod mailbox;
mod ordered;
mod outbound;
mod packaging;
mod process;
mod profiles;
mod purged;
mod quarantined;
mod real_faults;
mod refused;
mod rehearsal;
mod repeated;
mod restart;
mod rests;
mod revoked;
mod services;
mod stamped;
mod stopped;
mod survive;
mod sync_reply;
mod two_gateways;
mod world;
