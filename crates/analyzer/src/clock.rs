//! The liveness clock of one key.

/// What changes at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    /// Everything is given its full time again.
    Restart,
    /// The store begins or ceases to answer writes.
    StoreAnswers(bool),
    /// Somebody begins to wait through a server that counts.
    WaitBegins,
    /// That wait is over.
    WaitEnds,
    /// A grant.
    HoldBegins,
    /// Its end; `freed` if the service confirmed it.
    HoldEnds { freed: bool, was_silent: bool },
    /// From now on a holder can send nothing, and so renew nothing.
    HolderFallsSilent { since_ns: u64 },
    /// That is over, and its hold is not.
    HolderSpeaksAgain,
    /// Somebody may hold who was not told, or not yet.
    MayHoldBegins,
    /// That is over but for the lease; with `freed` it is over at all.
    MayHoldEnds { freed: bool },
}

/// What one key's clock showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Showed {
    /// The longest that the free key took to be granted while somebody waited, after a holder that
    /// gave it up.
    pub(crate) longest_to_free_ns: u64,
    /// Grants after a holder that vanished, and the longest that one of them took.
    pub(crate) freed_after_vanishing: u64,
    pub(crate) longest_after_vanishing_ns: u64,
    /// The longest wait for a holder that was silent and spoke again before anybody was granted the
    /// lock.
    pub(crate) kept_by_silent_ns: u64,
    /// The longest wait beyond the bound without an alarm: the clock started again and again, or
    /// acquires of unknown outcome may have held, or the store did not answer.
    pub(crate) unclear_ns: u64,
    /// The wait that the end of the history cut off.
    pub(crate) cut_off_ns: u64,
}

/// See the module `liveness` for when it runs and starts again.
#[derive(Debug)]
pub(crate) struct KeyClock {
    bound_ns: u64,
    now_ns: u64,
    waiting: u64,
    holding: u64,
    may_hold: u64,
    store_answers: bool,
    /// How long somebody waited, the store answered, and nobody may have held.
    clock_ns: u64,
    /// How long somebody waited and nobody is known to have held, since the last hold.
    waited_ns: u64,
    /// Whether an alarm was raised since the last hold.
    alarmed: bool,
    vanished: bool,
    /// How long the last holder to vanish had been silent before that counted.
    before_ns: u64,
    /// How often the lock was granted, in all and until a holder last fell silent.
    grants: u64,
    grants_before_silence: u64,
    showed: Showed,
}

impl KeyClock {
    pub(crate) fn new(bound_ns: u64) -> KeyClock {
        KeyClock {
            bound_ns,
            now_ns: 0,
            waiting: 0,
            holding: 0,
            may_hold: 0,
            store_answers: false,
            clock_ns: 0,
            waited_ns: 0,
            alarmed: false,
            vanished: false,
            before_ns: 0,
            grants: 0,
            grants_before_silence: 0,
            showed: Showed::default(),
        }
    }

    /// Moves to `time_ns`; gives the instant at which the clock reached the bound if it passed it.
    pub(crate) fn advance(&mut self, time_ns: u64) -> Option<u64> {
        let (from_ns, passed_ns) = (self.now_ns, time_ns - self.now_ns);
        self.now_ns = time_ns;
        if self.waiting == 0 || self.holding > 0 {
            return None;
        }
        self.waited_ns += passed_ns;
        if self.may_hold > 0 || !self.store_answers {
            return None;
        }
        let left_ns = self.bound_ns.saturating_sub(self.clock_ns);
        self.clock_ns += passed_ns;
        if self.alarmed || passed_ns <= left_ns {
            return None;
        }
        self.alarmed = true;
        Some(from_ns + left_ns)
    }

    pub(crate) fn apply(&mut self, mark: Mark) {
        match mark {
            Mark::Restart => self.clock_ns = 0,
            Mark::StoreAnswers(answers) => {
                self.store_answers = answers;
                if answers {
                    self.clock_ns = 0;
                }
            }
            Mark::WaitBegins => self.waiting += 1,
            Mark::WaitEnds => self.waiting -= 1,
            Mark::HoldBegins => {
                let showed = &mut self.showed;
                if std::mem::take(&mut self.vanished) {
                    showed.freed_after_vanishing += 1;
                    let longest_ns = &mut showed.longest_after_vanishing_ns;
                    *longest_ns = (self.before_ns + self.waited_ns).max(*longest_ns);
                } else {
                    showed.longest_to_free_ns = self.waited_ns.max(showed.longest_to_free_ns);
                }
                self.grants += 1;
                self.turn();
                self.holding += 1;
            }
            Mark::HoldEnds { freed, was_silent } => {
                self.holding -= 1;
                // Whoever was let in while it was silent has shown already that it had vanished.
                let was_freed = was_silent && self.grants > self.grants_before_silence;
                self.vanished = !freed && !was_freed && self.holding == 0;
                self.before_ns = 0;
                self.turn();
            }
            Mark::HolderFallsSilent { since_ns } => {
                self.holding -= 1;
                self.vanished = self.holding == 0;
                self.before_ns = self.now_ns.saturating_sub(since_ns);
                self.grants_before_silence = self.grants;
                self.turn();
            }
            Mark::HolderSpeaksAgain => {
                if std::mem::take(&mut self.vanished) {
                    let kept_ns = &mut self.showed.kept_by_silent_ns;
                    *kept_ns = self.waited_ns.max(*kept_ns);
                }
                self.turn();
                self.holding += 1;
            }
            Mark::MayHoldBegins => self.may_hold += 1,
            Mark::MayHoldEnds { freed } => {
                self.may_hold -= 1;
                if !freed {
                    self.clock_ns = 0;
                }
            }
        }
    }

    pub(crate) fn finish(mut self) -> Showed {
        let cut_off_ns = if self.alarmed { 0 } else { self.waited_ns };
        self.turn();
        Showed { cut_off_ns, ..self.showed }
    }

    /// A hold begins or ends, or the history does.
    fn turn(&mut self) {
        if !self.alarmed && self.waited_ns > self.bound_ns {
            self.showed.unclear_ns = self.showed.unclear_ns.max(self.waited_ns);
        }
        self.clock_ns = 0;
        self.waited_ns = 0;
        self.alarmed = false;
    }
}
