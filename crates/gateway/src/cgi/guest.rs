//! The program's end of CGI: what its environment says of a request, and the head of its reply.
//!
//! FastCGI and SCGI carry the same variables and the same replies, and use this as well. The mirror of what a host does
//! with a request and with a program's output.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use unary_service::Error;

use crate::guest::{Guest, Next, ReplyHead, Said};

/// What a host says of a request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method, target, version and fields. The target is `REQUEST_URI`, as the client wrote it, where the host says
    /// that.
    pub head: Request<()>,
    /// The length of the body.
    pub body: BodyLength,
    /// How the client came to the host.
    pub scheme: Scheme,
    /// The client's address (`REMOTE_ADDR`), with port 0 if the host does not tell it.
    pub remote: Option<SocketAddr>,
    /// The host's own address on the client's connection, likewise.
    pub local: Option<SocketAddr>,
    /// All of it, for whoever needs more.
    pub variables: Variables,
}

/// What a host says of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// It has none, or does not say.
    Empty,
    /// So many bytes, one at least.
    Bytes(u64),
    /// As many as come: the host passes on a body whose length it was not told.
    Unknown,
}

/// The variables of a request as the host gave them, among the extensions of a guest's requests. Cheap to clone.
#[derive(Clone, Default)]
pub struct Variables(Arc<Vec<(Bytes, Bytes)>>);

/// Why variables are no request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VariableError {
    /// There is no `REQUEST_METHOD`: whoever started this is no host.
    NoMethod,
    /// This is no method.
    Method(Bytes),
    /// This is not what a request asks for.
    Target(Bytes),
    /// This is not the length of a body.
    Length(Bytes),
    /// The field of this variable has bytes that no field may have.
    Field(Bytes),
    /// There are more fields than this.
    TooManyFields(usize),
}

/// The most fields of a request: ten times as many as hosts take from clients.
pub const FIELDS_MAX: usize = 1024;

/// What a path may hold as it is (RFC 3986 §3.3); the rest is encoded anew.
const PATH_BYTES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

impl Variables {
    /// The value of a variable. Of one that is there twice the last counts, as elsewhere.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The value, if there is one that is not empty: hosts write both for what they do not know.
    fn said(&self, name: &str) -> Option<&Bytes> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

/// Shows which there are, and no values: passwords are among them.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl FromIterator<(Bytes, Bytes)> for Variables {
    fn from_iter<I: IntoIterator<Item = (Bytes, Bytes)>>(variables: I) -> Self {
        Self(Arc::new(variables.into_iter().collect()))
    }
}

impl Asked {
    /// Reads the variables of a request (RFC 3875 §4.1).
    ///
    /// # Errors
    ///
    /// If they are none.
    pub fn decode(variables: Variables) -> Result<Self, VariableError> {
        let method = variables.said("REQUEST_METHOD").ok_or(VariableError::NoMethod)?;
        let method = Method::from_bytes(method).map_err(|_| VariableError::Method(method.clone()))?;
        let (fields, chunked) = fields(&variables)?;
        let length = length(&variables)?;
        let mut head = Request::new(());
        *head.uri_mut() = target(&variables, &method)?;
        *head.method_mut() = method;
        *head.version_mut() = version(&variables);
        *head.headers_mut() = fields;
        let body = match length {
            // Apache passes a chunked body on as it comes.
            None if chunked => BodyLength::Unknown,
            None | Some(0) => BodyLength::Empty,
            Some(length) => {
                head.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                BodyLength::Bytes(length)
            }
        };
        let address = |host, port| address(&variables, host, port);
        let (remote, local) = (address("REMOTE_ADDR", "REMOTE_PORT"), address("SERVER_ADDR", "SERVER_PORT"));
        Ok(Self { head, body, scheme: scheme(&variables), remote, local, variables })
    }
}

/// The fields, and whether the body came in chunks: how it was sent is between client and host, and what
/// `CONTENT_LENGTH` says is as the host has counted it.
fn fields(variables: &Variables) -> Result<(HeaderMap, bool), VariableError> {
    let (mut fields, mut chunked) = (HeaderMap::new(), false);
    for (variable, value) in variables.iter() {
        let name = match &variable[..] {
            b"CONTENT_TYPE" if !value.is_empty() => header::CONTENT_TYPE,
            other => match other.strip_prefix(b"HTTP_").and_then(field_name) {
                Some(name) => name,
                None => continue,
            },
        };
        match name {
            header::TRANSFER_ENCODING => {
                chunked = true;
                continue;
            }
            // `Proxy` is no field of HTTP, and as a variable it is another program's setting (httpoxy).
            header::CONTENT_LENGTH => continue,
            header::CONTENT_TYPE if variable.starts_with(b"HTTP_") => continue,
            _ if name == "proxy" => continue,
            _ => {}
        }
        if fields.len() == FIELDS_MAX {
            return Err(VariableError::TooManyFields(FIELDS_MAX));
        }
        let value = HeaderValue::from_maybe_shared(value.clone());
        fields.append(name, value.map_err(|_| VariableError::Field(variable.clone()))?);
    }
    Ok((fields, chunked))
}

/// `X_FORWARDED_FOR` stands for `x-forwarded-for`. A name that is no field's is passed over.
fn field_name(variable: &[u8]) -> Option<HeaderName> {
    let name: Vec<u8> = variable.iter().map(|&byte| if byte == b'_' { b'-' } else { byte }).collect();
    HeaderName::from_bytes(&name).ok()
}

fn length(variables: &Variables) -> Result<Option<u64>, VariableError> {
    let Some(value) = variables.said("CONTENT_LENGTH") else { return Ok(None) };
    let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok());
    length.map(Some).ok_or_else(|| VariableError::Length(value.clone()))
}

/// What is asked for: as the client wrote it, or else what the host made of that, encoded anew.
fn target(variables: &Variables, method: &Method) -> Result<Uri, VariableError> {
    if let Some(written) = variables.said("REQUEST_URI") {
        return as_written(written, method).ok_or_else(|| VariableError::Target(written.clone()));
    }
    let part = |name| variables.get(name).map_or(&b""[..], |value| &value[..]);
    let path = [part("SCRIPT_NAME"), part("PATH_INFO")].concat();
    let mut target = BytesMut::new();
    if !path.starts_with(b"/") {
        target.put_u8(b'/');
    }
    percent_encode(&path, PATH_BYTES).for_each(|piece| target.put_slice(piece.as_bytes()));
    if let Some(query) = variables.said("QUERY_STRING") {
        target.put_u8(b'?');
        target.put_slice(query);
    }
    let target = target.freeze();
    origin_form(&target).ok_or(VariableError::Target(target))
}

fn as_written(target: &Bytes, method: &Method) -> Option<Uri> {
    match &target[..] {
        [b'/', ..] => origin_form(target),
        b"*" if *method == Method::OPTIONS => Some(PathAndQuery::from_static("*").into()),
        // What was asked of a proxy (RFC 9112 §3.2.2).
        _ if target.contains(&b'#') => None,
        _ => Uri::from_maybe_shared(target.clone()).ok().filter(|uri| uri.scheme().is_some()),
    }
}

/// Where there was a fragment, it would be missing, unseen.
fn origin_form(target: &Bytes) -> Option<Uri> {
    let path = PathAndQuery::from_maybe_shared(target.clone()).ok()?;
    (path.as_str().len() == target.len()).then(|| path.into())
}

fn version(variables: &Variables) -> Version {
    match variables.get("SERVER_PROTOCOL").map(|value| &value[..]) {
        Some(b"HTTP/0.9" | b"HTTP/1.0") => Version::HTTP_10,
        Some(b"HTTP/2" | b"HTTP/2.0") => Version::HTTP_2,
        Some(b"HTTP/3" | b"HTTP/3.0") => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

/// Hosts say `on`, `1` or nothing at all; some say `off`.
fn scheme(variables: &Variables) -> Scheme {
    let is_secure = match variables.said("HTTPS") {
        Some(value) => !value.eq_ignore_ascii_case(b"off") && value != "0",
        None => variables.get("REQUEST_SCHEME").is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https")),
    };
    if is_secure { Scheme::HTTPS } else { Scheme::HTTP }
}

fn address(variables: &Variables, host: &str, port: &str) -> Option<SocketAddr> {
    let text = |name| str::from_utf8(variables.said(name)?).ok();
    let host = text(host)?;
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let host: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(host, text(port).and_then(|port| port.parse().ok()).unwrap_or(0)))
}

/// Appends the head of a reply (RFC 3875 §6.2): its status, always, then its fields and an empty line.
pub fn encode_head(head: &ReplyHead<'_>, output: &mut BytesMut) {
    output.put_slice(b"Status: ");
    output.put_slice(head.status.as_str().as_bytes());
    output.put_u8(b' ');
    output.put_slice(head.status.canonical_reason().unwrap_or("Status").as_bytes());
    output.put_slice(b"\r\n");
    for (name, value) in head.headers {
        match name.as_str() {
            "status" | "content-length" | "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding"
            | "te" | "trailer" | "upgrade" => {}
            name => field(name, value.as_bytes(), output),
        }
    }
    if let Some(length) = head.length {
        field("content-length", length.to_string().as_bytes(), output);
    }
    output.put_slice(b"\r\n");
}

fn field(name: &str, value: &[u8], output: &mut BytesMut) {
    output.put_slice(name.as_bytes());
    output.put_slice(b": ");
    output.put_slice(value);
    output.put_slice(b"\r\n");
}

/// One call of a program: its environment, then its standard input.
#[derive(Debug)]
pub struct CgiGuest(Step);

#[derive(Debug)]
enum Step {
    Variables(Variables),
    /// So many bytes of the body are to come.
    Body(u64),
    /// As many as come are.
    Rest,
    /// The end is to be told.
    End,
    Over,
}

impl CgiGuest {
    /// A call with this environment.
    pub fn new(variables: Variables) -> Self {
        Self(Step::Variables(variables))
    }
}

impl Guest for CgiGuest {
    fn decode(&mut self, input: &mut BytesMut, _output: &mut BytesMut) -> Result<Option<Said>, Error> {
        let (next, said) = match std::mem::replace(&mut self.0, Step::Over) {
            Step::Variables(variables) => {
                let asked = Asked::decode(variables);
                let next = match asked.as_ref().map(|asked| asked.body) {
                    Ok(BodyLength::Bytes(length)) => Step::Body(length),
                    Ok(BodyLength::Unknown) => Step::Rest,
                    Ok(BodyLength::Empty) | Err(_) => Step::End,
                };
                (next, Some(Said::Request(asked.map(Box::new))))
            }
            Step::Body(length) if !input.is_empty() => {
                let bytes = take(input, length);
                let left = length - bytes.len() as u64;
                (if left > 0 { Step::Body(left) } else { Step::End }, Some(Said::Body(bytes)))
            }
            Step::Rest if !input.is_empty() => (Step::Rest, Some(Said::Body(input.split().freeze()))),
            Step::End => (Step::Over, Some(Said::End)),
            waiting => (waiting, None),
        };
        self.0 = next;
        Ok(said)
    }

    /// Whatever is on standard input behind the body, or beside no body, is not ours to read.
    fn listens(&self) -> bool {
        matches!(self.0, Step::Body(_) | Step::Rest)
    }

    fn rests(&self) -> bool {
        matches!(self.0, Step::Variables(_))
    }

    fn ends_with_input(&self) -> bool {
        matches!(self.0, Step::Rest)
    }

    fn head(&mut self, head: &ReplyHead<'_>, output: &mut BytesMut) {
        encode_head(head, output);
    }

    fn body(&mut self, bytes: &[u8], output: &mut BytesMut) {
        output.put_slice(bytes);
    }

    fn end(&mut self, _output: &mut BytesMut) -> Next {
        Next::End
    }
}

/// What there is of a body of which so much is left.
pub(crate) fn take(input: &mut BytesMut, left: u64) -> Bytes {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    input.split_to(length).freeze()
}

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMethod => f.write_str("there is no REQUEST_METHOD"),
            Self::Method(value) => write!(f, "REQUEST_METHOD is {value:?}"),
            Self::Target(value) => write!(f, "{value:?} is asked for"),
            Self::Length(value) => write!(f, "CONTENT_LENGTH is {value:?}"),
            Self::Field(variable) => write!(f, "{variable:?} has bytes that no field may have"),
            Self::TooManyFields(max) => write!(f, "there are more than {max} fields"),
        }
    }
}

impl std::error::Error for VariableError {}

#[cfg(test)]
mod tests;
