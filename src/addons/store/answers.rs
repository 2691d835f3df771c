//! Rows of the table `answers`: what was answered to requests that came with an idempotency key, so that the same request
//! gets the same answer again. They are kept for a day, the latest ten thousand.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};
use crate::addons::UnixMs;

/// A request with a key, and what was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// SHA-256 of the request: another one with the same key is a mistake.
    pub request: [u8; 32],
    /// The operation that it began.
    pub operation: String,
    /// The answer; none if Pierhead ended before there was one.
    pub answer: Option<KeptAnswer>,
}

/// An answer to be given again.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptAnswer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Store {
    /// What is kept of a caller's key. If nothing is, the request is written down as begun.
    pub fn begin_keyed(
        &self,
        caller: &str,
        key: &str,
        request: &[u8; 32],
        operation: &str,
        now: UnixMs,
    ) -> Result<Option<Kept>, StoreError> {
        self.transaction(|transaction| {
            transaction.execute(
                "DELETE FROM answers WHERE at < ?1 OR id <= (SELECT max(id) FROM answers) - ?2",
                params![now - ANSWER_KEPT_MS, ANSWERS_MAX],
            )?;
            let found = transaction
                .prepare_cached(
                    "SELECT request, operation, status, body FROM answers WHERE caller = ?1 AND key = ?2",
                )?
                .query_row(params![caller, key], |row| {
                    let (status, body): (Option<u16>, Vec<u8>) = (row.get(2)?, row.get(3)?);
                    let answer = status.map(|status| KeptAnswer { status, body });
                    Ok(Kept { request: row.get(0)?, operation: row.get(1)?, answer })
                })
                .optional()?;
            if found.is_none() {
                transaction.execute(
                    "INSERT INTO answers (caller, key, request, operation, at, body) VALUES (?1, ?2, ?3, ?4, ?5, x'')",
                    params![caller, key, request, operation, now],
                )?;
            }
            Ok(found)
        })
    }

    /// Keeps the answer to a request that has begun; without one, forgets that it has.
    pub fn end_keyed(&self, caller: &str, key: &str, answer: Option<&KeptAnswer>) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            match answer {
                Some(answer) => transaction.execute(
                    "UPDATE answers SET status = ?3, body = ?4 WHERE caller = ?1 AND key = ?2",
                    params![caller, key, answer.status, answer.body],
                )?,
                None => transaction
                    .execute("DELETE FROM answers WHERE caller = ?1 AND key = ?2", params![caller, key])?,
            };
            Ok(())
        })
    }
}

const ANSWER_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const ANSWERS_MAX: i64 = 10_000;
