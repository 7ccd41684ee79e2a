//! Changing a zone of the DNS at its own name server: updates (RFC 2136), signed (RFC 8945), over TCP.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::schedule::seconds;

/// How long a name server may take, from dialling it to its answer.
const SERVER_TIME_MAX: Duration = Duration::from_secs(30);

/// How far its clock and ours may be apart, in seconds, as RFC 8945 §10 advises.
const FUDGE_SECONDS: u16 = 300;

/// The port of name servers, where nobody says another.
const PORT: u16 = 53;

/// A name server that takes updates of a zone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NameServer {
    /// `host` or `host:port`.
    pub(crate) address: Box<str>,
    pub(crate) zone: Box<str>,
    /// The key's name, and the key in base64.
    pub(crate) key_name: Box<str>,
    pub(crate) secret: Box<str>,
    pub(crate) algorithm: Algorithm,
    /// How long others may keep a record.
    pub(crate) ttl: Duration,
}

/// How updates are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    HmacSha256,
    HmacSha512,
}

/// What is done to a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set,
    Unset,
}

impl NameServer {
    /// Adds a TXT record, or takes it out. Others of the same name are let be.
    pub(super) async fn change(&self, change: Change, record: &str, value: &str) -> Result<(), String> {
        let update = self.update(change, record, value)?;
        let signer = self.signer()?;
        let asked = tokio::time::timeout(SERVER_TIME_MAX, self.ask(update, &signer)).await;
        let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {} s", SERVER_TIME_MAX.as_secs())));
        asked.map_err(|cause| format!("the name server {}: {cause}", self.address))
    }

    fn update(&self, change: Change, record: &str, value: &str) -> Result<Message, String> {
        let (zone, name) = (name_of(&self.zone)?, name_of(record)?);
        if !zone.zone_of(&name) {
            return Err(format!("{record} is not in the zone {}", self.zone));
        }
        let ttl = u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX);
        let txt = RData::TXT(TXT::new(vec![value.to_owned()]));
        let records = RecordSet::from(Record::from_rdata(name, ttl, txt));
        Ok(match change {
            Change::Set => update_message::append(records, zone, false, false),
            Change::Unset => update_message::delete_by_rdata(records, zone, false),
        })
    }

    fn signer(&self) -> Result<TSigner, String> {
        let key = STANDARD.decode(&*self.secret).map_err(|cause| format!("the secret is no base64: {cause}"))?;
        let algorithm = match self.algorithm {
            Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        TSigner::new(key, algorithm, name_of(&self.key_name)?, FUDGE_SECONDS).map_err(|cause| cause.to_string())
    }

    async fn ask(&self, mut update: Message, signer: &TSigner) -> Result<(), String> {
        let verifier = update.finalize(signer, seconds(SystemTime::now())).map_err(|cause| cause.to_string())?;
        let question = update.to_vec().map_err(|cause| cause.to_string())?;
        let answer = self.exchange(&question).await.map_err(|cause| cause.to_string())?;
        let code = match verifier {
            Some(mut verifier) => match verifier.verify(&answer) {
                Ok(answer) => answer.response_code,
                // A key that is not known is refused without a signature: say that rather than that one is missing.
                Err(cause) => {
                    let code = Message::from_vec(&answer).map(|answer| answer.response_code);
                    return Err(code.ok().filter(|code| *code != ResponseCode::NoError).map_or_else(
                        || format!("its answer is not signed as it should be: {cause}"),
                        |code| code.to_string(),
                    ));
                }
            },
            None => return Err("the update was not signed".to_owned()),
        };
        if code == ResponseCode::NoError { Ok(()) } else { Err(code.to_string()) }
    }

    /// One message there and one back (RFC 1035 §4.2.2).
    async fn exchange(&self, question: &[u8]) -> std::io::Result<Vec<u8>> {
        let has_port = self.address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let mut stream = match has_port {
            true => TcpStream::connect(&*self.address).await?,
            false => TcpStream::connect((&*self.address, PORT)).await?,
        };
        let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], question].concat()).await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

fn name_of(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|cause| format!("{text}: {cause}"))?;
    name.set_fqdn(true);
    Ok(name)
}

impl fmt::Debug for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} by {}", self.address, self.zone, self.key_name)
    }
}
