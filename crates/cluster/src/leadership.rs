//! Who leads, made of what each server knows.

use locktest_history::NodeId;

/// What one server knows about the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaderView {
    /// It names the leader, or says that there is none.
    Names(Option<NodeId>),
    /// It says that it leads itself, in this term; it knows nothing of others.
    Leads {
        /// Of two servers that say so, the one with the lower term has not yet noticed.
        term: u64,
    },
    /// It follows some leader that it does not name.
    Follows,
}

/// The leader by the views of all servers, in the order of their ids: the one that a majority
/// names, or, where servers only know about themselves, the one that leads in the latest term
/// while a majority leads or follows.
pub(crate) fn leader(views: &[Option<LeaderView>]) -> Option<NodeId> {
    let mut named = vec![0; views.len()];
    let mut serving = 0;
    let mut latest = None;
    for (view, node) in views.iter().zip(0..) {
        match view {
            Some(LeaderView::Names(Some(leader))) => {
                if let Some(votes) = named.get_mut(usize::from(leader.0)) {
                    *votes += 1;
                }
            }
            Some(LeaderView::Leads { term }) => {
                serving += 1;
                latest = latest.max(Some((*term, node)));
            }
            Some(LeaderView::Follows) => serving += 1,
            Some(LeaderView::Names(None)) | None => {}
        }
    }
    let is_majority = |votes: usize| votes * 2 > views.len();
    if let Some(index) = named.iter().position(|votes| is_majority(*votes)) {
        return u16::try_from(index).ok().map(NodeId);
    }
    latest.filter(|_| is_majority(serving)).map(|(_term, node)| NodeId(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLLOWS: Option<LeaderView> = Some(LeaderView::Follows);

    fn names(node: u16) -> Option<LeaderView> {
        Some(LeaderView::Names(Some(NodeId(node))))
    }

    fn leads(term: u64) -> Option<LeaderView> {
        Some(LeaderView::Leads { term })
    }

    #[test]
    fn a_leader_needs_the_votes_of_a_majority_of_all_servers() {
        assert_eq!(leader(&[names(1), names(1), None]), Some(NodeId(1)));
        assert_eq!(leader(&[names(1), None, None]), None);
        assert_eq!(leader(&[names(1), names(2), Some(LeaderView::Names(None))]), None);
        assert_eq!(leader(&[names(0), names(0), names(1), names(1)]), None);
        assert_eq!(leader(&[names(7)]), None, "there is no such server");
        assert_eq!(leader(&[]), None);
    }

    #[test]
    fn a_server_that_says_it_leads_is_believed_while_a_majority_serves() {
        assert_eq!(leader(&[FOLLOWS, leads(1), None]), Some(NodeId(1)));
        assert_eq!(leader(&[None, leads(1), None]), None);
        assert_eq!(leader(&[FOLLOWS, FOLLOWS, None]), None);
        assert_eq!(leader(&[leads(1)]), Some(NodeId(0)));
    }

    #[test]
    fn of_two_that_say_they_lead_the_later_one_does() {
        assert_eq!(leader(&[leads(4), FOLLOWS, leads(5), FOLLOWS, FOLLOWS]), Some(NodeId(2)));
        assert_eq!(leader(&[leads(5), FOLLOWS, leads(4), FOLLOWS, FOLLOWS]), Some(NodeId(0)));
    }
}
