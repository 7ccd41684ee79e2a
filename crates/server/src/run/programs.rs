//! The programs of a config: what the keeper may run for its servers.

use unary_workers::program::{Limits, Program, Programs};

use crate::config::{CgiService, Config, Process, Service};

/// All of them, by their names.
pub(super) fn of(config: &Config) -> Programs {
    let routes = config.sites.iter().flat_map(|site| site.routes.iter());
    let programs = routes.filter_map(|(_, route)| program_of(&route.service.what));
    programs.map(|program| (program.name(), program)).collect()
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

/// What is a folder is one of programs, whatever becomes of it later.
fn cgi_program(cgi: &CgiService) -> Program {
    let program = match cgi.path.is_dir() {
        true => Program::folder(&cgi.path),
        false => Program::command([cgi.path.to_string_lossy()]),
    };
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
        ..program
    }
}
