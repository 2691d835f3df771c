//! The promise: whoever logs in at Pierhead's port with a real client, and does there what people do with a
//! database, notices no difference to a direct connection; and who cannot be let in reads why. With the `pierhead`
//! program itself, PostgreSQL in containers on the real dockerd, psql, pgbench and the drivers of several languages.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;
mod end_to_end {
    mod bulk;
    mod cancel;
    mod clients;
    mod drivers;
    mod engine;
    mod faults;
    mod leaks;
    mod load;
    mod logins;
    mod mongodb;
    mod mongodb_engine;
    mod redis;
    mod redis_engine;
    mod shutdown;
    mod stage;
}
