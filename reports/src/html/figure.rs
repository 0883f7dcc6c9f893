//! One window of the run as SVG: faults behind, then locks, clients and servers on their lanes.

use std::ops::Range;

use locktest_analyzer::{ElectionSeen, FaultSummary, Hold, Verdict};
use locktest_history::History;
use maud::{Markup, html};

use super::bars::{Bar, Content, DENSITIES, fit};
use super::lanes::{ClientLane, Lanes, LockLane};
use super::scale::{Scale, WIDTH, label_width, push_rect, px, wide_enough};
use crate::text::{duration_ns, seconds, visible};
use crate::wording;

/// Above the lanes: the labels of faults, then the signs of violations.
const TOP: f64 = 34.0;

/// Between two groups of lanes.
const GROUP_GAP: f64 = 8.0;

/// The narrowest mark of a hold that a violation concerns.
const LEAST_MARKED: f64 = 2.0;

/// More violations than this would only hide each other.
const MAX_VIOLATIONS: usize = 40;

/// More changes of leader than this would only hide each other.
const MAX_LEADER_CHANGES: usize = 100;

/// More steps of elections than this would only hide each other.
const MAX_ELECTIONS: usize = 60;

/// How a window is drawn.
pub(crate) struct Window {
    /// Which part of the run.
    pub time_ns: Range<u64>,
    /// Whether each bar says what it is when pointed at, and wide ones carry a name.
    pub detailed: bool,
    /// At most this many bars of each kind.
    pub bar_limit: usize,
}

/// Draws a window.
pub(crate) fn draw(verdict: &Verdict, history: &History, lanes: &Lanes, window: &Window) -> Markup {
    let scale = Scale::new(window.time_ns.clone());
    let layout = Layout::new(lanes);
    let figure = Figure { verdict, history, scale: &scale, window, layout: &layout };
    let (bottom, height) = (layout.bottom, layout.bottom + 20.0);
    let label = format!(
        "Timeline from {} to {}: locks, clients and servers, one lane each",
        seconds(window.time_ns.start),
        seconds(window.time_ns.end)
    );
    html! {
        div.scroll tabindex="0" {
            svg viewBox=(format!("0 0 {WIDTH} {}", px(height))) role="img" aria-label=(label)
                data-window=(scale.window()) {
                @for fault in &verdict.faults { (figure.fault(fault)) }
                (scale.axis(TOP, bottom))
                (figure.lane_names(lanes))
                (figure.locks(&lanes.locks))
                (figure.clients(&lanes.clients))
                (figure.servers(lanes))
                (figure.milestones(lanes))
                (figure.violations())
            }
        }
    }
}

/// Where each lane is.
struct Layout {
    locks: Vec<f64>,
    clients: Vec<f64>,
    servers: Vec<f64>,
    client_height: f64,
    bottom: f64,
}

const LOCK_HEIGHT: f64 = 16.0;
const SERVER_HEIGHT: f64 = 8.0;

impl Layout {
    fn new(lanes: &Lanes) -> Layout {
        let client_height = match lanes.clients.len() {
            0..=12 => 15.0,
            13..=24 => 11.0,
            _ => 8.0,
        };
        let mut y = TOP + 4.0;
        let mut group = |n: usize, height: f64, gap: f64| -> Vec<f64> {
            let tops = (0..n).map(|lane| y + lane as f64 * (height + gap)).collect();
            if n > 0 {
                y += n as f64 * (height + gap) + GROUP_GAP;
            }
            tops
        };
        let locks = group(lanes.locks.len(), LOCK_HEIGHT, 4.0);
        let clients = group(lanes.clients.len(), client_height, 4.0);
        let servers = group(lanes.servers.len(), SERVER_HEIGHT, 5.0);
        Layout { locks, clients, servers, client_height, bottom: y }
    }
}

struct Figure<'a> {
    verdict: &'a Verdict,
    history: &'a History,
    scale: &'a Scale,
    window: &'a Window,
    layout: &'a Layout,
}

impl Figure<'_> {
    fn fault(&self, fault: &FaultSummary) -> Markup {
        let Some((from, to)) = self.scale.clip(&(fault.begin_ns..fault.end_ns)) else {
            return html! {};
        };
        let recovery_ns = fault.servers_recovered_ms.unwrap_or(0.0).max(0.0) * 1e6;
        let recovered_ns = fault.end_ns.saturating_add(recovery_ns as u64);
        let (width, true_width) = wide_enough(to - from, 1.0);
        let height = px(self.layout.bottom - 16.0);
        let class = if fault.bit { "fault" } else { "fault unbitten" };
        html! {
            @if let Some((from, to)) = self.scale.clip(&(fault.end_ns..recovered_ns)) {
                rect.recovery x=(px(from)) y="16" width=(px(to - from)) height=(height) {
                    title { "servers recover from fault " (fault.id) ", "
                        (seconds(fault.end_ns)) " to " (seconds(recovered_ns)) }
                }
            }
            rect class=(class) x=(px(from)) y="16" width=(width) height=(height) data-width=[true_width] {
                title { "fault " (fault.id) ": " (visible(&fault.description, 120)) ", "
                    (seconds(fault.begin_ns)) " to " (seconds(fault.end_ns)) }
            }
            @for edge_ns in [fault.begin_ns, fault.end_ns] {
                @if self.scale.contains(edge_ns) {
                    @let x = px(self.scale.x(edge_ns));
                    line.faultedge x1=(x) x2=(x) y1="16" y2=(px(self.layout.bottom)) {}
                }
            }
            text.faultlabel x=(px(from)) dx="3" y="12" data-width=(px(to - from)) {
                (fault_label(fault, to - from))
            }
        }
    }

    fn lane_names(&self, lanes: &Lanes) -> Markup {
        let x = px(self.scale.left() - 8.0);
        let locks = lanes.locks.iter().map(|lane| &lane.label).zip(&self.layout.locks);
        let clients = lanes.clients.iter().map(|lane| &lane.label).zip(&self.layout.clients);
        let servers = lanes.servers.iter().map(|lane| &lane.label).zip(&self.layout.servers);
        let heights = [LOCK_HEIGHT, self.layout.client_height, SERVER_HEIGHT];
        html! {
            @for (label, y) in locks {
                text.lane.main x=(x) y=(px(y + heights[0] / 2.0 + 4.0)) text-anchor="end" { (label) }
            }
            @for (label, y) in clients {
                text.lane x=(x) y=(px(y + heights[1] / 2.0 + 4.0)) text-anchor="end" { (label) }
                line.rail x1=(px(self.scale.left())) x2=(px(self.scale.right()))
                    y1=(px(y + heights[1] / 2.0)) y2=(px(y + heights[1] / 2.0)) {}
            }
            @for (label, y) in servers {
                text.lane x=(x) y=(px(y + heights[2] / 2.0 + 4.0)) text-anchor="end" { (label) }
                line.rail x1=(px(self.scale.left())) x2=(px(self.scale.right()))
                    y1=(px(y + heights[2] / 2.0)) y2=(px(y + heights[2] / 2.0)) {}
            }
        }
    }

    fn locks(&self, locks: &[LockLane]) -> Markup {
        let covered: Vec<_> = locks.iter().map(|lane| lane.covered_ns.clone()).collect();
        let fitted = fit(&covered, self.scale, self.window.bar_limit);
        let twice: Vec<_> = locks.iter().map(|lane| lane.overlaps_ns.clone()).collect();
        let twice = fit(&twice, self.scale, self.window.bar_limit);
        let names = self.window.bar_limit / locks.len().max(1);
        html! {
            @for (n, (lane, &y)) in locks.iter().zip(&self.layout.locks).enumerate() {
                (paths("held", &fitted[n], y, LOCK_HEIGHT))
                @if self.window.detailed { (self.owner_names(lane, y, names)) }
                @for (from, to) in self.gaps(lane) {
                    text.gap x=(px((from + to) / 2.0)) y=(px(y + 12.0)) text-anchor="middle"
                        data-width=(px(to - from)) {
                        @if to - from > 120.0 { "no lease for " }
                        (duration_ns(self.ns_of(to - from)))
                    }
                }
                @for bar in &twice[n] {
                    @let (width, true_width) = wide_enough(bar.width, LEAST_MARKED);
                    rect class=(format!("overlap d{}", density(bar))) x=(px(bar.x)) y=(px(y - 2.0)) height=(px(LOCK_HEIGHT + 4.0))
                        width=(width) data-width=[true_width] {}
                }
            }
        }
    }

    /// The names of the owners, on the first leases that are wide enough.
    fn owner_names(&self, lane: &LockLane, y: f64, limit: usize) -> Markup {
        let leases = lane.leases_ns.iter().zip(&lane.owners);
        let names = leases.filter_map(|(lease_ns, owner)| {
            let (from, to) = self.scale.clip(lease_ns)?;
            let name = owner.to_string();
            (to - from > label_width(&name) + 4.0).then_some((from, to, name))
        });
        html! {
            @for (from, to, name) in names.take(limit) {
                text.onbar x=(px((from + to) / 2.0)) y=(px(y + 12.0)) text-anchor="middle"
                    data-width=(px(to - from)) { (name) }
            }
        }
    }

    /// The gaps between leases that are wide enough to say how long they last.
    fn gaps(&self, lane: &LockLane) -> Vec<(f64, f64)> {
        lane.covered_ns
            .windows(2)
            .filter(|pair| self.scale.contains(pair[0].end) && self.scale.contains(pair[1].start))
            .map(|pair| (self.scale.x(pair[0].end), self.scale.x(pair[1].start)))
            .filter(|(from, to)| to - from > 52.0)
            .collect()
    }

    fn ns_of(&self, width: f64) -> u64 {
        let window_ns = self.window.time_ns.end - self.window.time_ns.start;
        (width / (self.scale.right() - self.scale.left()) * window_ns as f64) as u64
    }

    fn clients(&self, clients: &[ClientLane]) -> Markup {
        let waits: Vec<_> = clients.iter().map(|lane| lane.waits_ns.clone()).collect();
        let waits = fit(&waits, self.scale, self.window.bar_limit);
        let views: [Vec<Vec<Bar>>; 3] = [valid, overrun, unused].map(|view| {
            let ranges: Vec<Vec<_>> = clients
                .iter()
                .map(|lane| lane.holds.iter().map(|hold| view(hold)).collect())
                .collect();
            fit(&ranges, self.scale, self.window.bar_limit)
        });
        let height = self.layout.client_height;
        html! {
            @for (n, (lane, &y)) in clients.iter().zip(&self.layout.clients).enumerate() {
                (paths("wait", &waits[n], y + height / 2.0 - 1.0, 2.0))
                @for (class, bars) in ["held", "overrun", "unused"].into_iter().zip(&views) {
                    (paths(class, &bars[n], y, height))
                }
                @if self.window.detailed { (self.explained(lane, &views, n, y)) }
                @for hold in &lane.marked { (self.marked(hold, y)) }
                @if let Some(death_ns) = lane.death_ns && self.scale.contains(death_ns) {
                    text.death x=(px(self.scale.x(death_ns))) y=(px(y + height / 2.0 + 5.0))
                        text-anchor="middle" {
                        "\u{2715}" title { (lane.label) " died at " (seconds(death_ns)) }
                    }
                }
            }
        }
    }

    /// Invisible rectangles over the bars, which say what the bars are.
    fn explained(&self, lane: &ClientLane, views: &[Vec<Vec<Bar>>; 3], n: usize, y: f64) -> Markup {
        html! {
            @for bar in views.iter().flat_map(|bars| &bars[n]) {
                @if let Content::One(index) = bar.content {
                    @let (width, true_width) = wide_enough(bar.width, LEAST_MARKED);
                    rect.hit x=(px(bar.x)) y=(px(y)) width=(width)
                        height=(px(self.layout.client_height)) data-width=[true_width] {
                        title { (self.hold_in_words(lane.holds[index])) }
                    }
                }
            }
        }
    }

    /// A hold that a violation concerns: drawn whatever its width, in a frame.
    fn marked(&self, hold: &Hold, y: f64) -> Markup {
        let height = px(self.layout.client_height);
        let bars = [("held", valid(hold)), ("overrun", overrun(hold)), ("unused", unused(hold))];
        let whole_ns = hold.ok_ns
            ..hold.belief_end_ns.max(hold.contract_end_ns).max(hold.ok_ns.saturating_add(1));
        let Some((from, to)) = self.scale.clip(&whole_ns) else { return html! {} };
        let (width, true_width) = wide_enough(to - from, LEAST_MARKED);
        html! {
            @for (class, range_ns) in &bars {
                @if !range_ns.is_empty() && let Some((from, to)) = self.scale.clip(range_ns) {
                    @let (width, true_width) = wide_enough(to - from, LEAST_MARKED);
                    rect class=(class) x=(px(from)) y=(px(y)) height=(height) width=(width)
                        data-width=[true_width] {}
                }
            }
            rect.marked x=(px(from)) y=(px(y)) width=(width) height=(height) data-width=[true_width] {
                title { (self.hold_in_words(hold)) "; part of a violation" }
            }
        }
    }

    fn hold_in_words(&self, hold: &Hold) -> String {
        let mut words = format!(
            "{} held {} from {} to {}",
            hold.client,
            visible(&self.history.run.plan.key_name(hold.key), 40),
            seconds(hold.ok_ns),
            seconds(hold.belief_end_ns)
        );
        if hold.belief_end_ns > hold.contract_end_ns {
            words.push_str(&format!(", lease to {}", seconds(hold.contract_end_ns)));
        }
        if let Some(token) = hold.token {
            words.push_str(&format!(", token {token}"));
        }
        words
    }

    fn servers(&self, lanes: &Lanes) -> Markup {
        let leads: Vec<_> = lanes.servers.iter().map(|lane| lane.leads_ns.clone()).collect();
        let failed: Vec<_> = lanes.servers.iter().map(|lane| lane.failed_ns.clone()).collect();
        let leads = fit(&leads, self.scale, self.window.bar_limit);
        let failed = fit(&failed, self.scale, self.window.bar_limit);
        let changes = self
            .verdict
            .leader_changes
            .iter()
            .filter(|change| self.scale.contains(change.time_ns) && !lanes.servers.is_empty())
            .take(MAX_LEADER_CHANGES);
        let top = self.layout.servers.first().copied().unwrap_or_default();
        let bottom = self.layout.bottom - GROUP_GAP;
        html! {
            @for (n, &y) in self.layout.servers.iter().enumerate() {
                (paths("leads", &leads[n], y + SERVER_HEIGHT / 2.0 - 1.5, 3.0))
                (paths("failed", &failed[n], y, SERVER_HEIGHT))
            }
            @for change in changes {
                @let x = px(self.scale.x(change.time_ns));
                line.leaderchange x1=(x) x2=(x) y1=(px(top - 4.0)) y2=(px(bottom)) {
                    title { "new leader " (visible(&change.leader, 40)) " at "
                        (seconds(change.time_ns)) ", told by " (visible(&change.told_by, 40)) }
                }
            }
            (self.elections())
        }
    }

    /// A mark on the lane of the server whose log tells of it.
    fn elections(&self) -> Markup {
        let lane = |election: &ElectionSeen| {
            let lane = self.verdict.nodes.iter().position(|name| *name == election.node)?;
            self.layout.servers.get(lane).copied()
        };
        let inside = self.verdict.elections.iter().filter(|e| self.scale.contains(e.time_ns));
        let marks = inside.filter_map(|election| Some((election, lane(election)?)));
        html! {
            @for (election, y) in marks.take(MAX_ELECTIONS) {
                @let x = self.scale.x(election.time_ns);
                path.election d=(format!("M{} {}l3 4-3 4-3-4z", px(x), px(y))) {
                    title { (visible(&election.node, 40)) " "
                        (wording::election_step(election.step)) " at " (seconds(election.time_ns)) }
                }
            }
        }
    }

    fn milestones(&self, lanes: &Lanes) -> Markup {
        html! {
            @for (time_ns, label) in &lanes.milestones {
                @if self.scale.contains(*time_ns) {
                    @let x = self.scale.x(*time_ns);
                    line.milestone x1=(px(x)) x2=(px(x)) y1=(px(TOP - 6.0)) y2=(px(self.layout.bottom)) {}
                    text.milestone x=(px(x)) dx="-3" y=(px(TOP - 4.0)) text-anchor="end" { (label) }
                }
            }
        }
    }

    fn violations(&self) -> Markup {
        html! {
            @for violation in self.verdict.violations.iter().take(MAX_VIOLATIONS) {
                @if self.scale.contains(violation.time_ns) {
                    @let x = self.scale.x(violation.time_ns);
                    line.violation x1=(px(x)) x2=(px(x)) y1=(px(TOP - 8.0)) y2=(px(self.layout.bottom)) {}
                    path.violation d=(format!("M{} {}h5l-5 9-5-9z", px(x), px(TOP - 16.0))) {
                        title { (violation.class) " at " (seconds(violation.time_ns)) }
                    }
                }
            }
        }
    }
}

/// The longest label that fits over a band.
fn fault_label(fault: &FaultSummary, width: f64) -> String {
    let doubt = if fault.bit { "" } else { " (did not bite)" };
    let short = format!("fault {}", fault.id);
    let long = format!("{short}: {}{doubt}", visible(&fault.description, 80));
    [long, short + doubt]
        .into_iter()
        .find(|label| label_width(label) <= width)
        .unwrap_or_else(|| if width < 8.0 { String::new() } else { fault.id.to_string() })
}

/// While the client believed and the lease was valid.
fn valid(hold: &Hold) -> Range<u64> {
    hold.ok_ns..hold.contract_end_ns.min(hold.belief_end_ns)
}

/// While the client believed and the lease was over.
fn overrun(hold: &Hold) -> Range<u64> {
    hold.contract_end_ns.max(hold.ok_ns)..hold.belief_end_ns
}

/// While the client had stopped and the lease ran on.
fn unused(hold: &Hold) -> Range<u64> {
    hold.belief_end_ns.max(hold.ok_ns)..hold.contract_end_ns
}

/// How dense the drawing of a bar is.
fn density(bar: &Bar) -> usize {
    match bar.content {
        Content::One(_) => DENSITIES - 1,
        Content::Several(density) => density,
    }
}

/// Bars of one lane as one path for each density; a bar of its own has the greatest.
fn paths(class: &str, bars: &[Bar], y: f64, height: f64) -> Markup {
    let mut data: [String; DENSITIES] = Default::default();
    for bar in bars {
        push_rect(&mut data[density(bar)], bar.x, y, bar.width, height);
    }
    html! {
        @for (density, data) in data.iter().enumerate() {
            @if !data.is_empty() { path class=(format!("{class} d{density}")) d=(data) {} }
        }
    }
}
