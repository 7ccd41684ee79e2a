//! The laws of every [`Codec`]: what is encoded decodes to the same message, how the bytes are cut
//! changes nothing, no input panics.

use std::fmt::Debug;

use bytes::BytesMut;
use unary_service::{Codec, Error};

use crate::cuts::{cuts, pairs_of_cuts};

/// Input longer than this is cut once at a time, not twice.
const CUT_TWICE_BYTES_MAX: usize = 48;

/// What `wire` says to a codec, message by message; last, if it refused the rest, its error.
///
/// # Panics
/// If the codec gives out more messages than it was given bytes, and one: it would never end.
pub fn decode_all<'a, C: Codec>(
    codec: &mut C,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<C::In>, Option<Error>) {
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    let mut fed = 0;
    let mut take = |decoded: Result<Option<C::In>, Error>, fed: usize| match decoded {
        Ok(Some(message)) => {
            messages.push(message);
            assert!(messages.len() <= fed + 1, "messages come out of nothing");
            Ok(true)
        }
        Ok(None) => Ok(false),
        Err(error) => Err(error),
    };
    let decode = || {
        for piece in pieces {
            input.extend_from_slice(piece);
            fed += piece.len();
            while take(codec.decode(&mut input), fed)? {}
        }
        while take(codec.decode_eof(&mut input), fed)? {}
        Ok(())
    };
    let error = decode().err();
    (messages, error)
}

/// However `wire` is cut, the same messages come out of it, and the same kind of error ends them.
///
/// # Panics
/// If not.
#[track_caller]
pub fn same_however_cut<C>(codec: impl Fn() -> C, wire: &[u8])
where
    C: Codec,
    C::In: Debug + PartialEq,
{
    let of = |pieces: &[&[u8]]| {
        let (messages, error) = decode_all(&mut codec(), pieces.iter().copied());
        (messages, error.map(|error| error.kind()))
    };
    let whole = of(&[wire]);
    let check = |pieces: &[&[u8]]| {
        let found = of(pieces);
        assert!(found == whole, "{found:?}, and {whole:?} uncut, of {}", show(pieces));
    };
    cuts(wire).for_each(|pieces| check(&pieces));
    if wire.len() <= CUT_TWICE_BYTES_MAX {
        pairs_of_cuts(wire).for_each(|pieces| check(&pieces));
    }
    check(&wire.chunks(1).collect::<Vec<_>>());
}

/// What one end encodes the other decodes to the same messages, one by one and all together.
///
/// # Panics
/// If not.
#[track_caller]
pub fn round_trip<T, Near, Far>(near: impl Fn() -> Near, far: impl Fn() -> Far, messages: &[T])
where
    T: Clone + Debug + PartialEq + Send,
    Near: Codec<Out = T>,
    Far: Codec<In = T>,
{
    let mut encoder = near();
    let mut wire = BytesMut::new();
    for message in messages {
        let before = wire.len();
        encoder
            .encode(message.clone(), &mut wire)
            .unwrap_or_else(|error| panic!("{message:?} was not encoded: {error}"));
        let (alone, error) = decode_all(&mut far(), [&wire[before..]]);
        assert!(
            error.is_none() && alone == [message.clone()],
            "{message:?} came back as {alone:?}, {error:?}: {}",
            wire[before..].escape_ascii()
        );
    }
    let (together, error) = decode_all(&mut far(), [&wire[..]]);
    assert!(error.is_none() && together == messages, "{messages:?} came back as {together:?}, {error:?}");
    same_however_cut(far, &wire);
}

fn show(pieces: &[&[u8]]) -> String {
    pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of two digits; at fault, on purpose, in one way or another.
    #[derive(Clone, Copy, PartialEq)]
    enum Pairs {
        Sound,
        LosesZero,
        ForgetsCuts,
        NeverEnds,
    }

    impl Codec for Pairs {
        type In = u8;
        type Out = u8;

        fn decode(&mut self, input: &mut BytesMut) -> Result<Option<u8>, Error> {
            match input.len() {
                _ if *self == Self::NeverEnds => Ok(Some(0)),
                1 if *self == Self::ForgetsCuts => {
                    input.clear();
                    Ok(None)
                }
                0 | 1 => Ok(None),
                _ => {
                    let pair = input.split_to(2);
                    let number = str::from_utf8(&pair).ok().and_then(|text| text.parse().ok());
                    number.map(Some).ok_or_else(|| Error::invalid("reading a pair"))
                }
            }
        }

        fn encode(&mut self, item: u8, output: &mut BytesMut) -> Result<(), Error> {
            match self {
                Self::LosesZero => output.extend_from_slice(format!("{item}").as_bytes()),
                _ => output.extend_from_slice(format!("{item:02}").as_bytes()),
            }
            Ok(())
        }
    }

    #[test]
    fn a_sound_codec_keeps_the_laws() {
        round_trip(|| Pairs::Sound, || Pairs::Sound, &[0, 7, 99]);
        for wire in [&b"0102"[..], b"01x", b"xx01", b"010", b""] {
            same_however_cut(|| Pairs::Sound, wire);
        }
    }

    #[test]
    #[should_panic(expected = "7 came back as [], ")]
    fn sees_a_message_change_on_its_way() {
        round_trip(|| Pairs::LosesZero, || Pairs::LosesZero, &[7]);
    }

    #[test]
    #[should_panic(expected = "of 0 | 102")]
    fn sees_bytes_lost_where_they_were_cut() {
        same_however_cut(|| Pairs::ForgetsCuts, b"0102");
    }

    #[test]
    #[should_panic(expected = "messages come out of nothing")]
    fn sees_a_codec_that_never_ends() {
        decode_all(&mut Pairs::NeverEnds, [&b"01"[..]]);
    }
}
