//! Markdown of words that come from outside.

use crate::text::visible;

/// A text is cut to this length.
const MAX_TEXT: usize = 600;

/// Words in which nothing is markup, on one line.
pub(crate) fn escaped(text: &str) -> String {
    let text = visible(text, MAX_TEXT);
    let (number, rest) = number(text.trim_start());
    let mut out = number.to_owned();
    // What would begin a list or a quote, if it came first on its line.
    let ends_number = rest.strip_prefix(['.', ')']);
    let is_marker = match number {
        "" => rest.starts_with(['-', '+', '>']),
        _ => ends_number.is_some_and(|words| words.is_empty() || words.starts_with(' ')),
    };
    if is_marker {
        out.push('\\');
    }
    for letter in rest.chars() {
        match letter {
            '<' => out += "&lt;",
            '&' => out += "&amp;",
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

/// The digits that a text begins with, and what comes after them.
fn number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()))
}

/// A command to be copied, in a block that no backtick in it ends.
pub(crate) fn command(text: &str, max_chars: usize) -> String {
    let text = visible(text, max_chars);
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_words_from_outside_is_markup() {
        assert_eq!(
            escaped("<b> [x](y) | **a** ~~c~~ `d`\n# e"),
            r"&lt;b> \[x\](y) \| \*\*a\*\* \~\~c\~\~ \`d\` \# e"
        );
    }

    #[test]
    fn words_begin_neither_a_list_nor_a_quote_nor_code() {
        let texts = ["- a", "+ a", "> a", "1. a", "12) a", "    a", "1.5 a", "a - b > 1. c"];
        let expected =
            ["\\- a", "\\+ a", "\\> a", "1\\. a", "12\\) a", "a", "1.5 a", "a - b > 1. c"];
        assert_eq!(texts.map(escaped), expected);
    }

    #[test]
    fn no_backtick_ends_the_block_of_a_command() {
        assert_eq!(command("locktest run", 80), "```sh\nlocktest run\n```\n");
        assert_eq!(command("a\n```\nb", 80), "````sh\na ``` b\n````\n");
    }
}
