//! Markdown of words that come from outside.

use crate::text::visible;

/// A text is cut to this length.
const MAX_TEXT: usize = 600;

/// Words in which nothing is markup, on one line.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in visible(text, MAX_TEXT).chars() {
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
    fn no_backtick_ends_the_block_of_a_command() {
        assert_eq!(command("locktest run", 80), "```sh\nlocktest run\n```\n");
        assert_eq!(command("a\n```\nb", 80), "````sh\na ``` b\n````\n");
    }
}
