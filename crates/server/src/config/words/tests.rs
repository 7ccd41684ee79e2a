use super::*;

fn all() -> impl Iterator<Item = (Place, &'static Word)> {
    Place::ALL.into_iter().flat_map(|place| place.words().map(move |word| (place, word)))
}

#[test]
fn defaults_are_of_their_kinds() {
    for (_, word) in all() {
        for param in word.params() {
            if let Need::Default(text) = param.need {
                assert!(param.kind.read(text).is_ok(), "{} of `{}`: {text}", param.name, word.name);
            }
        }
    }
}

#[test]
fn a_name_means_one_thing_in_a_place() {
    for place in Place::ALL {
        let names: Vec<_> = place.words().map(|word| word.name).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "`{name}` is twice in {}", place.name());
        }
    }
    for (_, word) in all() {
        let names: Vec<_> = word.params().map(|param| param.name).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name} is twice in `{}`", word.name);
        }
    }
}

#[test]
fn only_the_last_argument_is_for_many_and_needed_ones_come_first() {
    for (_, word) in all() {
        for (at, param) in word.arguments.iter().enumerate() {
            let is_last = at + 1 == word.arguments.len();
            assert!(is_last || param.count == Times::Once, "{} of `{}`", param.name, word.name);
            // But for a status, which is a number before a text.
            let is_optional = |param: &Param| param.need != Need::Must && param.kind != Kind::Status;
            let follows_optional = at > 0 && is_optional(&word.arguments[at - 1]);
            assert!(!(follows_optional && param.need == Need::Must), "{} of `{}`", param.name, word.name);
        }
        assert!(word.properties.iter().all(|param| param.count == Times::Once), "`{}`", word.name);
    }
}

#[test]
fn meanings_are_sentences() {
    for (_, word) in all() {
        assert!(word.means.ends_with(['.', ':']), "`{}`: {}", word.name, word.means);
    }
}
