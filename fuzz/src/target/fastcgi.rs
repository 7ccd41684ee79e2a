//! FastCGI: records, and what a worker's say together.

use bytes::{Bytes, BytesMut};
use unary_gateway::fastcgi::host::{self, Reply, ReplyError, Said};
use unary_gateway::fastcgi::pairs::{self, PAIRS_MAX, Params};
use unary_gateway::fastcgi::record::{self, RECORD_BYTES_MAX, Record, Stream};
use unary_gateway::fastcgi::{PairsError, RecordError};

use super::{Shape, ways_to_cut};

/// Decodes `data` as records of either end, as a worker's reply, and as names and values.
pub fn fastcgi(data: &[u8]) -> Shape {
    let (records, error) = decode(&[data]);
    let reply = read(&[data]);
    for pieces in ways_to_cut(data) {
        let lengths = || pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>();
        assert_eq!(decode(&pieces), (records.clone(), error), "cut into {:?}", lengths());
        assert_eq!(read(&pieces), reply, "cut into {:?}", lengths());
    }
    records.iter().for_each(comes_back);
    let params = params(&records);
    let pairs = pairs::decode(&Bytes::copy_from_slice(data));
    if let Ok(pairs) = &pairs {
        assert!(pairs.len() <= PAIRS_MAX);
        assert_eq!(pairs::decode(&pairs::encode(pairs).freeze()).as_ref(), Ok(pairs));
    }
    let _ = host::decode_answer(&mut data.into());
    let kinds: Vec<_> = records.iter().take(8).map(std::mem::discriminant).collect();
    let (said, why) = &reply;
    Shape::of((
        kinds,
        error.map(|error| std::mem::discriminant(&error)),
        said.len().min(4),
        why.map(|why| std::mem::discriminant(&why)),
        params.is_ok(),
        pairs.map_or(0, |pairs| pairs.len().min(4)),
    ))
}

fn decode(pieces: &[&[u8]]) -> (Vec<Record>, Option<RecordError>) {
    let (mut input, mut records) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match record::decode(&mut input) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => return (records, Some(error)),
            }
        }
        assert!(input.len() < RECORD_BYTES_MAX, "it waits for more than a record");
    }
    (records, None)
}

/// What a worker says, in which bytes that follow each other are one.
fn read(pieces: &[&[u8]]) -> (Vec<Said>, Option<ReplyError>) {
    let (mut reply, mut input, mut said) = (Reply::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reply.decode(&mut input) {
                Ok(Some(next)) => {
                    let is_end = matches!(next, Said::End { .. });
                    said.push(next);
                    if is_end {
                        return (said, None);
                    }
                }
                Ok(None) => break,
                Err(error) => return (said, Some(error)),
            }
        }
    }
    (said, None)
}

/// What is encoded decodes to the same.
fn comes_back(record: &Record) {
    let mut wire = BytesMut::new();
    record.encode(&mut wire);
    assert_eq!(record::decode(&mut wire).as_ref().map(Option::as_ref), Ok(Some(record)));
    assert!(wire.is_empty(), "more than one record was made of {record:?}");
}

/// The parameters in these records, which come back as well.
fn params(records: &[Record]) -> Result<pairs::Pairs, PairsError> {
    let mut params = Params::default();
    for record in records {
        if let Record::Stream { stream: Stream::Params, content, .. } = record {
            params.add(content)?;
        }
    }
    let found = params.end()?;
    let mut wire = BytesMut::new();
    pairs::put_params(1, found.iter().map(|(name, value)| (&name[..], &value[..])), &mut wire);
    let mut again = Params::default();
    while let Ok(Some(Record::Stream { content, .. })) = record::decode(&mut wire) {
        again.add(&content)?;
    }
    assert_eq!(again.end().as_ref(), Ok(&found));
    Ok(found)
}
