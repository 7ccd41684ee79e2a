//! The access log: a line for each request, in one of several formats.

mod clock;
mod combined;
mod custom;
mod field;
mod json;
mod line;

use unary_service::Error;
use unary_web::filter::AccessLog;
use unary_web::filter::access_log::Access;

use crate::log::{self, Kind, To, Writing};
pub(crate) use clock::Clock;
pub(crate) use custom::{BadTemplate, Template};
pub(crate) use field::Field;
pub(crate) use json::text as json_text;
pub(crate) use line::Format;

/// Its events may wait in so many: about a second's worth for a busy core, a few megabytes, and 25 MiB
/// if each of them is as long as it may be.
const KIND: Kind = Kind { name: "access log", waiting_max: 8192 };

/// Starts writing there.
pub(crate) fn start(to: To, format: Format) -> Result<(AccessLog, Writing), Error> {
    let (detail, headers) = (format.detail(), format.headers().to_vec());
    let (emitter, writing) = log::start(KIND, to, move |batch: Vec<Box<Access>>| format.lines(&batch))?;
    Ok((AccessLog::with_headers(emitter, headers).keeping(detail), writing))
}
