//! What several sections of the page are made of.

use maud::{Markup, PreEscaped, html};

use super::script::content_security_policy;
use crate::text::visible;
use crate::wording::Tone;

/// A sentence of the verdict is cut to this length.
pub(crate) const MAX_SENTENCE: usize = 800;

/// More list entries than this are left to verdict.json.
const MAX_ENTRIES: usize = 30;

/// The head of every page: its own style comes after the one that all share. With `refresh_s` the page
/// comes again after so many seconds.
pub(crate) fn head(title: &str, own_style: &str, refresh_s: Option<u32>) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(content_security_policy());
            meta name="viewport" content="width=device-width,initial-scale=1";
            @if let Some(seconds) = refresh_s { meta http-equiv="refresh" content=(seconds); }
            title { (title) }
            style { (PreEscaped(include_str!("style.css"))) (PreEscaped(own_style)) }
        }
    }
}

/// A list that is cut with the number of what is left out.
pub(crate) fn list(entries: &[String]) -> Markup {
    html! {
        ul {
            @for entry in entries.iter().take(MAX_ENTRIES) { li { (visible(entry, MAX_SENTENCE)) } }
            @if entries.len() > MAX_ENTRIES {
                li { (entries.len() - MAX_ENTRIES) " more in verdict.json" }
            }
        }
    }
}

/// A word with its sign, which tells the tone without colour.
pub(crate) fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone_class(tone)) } { (sign(tone)) " " (word) } }
}

pub(crate) fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "bad",
        Tone::Doubt => "doubt",
        Tone::Good => "good",
        Tone::Quiet => "quiet",
    }
}

pub(crate) fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "\u{2715}",
        Tone::Doubt => "\u{25b2}",
        Tone::Good => "\u{2713}",
        Tone::Quiet => "\u{2013}",
    }
}

pub(crate) fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
