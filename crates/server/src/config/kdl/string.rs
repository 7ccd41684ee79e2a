//! Texts in quotes: `"…"` with escapes, `#"…"#` without, and both over several lines between three.

use super::scan::{Scan, is_newline, is_space};
use super::{Form, What};

/// What is wrong with a text, and where in the file.
pub(super) struct BadText {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) message: &'static str,
    pub(super) help: &'static str,
}

/// Reads a text whose opening quote, or `#` before it, is next.
pub(super) fn text(scan: &mut Scan<'_>) -> Result<What, BadText> {
    let start = scan.at;
    let hashes = scan.take_while(|c| c == '#').len();
    let form = if hashes == 0 { Form::Quoted } else { Form::Raw };
    let is_block = scan.looks_at("\"\"\"");
    let quotes = if is_block { "\"\"\"" } else { "\"" };
    scan.at += quotes.len();
    let inside = scan.at;
    let close = format!("{quotes}{}", &"#".repeat(hashes));
    let Some(end) = find_end(scan, &close, form, is_block) else {
        let line = scan.text[start..].find(is_newline).map_or(scan.text.len(), |length| start + length);
        // Whoever reads on reads on in the next line.
        scan.at = line;
        return Err(BadText {
            start,
            end: line,
            message: "this text has no end",
            help: if is_block {
                "close it by `\"\"\"` on a line of its own"
            } else {
                "close it by `\"` on the same line"
            },
        });
    };
    let body = &scan.text[inside..end];
    let text = match (is_block, form) {
        (true, Form::Raw) => lines(body, inside)?,
        (true, _) => unescape(&lines(&joined(body), inside)?, inside, form)?,
        (false, _) => unescape(body, inside, form)?,
    };
    Ok(What::Text { text: text.into(), form })
}

/// Goes behind the closing quote, and gives where it begins.
fn find_end(scan: &mut Scan<'_>, close: &str, form: Form, is_block: bool) -> Option<usize> {
    loop {
        let next = scan.peek()?;
        if next == '"' && scan.looks_at(close) {
            let end = scan.at;
            scan.at += close.len();
            return Some(end);
        }
        if is_newline(next) && !is_block {
            return None;
        }
        scan.at += next.len_utf8();
        if next == '\\' && form == Form::Quoted {
            // An escaped quote ends nothing; an escaped end of line is no end of line.
            let after = scan.peek()?;
            match is_newline(after) || is_space(after) {
                true => drop(scan.take_while(|c| is_newline(c) || is_space(c))),
                false => scan.at += after.len_utf8(),
            }
        }
    }
}

/// The lines of a text over several, without the indentation that its last line has.
fn lines(body: &str, inside: usize) -> Result<String, BadText> {
    let bad = |at: usize, length: usize, message, help| BadText { start: at, end: at + length, message, help };
    let mut scan = Scan { text: body, at: 0 };
    if !scan.take_newline() {
        let help = "begin the text on the next line, or write it between single quotes";
        return Err(bad(inside, 1, "behind `\"\"\"` the line ends", help));
    }
    let mut lines = Vec::new();
    loop {
        let start = scan.at;
        let line = scan.take_while(|c| !is_newline(c));
        lines.push((start, line));
        if !scan.take_newline() {
            break;
        }
    }
    let (start, indentation) = lines.pop().unwrap_or_default();
    if !indentation.chars().all(is_space) {
        let help = "give the closing `\"\"\"` a line of its own";
        return Err(bad(inside + start, indentation.len(), "text stands before the closing `\"\"\"`", help));
    }
    let mut text = Vec::with_capacity(lines.len());
    for (start, line) in lines {
        match line.strip_prefix(indentation) {
            Some(line) if !line.chars().all(is_space) => text.push(line),
            _ if line.chars().all(is_space) => text.push(""),
            _ => {
                let help = "every line begins with the spaces that stand before the closing `\"\"\"`";
                return Err(bad(inside + start, line.len(), "this line is indented less than the text's last", help));
            }
        }
    }
    Ok(text.join("\n"))
}

/// The text with lines joined where a `\` ends one, as lines are counted after that.
fn joined(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut scan = Scan { text: body, at: 0 };
    while let Some(next) = scan.peek() {
        scan.at += next.len_utf8();
        let is_end = next == '\\' && scan.peek().is_some_and(|after| is_space(after) || is_newline(after));
        if is_end {
            scan.take_while(|c| is_space(c) || is_newline(c));
            continue;
        }
        text.push(next);
        // What is escaped escapes nothing itself.
        if let Some(after) = scan.peek().filter(|_| next == '\\') {
            scan.at += after.len_utf8();
            text.push(after);
        }
    }
    text
}

fn unescape(body: &str, inside: usize, form: Form) -> Result<String, BadText> {
    if form == Form::Raw || !body.contains('\\') {
        return Ok(body.to_owned());
    }
    let mut text = String::with_capacity(body.len());
    let mut scan = Scan { text: body, at: 0 };
    while let Some(next) = scan.peek() {
        let start = scan.at;
        scan.at += next.len_utf8();
        if next != '\\' {
            text.push(next);
            continue;
        }
        let escaped = scan.peek().unwrap_or_default();
        if is_space(escaped) || is_newline(escaped) {
            scan.take_while(|c| is_space(c) || is_newline(c));
            continue;
        }
        scan.at += escaped.len_utf8().min(body.len() - scan.at);
        text.push(match escaped {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            's' => ' ',
            '\\' | '"' => escaped,
            'u' => code_point(&mut scan).ok_or(BadText {
                start: inside + start,
                end: inside + scan.at.min(body.len()),
                message: "this names no character",
                help: "write up to six hexadecimal digits in braces, as in `\\u{e9}`",
            })?,
            _ => {
                return Err(BadText {
                    start: inside + start,
                    end: inside + scan.at,
                    message: "this escapes nothing",
                    help: "write `\\\\` for a backslash; there are \\n \\r \\t \\b \\f \\s \\\" and \\u{…}",
                });
            }
        });
    }
    Ok(text)
}

fn code_point(scan: &mut Scan<'_>) -> Option<char> {
    if !scan.take("{") {
        return None;
    }
    let digits = scan.take_while(|c| c.is_ascii_hexdigit());
    let is_whole = scan.take("}") && (1..=6).contains(&digits.len());
    is_whole.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()
}
