//! Frames are found, and judged, however they are cut.

use unary_testkit::cuts;

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The types of the frames found after the preface, and what is wrong with the one after them.
#[track_caller]
fn check(frames: &[Vec<u8>], expected: (&[u8], Option<Reason>)) {
    let bytes = [vec![b'x'; PREFACE_BYTES as usize], frames.concat()].concat();
    let last = bytes.len() - frames.last().map_or(0, Vec::len);
    for pieces in cuts(&bytes) {
        let (mut reader, mut seen, mut read) = (Frames::new(), Vec::new(), 0);
        let fault = pieces.iter().find_map(|piece| {
            let fault = reader.read(piece, |frame| seen.push(frame.kind)).err();
            read += fault.map_or(piece.len(), |fault| fault.before);
            fault
        });
        assert_eq!((seen.as_slice(), fault.map(|fault| fault.reason)), expected);
        match fault {
            None => assert_eq!(read, bytes.len()),
            Some(_) => assert!((last..bytes.len()).contains(&read), "{read} of {} bytes may be read", bytes.len()),
        }
    }
}

#[test]
fn finds_frames() {
    let frames = [
        frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
        frame(1, 5, 1, b"head"),
        frame(0, 0, 3, b""),
        frame(99, 255, 7, b"?"),
    ];
    check(&frames, (&[4, 1, 0, 99], None));
}

#[test]
fn lengths_are_those_of_their_frames() {
    let wrong = Some(Reason::FRAME_SIZE_ERROR);
    for (kind, length) in [(2, 5), (3, 4), (6, 8), (8, 4)] {
        check(&[frame(kind, 0, 1, &vec![0; length])], (&[kind], None));
        check(&[frame(kind, 0, 1, &vec![0; length + 1])], (&[], wrong));
        check(&[frame(kind, 0, 1, &vec![0; length - 1])], (&[], wrong));
    }
    check(&[frame(4, 0, 0, &[0; 7])], (&[], wrong));
    check(&[frame(4, ACK, 0, b"")], (&[4], None));
    check(&[frame(4, ACK, 0, &[0; 6])], (&[], wrong));
}

#[test]
fn a_window_has_31_bits() {
    let window = |first: u8| frame(4, 0, 0, &[0, 1, 0xff, 0xff, 0xff, 0xff, 0, 4, first, 0, 0, 0]);
    check(&[window(0x7f)], (&[4], None));
    check(&[window(0x80)], (&[4], Some(Reason::FLOW_CONTROL_ERROR)));
}

#[test]
fn a_stream_that_has_ended_has_no_more_heads_or_data() {
    let closed = Some(Reason::STREAM_CLOSED);
    check(&[frame(1, 5, 1, b""), frame(1, 5, 1, b"")], (&[1], closed));
    check(&[frame(1, 4, 1, b""), frame(0, 1, 1, b""), frame(1, 5, 1, b"")], (&[1, 0], closed));
    check(&[frame(1, 4, 1, b""), frame(3, 0, 1, &[0; 4]), frame(1, 5, 1, b"")], (&[1, 3], closed));
    check(&[frame(1, 5, 1, b""), frame(0, 1, 1, b"")], (&[1], closed));
    // Trailers, and a stream that was never opened, which the `h2` crate judges.
    check(&[frame(1, 4, 1, b""), frame(0, 0, 1, b""), frame(1, 5, 1, b"")], (&[1, 0, 1], None));
    check(&[frame(1, 5, 5, b""), frame(1, 5, 3, b"")], (&[1, 1], None));
}

#[test]
fn clients_do_not_push_and_open_odd_streams() {
    check(&[frame(5, 4, 1, &[0, 0, 0, 2])], (&[], Some(Reason::PROTOCOL_ERROR)));
    check(&[frame(1, 5, 0, b"")], (&[], Some(Reason::PROTOCOL_ERROR)));
    check(&[frame(1, 5, 2, b"")], (&[], Some(Reason::PROTOCOL_ERROR)));
}

#[test]
fn trailers_have_no_pseudo_fields() {
    let trailers = |flags: u8, block: &[u8]| [frame(1, 4, 1, b"\x82"), frame(1, 5 | flags, 1, block)];
    let wrong = Some(Reason::PROTOCOL_ERROR);
    for block in [&b"\x83"[..], b"\x42\x03PUT", b"\x02\x03PUT", b"\x12\x03PUT", b"\0\x02:x\0", b"\x40\x82\xb9\xff\0"] {
        check(&trailers(0, block), (&[1, 1], wrong));
    }
    check(&trailers(0x28, b"\x01\0\0\0\0\0\x83?"), (&[1, 1], wrong));
    for block in [&b"\x90"[..], b"\xbe", b"\x40\x01x\x01y", b"\x0f\x21\x01y", b"\0\x81\xf3\x01y", b"\x3f\xe1\x1f", b""]
    {
        check(&trailers(0, block), (&[1, 1], None));
    }
}

#[test]
fn a_field_block_is_in_one_piece() {
    let wrong = Some(Reason::PROTOCOL_ERROR);
    check(
        &[frame(1, 1, 1, b"\x82"), frame(9, 0, 1, b""), frame(9, 4, 1, b"\x86"), frame(6, 0, 0, &[0; 8])],
        (&[1, 9, 9, 6], None),
    );
    check(&[frame(1, 1, 1, b"\x82"), frame(0, 1, 1, b"")], (&[1], wrong));
    check(&[frame(1, 1, 1, b"\x82"), frame(6, 0, 0, &[0; 8])], (&[1], wrong));
    check(&[frame(1, 4, 1, b"\x82"), frame(9, 4, 1, b"")], (&[1], wrong));
}
