//! The one script of the pages, and the policy that lets no other run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Zoom and hover for the timelines; a page without it is whole.
pub(crate) const TIMELINE: &str = include_str!("timeline.js");

/// The Content-Security-Policy of every page: nothing is loaded, and of scripts only this crate's own
/// runs, whatever the page holds.
pub fn content_security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(TIMELINE));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{hash}'; \
         form-action 'self'; base-uri 'none'"
    )
}
