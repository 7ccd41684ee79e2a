//! Reads nodes by the table of words: what is there is of the right kind, and what has to be is there.

use std::path::Path;

use super::kdl::{Entry, Form, Name, Node, Value, What};
use super::mistake::{Mistake, Mistakes, nearest};
use super::source::{At, Sources, Span};
use super::value::{Bad, Kind, Read, expand};
use super::words::{Need, Param, Place, State, Times, Word};

/// What the environment says of a variable.
pub(crate) type Variable<'v> = &'v dyn Fn(&str) -> Option<String>;

/// What reading needs, and where it puts mistakes.
pub(crate) struct Reader<'r> {
    pub(crate) sources: &'r Sources,
    pub(crate) mistakes: &'r mut Mistakes,
    pub(crate) variable: Variable<'r>,
}

/// A node without a mistake in it, its block aside.
#[derive(Debug)]
pub(crate) struct Given<'n> {
    pub(crate) node: &'n Node,
    pub(crate) word: &'static Word,
    values: Vec<(&'static Param, Read, Span)>,
    fields: Vec<(&'n Name, Read)>,
}

impl Given<'_> {
    /// A value that is there, or has a default.
    pub(crate) fn one<T: From<Read>>(&self, name: &str) -> T {
        self.maybe(name).expect("the table of words says that it is there")
    }

    /// A value that may be there.
    pub(crate) fn maybe<T: From<Read>>(&self, name: &str) -> Option<T> {
        self.values.iter().find(|(param, ..)| param.name == name).map(|(_, read, _)| read.clone().into())
    }

    /// All values of a parameter that may stand more than once.
    pub(crate) fn all<T: From<Read>>(&self, name: &str) -> Vec<T> {
        self.with_spans(name).into_iter().map(|(value, _)| value).collect()
    }

    pub(crate) fn with_spans<T: From<Read>>(&self, name: &str) -> Vec<(T, Span)> {
        let named = self.values.iter().filter(|(param, ..)| param.name == name);
        named.map(|(_, read, span)| (read.clone().into(), *span)).collect()
    }

    /// Where a value is; the whole node if it is not.
    pub(crate) fn span(&self, name: &str) -> Span {
        self.values.iter().find(|(param, ..)| param.name == name).map_or(self.node.span, |(.., span)| *span)
    }

    /// Whether it was said, and is no default.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.node.entries.iter().any(|entry| matches!(entry, Entry::Property(own, _) if *own.text == *name))
    }

    /// The fields: names of the writer's choice, with their values.
    pub(crate) fn fields<T: From<Read>>(&self) -> impl Iterator<Item = (&Name, T)> {
        self.fields.iter().map(|(name, read)| (*name, read.clone().into()))
    }
}

impl Reader<'_> {
    pub(crate) fn at(&self, span: Span) -> At {
        self.sources.at(span)
    }

    /// The folder that relative paths of this file start from.
    pub(crate) fn folder(&self, span: Span) -> &Path {
        self.sources.get(span.file).folder()
    }

    pub(crate) fn refuse(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.mistakes.add(Mistake::new(span, message).help(help));
    }

    /// The words of these nodes, as far as they are words of this place.
    pub(crate) fn words<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n Node>,
        place: Place,
    ) -> Vec<(&'n Node, &'static Word)> {
        let mut words: Vec<(&Node, &Word)> = Vec::new();
        for node in nodes {
            let Some(word) = self.word(node, place) else { continue };
            if word.times == Times::Once
                && let Some((earlier, _)) = words.iter().find(|(_, other)| std::ptr::eq(*other, word))
            {
                let mistake = Mistake::new(node.name.span, format!("`{}` is there already", word.name));
                self.mistakes.add(mistake.with(earlier.name.span, "here").help("say it once"));
            }
            words.push((node, word));
        }
        words
    }

    /// The word of a node, if there is one and it is built.
    pub(crate) fn word(&mut self, node: &Node, place: Place) -> Option<&'static Word> {
        let (name, span) = (&*node.name.text, node.name.span);
        match place.word(name) {
            Some(word) if word.state == State::Built => return Some(word),
            Some(_) => {
                let mistake = Mistake::new(span, format!("`{name}` is not built yet"));
                self.mistakes.add(mistake.help("take it out: it is a word of a later version"));
            }
            None => {
                let mistake = Mistake::new(span, format!("unknown word `{name}` in {}", place.name()));
                self.mistakes.add(mistake.help(suggest(name, place)));
            }
        }
        None
    }

    /// Reads all that belongs to a node but for its block.
    pub(crate) fn read<'n>(&mut self, node: &'n Node, word: &'static Word) -> Option<Given<'n>> {
        self.read_entries(node, node.entries.iter(), word)
    }

    /// The same of some of its entries.
    pub(crate) fn read_entries<'n>(
        &mut self,
        node: &'n Node,
        entries: impl Iterator<Item = &'n Entry>,
        word: &'static Word,
    ) -> Option<Given<'n>> {
        let before = self.mistakes.count();
        let mut given = Given { node, word, values: Vec::new(), fields: Vec::new() };
        let mut arguments = 0;
        let mut entries = entries.peekable();
        while let Some(entry) = entries.next() {
            match entry {
                Entry::Argument(value) => {
                    // A number that may be left out, as in `respond 404 "gone"`, is left out before a text.
                    let is_passed = |param: &Param| param.need != Need::Must && param.kind == Kind::Status;
                    let is_text = matches!(value.what, What::Text { form: Form::Quoted | Form::Raw, .. });
                    if is_text && word.arguments.get(arguments).is_some_and(is_passed) {
                        arguments += 1;
                    }
                    let last = word.arguments.last().filter(|param| param.count == Times::Many);
                    match word.arguments.get(arguments).or(last) {
                        Some(param) => self.take(&mut given, param, value),
                        None if word.fields.is_some() => {
                            let apart = entries.next_if(|next| matches!(next, Entry::Argument(_)));
                            self.refuse_bare_name(value, apart, word);
                        }
                        None => self.refuse_argument(value, word),
                    }
                    arguments += 1;
                }
                Entry::Property(name, value) => self.property(&mut given, name, value),
                Entry::Comment(_) | Entry::Break(_) => {}
            }
        }
        if let Some(block) = node.block.as_ref().filter(|_| word.inside.is_none()) {
            self.refuse(block.span, format!("`{}` has no block", word.name), "remove the braces and what is in them");
        }
        for param in word.params() {
            if given.values.iter().any(|(given, ..)| std::ptr::eq(*given, param)) {
                continue;
            }
            match param.need {
                Need::Must if !node.is_broken && self.mistakes.count() == before => self.miss(node, word, param),
                Need::Default(text) => {
                    let read = param.kind.read(text).expect("the defaults in the table of words are good");
                    given.values.push((param, read, node.span));
                }
                Need::Must | Need::May => {}
            }
        }
        (self.mistakes.count() == before && !node.is_broken).then_some(given)
    }

    fn property<'n>(&mut self, given: &mut Given<'n>, name: &'n Name, value: &'n Value) {
        let word = given.word;
        if let Some(param) = word.properties.iter().find(|param| *param.name == *name.text) {
            if given.values.iter().any(|(earlier, ..)| std::ptr::eq(*earlier, param)) {
                self.refuse(name.span, format!("`{}` is there twice", name.text), "say it once");
            }
            return self.take(given, param, value);
        }
        if let Some(field) = &word.fields {
            if given.fields.iter().any(|(earlier, _)| earlier.text.eq_ignore_ascii_case(&name.text)) {
                let help = format!("write a second `{}` on a line of its own", word.name);
                self.refuse(name.span, format!("`{}` is there twice", name.text), help);
            }
            let read = self.value(field.kind, value);
            given.fields.extend(read.map(|read| (name, read)));
            return;
        }
        let names = || word.properties.iter().map(|param| param.name);
        let help = match nearest(&name.text, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if word.properties.is_empty() => "it takes no values with a name".to_owned(),
            None => format!("it knows {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
        };
        self.refuse(name.span, format!("`{}` knows no `{}`", word.name, name.text), help);
    }

    fn take(&mut self, given: &mut Given<'_>, param: &'static Param, value: &Value) {
        let read = self.value(param.kind, value);
        given.values.extend(read.map(|read| (param, read, value.span)));
    }

    /// Reads a value as what it has to be.
    fn value(&mut self, kind: Kind, value: &Value) -> Option<Read> {
        let read = match &value.what {
            What::Text { text, form: Form::Raw } => plain(kind, text),
            What::Text { text, .. } if !text.contains("${") => plain(kind, text),
            // Whoever takes a number from the environment cannot write it without quotes.
            What::Text { text, .. } => expand(text, self.variable).and_then(|text| kind.read(&text)),
            What::Integer(number) => match kind {
                Kind::Text | Kind::Secret | Kind::File | Kind::HeaderName | Kind::HeaderValue | Kind::Pattern => {
                    Err(Bad {
                        message: format!("`{number}` is a number, and this is {}", kind.name()),
                        help: format!("put it in quotes: \"{number}\""),
                    })
                }
                kind => kind.read(&number.to_string()),
            },
            What::Switch(on) if kind == Kind::Switch => Ok(Read::Switch(*on)),
            What::Switch(_) | What::Float(_) | What::Null => {
                let written = self.sources.get(value.span.file).slice(value.span);
                // What is not taken for a text says itself what would be.
                let help = kind.read(written).err().map_or_else(|| "put it in quotes".to_owned(), |bad| bad.help);
                Err(Bad { message: format!("`{written}` is not {}", kind.name()), help })
            }
        };
        let read = match read {
            // Without the `.` of `./public`: what is shown is what somebody would write.
            Ok(Read::File(path)) => Read::File(self.folder(value.span).join(path).components().collect()),
            Ok(read) => read,
            Err(bad) => {
                self.refuse(value.span, bad.message, bad.help);
                return None;
            }
        };
        Some(read)
    }

    fn refuse_argument(&mut self, value: &Value, word: &Word) {
        let written = self.sources.get(value.span.file).slice(value.span).to_owned();
        let message = match word.arguments.len() {
            0 => format!("`{}` takes no value without a name", word.name),
            1 => format!("`{}` takes one value", word.name),
            count => format!("`{}` takes {count} values", word.name),
        };
        let bare = written.trim_matches('"');
        let meant = word.properties.iter().find(|param| param.name == bare).map(|param| param.name);
        let help = meant.map_or_else(|| "remove it".to_owned(), |name| format!("write it with its value: `{name}=…`"));
        self.refuse(value.span, message, help);
    }

    /// A name of the writer's choice without a value, or with one that stands apart from it.
    fn refuse_bare_name(&mut self, name: &Value, apart: Option<&Entry>, word: &Word) {
        let written = |value: &Value| self.sources.get(value.span.file).slice(value.span).to_owned();
        let is_bare = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let quoted = |text: String| if text.starts_with(['"', '#']) { text } else { format!("\"{text}\"") };
        let name_written = written(name);
        let bare = name_written.trim_matches('"');
        let name_shown = if is_bare(bare) { bare } else { &*name_written };
        let value_shown = match apart {
            Some(Entry::Argument(value)) => quoted(written(value)),
            _ => "\"…\"".to_owned(),
        };
        let help = format!("write it as one: {} {name_shown}={value_shown}", word.name);
        self.refuse(name.span, format!("`{}` takes a name and its value as one", word.name), help);
    }

    fn miss(&mut self, node: &Node, word: &Word, param: &Param) {
        let is_property = word.properties.iter().any(|other| std::ptr::eq(other, param));
        let name = if is_property { format!("{}=", param.name) } else { param.name.to_owned() };
        let message = format!("`{}` lacks its {name}", word.name);
        self.refuse(node.span, message, format!("{}: {}", param.means, param.kind.manual().replace('`', "")));
    }
}

/// Numbers and switches are written without quotes, so that each is written in one way.
fn plain(kind: Kind, text: &str) -> Result<Read, Bad> {
    let read = kind.read(text)?;
    match kind {
        Kind::Count(..) | Kind::Status => Err(Bad {
            message: format!("`{text}` is a text, and this is a number"),
            help: format!("write it without quotes: {text}"),
        }),
        Kind::Switch => {
            Err(Bad { message: format!("`{text}` is a text, and this is a switch"), help: format!("write #{text}") })
        }
        _ => Ok(read),
    }
}

/// What to do about an unknown word.
fn suggest(name: &str, place: Place) -> String {
    let meant = nearest(name, place.words().map(|word| word.name)).and_then(|name| place.word(name));
    if let Some(Word { name, means, .. }) = meant {
        return format!("did you mean `{name}`? {means}");
    }
    match Place::ALL.iter().find(|other| other.word(name).is_some()) {
        Some(other) => format!("it stands in {}", other.name()),
        None => {
            let names: Vec<_> = place.words().filter(|word| word.state == State::Built).map(|word| word.name).collect();
            format!("there are {}", names.join(", "))
        }
    }
}
