//! The page: one self-contained file that needs neither network nor scripts.

mod bars;
mod checks;
mod commands;
mod cost;
mod figure;
mod lanes;
mod latency;
mod outcomes;
mod page;
pub(crate) mod parts;
mod percentiles;
mod scale;
mod script;
mod sections;
#[cfg(test)]
mod tests;
mod timeline;
mod violation;

pub use page::render_html;
pub use script::content_security_policy;
