//! Records as far as most questions look at them. The rest is decoded of those that are shown, and
//! where somebody asks for more.
use bytes::Bytes;
use prost::Message as _;
use stratalog_schema::events::TelemetryRecord;

use super::Found;
use crate::error::Error;

/// The fields of [`TelemetryRecord`] that references tell of, too, and its times. Its texts are
/// parts of the unpacked segment.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Head {
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) tenant: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) visibility: Bytes,
    #[prost(bool, tag = "5")]
    pub(super) is_log: bool,
    #[prost(int64, tag = "6")]
    pub(super) timestamp_us: i64,
    #[prost(int64, tag = "7")]
    pub(super) reported_timestamp_us: i64,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) execution_id: Bytes,
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) execution_group_id: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    pub(super) deployment_id: Bytes,
    #[prost(bytes = "bytes", tag = "12")]
    pub(super) blueprint_id: Bytes,
}

/// A record in an unpacked segment.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: i64,
    pub(super) head: Head,
    data: Bytes,
    /// Where more is looked at than the head.
    pub(super) whole: Option<Box<TelemetryRecord>>,
}

impl Entry {
    pub(super) fn new(position: i64, data: Bytes) -> Result<Self, Error> {
        Ok(Self {
            position,
            head: Head::decode(data.clone()).map_err(Error::internal)?,
            data,
            whole: None,
        })
    }

    /// Decodes all of it.
    pub(super) fn decoded(&mut self) -> Result<&TelemetryRecord, Error> {
        let whole = match self.whole.take() {
            Some(whole) => whole,
            None => Box::new(decode(&self.data)?),
        };
        Ok(self.whole.insert(whole))
    }

    /// Copies what it needs of its segment.
    pub(super) fn detach(&mut self) -> Result<(), Error> {
        self.data = Bytes::copy_from_slice(&self.data);
        self.head = Head::decode(self.data.clone()).map_err(Error::internal)?;
        Ok(())
    }

    pub(super) fn into_found(self) -> Result<Found, Error> {
        let record = match self.whole {
            Some(whole) => *whole,
            None => decode(&self.data)?,
        };
        Ok((self.position, record))
    }
}

fn decode(data: &[u8]) -> Result<TelemetryRecord, Error> {
    TelemetryRecord::decode(data).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_holds_what_its_record_does() {
        let text = |text: &str| text.to_owned();
        let record = TelemetryRecord {
            tenant: text("t"),
            visibility: text("global"),
            is_log: true,
            timestamp_us: 7,
            reported_timestamp_us: 8,
            execution_id: text("e"),
            execution_group_id: text("g"),
            deployment_id: text("d"),
            blueprint_id: text("b"),
            message: text("said"),
            agent_name: Some(text("a")),
            ..TelemetryRecord::default()
        };
        let mut entry = Entry::new(3, record.encode_to_vec().into()).unwrap();
        entry.detach().unwrap();
        let head = &entry.head;
        let texts = [
            (&head.tenant, &record.tenant),
            (&head.visibility, &record.visibility),
            (&head.execution_id, &record.execution_id),
            (&head.execution_group_id, &record.execution_group_id),
            (&head.deployment_id, &record.deployment_id),
            (&head.blueprint_id, &record.blueprint_id),
        ];
        for (of_head, of_record) in texts {
            assert_eq!(of_head, of_record.as_bytes());
        }
        assert!(head.is_log);
        assert_eq!((head.timestamp_us, head.reported_timestamp_us), (7, 8));
        assert_eq!(entry.decoded().unwrap(), &record);
        assert_eq!(entry.into_found().unwrap(), (3, record));
    }
}
