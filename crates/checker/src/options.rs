//! What a check may cost, and what it has to bring.

/// How far to go.
pub struct Options<'a> {
    /// Whether a positive decision has to carry its linearization.
    pub certificate: bool,
    /// Whether the time is over. Asked now and then; the checker has no clock of its own.
    pub time_is_up: &'a dyn Fn() -> bool,
    /// How much memory the search may take for configurations that it has visited, in bytes.
    pub memory_limit_bytes: usize,
}
