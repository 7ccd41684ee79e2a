//! `unary serve`: one thing, without a config.

mod news;
mod programs;
mod subject;

use std::io::{self, IsTerminal};
use std::rc::Rc;

use unary_http::{Request, Response, http};
use unary_net::event_loop::EventLoops;
use unary_net::{Run, connect, descriptors, listen, process, reply};
use unary_service::{Compose, Error, Service};

use crate::access_log;
use crate::access_log::Format;
use crate::cli::Serve;
use crate::error_log::ErrorLog;
use crate::failure::Failure;
use crate::log::To;
use crate::run;
use news::News;
use subject::Subject;

/// Serves what was told until the process is told to stop.
pub(crate) fn run(told: &Serve) -> Result<(), Failure> {
    ErrorLog::start();
    let files = match Subject::find(&told.path)? {
        Subject::Folder(files) => files,
        Subject::FolderWithPrograms(folder) => return run::run_text(programs::of_folder(told, &folder)?),
        Subject::PhpFolder(folder, by) => return run::run_text(programs::of_php(told, &folder, by)?),
        Subject::Program(path) => return run::run_text(programs::of_program(told, &path)?),
    };
    descriptors::raise_limit();
    let news = News::of(&told.path);
    if told.access_log.is_none() && !io::stdout().is_terminal() {
        return Ok(serve(told, files, news)?);
    }
    let format = told.access_log.clone().flatten().unwrap_or_else(Format::of_output);
    let (log, writing) = access_log::start(To::Output, format)?;
    let news = news.counting(log.under_way());
    let served = serve(told, log.and_then(files), news);
    writing.finish();
    Ok(served?)
}

fn serve<S>(told: &Serve, service: S, news: News) -> Result<(), Error>
where
    S: Service<Request, Reply = Response> + 'static,
{
    let news = Rc::new(news);
    let stopping = news.clone();
    let mut loops = EventLoops::new();
    if let Some(threads) = told.threads {
        loops = loops.threads(threads.into());
    }
    let loops = loops.ready(move |addresses| news.ready(addresses)).stopping(move || stopping.stopping());
    let server = listen(told.listen.clone()) >> connect(http()) >> process(service) >> reply();
    server.run_on(loops)
}
