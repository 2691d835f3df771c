//! The promise: whoever logs in at Pierhead's port with a real client, and does there what people do with a
//! database, notices no difference to a direct connection; and who cannot be let in reads why. With the `pierhead`
//! program itself, PostgreSQL and Redis in containers on the real dockerd, psql, pgbench, redis-cli and the drivers of
//! several languages.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;
mod end_to_end {
    mod amqp;
    mod amqp_tls;
    mod brokers;
    mod brokers_tls;
    mod bulk;
    mod cancel;
    mod certificate;
    mod clients;
    mod drivers;
    mod engine;
    mod exhaustion;
    mod faults;
    mod leaks;
    mod load;
    mod logins;
    mod memcached;
    mod mongodb;
    mod mongodb_engine;
    mod mongodb_tls;
    mod mqtt;
    mod mqtt_tls;
    mod mysql;
    mod mysql_drivers;
    mod mysql_engine;
    mod mysql_tls;
    mod nats;
    mod redis;
    mod redis_clients;
    mod redis_drivers;
    mod redis_engine;
    mod redis_tls;
    mod shutdown;
    mod stage;
    mod tls;
}
