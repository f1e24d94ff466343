//! Decisions played through a store: whole cases, repeats, refusals, deliveries that end well and badly.
//!
//! The world here has the real engine and the real in-memory store. Partners are plain functions; what goes over
//! the wire is sealed for real, and what comes in is taken as verified.

mod amendments;
mod approval_numbers;
mod approvals;
mod cases;
mod changes;
mod deadlines;
mod deliveries;
mod documents;
mod fees;
mod histories;
mod mailbox;
mod officer;
mod operators;
mod order;
mod practice;
mod prompt;
mod purges;
mod queries;
mod refusals;
mod reliability;
mod respond;
mod rules;
mod services;
mod transit;
mod world;
