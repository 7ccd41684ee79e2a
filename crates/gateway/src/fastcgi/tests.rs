use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use unary_testkit::laws::{round_trip, same_however_cut};

use super::Records;
use super::error::{PairsError, RecordError};
use super::host::{self, Reply, ReplyError, Said, Values};
use super::pairs::{self, PAIRS_BYTES_MAX, PAIRS_MAX, Params};
use super::record::{self, CONTENT_BYTES_MAX, Outcome, Record, Role, Stream, Then};

/// The verdict must not depend on how the network cut the bytes.
#[track_caller]
fn check(wire: &[u8], expected: Result<Option<Record>, RecordError>) {
    assert_eq!(record::decode(&mut wire.into()), expected);
    for cut in 0..wire.len() {
        let early = record::decode(&mut wire[..cut].into());
        assert!(early == Ok(None) || early == expected, "cut at byte {cut}: {early:?}");
    }
}

#[track_caller]
fn check_both_ways(wire: &[u8], record: Record) {
    let mut encoded = BytesMut::new();
    record.encode(&mut encoded);
    assert_eq!(encoded, wire);
    check(wire, Ok(Some(record)));
}

fn stream(stream: Stream, content: &'static [u8]) -> Record {
    Record::Stream { request: 1, stream, content: content.into() }
}

fn encoded(records: &[Record]) -> BytesMut {
    let mut wire = BytesMut::new();
    records.iter().for_each(|record| record.encode(&mut wire));
    wire
}

#[test]
fn reads_and_writes_the_records_of_the_specification() {
    let begin = Record::Begin { request: 1, role: Role::Responder, then: Then::Keep };
    check_both_ways(b"\x01\x01\0\x01\0\x08\0\0\0\x01\x01\0\0\0\0\0", begin);
    check_both_ways(b"\x01\x02\x12\x34\0\0\0\0", Record::Abort { request: 0x1234 });
    let end = Record::End { request: 1, exit_status: 0x0102_0304, outcome: Outcome::Overloaded };
    check_both_ways(b"\x01\x03\0\x01\0\x08\0\0\x01\x02\x03\x04\x02\0\0\0", end);
    check_both_ways(b"\x01\x04\0\x01\0\x08\0\0\x04\x02NAMEab", stream(Stream::Params, b"\x04\x02NAMEab"));
    check_both_ways(b"\x01\x05\0\x01\0\x03\x05\0abc\0\0\0\0\0", stream(Stream::Stdin, b"abc"));
    check_both_ways(b"\x01\x06\0\x01\0\0\0\0", stream(Stream::Stdout, b""));
    check_both_ways(b"\x01\x07\0\x01\0\x01\x07\0!\0\0\0\0\0\0\0", stream(Stream::Stderr, b"!"));
    check_both_ways(b"\x01\x08\0\x01\0\0\0\0", stream(Stream::Data, b""));
    check_both_ways(b"\x01\x09\0\0\0\x03\x05\0\x01\0x\0\0\0\0\0", Record::GetValues(vec![("x".into(), "".into())]));
    let result = Record::GetValuesResult(vec![("x".into(), "1".into())]);
    check_both_ways(b"\x01\x0a\0\0\0\x04\x04\0\x01\x01x1\0\0\0\0", result);
    check_both_ways(b"\x01\x0b\0\0\0\x08\0\0\x63\0\0\0\0\0\0\0", Record::UnknownType(99));
    let other = Record::Other { kind: 99, request: 7, content: "a".into() };
    check_both_ways(b"\x01\x63\0\x07\0\x01\x07\0a\0\0\0\0\0\0\0", other);
}

#[test]
fn passes_over_padding_and_spare_bytes() {
    let mut wire = b"\x01\x06\0\x01\0\x01\xff\x99a".to_vec();
    wire.resize(wire.len() + 255, 0x99);
    check(&wire, Ok(Some(stream(Stream::Stdout, b"a"))));
    let begin = Record::Begin { request: 1, role: Role::Other(0x0909), then: Then::Close };
    check(b"\x01\x01\0\x01\0\x08\0\0\x09\x09\xfe\x09\x09\x09\x09\x09", Ok(Some(begin)));
}

#[test]
fn refuses_what_is_no_record() {
    check(b"HTTP/1.1", Err(RecordError::Version(b'H')));
    check(b"\0", Err(RecordError::Version(0)));
    check(b"\x01\x01\0\x01\0\x07\0\0", Err(RecordError::Length { kind: 1, length: 7 }));
    check(b"\x01\x02\0\x01\0\x08\0\0", Err(RecordError::Length { kind: 2, length: 8 }));
    check(b"\x01\x03\0\x01\0\0\0\0", Err(RecordError::Length { kind: 3, length: 0 }));
    check(b"\x01\x0b\0\0\0\x09\0\0", Err(RecordError::Length { kind: 11, length: 9 }));
    check(b"\x01\x06\0\0\0\0\0\0", Err(RecordError::Request { kind: 6, request: 0 }));
    check(b"\x01\x09\0\x01\0\0\0\0", Err(RecordError::Request { kind: 9, request: 1 }));
    let cut = RecordError::Values(PairsError::Cut { at: 0 });
    check(b"\x01\x0a\0\0\0\x02\0\0\x01\x01", Err(cut));
}

#[test]
fn a_long_stream_goes_into_several_records() {
    let content = Bytes::from(vec![b'x'; CONTENT_BYTES_MAX + 1]);
    let mut wire = encoded(&[Record::Stream { request: 1, stream: Stream::Stdin, content: content.clone() }]);
    for length in [CONTENT_BYTES_MAX, 1] {
        let expected = Record::Stream { request: 1, stream: Stream::Stdin, content: content.slice(..length) };
        assert_eq!(record::decode(&mut wire), Ok(Some(expected)));
    }
    assert!(wire.is_empty());
}

#[test]
fn reads_lengths_of_one_byte_and_of_four() {
    let pair = |name: usize, value: usize| (Bytes::from(vec![b'n'; name]), Bytes::from(vec![b'v'; value]));
    for (name, value, head) in [
        (0, 0, &b"\0\0"[..]),
        (1, 127, b"\x01\x7f"),
        (127, 128, b"\x7f\x80\0\0\x80"),
        (128, 1, b"\x80\0\0\x80\x01"),
        (70_000, 65_536, b"\x80\x01\x11\x70\x80\x01\0\0"),
    ] {
        let wire = pairs::encode(&[pair(name, value)]);
        assert!(wire.starts_with(head), "{name} and {value}: {:?}", &wire[..head.len()]);
        assert_eq!(pairs::decode(&wire.freeze()), Ok(vec![pair(name, value)]));
    }
    assert_eq!(pairs::decode(&Bytes::from_static(b"\x80\0\0\x01\x80\0\0\x01ab")), Ok(vec![("a".into(), "b".into())]));
}

#[test]
fn refuses_lengths_beyond_what_is_there() {
    for (content, at) in [
        (&b"\x01"[..], 0),
        (b"\x80\0\0", 0),
        (b"\x01\x01a", 0),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", 0),
        (b"\x01\0a\x02\x01x", 3),
    ] {
        assert_eq!(pairs::decode(&Bytes::from_static(content)), Err(PairsError::Cut { at }), "{content:?}");
    }
    let pairs = |count| Bytes::from(vec![0; 2 * count]);
    assert_eq!(pairs::decode(&pairs(PAIRS_MAX)).map(|pairs| pairs.len()), Ok(PAIRS_MAX));
    assert_eq!(pairs::decode(&pairs(PAIRS_MAX + 1)), Err(PairsError::TooMany(PAIRS_MAX)));
}

#[test]
fn parameters_are_bounded_in_all() {
    let mut params = Params::default();
    let record = [0; CONTENT_BYTES_MAX];
    for _ in 0..PAIRS_BYTES_MAX / CONTENT_BYTES_MAX {
        assert_eq!(params.add(&record), Ok(()));
    }
    assert_eq!(params.add(&[0; PAIRS_BYTES_MAX % CONTENT_BYTES_MAX]), Ok(()));
    assert_eq!(params.add(&[0]), Err(PairsError::TooLong(PAIRS_BYTES_MAX)));
}

/// The contents of the records that parameters with values of these lengths become.
#[track_caller]
fn check_params(values: &[usize], records: &[usize]) {
    let values: Vec<Vec<u8>> = values.iter().map(|&length| vec![b'v'; length]).collect();
    let mut wire = BytesMut::new();
    pairs::put_params(1, values.iter().map(|value| (&b"N"[..], &value[..])), &mut wire);
    let (mut params, mut lengths) = (Params::default(), Vec::new());
    while let Some(Record::Stream { stream: Stream::Params, content, .. }) = record::decode(&mut wire).unwrap() {
        lengths.push(content.len());
        params.add(&content).unwrap();
    }
    let expected: Vec<_> = values.into_iter().map(|value| (Bytes::from("N"), Bytes::from(value))).collect();
    assert_eq!((params.end(), &lengths[..]), (Ok(expected), records));
}

#[test]
fn no_parameter_is_cut_that_fits_into_a_record() {
    check_params(&[], &[0]);
    check_params(&[1, 2], &[4 + 5, 0]);
    check_params(&[60_000, 6_000, 1], &[60_006, 6_006 + 4, 0]);
    check_params(&[CONTENT_BYTES_MAX - 6, 0], &[CONTENT_BYTES_MAX, 3, 0]);
    check_params(&[9, CONTENT_BYTES_MAX, 9], &[12, CONTENT_BYTES_MAX, 6, 12, 0]);
}

/// What a worker says, up to its end or to what it cannot say; the same however it is cut.
#[track_caller]
fn check_reply(wire: &[u8], expected: Result<&[Said], ReplyError>) {
    let read = |pieces: &[&[u8]]| {
        let (mut reply, mut input, mut said) = (Reply::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(next) = reply.decode(&mut input)? {
                said.push(next);
            }
        }
        Ok(said)
    };
    assert_eq!(read(&[wire]), expected.map(<[Said]>::to_vec));
    for cut in 0..wire.len() {
        assert_eq!(read(&[&wire[..cut], &wire[cut..]]), read(&[wire]), "cut at byte {cut}");
    }
}

#[test]
fn a_host_hears_output_log_and_end() {
    let end = Record::End { request: 1, exit_status: 3, outcome: Outcome::Complete };
    let wire = encoded(&[
        stream(Stream::Stderr, b"oh"),
        stream(Stream::Stdout, b"A: b\n\n"),
        Record::UnknownType(9),
        stream(Stream::Stdout, b""),
        stream(Stream::Stdout, b""),
        stream(Stream::Stderr, b""),
        end,
    ]);
    let said = [Said::Log("oh".into()), Said::Output("A: b\n\n".into()), Said::End { exit_status: 3 }];
    check_reply(&wire, Ok(&said));
}

#[test]
fn a_host_refuses_what_no_worker_says() {
    let check = |records: &[Record], error| check_reply(&encoded(records), Err(error));
    check(&[stream(Stream::Stdin, b"x")], ReplyError::NotAWorkers);
    check(&[Record::Abort { request: 1 }], ReplyError::NotAWorkers);
    check(&[stream(Stream::Stdout, b""), stream(Stream::Stdout, b"x")], ReplyError::AfterEnd(Stream::Stdout));
    let end = |request, outcome| Record::End { request, exit_status: 0, outcome };
    check(&[end(2, Outcome::Complete)], ReplyError::OtherRequest(2));
    check(&[end(1, Outcome::Overloaded)], ReplyError::Refused(Outcome::Overloaded));
    check(&vec![Record::UnknownType(9); 17], ReplyError::Strays);
    check_reply(b"<html>", Err(RecordError::Version(b'<').into()));
}

#[test]
fn a_worker_may_say_how_much_it_takes() {
    let check = |answer: Record, expected| {
        assert_eq!(host::decode_answer(&mut encoded(&[answer])), Ok(Some(expected)));
    };
    let values = |values: &[(&'static str, &'static str)]| {
        Record::GetValuesResult(values.iter().map(|&(name, value)| (name.into(), value.into())).collect())
    };
    let all = Values { connections_max: Some(4), requests_max: Some(8), multiplexes: Some(false) };
    check(values(&[("FCGI_MAX_CONNS", "4"), ("FCGI_MAX_REQS", "8"), ("FCGI_MPXS_CONNS", "0")]), all);
    check(values(&[("FCGI_MAX_CONNS", "0"), ("FCGI_MAX_REQS", "x")]), Values::default());
    check(Record::UnknownType(9), Values::default());
    let mut question = BytesMut::new();
    host::put_question(&mut question);
    assert!(matches!(record::decode(&mut question), Ok(Some(Record::GetValues(names))) if names.len() == 3));
}

/// What a worker says in a fixture: whole replies, replies that are refused, replies that were cut.
#[test]
fn fixtures_are_what_they_are_called() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fastcgi");
    let mut checked = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut input = BytesMut::from(&std::fs::read(&path).unwrap()[..]);
        let (mut reply, mut has_ended) = (Reply::default(), false);
        let outcome = loop {
            match reply.decode(&mut input) {
                Ok(Some(said)) => has_ended = matches!(said, Said::End { .. }),
                Ok(None) if has_ended && input.is_empty() => break "ok",
                Ok(None) => break "cut",
                Err(_) => break "refused",
            }
        };
        // A host hears no worker in what other hosts say.
        let expected = if name.starts_with("request") { "refused" } else { name.split('_').next().unwrap() };
        assert_eq!(outcome, expected, "{name}");
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

fn any_record() -> impl Strategy<Value = Record> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let values = prop::collection::vec((bytes.clone(), bytes.clone()), 0..4);
    let streams = [Stream::Params, Stream::Stdin, Stream::Stdout, Stream::Stderr, Stream::Data];
    let role = prop_oneof![Just(Role::Responder), Just(Role::Authorizer), Just(Role::Filter), Just(Role::Other(900))];
    let outcome = prop_oneof![Just(Outcome::Complete), Just(Outcome::UnknownRole), Just(Outcome::Other(200))];
    prop_oneof![
        (1u16.., role, prop_oneof![Just(Then::Keep), Just(Then::Close)])
            .prop_map(|(request, role, then)| Record::Begin { request, role, then }),
        (1u16..).prop_map(|request| Record::Abort { request }),
        (1u16.., any::<u32>(), outcome).prop_map(|(request, exit_status, outcome)| Record::End {
            request,
            exit_status,
            outcome
        }),
        (1u16.., prop::sample::select(streams.to_vec()), bytes.clone())
            .prop_map(|(request, stream, content)| Record::Stream { request, stream, content }),
        values.clone().prop_map(Record::GetValues),
        values.prop_map(Record::GetValuesResult),
        any::<u8>().prop_map(Record::UnknownType),
        (12u8.., any::<u16>(), bytes).prop_map(|(kind, request, content)| Record::Other { kind, request, content }),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(records in prop::collection::vec(any_record(), 0..5)) {
        round_trip(|| Records, || Records, &records);
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 0u8..14, length in 0u8..60) {
        same_however_cut(|| Records, &bytes);
        if let Some(head) = bytes.first_chunk_mut::<8>() {
            *head = [1, kind, 0, u8::from(kind < 9), 0, length, head[6], 0];
        }
        same_however_cut(|| Records, &bytes);
        let _ = Reply::default().decode(&mut bytes[..].into());
        let _ = pairs::decode(&bytes.into());
    }
}
