//! What a host says to a program of ours, by SCGI and by FastCGI.

use bytes::BytesMut;
use unary_gateway::Guest;
use unary_gateway::cgi::guest::FIELDS_MAX;
use unary_gateway::fastcgi::guest::FastcgiGuest;
use unary_gateway::guest::Said;
use unary_gateway::scgi::guest::ScgiGuest;

use super::{INPUT_BYTES_MAX, Shape, ways_to_cut};

/// Hears `data` as either wire.
pub fn guest(data: &[u8]) -> Shape {
    let scgi = same_however_cut(ScgiGuest::new, data);
    let fastcgi = same_however_cut(|| FastcgiGuest::new(9), data);
    let shape = |heard: Heard| {
        let kinds: Vec<_> = heard.said.iter().map(|said| said.split(' ').next().map(str::to_owned)).collect();
        (kinds, heard.body.is_empty(), heard.answers.is_empty(), heard.makes_sense)
    };
    Shape::of((shape(scgi), shape(fastcgi)))
}

/// What was heard in all, its bodies together: pieces of them may differ with how the bytes are cut.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    said: Vec<String>,
    body: Vec<u8>,
    answers: Vec<u8>,
    makes_sense: bool,
}

fn same_however_cut<G: Guest>(guest: impl Fn() -> G, data: &[u8]) -> Heard {
    let whole = hear(guest(), &[data]);
    for pieces in ways_to_cut(data) {
        assert_eq!(hear(guest(), &pieces), whole);
    }
    whole
}

fn hear(mut guest: impl Guest, pieces: &[&[u8]]) -> Heard {
    let (mut input, mut output, mut heard) = (BytesMut::new(), BytesMut::new(), Heard::default());
    heard.makes_sense = true;
    'pieces: for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match guest.decode(&mut input, &mut output) {
                Ok(Some(Said::Request(Ok(asked)))) => {
                    assert!(asked.head.headers().len() <= FIELDS_MAX + 1);
                    heard.said.push(format!("asked {:?} {:?}", asked.head, asked.body));
                }
                Ok(Some(Said::Request(Err(error)))) => heard.said.push(format!("refused {error}")),
                Ok(Some(Said::Body(bytes))) => {
                    assert!(!bytes.is_empty(), "a part of a body is empty");
                    heard.body.extend_from_slice(&bytes);
                }
                Ok(Some(Said::End)) => heard.said.push("end".to_owned()),
                Ok(Some(Said::Cut)) => heard.said.push("cut".to_owned()),
                Ok(Some(Said::Abort)) => heard.said.push("abort".to_owned()),
                Ok(None) => break,
                Err(_) => {
                    heard.makes_sense = false;
                    break 'pieces;
                }
            }
            assert!(heard.said.len() <= INPUT_BYTES_MAX, "more is said than was heard");
        }
    }
    heard.answers = output.to_vec();
    heard
}
