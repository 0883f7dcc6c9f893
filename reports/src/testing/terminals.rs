//! Renderers on terminals of every width, with and without colour.

use crate::terminal::{MAX_WIDTH, MIN_WIDTH, Style};

/// What a renderer prints on the terminals that people have, each with a name for its snapshot. An
/// escape is shown as `^[`.
///
/// On no terminal is a line longer than the room for it, and colour changes nothing but colour.
pub(crate) fn on_terminals(
    name: &str,
    render: impl Fn(Style) -> String,
) -> impl Iterator<Item = (String, String)> {
    for width in (0..=MAX_WIDTH + 1).filter(|width| *width == 0 || *width + 1 >= MIN_WIDTH) {
        let room = width.clamp(MIN_WIDTH, MAX_WIDTH);
        for line in render(Style { width, colour: false }).lines() {
            let used = line.chars().count();
            assert!(used <= room || is_to_be_copied(line), "{used} of {room}: {line}");
            assert_eq!(line, line.trim_end());
        }
    }
    [80, 120].into_iter().flat_map(move |width| {
        let plain = render(Style { width, colour: false });
        let coloured = render(Style { width, colour: true });
        assert_eq!(without_colour(&coloured), plain);
        let coloured = coloured.replace('\u{1b}', "^[");
        [(format!("{name}_{width}"), plain), (format!("{name}_{width}_colour"), coloured)]
    })
}

/// A path or a command, which is on one line however long it is.
fn is_to_be_copied(line: &str) -> bool {
    [" again ", " check ", " report "].iter().any(|head| line.starts_with(head))
}

fn without_colour(text: &str) -> String {
    let (mut plain, mut is_escape) = (String::new(), false);
    for letter in text.chars() {
        match letter {
            '\u{1b}' => is_escape = true,
            'm' if is_escape => is_escape = false,
            letter if !is_escape => plain.push(letter),
            _ => {}
        }
    }
    plain
}
