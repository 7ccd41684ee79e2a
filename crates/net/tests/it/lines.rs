//! A protocol of lines, of whose existence the crate knows nothing.

use bytes::{BufMut, BytesMut};
use unary_service::{Codec, Error, Kind};

/// Lines of text. A service's failure is said as `sorry: KIND`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines;

const LINE_BYTES_MAX: usize = 1024;

impl Codec for Lines {
    type In = String;
    type Out = String;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<String>, Error> {
        match input.iter().position(|&byte| byte == b'\n') {
            Some(end) if end <= LINE_BYTES_MAX => {
                let line = input.split_to(end + 1);
                let line =
                    str::from_utf8(&line[..end]).map_err(|cause| Error::invalid("reading a line").because(cause));
                line.map(|line| Some(line.to_owned()))
            }
            None if input.len() <= LINE_BYTES_MAX => Ok(None),
            _ => Err(Error::new(Kind::TooLarge, "reading a line")),
        }
    }

    fn encode(&mut self, line: String, output: &mut BytesMut) -> Result<(), Error> {
        output.put(line.as_bytes());
        output.put_u8(b'\n');
        Ok(())
    }

    fn failure(&mut self, error: &Error) -> Option<String> {
        Some(format!("sorry: {}", error.kind().as_str()))
    }
}
