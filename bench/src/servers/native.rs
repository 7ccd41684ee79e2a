//! What is written in C: the program that CGI is measured with, as small as a program can be, and the weight that a
//! server is given to carry.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::GREETING;
use crate::Failure;

/// A CGI program in C that says what the tiny reply says.
pub(super) fn greeter(folder: &Path) -> Result<PathBuf, Failure> {
    let text = format!(
        "#include <unistd.h>
static const char reply[] = \"Content-Type: text/plain\\r\\nContent-Length: {}\\r\\n\\r\\n{GREETING}\";
int main(void) {{ return write(1, reply, sizeof reply - 1) == sizeof reply - 1 ? 0 : 1; }}
",
        GREETING.len()
    );
    compile(folder, "greeter", &text, &["-static", "-Os", "-s"])
}

/// A library that has the processes it is loaded into hold so many bytes, each page of them written to. They are
/// those that were told how many: programs that a server starts for others have no such variable.
pub(super) fn ballast(folder: &Path) -> Result<PathBuf, Failure> {
    let text = format!(
        "#include <stdlib.h>
#include <sys/mman.h>
__attribute__((constructor)) static void hold(void) {{
    const char *told = getenv(\"{BALLAST_BYTES}\");
    size_t length = told ? strtoull(told, NULL, 10) : 0;
    if (!length) return;
    char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) abort();
    madvise(bytes, length, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < length; at += 4096) bytes[at] = 1;
}}
"
    );
    compile(folder, "ballast.so", &text, &["-shared", "-fPIC", "-O1"])
}

/// Says how much `ballast` holds.
pub(super) const BALLAST_BYTES: &str = "BALLAST_BYTES";

fn compile(folder: &Path, name: &str, text: &str, options: &[&str]) -> Result<PathBuf, Failure> {
    let program = folder.join(name);
    if program.exists() {
        return Ok(program);
    }
    let source = super::write(&folder.join(format!("{name}.c")), text)?;
    let output = Command::new("cc").args(options).arg("-o").arg(&program).arg(source).output();
    let output = output.map_err(|error| format!("cannot run cc: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} did not compile: {}", String::from_utf8_lossy(&output.stderr)));
    }
    // Some servers run programs as somebody else.
    let readable = fs::set_permissions(&program, fs::Permissions::from_mode(0o755));
    readable.map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(program)
}
