//! Any codec as a protocol over datagrams.

use bytes::BytesMut;
use unary_service::flow::Consumer;
use unary_service::{Codec, Error, Kind};

use super::{DATAGRAM_BYTES_MAX, Datagram};
use crate::Peer;
use crate::conversation::answer;
use crate::pipeline::{Awaited, Exchange, Protocol};

/// A datagram may carry several messages; their replies leave as one datagram, in order. A message
/// whose service fails is answered in the codec's words, if it has any, and passed over otherwise.
impl<P> Protocol<Datagram> for P
where
    P: Codec + Clone + Send + Sync,
{
    type Request = P::In;
    type Reply = P::Out;

    async fn serve<D>(&self, mut datagram: Datagram, down: &D) -> Result<(), Error>
    where
        D: Consumer<Exchange<P::In, P::Out>>,
    {
        let mut output = BytesMut::new();
        let input = std::mem::take(&mut datagram.bytes);
        let served = answer_all(self.clone(), &datagram.peer, input, &mut output, down).await;
        if !output.is_empty() {
            datagram.reply(&output).await?;
        }
        served
    }
}

/// Answers each message of `input`. What is in `output` is to be sent, whatever comes of the rest.
async fn answer_all<P, D>(
    mut codec: P,
    peer: &Peer,
    mut input: BytesMut,
    output: &mut BytesMut,
    down: &D,
) -> Result<(), Error>
where
    P: Codec,
    D: Consumer<Exchange<P::In, P::Out>>,
{
    let mut awaited = Awaited::default();
    // There is no more to come: the datagram is the whole stream.
    while let Some(request) = codec.decode_eof(&mut input)? {
        let reply = answer(request, &mut awaited, down).await.or_else(|error| {
            tracing::error!(?peer, %error, "a request failed");
            codec.failure(&error).ok_or(())
        });
        if let Ok(reply) = reply {
            put(&mut codec, reply, output)?;
        }
    }
    Ok(())
}

/// Encodes a reply behind the others, if the datagram has room for it.
fn put<P: Codec>(codec: &mut P, reply: P::Out, output: &mut BytesMut) -> Result<(), Error> {
    let before = output.len();
    codec.encode(reply, output)?;
    if output.len() <= DATAGRAM_BYTES_MAX {
        return Ok(());
    }
    output.truncate(before);
    let limit = format!("they take more than {DATAGRAM_BYTES_MAX} bytes");
    Err(Error::new(Kind::TooLarge, "answering a datagram with one datagram").because(limit))
}
