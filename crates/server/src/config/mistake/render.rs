//! How mistakes are shown: each with its lines, a caret and what to do.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::{Mistake, Mistakes, SHOWN_MAX};
use crate::config::source::{Source, Sources, Span};

/// Whether to show colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// It goes to a terminal.
    On,
    /// It goes elsewhere.
    Off,
}

/// Columns that messages are broken at.
const WIDTH: usize = 110;

/// All mistakes, as somebody reads them.
pub(crate) fn render(mistakes: &Mistakes, sources: &Sources, colour: Colour) -> String {
    let theme = match colour {
        Colour::On => GraphicalTheme::unicode(),
        Colour::Off => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
    let mut text = String::new();
    let sorted = mistakes.sorted();
    for mistake in sorted.iter().take(SHOWN_MAX) {
        let shown = Shown::new(mistake, sources);
        // Writing to a string fails only if the handler does; then the plain words are as good.
        if handler.render_report(&mut text, &shown).is_err() {
            text += &format!("{}: {}", sources.at(mistake.span), mistake.message);
        }
        text.push('\n');
    }
    let left = mistakes.count().saturating_sub(SHOWN_MAX);
    if left > 0 {
        text += &format!("… and {left} more\n");
    }
    text
}

/// A mistake with the text around it, for the library that draws it.
#[derive(Debug)]
struct Shown<'m> {
    mistake: &'m Mistake,
    /// What it says, and the other place if that is in another file.
    help: Option<String>,
    source: NamedSource<Arc<str>>,
}

impl<'m> Shown<'m> {
    fn new(mistake: &'m Mistake, sources: &Sources) -> Self {
        let source: &Source = sources.get(mistake.span.file);
        let elsewhere = mistake.other.filter(|(span, _)| span.file != mistake.span.file);
        let elsewhere = elsewhere.map(|(span, how)| format!("{how}: {}", sources.at(span)));
        let help = [mistake.help.clone(), elsewhere].into_iter().flatten().collect::<Vec<_>>().join("\n");
        let source = NamedSource::new(source.path.display().to_string(), source.text.clone());
        Self { mistake, help: (!help.is_empty()).then_some(help), source }
    }
}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |span: Span, text: &str| {
            let text = (!text.is_empty()).then(|| text.to_owned());
            LabeledSpan::new(text, span.start as usize, (span.end - span.start) as usize)
        };
        let other = self.mistake.other.filter(|(span, _)| span.file == self.mistake.span.file);
        let own = label(self.mistake.span, if other.is_some() { "this" } else { "" });
        Some(Box::new([own].into_iter().chain(other.map(|(span, how)| label(span, how)))))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistake.message)
    }
}

impl std::error::Error for Shown<'_> {}
