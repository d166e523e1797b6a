//! Answers kept for requests that may be sent again. **Invariant:** that a request has its effect
//! once follows from the identity of its appends; what is kept here only gives the answer again and
//! keeps two processes from carrying out the same request at once.
use uuid::Uuid;

use crate::{db::Database, error::Error};

/// Seconds without a sign of life after which a request counts as given up.
const LEASE_S: f64 = 30.0;

const BEGIN: &str = "\
WITH old AS (DELETE FROM es.reply WHERE begun_at < now() - interval '14 days' AND id <> $1) \
INSERT INTO es.reply (id, asked, lease_until) \
VALUES ($1, $2, now() + make_interval(secs => $3)) \
ON CONFLICT (id) DO UPDATE SET lease_until = EXCLUDED.lease_until, begun_at = now() \
WHERE es.reply.status IS NULL AND es.reply.lease_until < now() \
  AND es.reply.asked = EXCLUDED.asked \
RETURNING true";
const FIND: &str = "SELECT asked, status, headers, body FROM es.reply WHERE id = $1";
const RENEW: &str = "\
UPDATE es.reply SET lease_until = now() + make_interval(secs => $2) \
WHERE id = $1 AND status IS NULL";
const FINISH: &str = "UPDATE es.reply SET status = $2, headers = $3, body = $4 WHERE id = $1";
const FORGET: &str = "DELETE FROM es.reply WHERE id = $1 AND status IS NULL";

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: i32,
    /// Names and values, as JSON.
    pub headers: String,
    /// The body, sealed.
    pub body: Vec<u8>,
}

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it is to be carried out now.
    Now,
    /// It is being carried out.
    Running,
    /// Another request has the same key.
    Differs,
    /// It was carried out.
    Answered(Reply),
}

/// The answers.
#[derive(Debug)]
pub struct Replies<'d> {
    database: &'d Database,
}

impl<'d> Replies<'d> {
    pub(super) fn of(database: &'d Database) -> Self {
        Self { database }
    }

    /// Begins a request, unless it is known. `asked` is a digest of what it asks for. Answers are
    /// kept for 14 days.
    ///
    /// # Errors
    /// Database errors.
    pub async fn begin(&self, id: Uuid, asked: &[u8]) -> Result<Begun, Error> {
        let connection = self.database.idle().await?;
        let begun = connection
            .query_opt(BEGIN, &[&id, &asked, &LEASE_S])
            .await?;
        if begun.is_some() {
            return Ok(Begun::Now);
        }
        let Some(row) = connection.query_opt(FIND, &[&id]).await? else {
            // given up in this very moment: the client tries again
            return Ok(Begun::Running);
        };
        if row.try_get::<_, Vec<u8>>(0)? != asked {
            return Ok(Begun::Differs);
        }
        let Some(status) = row.try_get(1)? else {
            return Ok(Begun::Running);
        };
        Ok(Begun::Answered(Reply {
            status,
            headers: row.try_get(2)?,
            body: row.try_get(3)?,
        }))
    }

    /// Says that a request is still being carried out: at least every third of a lease.
    ///
    /// # Errors
    /// Database errors.
    pub async fn renew(&self, id: Uuid) -> Result<(), Error> {
        let connection = self.database.idle().await?;
        connection.execute(RENEW, &[&id, &LEASE_S]).await?;
        Ok(())
    }

    /// Keeps the answer.
    ///
    /// # Errors
    /// Database errors.
    pub async fn finish(&self, id: Uuid, reply: &Reply) -> Result<(), Error> {
        let connection = self.database.idle().await?;
        let Reply {
            status,
            headers,
            body,
        } = reply;
        connection
            .execute(FINISH, &[&id, status, headers, body])
            .await?;
        Ok(())
    }

    /// Forgets a request that changed nothing.
    ///
    /// # Errors
    /// Database errors.
    pub async fn forget(&self, id: Uuid) -> Result<(), Error> {
        let connection = self.database.idle().await?;
        connection.execute(FORGET, &[&id]).await?;
        Ok(())
    }
}
