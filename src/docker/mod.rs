//! The room of the Docker engine: what runs there, as routes.
//!
//! What comes in: the engine's lists and events, and placeholders from the control thread. What goes out:
//! routes, published to the table; [`ContainerChange`]s; images that are there. Runs on the control thread's tokio
//! runtime; imports neither `edge`, `addons`, `control` nor `cli`.
//!
//! ```text
//! engine -> client -> session -> container -> labels -> book -> routes::Table
//!                       ^                                ^
//!                     watch (for ever)                 placeholders
//! ```

mod book;
mod client;
mod container;
pub mod images;
pub mod labels;
mod session;
mod watch;

#[cfg(test)]
mod tests;

pub use book::{ContainerChange, Rejected, RouteBook, Tenure};
pub use client::{DockerError, Endpoint};
pub use container::{Addresses, Container, Status};
pub use watch::{Counters, Link, Watch};
