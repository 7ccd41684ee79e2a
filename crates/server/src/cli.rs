//! The command line. It is a contract: words are added, none changes its meaning.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use http::{Method, Uri};
use unary_net::Address;

use crate::access_log::Format;
use crate::run::{CONFIG_DEFAULT, PROGRAM_KEEPER, SERVER_PROCESS};

/// One function, one process, any program: a web server that is a single binary.
#[derive(Debug, Parser)]
#[command(name = "unary", version, max_term_width = 100, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES, subcommand_help_heading = "Commands")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  unary serve                            this folder, for this machine: http://localhost:8080/
  unary serve ./public --listen :8080    a folder, for everybody who can reach this machine
";

const SERVE_EXAMPLES: &str = "\
Examples:
  unary serve                                      this folder, for this machine: http://localhost:8080/
  unary serve ./public --listen :8080              a folder, for everybody who can reach this machine
  unary serve ./public --listen unix:/run/a.sock   for a proxy in front, on a Unix socket
  unary serve ./public --access-log >> access.log  one line a request, in the Combined Log Format
  unary serve ./hello.cgi                          a CGI program; a folder's are in its cgi-bin/

A folder with an index.html is a site; one without shows what is in it. Files whose names begin with
a dot are not served. SIGTERM or Ctrl-C finishes what is running and stops; the second stops at once.
";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve one thing, without a config: a folder of files, a CGI program
    Serve(Serve),
    /// Serve what a config says
    Run(Run),
    /// Say all that is wrong with a config
    Check(Check),
    /// Write a config canonically, and the files that it imports
    Fmt(Fmt),
    /// Say what a config makes of a request, or the running one
    Explain(Explain),
    /// Let the running one take on its config anew
    Reload(Keeper),
    /// Let the running one become the program that is on disk now
    Upgrade(Keeper),
    /// Let the running one finish what it does, and end
    Stop(Keeper),
    /// Say how the running one is
    Status(Status),
    /// Make a line for a file of users, of a password that is asked for
    HashPassword(HashPassword),
    /// Let programs of this machine trust what `localhost` shows them
    Trust(Trust),
    /// The server of `unary run`, which starts it: a word for keepers
    #[command(skip)]
    ServerProcess,
    /// The keeper of what `unary serve` runs, which starts it: a word for servers
    #[command(skip)]
    ProgramKeeper,
}

/// What `unary run` is told.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The config
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,
}

/// What `unary check` is told.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The config
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,

    /// Print what it comes to, as JSON; secrets are left out
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `unary fmt` is told.
#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// The config
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,

    /// Write nothing; name the files that would change, and fail if there are any
    #[arg(long)]
    pub(crate) check: bool,
}

/// What `unary explain` is told.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The request's method
    #[arg(value_name = "METHOD")]
    pub(crate) method: Method,

    /// What it asks for, whole: https://example.com/path
    #[arg(value_name = "URL")]
    pub(crate) url: Uri,

    /// A header field of the request. May be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE")]
    pub(crate) headers: Vec<String>,

    /// The client's address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) client: IpAddr,

    /// Ask the server that runs, about the config that it serves now. Unless told, the file is
    /// read as it is, whatever runs
    #[arg(long)]
    pub(crate) running: bool,

    /// The config, which also says where to reach the running one
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,

    /// Where to reach the running one, without a config: unix:/path. Implies --running
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<Address>,
}

/// Whom a command is for.
#[derive(Debug, Args)]
pub(crate) struct Keeper {
    /// The config of the running one, which says where to reach it
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,

    /// Where to reach it, without a config: unix:/path
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<Address>,
}

/// What `unary status` is told.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) keeper: Keeper,

    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `unary hash-password` is told.
#[derive(Debug, Args)]
pub(crate) struct HashPassword {
    /// The user's name
    #[arg(value_name = "USER")]
    pub(crate) name: String,
}

/// What `unary trust` is told.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// The config, which says where the state is
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,

    /// Where the state is, without a config
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,

    /// Install nothing: print the certificate
    #[arg(long)]
    pub(crate) print: bool,
}

/// What `unary serve` is told.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// What to serve
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,

    /// Where to listen: host:port, :port (every address of this machine) or unix:/path. May be
    /// given more than once
    #[arg(long, value_name = "ADDR", default_value = LISTEN_DEFAULT)]
    pub(crate) listen: Vec<Address>,

    /// How many event loops [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    pub(crate) threads: Option<u16>,

    /// Print a line for each request; on a terminal that is so anyway. FORMAT is json, common,
    /// combined, or a text like '{client} "{method} {path}" {status}' [default: combined, on a
    /// terminal one for people]
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true)]
    pub(crate) access_log: Option<Option<Format>>,
}

/// This machine only: what is on a disk is not everybody's unless somebody says so.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// More than any machine has cores.
const THREADS_MAX: i64 = 1024;

impl Cli {
    /// Reads this process's command line. Says what is wrong with it and ends the process, if
    /// anything is.
    pub(crate) fn read() -> Self {
        let words: Vec<_> = std::env::args_os().skip(1).take(2).collect();
        // Read apart, so that nobody who mistypes another word is led to them.
        match &words[..] {
            [word] if word == SERVER_PROCESS => Self { command: Command::ServerProcess },
            [word] if word == PROGRAM_KEEPER => Self { command: Command::ProgramKeeper },
            _ => Self::parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_in_order() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nobody_is_led_to_the_word_for_keepers() {
        let said = |words: &[&str]| Cli::try_parse_from(words).map(drop).expect_err("it is no command").to_string();
        for word in ["server-proces", "servr-process", "server"] {
            let said = said(&["unary", word]);
            assert!(!said.contains(SERVER_PROCESS), "{said}");
        }
        assert!(said(&["unary", "srve"]).contains("'serve'"));
        assert!(!said(&["unary", "--help"]).contains(SERVER_PROCESS));
    }
}
