//! A compressor under way, whatever its coding. Bytes in, bytes out: it knows no body.

use bytes::Bytes;
use compression_codecs::core::Level as CodecLevel;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::CParameter;
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder, brotli};
use tokio::sync::OwnedSemaphorePermit;
use unary_service::Error;

use crate::encoding::Coding;
use crate::setting::BadSetting;

const STEP: &str = "compressing a body";

/// Room made for what comes out, at a time.
const ROOM_BYTES: usize = 16 * 1024;

/// How far back repetitions are found: 256 KiB. Browsers take 8 MiB (RFC 9659), but every stream
/// would hold several times that, and pages gain next to nothing by it.
const WINDOW_BITS: u8 = 18;

/// The tables of the higher levels of zstd, which would take ten times longer to clear than a small
/// page takes to compress.
const TABLE_BITS: u32 = 17;

/// How hard a coding tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    coding: Coding,
    level: u8,
}

impl Level {
    /// One that compresses a page about as fast as it is made.
    pub(super) fn default_of(coding: Coding) -> Self {
        let level = match coding {
            Coding::Brotli => 4,
            Coding::Zstandard => 3,
            Coding::Gzip => 5,
        };
        Self { coding, level }
    }

    /// Levels beyond these take many times the memory, or the time, for a few bytes less.
    pub(super) fn new(coding: Coding, level: u8) -> Result<Self, BadSetting> {
        let levels = match coding {
            Coding::Brotli => 0..=7,
            Coding::Zstandard | Coding::Gzip => 1..=9,
        };
        if levels.contains(&level) {
            return Ok(Self { coding, level });
        }
        let (token, min, max) = (coding.token(), levels.start(), levels.end());
        Err(BadSetting::new(format!(
            "{token} has levels {min} to {max} here, and no {level}. What is to be smaller still is better compressed \
             beforehand, into a file beside the plain one: index.html{}",
            coding.extension()
        )))
    }

    pub(super) fn coding(self) -> Coding {
        self.coding
    }

    /// Whether a slice may hold a loop for more than about a millisecond, as some content can make
    /// it: then it is for the pool. Measured with a random series of two letters, about the worst
    /// there is.
    pub(super) fn is_heavy(self) -> bool {
        match self.coding {
            Coding::Brotli => self.level > 3,
            Coding::Zstandard => self.level > 3,
            Coding::Gzip => self.level > 6,
        }
    }

    /// What a stream takes at most, as measured and rounded up.
    pub(super) fn memory_kib(self) -> u32 {
        match (self.coding, self.level) {
            (Coding::Brotli, 0..=1) => 512,
            (Coding::Brotli, 2..=3) => 2 * 1024,
            (Coding::Brotli, 4..=6) => 6 * 1024,
            (Coding::Brotli, _) => 12 * 1024,
            (Coding::Zstandard, 0..=3) => 1536,
            (Coding::Zstandard, _) => 3 * 1024,
            (Coding::Gzip, _) => 512,
        }
    }
}

/// What a coder is to do next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Take these bytes. Little of them may come out yet.
    Write(Bytes),
    /// Give all that was taken: the peer can read it then.
    Flush,
    /// Give all, and end.
    Finish,
}

/// A compressor under way.
pub(super) struct Coder {
    encoder: Box<dyn EncodeV2 + Send>,
    _memory: OwnedSemaphorePermit,
}

impl Coder {
    pub(super) fn new(level: Level, memory: OwnedSemaphorePermit) -> Self {
        let number = i32::from(level.level);
        let precise = CodecLevel::Precise(number);
        let encoder: Box<dyn EncodeV2 + Send> = match level.coding {
            Coding::Gzip => Box::new(GzipEncoder::new(precise.into())),
            Coding::Brotli => {
                let params = brotli::params::EncoderParams::default();
                Box::new(BrotliEncoder::new(params.quality(precise).window_size(WINDOW_BITS.into())))
            }
            Coding::Zstandard => {
                let tables = [CParameter::hash_log(TABLE_BITS), CParameter::chain_log(TABLE_BITS)];
                let tables = if level.is_heavy() { &tables[..] } else { &[] };
                let params = [&[CParameter::window_log(WINDOW_BITS.into())], tables].concat();
                Box::new(ZstdEncoder::new_with_params(number, &params))
            }
        };
        Self { encoder, _memory: memory }
    }

    /// Does a step. What comes out may be nothing.
    pub(super) fn run(&mut self, step: Step) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        match step {
            Step::Write(bytes) => self.write(&bytes, &mut out)?,
            Step::Flush => while !self.put(&mut out, |encoder, room| encoder.flush(room))? {},
            Step::Finish => while !self.put(&mut out, |encoder, room| encoder.finish(room))? {},
        }
        Ok(out)
    }

    /// Compresses these bytes, which are all there are.
    pub(super) fn whole(mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.write(bytes, &mut out)?;
        while !self.put(&mut out, |encoder, room| encoder.finish(room))? {}
        Ok(out)
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut left = PartialBuffer::new(bytes);
        while !left.unwritten().is_empty() {
            let before = (left.written_len(), out.len());
            self.put(out, |encoder, room| encoder.encode(&mut left, room))?;
            if (left.written_len(), out.len()) == before {
                return Err(Error::internal(STEP).because("the encoder stands still"));
            }
        }
        Ok(())
    }

    fn put<T, F>(&mut self, out: &mut Vec<u8>, fill: F) -> Result<T, Error>
    where
        F: FnOnce(&mut dyn EncodeV2, &mut WriteBuffer<'_>) -> std::io::Result<T>,
    {
        let start = out.len();
        out.resize(start + ROOM_BYTES, 0);
        let mut room = WriteBuffer::new_initialized(&mut out[start..]);
        let outcome = fill(&mut *self.encoder, &mut room);
        let written = room.written_len();
        out.truncate(start + written);
        outcome.map_err(|cause| Error::internal(STEP).because(cause))
    }
}
