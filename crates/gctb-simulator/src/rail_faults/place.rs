//! Where in a document of faults a knob stands, for whoever has to correct it. It must not know what a knob means.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// A step on the way to a knob.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Name(&'a str),
    Number(usize),
}

/// The line, from 1, on which the value at the end of `way` begins; `None` where there is none.
pub(super) fn line_of(document: &str, way: &[Step<'_>]) -> Option<usize> {
    let mut value: &str = document;
    for step in way {
        let inner: &RawValue = match step {
            Step::Name(name) => serde_json::from_str::<HashMap<String, &RawValue>>(value).ok()?.remove(*name)?,
            Step::Number(number) => serde_json::from_str::<Vec<&RawValue>>(value).ok()?.get(*number)?,
        };
        value = inner.get();
    }
    // Each value is a part of the document itself, so that its place is the distance between the two.
    let before = (value.as_ptr() as usize).checked_sub(document.as_ptr() as usize)?;
    Some(1 + document.get(..before)?.matches('\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_on_the_line_on_which_it_begins() {
        let document = "{\"seed\": 1,\n \"rules\": [\n  {\"nth\": 1},\n\n  {\"nth\":\n 0}]}";
        let rules = |number| [Step::Name("rules"), Step::Number(number)];
        assert_eq!(line_of(document, &rules(0)), Some(3));
        assert_eq!(line_of(document, &rules(1)), Some(5));
        assert_eq!(line_of(document, &[Step::Name("rules"), Step::Number(1), Step::Name("nth")]), Some(6));
        assert_eq!(line_of(document, &rules(2)), None);
        assert_eq!(line_of(document, &[Step::Name("chances")]), None);
    }
}
