//! Pierhead: the TCP edge of a Docker host. One well-known port per protocol, any number of database
//! containers behind it, found by the name in the client's first message.
//!
//! # Layout
//!
//! * [`config`] - `pierhead.toml` parsed into types that cannot hold a wrong value.
//! * [`edge`] - the data plane: one `Core` per CPU; cores share the route table and counters, nothing else.
//! * [`dialect`] - one file per protocol, sans-IO: bytes in, decisions out.
//! * [`routes`] - the lock-free table: read by cores, published by the control thread.
//! * [`docker`] - what runs on the Docker engine, as routes.
//! * [`addons`] - what an addon is: lifecycle, kinds, store.
//! * [`control`] - the control thread: reconciler, HTTP API on the Unix socket, metrics.
//! * [`cli`] - verbs, tables and `--json`, progress bars.
//! * [`sys`] - the only `unsafe` in the crate.
//!
//! `edge` never imports `docker`, `addons` or `control`: what crosses is a published route, counters and
//! drain signals.

pub mod addons;
pub mod cli;
pub mod config;
pub mod control;
pub mod dialect;
pub mod docker;
pub mod edge;
pub mod routes;
pub mod sys;
