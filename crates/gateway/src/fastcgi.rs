//! FastCGI 1.0: requests and replies as records over a connection that both ends keep.
//!
//! [`record`] has what either end may say, [`pairs`] the names and values inside, and [`Records`] is the codec of both
//! ends. What a worker's records say together about one request is read by [`host`], for whoever runs the worker.
//! Sections cited as §n are those of the FastCGI Specification, version 1.0.

pub mod error;
pub mod guest;
pub mod host;
pub mod pairs;
pub mod record;

use bytes::BytesMut;
use unary_service::{Codec, Error};

pub use error::{PairsError, RecordError};
pub use record::Record;

/// The codec of either end: records in, records out.
///
/// It holds nothing between two records. What waits in the input is less than one record:
/// [`RECORD_BYTES_MAX`](record::RECORD_BYTES_MAX).
#[derive(Clone, Copy, Debug, Default)]
pub struct Records;

impl Codec for Records {
    type In = Record;
    type Out = Record;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Record>, Error> {
        Ok(record::decode(input)?)
    }

    fn encode(&mut self, record: Record, output: &mut BytesMut) -> Result<(), Error> {
        record.encode(output);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
