//! The programs of a config: what the keeper may run for its servers.

use unary_workers::program::{self, Limits, Program, Programs, Together};

use crate::config::{CgiService, Config, Process, Service};

/// All of them, by their names.
///
/// # Errors
///
/// If two have the same name.
pub(super) fn of(config: &Config) -> Result<Programs, String> {
    let routes = config.sites.iter().flat_map(|site| site.routes.iter());
    program::by_name(routes.filter_map(|(_, route)| program_of(&route.service.what)))
}

/// The program that a service is, or has run: the server asks for it by its name.
pub(crate) fn program_of(service: &Service) -> Option<Program> {
    match service {
        Service::Cgi(cgi) => Some(cgi_program(cgi)),
        Service::App(app) => Some(app.pooled.program()),
        // Somebody else runs these, unless it says so.
        Service::FastCgi(workers) | Service::Scgi(workers) => Some(workers.pooled.as_ref()?.program()),
        Service::Php(php) => Some(php.pooled.as_ref()?.program()),
        Service::Files(_) | Service::Proxy(_) | Service::Respond(_) | Service::Redirect(_) => None,
    }
}

/// Keeper and server each come to this by themselves, so that it must not depend on what is on a disk just then.
fn cgi_program(cgi: &CgiService) -> Program {
    let program = Program::file(&cgi.path);
    Program { stop_time: cgi.stop_time, ..with_terms(program, &cgi.process) }
}

fn with_terms(program: Program, process: &Process) -> Program {
    let text = |text: &str| text.to_owned();
    Program {
        user: process.user.as_deref().map(text),
        group: process.group.as_deref().map(text),
        directory: process.directory.clone(),
        environment: process.environment.iter().map(|(name, value)| (text(name), text(value))).collect(),
        limits: Limits {
            open_files: process.open_files_max.map(u64::from),
            processes: process.processes_max.map(u64::from),
            memory_bytes: process.memory_bytes_max,
            cpu_seconds: process.cpu_time_max.map(|time| time.as_secs().max(1)),
            file_bytes: process.file_bytes_max,
            core_bytes: None,
        },
        together: Together {
            memory_bytes_max: process.together.memory_bytes_max,
            cpu_milli_max: process.together.cpu_percent_max.map(|percent| u64::from(percent) * 10),
            processes_max: process.together.processes_max.map(u64::from),
        },
        ..program
    }
}
